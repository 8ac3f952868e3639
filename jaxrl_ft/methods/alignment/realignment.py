"""A change of sensors and actions applied to a policy's parameters and to stored experience.

NumPy alone: it runs once, on the host.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.core import tree
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.methods.alignment.base import Realignment
from jaxrl_ft.nets import parts

Floats = NDArray[np.floating[Any]]


def realigned(params: Tree, statistics: Tree, change: Realignment) -> tuple[Tree, Tree]:
    """Parameters and statistics of one run that act on the target as the given ones do on the source.

    Args:
        params: groups `policy` and `value`, NumPy leaves.
        statistics: of the normaliser, `obs` among them when it normalises observations.
        change: what the target's sensors and actions mean.
    """
    flat = {path: np.array(leaf) for path, leaf in tree.flatten(params).items()}
    for group, network in params.items():
        roles = parts.roles(network)
        for layer in roles.observing:
            _reorder_inputs(flat, f"{group}/{layer}", change, "obs" in statistics)
        for path in (f"{group}/{layer}/{leaf}" for layer in roles.output for leaf in ("kernel", "bias")):
            # A critic may have a value for each of the discrete actions.
            by_action = path in flat and not change.continuous and flat[path].shape[-1] == len(change.actions) > 1
            if path in flat and (group == "policy" or by_action):
                flat[path] = _reorder_outputs(flat[path], change)
    return tree.unflatten(flat), _moved(statistics, change)


def retold(obs: Any, action: Any, change: Realignment) -> tuple[Any, Any]:
    """Observations [..., O] and actions of the source in the target's terms.

    Args:
        obs: of the source.
        action: [...] whole numbers, or [..., A].
        change: what the target's sensors and actions mean.
    """
    moved = np.empty_like(obs)
    moved[..., change.order] = change.offset + change.scale * obs
    return moved, (action * change.actions if change.continuous else change.actions[action]).astype(action.dtype)


def _reorder_inputs(flat: dict[str, Any], layer: str, change: Realignment, normalized: bool) -> None:
    """Rows of a layer that reads observations: obs -> (obs[order] - offset) / scale before it.

    A normaliser takes offset and scale upon itself, and leaves only the order and the signs.
    """
    kernel = flat[f"{layer}/kernel"]
    scale, offset = (np.sign(change.scale), 0.0) if normalized else (change.scale, change.offset)
    # A critic may read continuous actions behind the observation.
    kernel, actions = kernel[: len(change.scale)], kernel[len(change.scale) :]
    inner = (kernel / scale[:, None]).astype(kernel.dtype)
    if f"{layer}/bias" in flat:
        bias = flat[f"{layer}/bias"]
        flat[f"{layer}/bias"] = (bias - np.broadcast_to(offset, len(inner)) @ inner).astype(bias.dtype)
    moved = np.zeros_like(kernel)
    moved[change.order] = inner
    if len(actions):
        moved = np.concatenate([moved, (actions * np.reshape(change.actions, (-1, 1))).astype(kernel.dtype)])
    flat[f"{layer}/kernel"] = moved


def _reorder_outputs(leaf: Floats, change: Realignment) -> Floats:
    # Outputs beyond the actions, such as a dueling network's value or standard deviations, stay where they are.
    num = len(change.actions)
    moved = np.array(leaf)
    if change.continuous:
        moved[..., :num] = (leaf[..., :num] * change.actions).astype(leaf.dtype)
    else:
        moved[..., change.actions] = leaf[..., :num]
    return moved


def _moved(statistics: Tree, change: Realignment) -> Tree:
    """Statistics under which the target's observations are normalised to what the source's were."""
    if "obs" not in statistics:
        return statistics
    obs = statistics["obs"]
    mean, variance = np.array(obs.mean), np.array(obs.variance)
    mean[change.order] = change.offset + change.scale * obs.mean
    variance[change.order] = change.scale**2 * obs.variance
    return {**statistics, "obs": obs._replace(mean=mean, variance=variance)}

"""Sensors and actions that mean something else than they did: found from a little experience, and undone.

A linear model of the source's dynamics is fitted to experience of the source. Candidates (an order of the sensors, a
scale and an offset of each, an order or a sign of the actions) map experience of the target into the source's terms;
the one under which the model predicts best is chosen, if it predicts much better than no change at all; offsets alone
are believed for where episodes begin. Physics that changed make every candidate worse alike, and so are left to
fine-tuning. NumPy alone: it runs once, on the host.

Our own construction; the idea of making one world's transitions look like another's is that of grounded action
transformation (Hanna & Stone 2017, doi:10.1609/aaai.v31i1.11124), which learns the map of actions.
"""

from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.core import tree
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.nets import parts

Floats = NDArray[np.floating[Any]]

# Beyond so many, every order would be too many to try: sensors are then taken as they are, actions also reversed.
_MOST_SENSORS, _MOST_ACTIONS = 4, 3
# A candidate must divide the mean error of each sensor by e^(1/2), in the mean over sensors.
_GAIN = 0.5
# Offsets alone may not show in the dynamics, so they need no gain; but they may not predict worse by more than this.
_LOSS = 0.01
# An offset or a scale is believed when it is so many standard errors from none.
_DEVIATIONS = 5.0
# The relative standard deviation of a uniform sample's spread, times the root of its size: sqrt((kurtosis - 1) / 4).
_SPREAD_ERROR = 0.45
# Errors below this share of a typical change are all alike.
_FLOOR = 1e-3


class Experience(NamedTuple):
    """Transitions of one run: flat rows [M, ...], and the observations that episodes began with."""

    obs: Floats
    """[M, O]"""
    action: Any
    """[M] whole numbers, or [M, A]"""
    next_obs: Floats
    """[M, O], before any reset"""
    reward: Floats
    """[M]"""
    terminated: Any
    """whether nothing followed, [M]"""
    starts: Floats
    """[K, O]"""


class Realignment(NamedTuple):
    """How the target's sensors and actions read in the source's terms.

    Sensor j of the source is (obs[order[j]] - offset[j]) / scale[j]; action a of the source is actions[a] of the
    target, or with continuous actions `actions` holds a sign for each.
    """

    order: NDArray[np.int64]
    offset: Floats
    scale: Floats
    """above 0"""
    actions: NDArray[np.int64]
    continuous: bool
    """whether `actions` holds signs"""
    gain: float = 0.0
    """how much better it predicts than no change, log of the errors' ratio in the mean over sensors"""

    @property
    def parts(self) -> dict[str, bool]:
        """What differs from no change."""
        usual = np.ones_like(self.actions) if self.continuous else np.arange(len(self.actions))
        return {
            "sensors reordered": bool(np.any(self.order != np.arange(len(self.order)))),
            "sensors rescaled": bool(np.any(self.scale != 1)),
            "sensors shifted": bool(np.any(self.offset != 0)),
            "actions changed": bool(np.any(self.actions != usual)),
        }

    @property
    def changes(self) -> bool:
        """Whether anything differs from no change."""
        return any(self.parts.values())


def estimate(source: Experience, target: Experience, num_actions: int, continuous: bool) -> Realignment:
    """The realignment under which the source's dynamics predict the target's best.

    Args:
        source: experience of the source; a thousand transitions are plenty.
        target: experience of the target; two hundred transitions are.
        num_actions: number of discrete actions, or size of continuous ones.
        continuous: whether actions are continuous.
    """
    size = source.obs.shape[1]
    none = Realignment(
        np.arange(size), np.zeros(size), np.ones(size), _action_maps(num_actions, continuous)[0], continuous
    )
    if not all(_finite(experience) for experience in (source, target)):
        return none
    design = np.concatenate([source.obs, _features(source.action, num_actions, continuous)], axis=1)
    model = np.linalg.lstsq(design, source.next_obs - source.obs, rcond=None)[0]
    orders = permutations(range(size)) if size <= _MOST_SENSORS else [tuple(range(size))]
    maps = [
        none._replace(order=np.array(order), actions=actions)
        for order in orders
        for actions in _action_maps(num_actions, continuous)
    ]
    candidates = [_aligned(source, target, change, change.scale) for change in maps]
    scales = [_scale(source, target, model, change) for change in maps]
    candidates += [_aligned(source, target, change, scale) for change, scale in zip(maps, scales) if scale is not None]
    plain = _error(none, target, model)
    gains = np.array([plain - _error(candidate, target, model) for candidate in candidates]) / size
    best = int(np.argmax(gains))
    if gains[best] <= _GAIN:
        best = 0
    chosen = candidates[best] if best or gains[0] >= -_LOSS else none
    return chosen._replace(gain=float(gains[best]) if chosen is not none else 0.0)


def _finite(experience: Experience) -> bool:
    rows = (experience.obs, experience.action, experience.next_obs, experience.starts)
    return all(bool(np.isfinite(leaf).all()) for leaf in rows)


def _action_maps(num_actions: int, continuous: bool) -> list[NDArray[np.int64]]:
    """Every candidate, no change first."""
    usual = np.arange(num_actions)
    if continuous:
        return [np.ones_like(usual), -np.ones_like(usual)]
    return list(np.array(list(permutations(usual)))) if num_actions <= _MOST_ACTIONS else [usual, usual[::-1]]


def _features(action: Any, num_actions: int, continuous: bool) -> Floats:
    """One and the actions: values, or indicators of all but the first."""
    ones = np.ones((len(action), 1))
    shown = np.asarray(action) if continuous else np.eye(num_actions)[np.asarray(action)][:, 1:]
    return np.concatenate([ones, shown], axis=1)


def _aligned(source: Experience, target: Experience, change: Realignment, scale: Floats) -> Realignment:
    """A candidate with a scale, and the offset that makes episodes begin as they do on the source."""
    starts = target.starts[:, change.order]
    offset = starts.mean(axis=0) - scale * source.starts.mean(axis=0)
    # Of a few starts the variance may look small by chance, and the source has more of them.
    ours, theirs = scale**2 * source.starts.var(axis=0), starts.var(axis=0)
    error = np.sqrt(ours / len(source.starts) + np.maximum(ours, theirs) / len(starts))
    offset = np.where(np.abs(offset) > _DEVIATIONS * error + 1e-6, offset, 0.0)
    return change._replace(offset=offset, scale=scale)


def _scale(source: Experience, target: Experience, model: Floats, change: Realignment) -> Floats | None:
    """The scale [O] that the dynamics tell, of sensors whose starts spread otherwise, within what the starts allow.

    None when all spread alike.

    With slopes A and intercepts b_a of the source's dynamics, starts of mean c there and e here, and u = 1 / scale:

        u_j change_j - sum_i u_i (obs_i - e_i) A_ij = sum_i c_i A_ij + b_aj,

    for every transition and sensor j: least squares in u.
    """
    starts = target.starts[:, change.order]
    ratio = (starts.std(axis=0) + 1e-9) / (source.starts.std(axis=0) + 1e-9)
    room = _DEVIATIONS * _SPREAD_ERROR * np.sqrt(1 / len(source.starts) + 1 / len(starts))
    free, size = np.abs(np.log(ratio)) > room, len(change.order)
    if not free.any():
        return None
    obs, following = target.obs[:, change.order], target.next_obs[:, change.order]
    pulled = (obs - starts.mean(axis=0))[:, None, :] * model[:size].T
    slopes = np.eye(size) * (following - obs)[:, :, None] - pulled
    features = _features(_back(change, target), len(change.actions), change.continuous)
    told = source.starts.mean(axis=0) @ model[:size] + features @ model[size:]
    weight = 1.0 / (np.abs(source.next_obs - source.obs).mean(axis=0) + 1e-9)
    rest = (told - slopes[:, :, ~free].sum(axis=-1)) * weight
    rows = (slopes[:, :, free] * weight[:, None]).reshape(-1, free.sum())
    inverse = np.ones(size)
    inverse[free] = np.linalg.lstsq(rows, rest.reshape(-1), rcond=None)[0]
    allowed = np.exp([-room, room])[:, None] / ratio
    return np.where(free, 1.0 / np.clip(inverse, *allowed), 1.0)


def _back(change: Realignment, target: Experience) -> Any:
    """The target's actions as the source would name them."""
    return (
        target.action * change.actions if change.continuous else np.argsort(change.actions)[np.asarray(target.action)]
    )


def _error(change: Realignment, target: Experience, model: Floats) -> float:
    """Sum over sensors of the log of the mean error, in the target's own typical changes of that sensor.

    A mean, not a median: of actions that take effect late half are wrong, and the median of such errors is a coin's.
    """
    obs, following = ((rows[:, change.order] - change.offset) / change.scale for rows in (target.obs, target.next_obs))
    features = _features(_back(change, target), len(change.actions), change.continuous)
    predicted = np.concatenate([obs, features], axis=1) @ model
    moved = following - obs
    error = np.abs(moved - predicted).mean(axis=0) / (np.abs(moved).mean(axis=0) + 1e-9)
    return float(np.log(error + _FLOOR).sum())


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
        for layer in roles.output if group == "policy" else ():
            for leaf in ("kernel", "bias"):
                if f"{group}/{layer}/{leaf}" in flat:
                    flat[f"{group}/{layer}/{leaf}"] = _reorder_outputs(flat[f"{group}/{layer}/{leaf}"], change)
    return tree.unflatten(flat), _moved(statistics, change)


def retold(obs: Any, action: Any, change: Realignment) -> tuple[Any, Any]:
    """Observations [..., O] and actions of the source as the target would have told them.

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

    A normaliser takes offset and scale upon itself, and leaves only the order.
    """
    kernel = flat[f"{layer}/kernel"]
    scale, offset = (1.0, 0.0) if normalized else (change.scale[:, None], change.offset)
    inner = (kernel / scale).astype(kernel.dtype)
    if f"{layer}/bias" in flat:
        bias = flat[f"{layer}/bias"]
        flat[f"{layer}/bias"] = (bias - np.broadcast_to(offset, len(inner)) @ inner).astype(bias.dtype)
    flat[f"{layer}/kernel"] = np.zeros_like(kernel)
    flat[f"{layer}/kernel"][change.order] = inner


def _reorder_outputs(leaf: Floats, change: Realignment) -> Floats:
    if change.continuous:
        return (leaf * change.actions).astype(leaf.dtype)
    moved = np.zeros_like(leaf)
    moved[..., change.actions] = leaf
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

"""Sensors and actions that mean something else than they did: found from a little experience, and undone.

A linear model of the source's dynamics is fitted to experience of the source. Candidates (an order of the sensors, a
scale and an offset of each, an order or a sign of the actions) map experience of the target into the source's terms;
the one under which the model predicts best is chosen, if it predicts much better than no change at all. Physics that
changed make every candidate worse alike, and so are left to fine-tuning. NumPy alone: it runs once, on the host.

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
# A candidate must divide the typical error of each sensor by e^(1/2), in the mean over sensors.
_GAIN = 0.5
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
    actions: NDArray[np.int64]
    gain: float
    """how much better it predicts than no change, log of the errors' ratio in the mean over sensors"""

    @property
    def changes(self) -> bool:
        """Whether anything differs from no change."""
        plain = np.arange(len(self.order))
        usual = np.ones_like(self.actions) if self.continuous else np.arange(len(self.actions))
        moved = bool(np.any(self.offset != 0) or np.any(self.scale != 1) or np.any(self.order != plain))
        return moved or bool(np.any(self.actions != usual))

    @property
    def continuous(self) -> bool:
        """Whether `actions` holds signs."""
        return bool(np.all(np.abs(self.actions) == 1)) and 0 not in self.actions


def estimate(source: Experience, target: Experience, num_actions: int, continuous: bool) -> Realignment:
    """The realignment under which the source's dynamics predict the target's best.

    Args:
        source: experience of the source; a thousand transitions are plenty.
        target: experience of the target; two hundred transitions are.
        num_actions: number of discrete actions, or size of continuous ones.
        continuous: whether actions are continuous.
    """
    size = source.obs.shape[1]
    features = _features(source.action, num_actions, continuous)
    design = np.concatenate([source.obs, features], axis=1)
    change = source.next_obs - source.obs
    model = np.linalg.lstsq(design, change, rcond=None)[0]
    typical = np.abs(change).mean(axis=0) + 1e-9
    orders = permutations(range(size)) if size <= _MOST_SENSORS else [tuple(range(size))]
    candidates = [
        _aligned(source, target, np.array(order), np.array(actions), scaled)
        for order in orders
        for scaled in (False, True)
        for actions in _action_maps(num_actions, continuous)
    ]
    errors = [_error(candidate, target, model, typical, num_actions, continuous) for candidate in candidates]
    plain, best = 0, int(np.argmin(errors))
    gain = (errors[plain] - errors[best]) / size
    chosen = candidates[best] if gain > _GAIN else candidates[plain]
    return chosen._replace(gain=float(gain))


def _action_maps(num_actions: int, continuous: bool) -> list[tuple[int, ...]]:
    """Every candidate, no change first."""
    if continuous:
        return [(1,) * num_actions, (-1,) * num_actions]
    usual = tuple(range(num_actions))
    return list(permutations(usual)) if num_actions <= _MOST_ACTIONS else [usual, usual[::-1]]


def _features(action: Any, num_actions: int, continuous: bool) -> Floats:
    """One and the actions: values, or indicators of all but the first."""
    ones = np.ones((len(action), 1))
    shown = np.asarray(action) if continuous else np.eye(num_actions)[np.asarray(action)][:, 1:]
    return np.concatenate([ones, shown], axis=1)


def _aligned(
    source: Experience, target: Experience, order: NDArray[np.int64], actions: NDArray[np.int64], scaled: bool
) -> Realignment:
    """A candidate with the offset, and if asked the scale, that make episodes begin as they do on the source."""
    starts = target.starts[:, order]
    scale = np.ones(len(order))
    if scaled:
        ours, theirs = source.starts.std(axis=0), starts.std(axis=0)
        ratio = (theirs + 1e-9) / (ours + 1e-9)
        error = _SPREAD_ERROR * np.sqrt(1 / len(source.starts) + 1 / len(starts))
        scale = np.where(np.abs(np.log(ratio)) > _DEVIATIONS * error, ratio, 1.0)
    offset = starts.mean(axis=0) - scale * source.starts.mean(axis=0)
    error = np.sqrt(starts.var(axis=0) / len(starts) + (scale**2) * source.starts.var(axis=0) / len(source.starts))
    offset = np.where(np.abs(offset) > _DEVIATIONS * error + 1e-6, offset, 0.0)
    return Realignment(order, offset, scale, actions, 0.0)


def _error(
    candidate: Realignment, target: Experience, model: Floats, typical: Floats, num_actions: int, continuous: bool
) -> float:
    """Sum over sensors of the log of the median error, in typical changes of the source."""
    order, offset, scale, actions, _ = candidate
    obs, following = ((rows[:, order] - offset) / scale for rows in (target.obs, target.next_obs))
    back = target.action * actions if continuous else np.argsort(actions)[np.asarray(target.action)]
    predicted = np.concatenate([obs, _features(back, num_actions, continuous)], axis=1) @ model
    error = np.median(np.abs(following - obs - predicted), axis=0) / typical
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

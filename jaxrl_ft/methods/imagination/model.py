"""A learned model of a task: an affine one for each action, fitted by least squares to a little experience.

Dyna (Sutton 1991, doi:10.1145/122344.122377) with the simplest model there is; model-based policy optimisation (Janner
et al. 2019, arXiv:1906.08253) learns larger ones. Held-out transitions measure how well it describes the task.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.methods.alignment.base import Experience

Floats = NDArray[np.floating[Any]]

# Observations seen to go on are surely not all from which an episode goes on: the range is widened by this share for
# sensors that are not needed to explain the ends.
_MARGIN = 1.0
_RIDGE = 1e-8
_FEWEST = 3
"""Transitions for each input below which an action has no model of its own."""


class Model(NamedTuple):
    """An affine world for each of A discrete actions; with continuous ones a single one, affine in them too."""

    weights: Floats
    """change of the observation, [A, I, O], from inputs (observation, continuous action, 1)"""
    reward: Floats
    """[A, I]"""
    error: Floats
    """standard deviation of what is not explained, [O]"""
    low: Floats
    """lowest observations from which an episode is taken to go on, [O]"""
    high: Floats
    """highest, [O]"""
    ends: Floats
    """1 for sensors beyond whose range an episode ends, 0 for those that it holds in their range, [O]"""
    start_mean: Floats
    """of first observations, [O]"""
    start_spread: Floats
    """half-width of a uniform distribution with their standard deviation, [O]"""
    accuracy: float
    """smallest share that is explained: of the held-out variance of each observation's change, of the held-out mean
    square of the reward, of the ends; minus infinity of too little experience, or of some that is not finite"""
    teaches: bool
    """whether good policies differ from bad in the experience: an episode ended, or rewards differ"""


def fit(experience: Experience, num_actions: int | None) -> Model:
    """Fit the affine model to experience.

    The change of an observation o under action a is o W_a + b_a, by least squares. A discrete action that was hardly
    taken shares the slopes of the others. An episode is taken to end where an observation leaves the range of those
    seen to go on; but where rewards are negative, and an end is a gain, only beyond sensors that explain ends.

    Args:
        experience: transitions in order of time and environment, of an even number of environments.
        num_actions: A; None when actions are continuous.
    """
    obs, following = (np.asarray(rows, np.float64) for rows in (experience.obs, experience.next_obs))
    action, reward = np.asarray(experience.action), np.asarray(experience.reward, np.float64)[:, None]
    num, size = num_actions or 1, obs.shape[1]
    kind = np.zeros(len(obs), int) if num_actions is None else action
    columns = (obs, np.ones((len(obs), 1))) if num_actions is not None else (obs, action, np.ones((len(obs), 1)))
    inputs, outputs = np.concatenate(columns, axis=1), np.concatenate([following - obs, reward], axis=1)
    if len(obs) < _FEWEST or not all(np.isfinite(part).all() for part in (inputs, outputs, experience.starts)):
        return _unknown(num, inputs.shape[1], size)
    weights = _regress(inputs, outputs, kind, num)
    low, high, ends, told = _range(obs, following, np.asarray(experience.terminated, bool))
    starts = np.asarray(experience.starts, np.float64)
    arrays = {
        "weights": weights[..., :size],
        "reward": weights[..., size],
        "error": _unexplained(inputs, outputs, kind, weights)[:, :size].std(axis=0),
        "low": low,
        "high": high,
        "ends": ends | (reward.min() >= 0),
        "start_mean": starts.mean(axis=0),
        "start_spread": np.sqrt(3.0) * starts.std(axis=0),
    }
    accuracy = min(told, _explained(inputs, outputs, kind, num))
    teaches = bool(np.any(experience.terminated) or reward.max() > reward.min())
    float32 = {name: array.astype(np.float32) for name, array in arrays.items()}
    return Model(**float32, accuracy=accuracy, teaches=teaches)


def _unknown(num: int, inputs: int, size: int) -> Model:
    names = ("error", "low", "high", "ends", "start_mean", "start_spread")
    weights, reward = np.zeros((num, inputs, size), np.float32), np.zeros((num, inputs), np.float32)
    blank = {name: np.zeros(size, np.float32) for name in names}
    return Model(weights=weights, reward=reward, **blank, accuracy=-np.inf, teaches=False)


def _explained(inputs: Floats, outputs: Floats, kind: Any, num: int) -> float:
    """Smallest share of the held-out outputs, changes and a reward, that a model of the other half explains."""
    even = np.arange(len(inputs)) % 2 == 0
    half = _regress(inputs[even], outputs[even], kind[even], num)
    rest = _unexplained(inputs[~even], outputs[~even], kind[~even], half)
    # A reward may be constant but for the last, so that its variance is no measure.
    whole = np.append(outputs[~even, :-1].var(axis=0), np.square(outputs[~even, -1]).mean())
    return float((1.0 - np.square(rest).mean(axis=0) / np.maximum(whole, 1e-12)).min())


def _range(
    obs: Floats, following: Floats, terminated: NDArray[np.bool_]
) -> tuple[Floats, Floats, NDArray[np.bool_], float]:
    """Lowest and highest observations [O] that go on, which sensors explain ends [O], and the share that these do."""
    alive, ended = np.concatenate([obs, following[~terminated]]), following[terminated]
    low, high = alive.min(axis=0), alive.max(axis=0)
    outside = (ended < low) | (ended > high)
    free = np.ones(len(low), bool)
    # The fewest sensors that explain all ends, taken greedily: the one that most ends are outside of comes first.
    while outside.any():
        sensor = int(outside.sum(axis=0).argmax())
        free[sensor] = False
        outside = outside[~outside[:, sensor]]
    # What never changes must not leave its range by rounding.
    margin = _MARGIN * (high - low) * free + 1e-4 * np.maximum(np.abs(low), np.abs(high)) + 1e-6
    return low - margin, high + margin, ~free, 1.0 - len(outside) / max(len(ended), 1)


def _regress(inputs: Floats, outputs: Floats, kind: Any, num: int) -> Floats:
    """Weights [A, I, K] by ridge regression on scaled inputs [M, I], whose last column is one."""
    scale = np.append(inputs[:, :-1].std(axis=0) + 1e-9, 1.0)
    shared = _solve(np.concatenate([inputs / scale, np.eye(num)[kind][:, 1:]], axis=1), outputs)
    size = inputs.shape[1]
    weights = np.repeat((shared[:size] / scale[:, None])[None], num, axis=0)
    weights[1:, -1] += shared[size:]
    for number in range(num):
        rows = kind == number
        if rows.sum() >= _FEWEST * size:
            weights[number] = _solve(inputs[rows] / scale, outputs[rows]) / scale[:, None]
    return weights


def _solve(inputs: Floats, outputs: Floats) -> Floats:
    ridge = np.sqrt(_RIDGE * len(inputs)) * np.eye(inputs.shape[1])
    padded = np.concatenate([outputs, np.zeros((inputs.shape[1], outputs.shape[1]))])
    return np.asarray(np.linalg.lstsq(np.concatenate([inputs, ridge]), padded, rcond=None)[0])


def _unexplained(inputs: Floats, change: Floats, kind: Any, weights: Floats) -> Floats:
    return np.asarray(change - np.einsum("mi,mik->mk", inputs, weights[kind]))

"""The linear response of a task: how each sensor's change depends on the sensors and on the actions."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.methods.alignment.base import Experience

Floats = NDArray[np.floating[Any]]

# Steps after which an action may take effect.
_LATEST = 3
# Nats by which a delay must explain the changes better than none.
_CLEARLY = 10.0
# Share of a sensor's variance below which errors are all alike, and of the number of rows that a ridge is.
_FLOOR, _RIDGE = 1e-4, 1e-9
# Transitions for each coefficient of a sensor, of which there must be more.
_FEWEST = 2


class Coefficients(NamedTuple):
    """Coefficients and their standard errors, of the same shape."""

    value: Floats
    error: Floats


class Response(NamedTuple):
    """Change of sensor i in a step: rest_i + Σ_k slopes_ik (obs_k - start_k) + Σ_f pushes_if features_f."""

    slopes: Coefficients
    """[O, O]"""
    pushes: Coefficients
    """[O, F], by the features of the action that takes effect"""
    rest: Coefficients
    """[O], at the mean of the first observations"""
    moved: Floats
    """standard deviation of the changes, [O]"""
    spread: Floats
    """of the observations, [O]"""
    acted: Floats
    """of the features, [F]"""
    delay: int
    """steps after which actions take effect"""


def respond(experience: Experience, num_actions: int, continuous: bool) -> Response | None:
    """The response by least squares; None of too little experience, or of some that is not finite.

    A coefficient's error counts how far it differs between the environments that acted at random and the others, which
    visit other states: where dynamics bend it depends on where it was measured.

    Args:
        experience: transitions.
        num_actions: number of discrete actions, or size of continuous ones.
        continuous: whether actions are continuous.
    """
    obs, following, starts = (
        np.asarray(rows, np.float64) for rows in (experience.obs, experience.next_obs, experience.starts)
    )
    actions = np.asarray(experience.action)
    if not all(np.isfinite(rows).all() for rows in (obs, following, starts, actions)):
        return None
    features = actions.astype(np.float64) if continuous else contrasts(num_actions)[actions]
    size, num = obs.shape[1], experience.num_envs
    if len(obs) <= _FEWEST * (size + features.shape[1] + 1):
        return None
    age, change = _ages(experience), following - obs
    delay = _delay(obs - starts.mean(axis=0), features, change, age, num)
    rows = np.flatnonzero(age >= delay)
    acting = features[rows - delay * num]
    inputs = np.concatenate([obs[rows] - starts.mean(axis=0), acting, np.ones((len(rows), 1))], axis=1)
    value, error = _regress(inputs, change[rows])
    error = np.hypot(error, _drift(inputs, change[rows], rows % num < num // 2))
    value, error = value.T, error.T
    return Response(
        slopes=Coefficients(value[:, :size], error[:, :size]),
        pushes=Coefficients(value[:, size:-1], error[:, size:-1]),
        rest=Coefficients(value[:, -1], error[:, -1]),
        moved=change.std(axis=0) + 1e-9,
        spread=obs.std(axis=0) + 1e-9,
        acted=acting.std(axis=0) + 1e-9,
        delay=delay,
    )


def contrasts(num_actions: int) -> Floats:
    """Orthonormal features of discrete actions that sum to zero over them, [A, A - 1]."""
    frame = np.concatenate([np.ones((num_actions, 1)), np.eye(num_actions)[:, :-1]], axis=1)
    return np.linalg.qr(frame)[0][:, 1:]


def _ages(experience: Experience) -> NDArray[np.int64]:
    """The transitions of the same episode that are known to come before each, [M]."""
    num = experience.num_envs
    age = np.zeros(len(experience.obs), np.int64)
    goes_on = np.all(experience.obs[num:] == experience.next_obs[:-num], axis=1)
    for row in range(num, len(age)):
        age[row] = (age[row - num] + 1) * goes_on[row - num]
    return age


def _delay(obs: Floats, features: Floats, change: Floats, age: NDArray[np.int64], num: int) -> int:
    """The delay under which actions explain the changes best, if it is clearly better than none."""
    rows = np.flatnonzero(age >= _LATEST)
    if 3 * len(rows) < len(obs):
        return 0
    floor = _FLOOR * change.var(axis=0) + 1e-18
    likelihoods = []
    for delay in range(_LATEST + 1):
        inputs = np.concatenate([obs[rows], features[rows - delay * num], np.ones((len(rows), 1))], axis=1)
        rest = change[rows] - inputs @ _regress(inputs, change[rows])[0]
        likelihoods.append(-0.5 * len(rows) * np.log(rest.var(axis=0) + floor).sum())
    best = int(np.argmax(likelihoods))
    return best if likelihoods[best] > likelihoods[0] + _CLEARLY else 0


def _drift(inputs: Floats, outputs: Floats, half: NDArray[np.bool_]) -> Floats:
    """Half of the difference between the coefficients of two halves, so far as their errors do not explain it."""
    few = _FEWEST * inputs.shape[1]
    if min(half.sum(), (~half).sum()) <= few:
        return np.zeros((inputs.shape[1], outputs.shape[1]))
    (one, error), (other, also) = (_regress(inputs[rows], outputs[rows]) for rows in (half, ~half))
    return 0.5 * np.sqrt(np.maximum((one - other) ** 2 - error**2 - also**2, 0.0))


def _regress(inputs: Floats, outputs: Floats) -> tuple[Floats, Floats]:
    """Coefficients [I, K] of inputs [M, I], the last of which is one, and their standard errors."""
    scale = np.append(inputs[:, :-1].std(axis=0) + 1e-9, 1.0)
    scaled = inputs / scale
    inverse = np.linalg.inv(scaled.T @ scaled + _RIDGE * len(inputs) * np.eye(len(scale)))
    value = inverse @ (scaled.T @ outputs)
    rest = outputs - scaled @ value
    variance = np.square(rest).sum(axis=0) / max(len(inputs) - len(scale), 1)
    # Errors of outputs that go together are one piece of evidence, not K.
    unit = rest / np.sqrt(np.square(rest).sum(axis=0) + 1e-30)
    variance *= np.square(unit.T @ unit).sum() / outputs.shape[1]
    return value / scale[:, None], np.sqrt(np.outer(np.diag(inverse), variance)) / scale[:, None]

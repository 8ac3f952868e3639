"""Predictions of the target's dynamics and starts under each reading, and their density."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.methods.alignment.candidates import Readings
from jaxrl_ft.methods.alignment.responses import Coefficients, Response, contrasts

Floats = NDArray[np.floating[Any]]

# Gains that physics may multiply a row by, and their log-normal weights; the last is no gain, with half of the weight.
_GAINS = np.append(2.0 ** (np.arange(-8, 9) / 2), 1.0)
_WEIGHTS = np.append(np.exp(-(np.log(_GAINS[:-1]) ** 2) / 2), 0.0)
_LOG_WEIGHTS = np.log(np.append(_WEIGHTS[:-1] / _WEIGHTS.sum(), 1.0) / 2)
# Relative deviation of each coefficient from its row's gain; small where there is no gain.
_DEVIATION = np.append(np.full(len(_GAINS) - 1, 0.3), 0.03)
# Deviation of any coefficient, in typical changes of the sensor for a typical value of what acts on it.
EPSILON = 0.01
# Degrees of freedom of Student's t: a coefficient that no gain explains counts against a reading within limits.
FREEDOM = 8.0
# Factors of a product that neither overflows nor underflows.
_FACTORS = 8
# The relative standard deviation of a uniform sample's spread, times the root of its size: sqrt((kurtosis - 1) / 4).
_SPREAD_ERROR = 0.45


class Evidence(NamedTuple):
    """The measurements of both tasks."""

    source: Response
    target: Response
    source_starts: Floats
    target_starts: Floats
    usual: NDArray[np.int64]
    """actions that mean what they did, [A]"""
    continuous: bool


def predictions(readings: Readings, evidence: Evidence) -> tuple[Coefficients, Coefficients]:
    """The target's slopes [C, O, O] and pushes [C, O, F] if its physics are the source's; signs of errors are void."""
    shows = np.argsort(readings.order, axis=1)
    scale = np.take_along_axis(readings.scale, shows, axis=1)[:, :, None]
    across = scale / scale.swapaxes(1, 2)
    slopes = [part[shows[:, :, None], shows[:, None, :]] * across for part in evidence.source.slopes]
    acting = [_acting(part, readings.actions, evidence.continuous) for part in evidence.source.pushes]
    pushes = [np.take_along_axis(part, shows[:, :, None], axis=1) * scale for part in acting]
    return Coefficients(slopes[0], slopes[1]), Coefficients(pushes[0], pushes[1])


def _acting(pushes: Floats, actions: NDArray[np.int64], continuous: bool) -> Floats:
    """Effects [C, O, F] of the target's features, for actions [C, A] that do what the source's do."""
    if continuous:
        return pushes * actions[:, None, :]
    frame = contrasts(actions.shape[1])
    effects = pushes @ frame.T
    return effects[:, np.argsort(actions, axis=1)].swapaxes(0, 1) @ frame


def typical(target: Response) -> tuple[Floats, Floats]:
    """Slopes [O, O] and pushes [O, F] that change a sensor typically for a typical value of what acts on it."""
    return target.moved[:, None] / target.spread, target.moved[:, None] / target.acted


def log_density(predicted: Coefficients, seen: Coefficients, unit: Floats) -> Floats:
    """Log-density [C, O] of the coefficients seen [O, K] around predictions [C, O, K], over all gains of a row."""
    mean = predicted.value[..., None] * _GAINS
    variance = (_DEVIATION * mean) ** 2 + (_GAINS * predicted.error[..., None]) ** 2
    variance += (unit**2 + seen.error**2)[..., None]
    square = (seen.value[..., None] - mean) ** 2 / variance
    density = -0.5 * ((FREEDOM + 1) * _sum_of_logs(1 + square / FREEDOM) + _sum_of_logs(variance))
    return np.asarray(np.logaddexp.reduce(density + _LOG_WEIGHTS, axis=-1))


def _sum_of_logs(values: Floats) -> Floats:
    """The sum of logarithms along axis 2, from products, since logarithms take most of the time of a reading."""
    products = np.multiply.reduceat(values, range(0, values.shape[2], _FACTORS), axis=2)
    return np.asarray(np.log(products).sum(axis=2))


def start_ratio(order: Any, evidence: Evidence) -> tuple[Floats, float]:
    """Ratio of the spread of the target's starts to the source's, by sensor [..., O], and the error of its log."""
    ours, theirs = (starts.std(axis=0) + 1e-9 for starts in (evidence.source_starts, evidence.target_starts))
    sizes = len(evidence.source_starts), len(evidence.target_starts)
    return theirs[order] / ours, float(_SPREAD_ERROR * np.sqrt(sum(1 / size for size in sizes)))

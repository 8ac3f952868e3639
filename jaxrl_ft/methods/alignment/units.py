"""Units of sensors: the posterior of every sensor's scale, and the scales that are certain enough.

The posterior of all log-scales together: a scale is 1, or log-normal, or all are alike; starts spread by it, and each
row of the target's linear response is the source's, rescaled, times unknown gains (`predictions.log_density`). So what
links two sensors gives their ratio, and starts and pushes the rest. It is sampled by adaptive importance sampling
(population Monte Carlo, Cappé et al. 2004, doi:10.1198/106186004X12803) with the balance heuristic over all rounds
(Veach & Guibas 1995, doi:10.1145/218380.218498). NumPy alone: it runs on the host.
"""

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.methods.alignment.candidates import Readings
from jaxrl_ft.methods.alignment.predictions import EPSILON, Evidence, log_density, predictions, start_ratio, typical

Floats = NDArray[np.floating[Any]]

VAGUE = "scales of sensors told too vaguely"

# Least probability of a scale that is claimed, and largest probability of an error for which no reason is given.
_BELIEVED, _DOUBTED = 0.999, 0.02
# Log-scales this near to 0 are no change, and log-scales within this are right.
_SPIKE, _RIGHT = 0.02, np.log(1.25)
# Probability that any units changed, that each then did, and that all did alike.
_CHANGED, _EACH, _ALIKE = 0.27, 0.38, 0.2
# Probability that starts spread otherwise for another reason: all alike, or a single sensor's.
_OTHERWISE, _SINGLE = 0.05, 0.0025
# Logarithms of how far, and their weights: Cauchy's, as starts may spread by any amount.
_COMMON = np.append(np.arange(-20, 21) / 4, 0.0)
_LOG_COMMON = np.append(-np.log1p(_COMMON[:-1] ** 2), 0.0)
_LOG_COMMON[:-1] += np.log(_OTHERWISE) - np.logaddexp.reduce(_LOG_COMMON[:-1])
_LOG_COMMON[-1] = np.log(1 - _OTHERWISE)
# Errors of the few starts' spread are larger than those of many would be.
_FEW = 1.08
_ROUNDS, _SAMPLES, _CENTRES = 4, 1024, 48
# Sensors of which every subset is where sampling begins, and the deviations of proposals.
_MOST_SUBSETS = 4
_WIDTHS = np.array([0.01, 0.03, 0.1])


class Posterior(NamedTuple):
    """Log-scales drawn from the posterior, and their weights."""

    samples: Floats
    """[N, O]"""
    weights: Floats
    """[N], of sum 1"""

    @property
    def mean(self) -> Floats:
        """Means, [O]."""
        return self.weights @ self.samples

    @property
    def error(self) -> Floats:
        """Standard deviations, [O]."""
        return np.sqrt(self.weights @ np.square(self.samples - self.mean))


def told(plain: Readings, evidence: Evidence, solved: Floats) -> Posterior:
    """The posterior of the log-scales of a single reading's sensors.

    Args:
        plain: the reading, whose scale [1, O] holds signs alone.
        evidence: of both tasks.
        solved: log-scales [O] that may be right, where sampling begins too.
    """
    ratio, room = start_ratio(plain.order[0], evidence)
    log_ratio, size = np.clip(np.log(ratio), _COMMON.min(), _COMMON.max()), len(ratio)
    subsets = product((0, 1), repeat=size) if size <= _MOST_SUBSETS else [(0,) * size, (1,) * size]
    centres = [*(log_ratio * subset for subset in subsets), np.full(size, log_ratio.mean()), solved]
    widths = np.append([0.02, 0.1], max(room, 0.05))

    def log_posterior(log_scale: Floats) -> Floats:
        dynamics = _log_dynamics(log_scale, plain, evidence)
        return dynamics + log_prior(log_scale) + _log_starts(log_scale, log_ratio, _FEW * room)

    return sample(log_posterior, np.array(centres), widths)


def claimed(found: Posterior, solved: Floats) -> tuple[Floats, str]:
    """Log-scales [O] that may be claimed, 0 where none may, and the reason why one was left alone.

    A claim is good if it comes nearer to the scale than none, within 25% or by half of the change.

    Args:
        found: the posterior.
        solved: log-scales [O] under which the dynamics are the source's, taken where they agree with the posterior.
    """
    mean, error = found.mean, found.error
    agrees = np.abs(solved - mean) <= np.minimum(error, _RIGHT)
    claim = np.where(agrees.all(), solved, mean)
    off, room = np.abs(found.samples - claim), np.maximum(_RIGHT, np.abs(found.samples) / 2)
    sure = found.weights @ (off < np.minimum(room, np.abs(found.samples)))
    log_scale = np.where((sure >= _BELIEVED) & (np.abs(claim) > 2 * _SPIKE), claim, 0.0)
    doubt = found.weights @ (np.abs(found.samples - log_scale) > room)
    return log_scale, VAGUE if doubt.max() > _DOUBTED else ""


def sample(log_density: Callable[[Floats], Floats], centres: Floats, widths: Floats) -> Posterior:
    """Samples of a density and their weights; always the same ones.

    Args:
        log_density: of points [N, O], [N], but for a constant.
        centres: points [C, O] where it may be large.
        widths: how far from each to look first, [W].
    """
    rng, size = np.random.default_rng(0), centres.shape[1]
    proposals: list[tuple[Floats, Floats]] = []
    samples, values, proposed = np.zeros((0, size)), np.zeros(0), np.zeros(0)
    for _ in range(_ROUNDS):
        centres, width = np.repeat(centres, len(widths), axis=0), np.tile(widths, len(centres))
        rows = np.arange(_SAMPLES) % len(centres)
        drawn = centres[rows] + width[rows, None] * rng.normal(size=(_SAMPLES, size))
        # Rounds count alike, so that a constant of the proposals drops out.
        proposed = np.logaddexp(proposed, _log_mixture(samples, centres, width)) if len(samples) else proposed
        proposals.append((centres, width))
        others = [_log_mixture(drawn, *proposal) for proposal in proposals]
        proposed = np.append(proposed, np.logaddexp.reduce(others, axis=0))
        samples, values = np.concatenate([samples, drawn]), np.append(values, log_density(drawn))
        weights = np.exp(values - proposed - np.max(values - proposed))
        weights /= weights.sum()
        at = (np.arange(_CENTRES) + rng.uniform()) / _CENTRES
        centres = samples[np.minimum(np.searchsorted(np.cumsum(weights), at), len(weights) - 1)]
        widths = _WIDTHS
    return Posterior(samples, weights)


def log_prior(log_scale: Floats) -> Floats:
    """Log-density [N] of log-scales [N, O] before any measurement."""
    size, mean = log_scale.shape[1], log_scale.mean(axis=1)
    none = _log_normal(log_scale, _SPIKE)
    each = np.logaddexp(np.log(1 - _EACH) + none, np.log(_EACH) + _log_normal(log_scale, 1.0)).sum(axis=1)
    # Independent deviations around a common log-scale: those from their mean, and the mean itself.
    around = _log_normal(log_scale - mean[:, None], _SPIKE).sum(axis=1) - _log_normal(0.0, _SPIKE / np.sqrt(size))
    alike = around + _log_normal(mean, np.hypot(1.0, _SPIKE / np.sqrt(size)))
    weights = np.log([1 - _CHANGED, _CHANGED * (1 - _ALIKE), _CHANGED * _ALIKE])
    return np.asarray(np.logaddexp.reduce(np.stack([none.sum(axis=1), each, alike]) + weights[:, None], axis=0))


def _log_starts(log_scale: Floats, log_ratio: Floats, room: float) -> Floats:
    """Log-density [N] of the spread of starts, which may be otherwise for another reason too."""
    apart = (log_ratio - log_scale)[..., None] - _COMMON
    plain = np.log(1 - _SINGLE) + _log_normal(apart, room)
    single = np.logaddexp(plain, np.log(_SINGLE) + _log_normal(apart, np.hypot(2.0, room)))
    return np.asarray(np.logaddexp.reduce(single.sum(axis=1) + _LOG_COMMON, axis=1))


def _log_dynamics(log_scale: Floats, plain: Readings, evidence: Evidence) -> Floats:
    """Log-density [N] of the target's linear response."""
    slope, push = typical(evidence.target)
    many = plain.take(np.zeros(len(log_scale), np.int64))
    slopes, pushes = predictions(many._replace(scale=many.scale * np.exp(log_scale)), evidence)
    # As for readings, a sensor's own slope is free.
    density = log_density(slopes, evidence.target.slopes, np.hypot(EPSILON * slope, np.eye(len(slope))))
    return np.asarray((density + log_density(pushes, evidence.target.pushes, EPSILON * push)).sum(axis=1))


def _log_normal(apart: Any, width: Any) -> Any:
    return -0.5 * np.square(apart / width) - np.log(width) - 0.5 * np.log(2 * np.pi)


def _log_mixture(samples: Floats, centres: Floats, width: Floats) -> Floats:
    """Log-density [N] of equal Gaussians of deviations [C], but for a constant."""
    # In place, as the arrays [N, C] would else be written a dozen times.
    each = samples @ (-2 * centres.T)
    each += np.square(samples).sum(axis=1)[:, None]
    each += np.square(centres).sum(axis=1)
    np.maximum(each, 0.0, out=each)
    each *= -0.5 / width**2
    each -= samples.shape[1] * np.log(width)
    most = each.max(axis=1)
    each -= most[:, None]
    np.exp(each, out=each)
    return np.asarray(most + np.log(each.mean(axis=1)))

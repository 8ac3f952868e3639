"""Aggregate scores over runs and tasks: numpy only, vectorised over resamples.

Scores are [R] (R runs of one task) or [R, T] (T tasks); any axes before those two are a batch of resamples. The
aggregates are those of Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice" (arXiv 2108.13264).
Any such function is a statistic; one that is `counted` besides is fast to bootstrap.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from jaxrl_ft.analysis.statistics.weighted import counted, each_task, fast_path, share_above, trimmed_mean
from jaxrl_ft.core.curves import Estimate, Floats

Statistic = Callable[[Floats], Estimate]


def as_scores(scores: ArrayLike, field: str = "scores") -> Floats:
    """The scores as a float64 array [..., R, T]; a vector [R] becomes [R, 1].

    Raises:
        ValueError: no runs, no tasks, or an entry that is not finite (sorting would hide it in the trimmed tail).
    """
    array = np.asarray(scores, np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"{field}: shape {np.shape(scores)} is not allowed; it must be [R] or [R, T] with R, T >= 1")
    if not np.isfinite(array).all():
        raise ValueError(f"{field}: {int((~np.isfinite(array)).sum())} entries are not finite; leave those runs out")
    return array


def _pooled(scores: ArrayLike) -> Floats:
    """Scores [..., R, T] with runs and tasks as one axis: [..., R*T]."""
    array = as_scores(scores)
    return array.reshape(*array.shape[:-2], -1)


@counted(partial(trimmed_mean, cut=lambda number: number // 4))
def iqm(scores: ArrayLike) -> Estimate:
    """Interquartile mean over all N = R*T scores [...]: the mean without the floor(N/4) lowest and highest."""
    pooled = _pooled(scores)
    number = pooled.shape[-1]
    cut = number // 4
    kept = np.partition(pooled, (cut, number - cut - 1), axis=-1)[..., cut : number - cut]
    return kept.mean(axis=-1)


@counted(partial(trimmed_mean, cut=lambda number: 0))
def mean(scores: ArrayLike) -> Estimate:
    """Mean over runs and tasks [...]."""
    return _pooled(scores).mean(axis=-1)


@counted(partial(trimmed_mean, cut=lambda number: (number - 1) // 2))
def median(scores: ArrayLike) -> Estimate:
    """Median over all runs and tasks together [...]; rliable's is the median over tasks of the means over runs."""
    return np.median(_pooled(scores), axis=-1)


@counted(lambda scores, counts: 1.0 - trimmed_mean(np.minimum(scores, 1.0), counts, lambda number: 0))
def optimality_gap(scores: ArrayLike, gamma: float = 1.0) -> Estimate:
    """How far scores fall short of gamma on average [...]: gamma - mean(min(score, gamma)); lower is better."""
    return gamma - np.minimum(_pooled(scores), gamma).mean(axis=-1)


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Share of all scores strictly above each of K thresholds, [..., K]."""
    pooled = _pooled(scores)
    return np.stack([(pooled > threshold).mean(axis=-1) for threshold in np.ravel(thresholds)], axis=-1)


def profile(thresholds: ArrayLike) -> Statistic:
    """A statistic of scores [..., R, T] that returns their `performance_profile` at K thresholds, [..., K]."""
    fixed = np.array(thresholds, np.float64).ravel()
    return counted(partial(share_above, thresholds=fixed))(lambda scores: performance_profile(scores, fixed))


def per_task(statistic: Statistic) -> Statistic:
    """A statistic of scores [..., R, T] that returns the given one for every task by itself, [..., T]."""

    def separately(scores: Floats) -> Estimate:
        return statistic(np.swapaxes(as_scores(scores), -1, -2)[..., None])

    of_counts = fast_path(statistic)
    return separately if of_counts is None else counted(partial(each_task, of_counts))(separately)


def over_tasks(statistic: Statistic) -> Statistic:
    """A statistic of scores [..., R, T] that returns the mean over tasks of the given one of each, [...].

    Every task weighs the same, whatever its spread; `iqm` itself pools the tasks first, as rliable does, and may trim
    an easy task away.
    """
    separately = per_task(statistic)
    of_counts = fast_path(separately)

    def averaged(scores: Floats) -> Estimate:
        return separately(scores).mean(axis=-1)

    if of_counts is None:
        return averaged
    return counted(lambda scores, counts: of_counts(scores, counts).mean(axis=1))(averaged)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """P(X > Y) + P(X = Y)/2 for runs drawn at random, averaged over tasks (Mann and Whitney's U over Rx*Ry).

    Args:
        x: [Rx] or [Rx, T].
        y: [Ry] or [Ry, T].
    """
    return float(wins(as_scores(x, "x"), as_scores(y, "y")).mean())


def wins(x: Floats, y: Floats) -> Floats:
    """1 where run i of x beats run j of y, 1/2 where they tie, else 0: [T, Rx, Ry]."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"y: shape {y.shape} is not allowed; it must have the tasks of x, whose shape is {x.shape}")
    left, right = x.T[:, :, None], y.T[:, None, :]
    return np.asarray((left > right) + 0.5 * (left == right))

"""Statistics of resamples from how often each run was drawn, without building a resample: numpy only.

Scores [R, T] are sorted once. Counts [R, T, b], in that order and summed along it, then say at which place of each
sorted resample every score stands, so that a trimmed mean is a sum of scores times whole numbers. The sums are taken
score by score with elementwise operations alone: a resample gets the same bits beside any others, on any machine.
Counts [R, 1, b] are one draw of runs for all tasks alike.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.core.curves import Estimate, Floats

OfCounts = Callable[[Floats, NDArray[np.unsignedinteger]], Floats]
StatisticT = TypeVar("StatisticT", bound=Callable[..., Estimate])


def counted(of_counts: OfCounts) -> Callable[[StatisticT], StatisticT]:
    """A decorator that offers the bootstrap a fast path for a statistic, as its attribute `of_counts`.

    Args:
        of_counts: maps finite scores [R, T] and counts [R, T, b] or [R, 1, b] to [b, ...]: what the statistic gives
            for each of the b resamples in which run r of task t stands as often as the counts say.
    """

    def offer(statistic: StatisticT) -> StatisticT:
        vars(statistic)["of_counts"] = of_counts
        return statistic

    return offer


def fast_path(statistic: Callable[..., Estimate]) -> OfCounts | None:
    """The statistic's `of_counts`, or None if it has none."""
    return getattr(statistic, "of_counts", None)


def trimmed_mean(scores: Floats, counts: NDArray[np.unsignedinteger], cut: Callable[[int], int]) -> Floats:
    """Mean of each resample's N scores without the cut(N) lowest and highest, [b].

    It depends on the scores that a resample holds and on nothing else: equal resamples get equal bits, whichever of
    several tied runs they drew, and resamples of one score alone get that score exactly.
    """
    values, below = _running(scores, counts)
    number = int(below[-1, 0])
    lowest = cut(number)
    np.clip(below, lowest, number - lowest, out=below)
    centre = values[len(values) // 2]
    total, term = np.zeros(below.shape[1]), np.empty(below.shape[1])
    before: Floats | float = lowest
    for value, row in zip(values - centre, below):
        np.multiply(row - before, value, out=term)
        total += term
        before = row
    return np.asarray(centre + total / (number - 2 * lowest))


def share_above(scores: Floats, counts: NDArray[np.unsignedinteger], thresholds: Floats) -> Floats:
    """Share of each resample's scores strictly above each of K thresholds, [b, K]."""
    values, below = _running(scores, counts)
    none = np.zeros_like(below[:1])
    not_above = np.concatenate([none, below])[np.searchsorted(values, thresholds, side="right")]
    return np.asarray(((below[-1] - not_above) / float(below[-1, 0])).T)


def each_task(of_counts: OfCounts, scores: Floats, counts: NDArray[np.unsignedinteger]) -> Floats:
    """The statistic of every task by itself, [b, T, ...]."""
    shared = counts.shape[1] == 1
    tasks = [slice(task, task + 1) for task in range(scores.shape[1])]
    return np.stack([of_counts(scores[:, t], counts if shared else counts[:, t]) for t in tasks], axis=1)


def _running(scores: Floats, counts: NDArray[np.unsignedinteger]) -> tuple[Floats, NDArray[np.unsignedinteger]]:
    """The distinct scores in order, [U], and how many scores of each resample are at most as large, [U, b]."""
    pooled = scores.reshape(-1)
    order = np.argsort(pooled, kind="stable")
    alike = scores.shape[1] // counts.shape[1]
    number = int(counts[:, :, 0].sum(dtype=np.int64)) * alike
    rows = counts.reshape(-1, counts.shape[2])[order // alike]
    below = rows.astype(np.min_scalar_type(number), copy=False)
    for place in range(1, len(below)):
        np.add(below[place], below[place - 1], out=below[place])
    last = np.append(pooled[order][1:] != pooled[order][:-1], True)
    return pooled[order][last], below if last.all() else below[last]

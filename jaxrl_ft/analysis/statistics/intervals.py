"""Percentile bootstrap intervals: numpy only, vectorised over resamples, reproducible from a seed.

Runs are resampled within each task, as by Agarwal et al. 2021 (arXiv 2108.13264); where several runs start from one
pretrained agent, agents are resampled first.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxrl_ft.analysis.statistics.aggregate import Statistic, as_scores, iqm, wins
from jaxrl_ft.analysis.statistics.resampling import (
    REPETITIONS,
    block_length,
    blocks,
    checked_indices,
    count,
    distributions,
    hierarchical_indices,
    plain_indices,
)
from jaxrl_ft.core import checks
from jaxrl_ft.core.curves import Estimate, Floats


class Interval(NamedTuple):
    """A point estimate and the ends of its interval: floats, or arrays when the statistic gives arrays."""

    value: Estimate
    low: Estimate
    high: Estimate


def _percentiles(value: Estimate, distribution: Floats, confidence: float) -> Interval:
    """The percentile interval of a bootstrap distribution [B, ...]."""
    checks.number("confidence", confidence, 0.0, 1.0)
    tail = (1.0 - confidence) / 2.0
    low, high = np.percentile(distribution, [100.0 * tail, 100.0 * (1.0 - tail)], axis=0)
    return Interval(value, low, high)


def stratified_bootstrap(
    scores: ArrayLike,
    statistic: Statistic = iqm,
    repetitions: int = REPETITIONS,
    seed: int = 0,
    indices: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Interval:
    """The statistic of the scores with its percentile bootstrap interval; runs are resampled within each task.

    Args:
        scores: [R] or [R, T].
        statistic: maps [..., R, T] to [...], as all aggregates here do (or to [..., K]: then ends are [K]).
        repetitions: resamples B.
        seed: a Python int; equal seeds give equal intervals.
        indices: runs to use in place of random ones: [B, R] for all tasks alike, or [B, R, T].
        confidence: coverage aimed at.

    Raises:
        ValueError: scores not finite or empty; an argument outside its range.
    """
    array = as_scores(scores)
    drawn = blocks(array.shape, repetitions, seed, indices)
    return _percentiles(*distributions([array], statistic, drawn)[0], confidence)


def bootstrap_by_name(
    scores: Mapping[str, ArrayLike],
    statistic: Statistic = iqm,
    repetitions: int = REPETITIONS,
    seed: int = 0,
    indices: ArrayLike | None = None,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """`stratified_bootstrap` of every entry, bit for bit, drawing the resamples once for all entries of a shape.

    Args:
        scores: name of a method -> its scores, [R] or [R, T]; shapes may differ.
        statistic: maps [..., R, T] to [...].
        repetitions: resamples B.
        seed: a Python int.
        indices: runs to use in place of random ones, as for `stratified_bootstrap`.
        confidence: coverage aimed at.

    Raises:
        ValueError: scores not finite or empty, named by their method; an argument outside its range.
    """
    arrays = {name: as_scores(given, f"scores[{name!r}]") for name, given in scores.items()}
    found: dict[str, Interval] = {}
    for shape in dict.fromkeys(array.shape for array in arrays.values()):
        alike = [name for name, array in arrays.items() if array.shape == shape]
        drawn = blocks(shape, repetitions, seed, indices)
        estimates = distributions([arrays[name] for name in alike], statistic, drawn)
        found.update({name: _percentiles(*estimate, confidence) for name, estimate in zip(alike, estimates)})
    return {name: found[name] for name in arrays}


def hierarchical_bootstrap(
    scores: ArrayLike,
    agents: ArrayLike,
    statistic: Statistic = iqm,
    repetitions: int = REPETITIONS,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """As `stratified_bootstrap`, but resampling agents [R] and then runs within agents, the same for all tasks."""
    _same_length("agents", agents, scores)
    indices = hierarchical_indices(agents, repetitions, seed)
    return stratified_bootstrap(scores, statistic, indices=indices, confidence=confidence)


def paired_difference(
    x: ArrayLike,
    y: ArrayLike,
    statistic: Statistic = iqm,
    repetitions: int = REPETITIONS,
    seed: int = 0,
    agents: ArrayLike | None = None,
    indices: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Interval:
    """statistic(x) - statistic(y) with its interval, each resample taking the same runs of both.

    Args:
        x: [R] or [R, T]; run i of x and of y share agent and keys.
        y: the same shape.
        statistic: maps [..., R, T] to [...].
        repetitions: resamples.
        seed: a Python int.
        agents: agent of each run [R], to resample agents first; None takes the runs as independent.
        indices: runs to use in place of random ones: [B, R] for all tasks alike, or [B, R, T].
        confidence: coverage aimed at.

    Raises:
        ValueError: shapes differ; scores not finite; an argument outside its range.
    """
    return _percentiles(*paired_distribution(x, y, statistic, repetitions, seed, agents, indices), confidence)


def paired_distribution(
    x: ArrayLike,
    y: ArrayLike,
    statistic: Statistic,
    repetitions: int,
    seed: int,
    agents: ArrayLike | None = None,
    indices: ArrayLike | None = None,
) -> tuple[Estimate, Floats]:
    """What `paired_difference` takes its interval from: the difference [...] and that of every resample [B, ...]."""
    left, right = as_scores(x, "x"), as_scores(y, "y")
    if left.shape != right.shape:
        raise ValueError(f"y: shape {right.shape} is not allowed; it must be that of x, {left.shape}")
    labels = np.arange(len(left)) if agents is None else agents
    _same_length("agents", labels, left)
    if indices is None:
        indices = hierarchical_indices(labels, repetitions, seed)
    drawn = blocks(left.shape, repetitions, seed, indices)
    (ours, of_x), (theirs, of_y) = distributions([left, right], statistic, drawn)
    return ours - theirs, of_x - of_y


def unpaired_difference(
    x: ArrayLike,
    y: ArrayLike,
    statistic: Statistic = iqm,
    repetitions: int = REPETITIONS,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """statistic(x) - statistic(y) with its interval, runs of x and of y resampled apart, within each task.

    Args:
        x: [Rx] or [Rx, T].
        y: [Ry] or [Ry, T]; its runs are independent of those of x.
        statistic: maps [..., R, T] to [...].
        repetitions: resamples.
        seed: a Python int.
        confidence: coverage aimed at.

    Raises:
        ValueError: another number of tasks; scores not finite; an argument outside its range.
    """
    return _percentiles(*unpaired_distribution(x, y, statistic, repetitions, seed), confidence)


def unpaired_distribution(
    x: ArrayLike, y: ArrayLike, statistic: Statistic, repetitions: int, seed: int
) -> tuple[Estimate, Floats]:
    """What `unpaired_difference` takes its interval from: the difference [...] and that of every resample [B, ...]."""
    left, right = as_scores(x, "x"), as_scores(y, "y")
    if left.shape[1] != right.shape[1]:
        raise ValueError(
            f"y: shape {right.shape} is not allowed; it must have the tasks of x, whose shape is {left.shape}"
        )
    (ours, of_x), (theirs, of_y) = (
        distributions([group], statistic, blocks(group.shape, repetitions, own, None))[0]
        for group, own in zip((left, right), _two_seeds(seed))
    )
    return ours - theirs, of_x - of_y


def probability_interval(
    x: ArrayLike,
    y: ArrayLike,
    repetitions: int = REPETITIONS,
    seed: int = 0,
    indices: tuple[ArrayLike, ArrayLike] | None = None,
    confidence: float = 0.95,
) -> Interval:
    """`probability_of_improvement` with its percentile interval.

    Args:
        x: [Rx] or [Rx, T].
        y: [Ry] or [Ry, T].
        repetitions: resamples B.
        seed: a Python int.
        indices: runs of x and of y to use, each [B, R] or [B, R, T]; one array twice keeps pairs together.
        confidence: coverage aimed at.
    """
    left, right = as_scores(x, "x"), as_scores(y, "y")
    tasks = left.shape[1]
    if indices is None:
        seeds = _two_seeds(seed)
        indices = (
            plain_indices(len(left), repetitions, seeds[0], tasks),
            plain_indices(len(right), repetitions, seeds[1], tasks),
        )
    if len(np.asarray(indices[0])) != len(np.asarray(indices[1])):
        raise ValueError(
            f"indices: {len(np.asarray(indices[0]))} and {len(np.asarray(indices[1]))} resamples; as many of x as of y"
        )
    won = wins(left, right)
    taken_x, taken_y = checked_indices(indices[0], len(left), tasks), checked_indices(indices[1], len(right), tasks)
    block = block_length(tasks * (taken_x.shape[1] + taken_y.shape[1]))
    parts = [slice(start, start + block) for start in range(0, len(taken_x), block)]
    shares = [_share_won(won, taken_x[part], None if taken_y is taken_x else taken_y[part]) for part in parts]
    return _percentiles(float(won.mean()), np.concatenate(shares), confidence)


def _share_won(won: Floats, taken_x: NDArray[np.int64], taken_y: NDArray[np.int64] | None) -> Floats:
    """Mean over pairs and tasks of the wins [T, Rx, Ry] in each resample, [b]; taken_y None takes the runs of x.

    Twice the wins and the counts are whole numbers, so the products are exact and a block leaves no trace in them.
    """
    tasks, runs_x, runs_y = won.shape
    of_x = count(taken_x, runs_x).astype(np.float64).transpose(1, 2, 0)
    of_y = of_x if taken_y is None else count(taken_y, runs_y).astype(np.float64).transpose(1, 2, 0)
    halves = ((of_x @ (2.0 * won)) * of_y).sum(axis=(0, 2))
    drawn = taken_x.shape[1] * (taken_x if taken_y is None else taken_y).shape[1]
    return np.asarray(halves / (2.0 * drawn * tasks))


def _two_seeds(seed: int) -> tuple[int, int]:
    """A seed for the draws of x and one for those of y."""
    first, second = np.random.SeedSequence(checks.seed(seed)).generate_state(2)
    return int(first), int(second)


def _same_length(field: str, labels: ArrayLike, scores: ArrayLike) -> None:
    """Refuse labels that are not one for each run, by a ValueError."""
    given, runs = len(np.asarray(labels)), len(np.asarray(scores))
    if given != runs:
        raise ValueError(f"{field}: {given} labels are not allowed; there are {runs} runs, and each needs one")

"""Percentile bootstrap intervals: numpy only, vectorised over resamples, reproducible from a seed.

Runs are resampled within each task, as by Agarwal et al. 2021 (arXiv 2108.13264); where several runs start from one
pretrained agent, agents are resampled first.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxrl_ft.analysis.statistics import Statistic, as_scores, iqm, wins
from jaxrl_ft.core import checks

CHUNK_ENTRIES = 4_000_000


class Interval(NamedTuple):
    """A point estimate and the ends of its interval: floats, or arrays when the statistic gives arrays."""

    value: Any
    low: Any
    high: Any


def plain_indices(runs: int, repetitions: int, seed: int, tasks: int = 1) -> NDArray[np.int64]:
    """Resampled runs, uniform with replacement: [B, R], or [B, R, T] with own draws for each of several tasks."""
    checks.count("repetitions", repetitions)
    size = (repetitions, runs) if tasks == 1 else (repetitions, runs, tasks)
    return np.random.default_rng(checks.seed(seed)).integers(0, runs, size)


def hierarchical_indices(agents: ArrayLike, repetitions: int, seed: int) -> NDArray[np.int64]:
    """Resampled runs [B, R]: agents with replacement, then runs with replacement within each drawn agent.

    Runs that share a pretrained agent are not independent, so the agent is the unit that is resampled first. An agent
    is drawn with a chance proportional to its number of runs (equal when balanced) and fills the places of the agent
    that stood there, so every resample has R runs and is centred on the estimate. With as many agents as runs this is
    `plain_indices`, draw for draw.

    Args:
        agents: which agent each run started from, [R], any hashable-by-numpy labels.
        repetitions: number of resamples B.
        seed: a Python int.
    """
    checks.count("repetitions", repetitions)
    labels = np.asarray(agents).reshape(-1)
    if labels.size == 0:
        raise ValueError("agents: no runs; it must name the agent of at least one run")
    rng = np.random.default_rng(checks.seed(seed))
    _, first, group, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    drawn = rng.integers(0, labels.size, (repetitions, len(first)))
    if len(first) == labels.size:
        return drawn
    members = np.argsort(group, kind="stable")
    starts = np.cumsum(sizes) - sizes
    agent_of_place = group[drawn][:, group]
    within = (rng.random(agent_of_place.shape) * sizes[agent_of_place]).astype(np.int64)
    return members[starts[agent_of_place] + within]


def _checked_indices(indices: ArrayLike, runs: int, tasks: int) -> NDArray[np.int64]:
    """The indices [B, R'] or [B, R', T] as int64.

    Raises:
        ValueError: another shape, not whole numbers, or a run that does not exist.
    """
    array = np.asarray(indices)
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == tasks)
    if not shaped or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"indices: {array.dtype} {array.shape} is not allowed; it must be integers [B, R] or [B, R, T]"
        )
    if array.min() < 0 or array.max() >= runs:
        raise ValueError(f"indices: {array.min()} to {array.max()} is not allowed; it must be in [0, {runs - 1}]")
    return array.astype(np.int64, copy=False)


def _resamples(scores: NDArray[Any], indices: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """Resampled scores [b, R, T] in blocks of repetitions that keep memory bounded."""
    block = max(1, CHUNK_ENTRIES // (indices.shape[1] * scores.shape[1]))
    for start in range(0, len(indices), block):
        part = indices[start : start + block]
        yield scores[part] if part.ndim == 2 else scores[part, np.arange(scores.shape[1])]


def _distribution(scores: NDArray[Any], statistic: Statistic, indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """The statistic of every resample, [B, ...]."""
    return np.concatenate([np.asarray(statistic(block)) for block in _resamples(scores, indices)])


def _percentiles(value: Any, distribution: NDArray[np.float64], confidence: float) -> Interval:
    """The percentile interval of a bootstrap distribution [B, ...]."""
    checks.number("confidence", confidence, 0.0, 1.0)
    tail = (1.0 - confidence) / 2.0
    low, high = np.percentile(distribution, [100.0 * tail, 100.0 * (1.0 - tail)], axis=0)
    return Interval(value, low, high)


def stratified_bootstrap(
    scores: ArrayLike,
    statistic: Statistic = iqm,
    repetitions: int = 2000,
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
    if indices is None:
        indices = plain_indices(len(array), repetitions, seed, array.shape[1])
    drawn = _checked_indices(indices, len(array), array.shape[1])
    return _percentiles(statistic(array), _distribution(array, statistic, drawn), confidence)


def hierarchical_bootstrap(
    scores: ArrayLike,
    agents: ArrayLike,
    statistic: Statistic = iqm,
    repetitions: int = 2000,
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
    repetitions: int = 2000,
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
    left, right = as_scores(x, "x"), as_scores(y, "y")
    if left.shape != right.shape:
        raise ValueError(f"y: shape {right.shape} is not allowed; it must be that of x, {left.shape}")
    labels = np.arange(len(left)) if agents is None else agents
    _same_length("agents", labels, left)
    if indices is None:
        indices = hierarchical_indices(labels, repetitions, seed)
    drawn = _checked_indices(indices, *left.shape)
    distribution = _distribution(left, statistic, drawn) - _distribution(right, statistic, drawn)
    return _percentiles(statistic(left) - statistic(right), distribution, confidence)


def probability_interval(
    x: ArrayLike,
    y: ArrayLike,
    repetitions: int = 2000,
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
        seeds = np.random.SeedSequence(checks.seed(seed)).generate_state(2)
        indices = (
            plain_indices(len(left), repetitions, int(seeds[0]), tasks),
            plain_indices(len(right), repetitions, int(seeds[1]), tasks),
        )
    if len(np.asarray(indices[0])) != len(np.asarray(indices[1])):
        raise ValueError(
            f"indices: {len(np.asarray(indices[0]))} and {len(np.asarray(indices[1]))} resamples; as many of x as of y"
        )
    won = wins(left, right)
    taken_x = _counts(_checked_indices(indices[0], len(left), tasks), len(left), tasks)
    taken_y = _counts(_checked_indices(indices[1], len(right), tasks), len(right), tasks)
    per_pair = ((taken_x @ won) * taken_y).sum(axis=(0, 2))
    return _percentiles(float(won.mean()), per_pair / tasks, confidence)


def _counts(indices: NDArray[np.int64], runs: int, tasks: int) -> NDArray[np.float64]:
    """The share each run has in each resample, [T, B, R]: the resample's distribution, without its order."""
    repetitions = len(indices)
    drawn = np.broadcast_to(indices[..., None] if indices.ndim == 2 else indices, (*indices.shape[:2], tasks))
    places = (np.arange(tasks) * repetitions + np.arange(repetitions)[:, None])[:, None, :] * runs + drawn
    counts = np.bincount(places.ravel(), minlength=tasks * repetitions * runs)
    return counts.reshape(tasks, repetitions, runs) / indices.shape[1]


def _same_length(field: str, labels: ArrayLike, scores: ArrayLike) -> None:
    """Nothing; raises a ValueError unless there is one label for each run."""
    given, runs = len(np.asarray(labels)), len(np.asarray(scores))
    if given != runs:
        raise ValueError(f"{field}: {given} labels are not allowed; there are {runs} runs, and each needs one")

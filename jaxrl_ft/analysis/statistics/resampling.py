"""Which runs each bootstrap resample takes, and statistics of the resamples: numpy only, reproducible from a seed."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxrl_ft.analysis.statistics.aggregate import Statistic
from jaxrl_ft.analysis.statistics.weighted import OfCounts, fast_path
from jaxrl_ft.core import checks
from jaxrl_ft.core.curves import Floats

REPETITIONS = 50_000
"""Resamples behind an interval by default; its ends then move by 0.3% of its length with the seed."""
CHUNK_ENTRIES = 1_500_000
# the fast path works score by score; with more scores than this, blocks are too short for that to pay
COUNTED_SCORES = 3_000


def plain_indices(runs: int, repetitions: int, seed: int, tasks: int = 1) -> NDArray[np.int64]:
    """Resampled runs, uniform with replacement: [B, R], or [B, R, T] with own draws for each of several tasks."""
    return np.concatenate(list(plain_blocks(runs, repetitions, seed, tasks, repetitions)))


def plain_blocks(runs: int, repetitions: int, seed: int, tasks: int, block: int) -> Iterator[NDArray[np.int64]]:
    """`plain_indices` in blocks of at most `block` repetitions: the same draws whatever the block."""
    checks.count("repetitions", repetitions)
    rng = np.random.default_rng(checks.seed(seed))
    for start in range(0, repetitions, block):
        size = (min(block, repetitions - start), runs)
        yield rng.integers(0, runs, size if tasks == 1 else (*size, tasks))


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
    return np.asarray(members[starts[agent_of_place] + within])


def checked_indices(indices: ArrayLike, runs: int, tasks: int) -> NDArray[np.int64]:
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


def count(indices: NDArray[np.int64], runs: int) -> NDArray[np.unsignedinteger]:
    """How often each of R runs stands in each of b resamples, [R, T, b] for indices [b, R', T], [R, 1, b] for [b, R'].

    A resample is known by its counts up to the order of its runs, which no statistic here looks at.
    """
    drawn = indices[..., None] if indices.ndim == 2 else indices
    resamples, number, tasks = drawn.shape
    places = drawn * (tasks * resamples)
    places += np.arange(tasks) * resamples + np.arange(resamples)[:, None, None]
    counts = np.bincount(places.ravel(order="K"), minlength=runs * tasks * resamples)
    return counts.astype(np.min_scalar_type(number)).reshape(runs, tasks, resamples)


def block_length(entries: int) -> int:
    """Repetitions worked on at once, of so many scores each; it bounds memory and changes no result."""
    return max(1, CHUNK_ENTRIES // entries)


def blocks(
    shape: tuple[int, ...], repetitions: int, seed: int, indices: ArrayLike | None
) -> Iterator[NDArray[np.int64]]:
    """For scores [R, T], the given indices or else plain ones, in blocks [b, R] or [b, R, T] that bound memory."""
    runs, tasks = shape
    if indices is None:
        yield from plain_blocks(runs, repetitions, seed, tasks, block_length(runs * tasks))
        return
    drawn = checked_indices(indices, runs, tasks)
    block = block_length(drawn.shape[1] * tasks)
    yield from (drawn[start : start + block] for start in range(0, len(drawn), block))


def distributions(
    groups: Sequence[Floats], statistic: Statistic, drawn: Iterable[NDArray[np.int64]]
) -> list[tuple[Floats, Floats]]:
    """The statistic of each group of scores [R, T] and of all its resamples, [...] and [B, ...].

    All groups take the same runs. The fast path gives both, or rounding could put a value outside its own interval.
    """
    fast = fast_path(statistic) if groups[0].size <= COUNTED_SCORES else None
    parts = [_of_block(groups, statistic, fast, block) for block in drawn]
    resampled = [np.concatenate(part) for part in zip(*parts)]
    once = np.ones((len(groups[0]), 1, 1), np.uint8)
    values = [statistic(group) if fast is None else fast(group, once)[0] for group in groups]
    return list(zip(values, resampled))


def _of_block(
    groups: Sequence[Floats], statistic: Statistic, fast: OfCounts | None, indices: NDArray[np.int64]
) -> list[Floats]:
    """The statistic of each group in one block of resamples, [b, ...] each."""
    runs, tasks = groups[0].shape
    if fast is not None:
        counts = count(indices, runs)
        return [fast(group, counts) for group in groups]
    place = indices if indices.ndim == 2 else (indices, np.arange(tasks))
    return [np.asarray(statistic(group[place])) for group in groups]

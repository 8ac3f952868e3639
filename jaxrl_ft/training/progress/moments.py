"""Moments of a long call, as callbacks get them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

EPISODES = "rollout/num"
PER_EPISODE = ("rollout/episode_return", "rollout/episode_length")
"""Metrics that are summed over the episodes that ended."""


class Progress(NamedTuple):
    """A moment of a long call, as a callback gets it."""

    phase: str
    """`compiling` or `training`"""
    updates: int
    """updates done"""
    num_updates: int
    """updates in all"""
    env_steps: int
    """environment steps done, all runs together, also those from which a run that stopped learns nothing"""
    metrics: dict[str, np.ndarray]
    """means over the updates since the last moment that has any by run, [R], members of a population one after another.
    `rollout/episode_return` and `rollout/episode_length` are means over the episodes that ended, NaN where none did,
    and `rollout/num` is how many ended in each update. All are NaN of a run that stopped before. Empty at a moment that
    only says that another run stopped"""
    step: int = 0
    """environment steps of each run by now, what its method paid before training included: a point of `curve_steps`"""
    returns: np.ndarray | None = None
    """mean greedy return of each run, [R], at a moment of an evaluation; of one that stopped, where it did"""
    first_run: int = 0
    """number of the first run; others than 0 are of a part of a cell of a comparison"""
    not_finite: Mapping[int, str] = MappingProxyType({})
    """runs by number that stopped for a number that was not finite, with what and when in words"""

    def part(self, runs: slice, members: slice, first_run: int, share: float) -> "Progress":
        """The moment of some of the runs.

        Args:
            runs: which, of those in `returns` and `not_finite`.
            members: which, of those in `metrics`.
            first_run: the number of the first.
            share: how many they are of all.
        """
        places, broken = range(runs.start, runs.stop), self.not_finite
        return self._replace(
            env_steps=round(self.env_steps * share),
            metrics={name: values[members] for name, values in self.metrics.items()},
            returns=None if self.returns is None else self.returns[runs],
            first_run=first_run,
            not_finite={first_run + run: broken[place] for run, place in enumerate(places) if place in broken},
        )


Callback = Callable[[Progress], None]
CellCallback = Callable[[str, str, Progress | None], None]
"""Called with method, target and a moment of training, or None once the cell is evaluated."""


def means(sums: Mapping[str, np.ndarray], updates: int, going: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of a moment from their sums over some updates, both [R]; NaN of runs that learn no more.

    Args:
        sums: by name, [R] or more, which fill up the program.
        updates: how many.
        going: whether each run still learned in them, bool [R].
    """
    found = {name: values / updates for name, values in sums.items()}
    ended = sums.get(EPISODES)
    if ended is not None:
        for name in (name for name in PER_EPISODE if name in sums):
            found[name] = np.where(ended > 0, sums[name] / np.maximum(ended, 1.0), np.nan)
    return {name: np.where(going, values[: len(going)], np.float32(np.nan)) for name, values in found.items()}

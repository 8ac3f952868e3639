"""Learning curves while they are made: which runs have stopped, and which policy of each run is kept."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.training.evaluation.faults import Fault, of_runs
from jaxrl_ft.training.spec import Spec

_ARRAYS = ("stopped", "updates", "kept_steps", "_row", "_highest")


class Snapshot(NamedTuple):
    """What runs have at one moment, on the host: the policies by run, all else by member of their populations."""

    answer: Policy
    """the policy that each run would end with"""
    delta: PyTree
    """what the optimizer holds"""
    opt_state: PyTree
    memory: PyTree
    """what the parts of the method remember"""
    fault: Fault
    """what was not finite so far"""

    def part(self, runs: slice, members: slice) -> "Snapshot":
        """What some runs and their members have."""
        answer, learned = tree.take(self.answer, runs), tree.take(self.by_member, members)
        return Snapshot(answer, *learned)

    @property
    def by_member(self) -> tuple[PyTree, PyTree, PyTree, Fault]:
        """All but the policies."""
        return self.delta, self.opt_state, self.memory, self.fault


class Curves:
    """The evaluations of the runs of several groups, one after another, and what follows from them.

    A run has stopped once its mean greedy return was at least `stop_at` at `patience` evaluations in a row, or at the
    first evaluation behind a number of it that is not finite. What is computed of it from then on, beside others that
    go on, is not looked at any more.

    Args:
        specs: of each group.
        num_evals: K, of a training in which no run stops.
    """

    def __init__(self, specs: Sequence[Spec], num_evals: int) -> None:
        self._specs = specs
        self._stop_at = np.concatenate([np.full(s.num_runs, np.nan if s.stop_at is None else s.stop_at) for s in specs])
        self._patience = np.concatenate([np.full(spec.num_runs, spec.patience) for spec in specs])
        self._best = np.concatenate([np.full(s.num_runs, s.keep == "best") for s in specs])
        firsts = np.cumsum([0, *(spec.num_runs for spec in specs)])
        members = [first + np.tile(np.arange(s.num_runs), s.method.population) for first, s in zip(firsts, specs)]
        self._run_of = np.concatenate(members)
        num = len(self._stop_at)
        self.stopped = np.zeros(num, bool)
        """whether each run has stopped, [R]"""
        self.updates = np.zeros(num, int)
        """updates that each run had taken at its last evaluation, [R]"""
        self.kept_steps = np.zeros(num, np.int64)
        """environment steps at which the policy to keep was taken, [R]"""
        self._num_evals = num_evals
        self._returns: list[np.ndarray] = []
        self._steps: list[np.ndarray] = []
        self._row = np.zeros(num, int)
        self._highest = np.full(num, -np.inf)
        self._at_stop: Snapshot | None = None
        self._at_best: Snapshot | None = None

    @property
    def made(self) -> dict[str, PyTree]:
        """All that is known so far, for `go_on`; a snapshot that there is none of is left out."""
        columns = [np.zeros((0, len(self.stopped)), kind) for kind in (float, np.int64)]
        rows = [np.stack(found) if found else none for found, none in zip((self._returns, self._steps), columns)]
        plain = [getattr(self, name) for name in _ARRAYS]
        known = dict(zip(("returns", "steps", *_ARRAYS), (*rows, *plain))) | {"num_evals": np.array(self._num_evals)}
        return known | {name: now for name, now in self._snapshots.items() if now is not None}

    @property
    def _snapshots(self) -> dict[str, Snapshot | None]:
        return {"at_stop": self._at_stop, "at_best": self._at_best}

    def like(self, names: Collection[str], now: Snapshot) -> dict[str, PyTree]:
        """What `made` looks like where it has these snapshots, which look like this one."""
        return self.made | {name: now for name in self._snapshots if name in names}

    def go_on(self, made: dict[str, PyTree]) -> None:
        """Go on from what another object of the same training had `made`."""
        self._returns, self._steps = list(made["returns"]), list(made["steps"])
        for name in _ARRAYS:
            setattr(self, name, made[name])
        self._num_evals = int(made["num_evals"])
        self._at_stop, self._at_best = (made.get(name) for name in self._snapshots)

    @property
    def going(self) -> np.ndarray:
        """Whether the run of each member still learns, bool [M]."""
        stopped: np.ndarray = self.stopped[self._run_of]
        return ~stopped

    def faults(self, members: Fault) -> Fault:
        """What was not finite of each run, [R]: by now, or when it stopped.

        Args:
            members: of each member by now, [M] or more.
        """
        now = of_runs(self._specs, members)
        if self._at_stop is None:
            return now
        return tree.choose_rows(self.stopped, of_runs(self._specs, self._at_stop.fault), now)

    def begin(self, returns: np.ndarray) -> None:
        """Add the return of the untouched policies, at step 0; it neither counts for a stop nor can be kept."""
        self._num_evals += 1
        self._add(returns, 0)

    def add(
        self,
        returns: np.ndarray,
        steps: ArrayLike,
        updates: ArrayLike,
        take: Callable[[], Snapshot],
        broken: NDArray[np.bool_] | bool = False,
    ) -> None:
        """Add an evaluation of all runs.

        Args:
            returns: mean greedy return of each run, [R].
            steps: environment steps that each run has spent, [R], or all have.
            updates: updates that each has taken, likewise.
            take: gives what all runs have now; called where something of it is to be kept.
            broken: whether a number of a run was not finite, [R].
        """
        going, returns = ~self.stopped, returns[: len(self.stopped)]
        self._row = np.where(returns >= self._stop_at, self._row + 1, 0)
        stops = going & ((self._row >= self._patience) | broken)
        # A return that is not finite is never the highest.
        better = going & self._best & (returns > self._highest)
        self._add(returns, steps)
        self._highest = np.where(better, returns, self._highest)
        self.updates = np.where(going, updates, self.updates)
        self.kept_steps = np.where(going & ~self._found | better, steps, self.kept_steps)
        if stops.any():
            now = take()
            self._at_stop = self._choose(stops, now, self._at_stop or now)
        if better.any():
            now = take()
            self._at_best = self._choose(better, now, self._at_best or now)
        self.stopped = self.stopped | stops

    def finished(self, last: Snapshot) -> tuple[Snapshot, Snapshot]:
        """What every run had when it learned no more, and at the moment whose policy is kept.

        Args:
            last: what all runs have after the last update.
        """
        ended = last if self._at_stop is None else self._choose(self.stopped, self._at_stop, last)
        return ended, ended if self._at_best is None else self._choose(self._found, self._at_best, ended)

    @property
    def last(self) -> np.ndarray:
        """Mean greedy return of each run at the last evaluation, or where it stopped, [R]; none before the first."""
        return self._returns[-1] if self._returns else np.zeros(0)

    @property
    def latest(self) -> float:
        """The mean of `last` over the runs whose return is finite; minus infinity where there is none."""
        return float(np.mean(self.last, where=np.isfinite(self.last))) if np.isfinite(self.last).any() else -math.inf

    @property
    def returns(self) -> np.ndarray:
        """Mean greedy returns, [R, K]; behind its stop a run repeats the one that it had there."""
        return self._filled(self._returns)

    @property
    def steps(self) -> np.ndarray:
        """Environment steps spent by each evaluation, [R, K]; behind its stop a run spends none."""
        return self._filled(self._steps)

    def _filled(self, columns: list[np.ndarray]) -> np.ndarray:
        found = np.stack(columns, axis=1) if columns else np.zeros((len(self.stopped), 0))
        return found[:, np.minimum(np.arange(self._num_evals), len(columns) - 1)]

    @property
    def _found(self) -> np.ndarray:
        """Whether a best policy is kept so far, [R]; without one it is the last."""
        return self._best & (self._highest > -np.inf)

    def _add(self, returns: np.ndarray, steps: ArrayLike) -> None:
        returns = returns[: len(self.stopped)]
        spent = np.broadcast_to(np.asarray(steps, np.int64), len(returns))
        if self._returns:
            returns = np.where(self.stopped, self._returns[-1], returns)
            spent = np.where(self.stopped, self._steps[-1], spent)
        self._returns.append(returns)
        self._steps.append(spent)

    def _choose(self, runs: np.ndarray, ours: Snapshot, others: Snapshot) -> Snapshot:
        """Return copies: `ours` of some runs, given as a mask [R], and `others` of the rest."""
        answer = tree.choose_rows(runs, ours.answer, others.answer)
        return Snapshot(answer, *tree.choose_rows(runs[self._run_of], ours.by_member, others.by_member))

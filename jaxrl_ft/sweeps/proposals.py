"""What a search tries next: pure functions of what it has found so far, so that a search can be gone on with."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jaxrl_ft.core import checks
from jaxrl_ft.core.files import Json
from jaxrl_ft.methods.spaces import Dimensions, Point

SEARCHES = ("random", "halving", "optuna")
ETA = 3
"""One in so many points of a round goes on to the next (as in the example of Li et al. 2018, arXiv:1603.06560)"""
ROUNDS = 3
"""Rounds of successive halving, where the budget allows so many"""
LEAST_UPDATES = 4
"""Updates of a run of the shortest round"""
MOST_TRIALS = 10_000
BATCH = 8
"""Points of `optuna` that are tried side by side"""


class Proposal(NamedTuple):
    """A point of one method that is to be tried with a budget."""

    method: str
    number: int
    """of the trial among those of its method"""
    round: int
    steps: int
    """env steps of each run"""
    point: Point


class Trial(NamedTuple):
    """A proposal that was tried."""

    proposal: Proposal
    score: float
    """mean area under the curve over validation tasks and runs; NaN when a run failed"""
    scores: Mapping[str, float]
    """mean area by validation task"""
    num_runs: int
    num_failed: int
    """runs whose status is not `ok`"""
    env_steps: int
    """on the validation tasks, all runs together"""

    @property
    def value(self) -> float:
        """The score to be ranked by: what is not finite is below everything."""
        return self.score if math.isfinite(self.score) else -math.inf


Evaluate = Callable[[Sequence[Proposal]], Iterable[Trial]]


class Round(NamedTuple):
    """Trials that train side by side."""

    num: int
    steps: int


@dataclass(frozen=True)
class Search:
    """Random search for one method: points drawn alike from the whole space, the method's own first."""

    method: str
    dimensions: Dimensions
    rounds: tuple[Round, ...]
    seed: int

    def proposals(self, finished: Sequence[Trial]) -> list[Proposal]:
        """What to try next; an empty list at the end.

        Args:
            finished: the trials of all earlier rounds, in order.
        """
        number = 0
        for index, (num, steps) in enumerate(self.rounds):
            if number == len(finished):
                points = self.points(index, num, finished)
                return [Proposal(self.method, number + i, index, steps, point) for i, point in enumerate(points)]
            number += num
        return []

    def points(self, index: int, num: int, finished: Sequence[Trial]) -> list[Point]:
        """The points of a round."""
        return self.dimensions.drawn(num, self.seed)


class Halving(Search):
    """Successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943), a bracket of Hyperband (arXiv:1603.06560).

    The best of each round go on to the next with ETA times the budget, where they start anew: a learning rate anneals
    over its budget, so the first third of a long run is not a run of a third.
    """

    def points(self, index: int, num: int, finished: Sequence[Trial]) -> list[Point]:
        """The points of a round: drawn in the first, then the best of the one before, first come first."""
        if index == 0:
            return super().points(index, num, finished)
        last = [trial for trial in finished if trial.proposal.round == index - 1]
        return [trial.proposal.point for trial in sorted(last, key=lambda trial: -trial.value)[:num]]


def halved(trials: int, steps: int, rounds: int = ROUNDS, eta: int = ETA) -> tuple[Round, ...]:
    """The rounds of successive halving that cost no more than `trials` trials of `steps` env steps.

    With s + 1 rounds, n = floor(trials eta^s / (s + 1)) points start with steps eta^-s, and floor(n eta^-i) are left in
    round i with steps eta^(i - s) each: every round costs as much (Hyperband's Algorithm 1, which rounds n up, with
    `trials` for B / R). Budgets are whole, rounded up; a run takes whole updates, which adds a little to short ones.

    Args:
        trials: the budget.
        steps: env steps of each run of the last round.
        rounds: how many at most; no more than trials, so that one point is left for the last.
        eta: one in so many goes on.
    """
    last = min(rounds, trials) - 1
    num = trials * eta**last // (last + 1)
    return tuple(Round(num // eta**i, -(-steps // eta ** (last - i))) for i in range(last + 1))


def plan_rounds(
    kind: str, dimensions: Dimensions, trials: int, steps: int, seed: int, fits: Callable[[int], bool]
) -> tuple[Round, ...]:
    """The rounds of a search of a kind in SEARCHES; a space of no more points than trials is tried as a whole, once.

    Args:
        kind: of search.
        dimensions: of the method.
        trials: the budget in trials of full length.
        steps: env steps of each run of full length.
        seed: of the draws.
        fits: whether a number of env steps is enough for a run.

    Raises:
        ValueError: an unknown kind, or a count that is none.
    """
    checks.choice("search", kind, SEARCHES)
    trials, steps = checks.count("trials", trials, 1, MOST_TRIALS), checks.count("steps", steps)
    points = len(dimensions.drawn(trials, seed))
    if kind == "random" or points < trials:
        return (Round(points, steps),)
    if kind == "halving":
        possible = [halved(trials, steps, rounds) for rounds in range(ROUNDS, 0, -1)]
        fitting = [found for found in possible if fits(found[0].steps)] or possible[-1:]
        most = len(dimensions.drawn(fitting[0][0].num, seed))
        return tuple(Round(min(num, most), each) for num, each in fitting[0])
    full, rest = divmod(trials, BATCH)
    return (Round(BATCH, steps),) * full + ((Round(rest, steps),) if rest else ())


def driven(searches: Mapping[str, Search], finished: Sequence[Trial], evaluate: Evaluate) -> Iterator[Trial]:
    """Every trial that is not finished yet, as it is: the rounds of all searches go side by side.

    Args:
        searches: by method.
        finished: trials of an earlier call; one that is not what is proposed now is tried again.
        evaluate: the trials of proposals, in any order.
    """
    known = {trial.proposal[:2]: trial for trial in finished}
    history: dict[str, list[Trial]] = {name: [] for name in searches}
    while asked := [one for name, search in searches.items() for one in search.proposals(history[name])]:
        outcomes = {one[:2]: known[one[:2]] for one in asked if one[:2] in known and known[one[:2]].proposal == one}
        for trial in evaluate([one for one in asked if one[:2] not in outcomes]):
            outcomes[trial.proposal[:2]] = trial
            yield trial
        for one in asked:
            history[one.method].append(outcomes[one[:2]])


def best(finished: Sequence[Trial]) -> Trial | None:
    """The trial of the longest runs with the largest score, the first of equals; None when none is finite."""
    finite = [trial for trial in finished if math.isfinite(trial.score)]
    return max(finite, key=lambda trial: (trial.proposal.steps, trial.score), default=None)


def row(trial: Trial) -> dict[str, Json]:
    """A trial as one line of a table."""
    method, number, index, steps, point = trial.proposal
    return {
        "method": method,
        "trial": number,
        "round": index,
        "steps": steps,
        **point,
        "score": trial.score,
        "runs": trial.num_runs,
        "failed": trial.num_failed,
        "env_steps": trial.env_steps,
        **{f"score of {task}": score for task, score in trial.scores.items()},
    }

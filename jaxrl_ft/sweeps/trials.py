"""A search as it runs: every trial is a few cells of a sweep, and its score the area under their curves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from jaxrl_ft.core.curves import area_under_curve
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods import grids
from jaxrl_ft.methods.method import Method
from jaxrl_ft.sweeps import proposals
from jaxrl_ft.sweeps.cluster import Cluster
from jaxrl_ft.sweeps.dealing import Share, shares
from jaxrl_ft.sweeps.plan import Plan, make_plan, natural_width, run_plan
from jaxrl_ft.sweeps.proposals import Proposal, Search, Trial
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.spec import Budget, Spec, finetune_spec


@dataclass(frozen=True)
class Quest:
    """A search, checked, that has not run yet."""

    agents: Agents
    """one for each run of a trial on a task"""
    methods: Mapping[str, Method]
    """those that have a field of the space"""
    searches: Mapping[str, Search]
    """of each"""
    validation: Mapping[str, Task]
    budget: Budget
    most: int = 0
    """runs that train at a time; 0 for what suits the devices"""

    def limited(self, most: int) -> "Quest":
        """The same search in batches of at most so many runs."""
        return replace(self, most=most)

    def trials(self, finished: Sequence[Trial] = (), workers: Cluster | None = None) -> Iterator[Trial]:
        """Every trial that is not finished yet, as it is.

        Args:
            finished: trials of an earlier call.
            workers: of a cluster; without them, trials train in this process.
        """
        return proposals.driven(self.searches, finished, partial(self.evaluated, workers=workers))

    def evaluated(self, asked: Sequence[Proposal], workers: Cluster | None = None) -> Iterator[Trial]:
        """The trials of these proposals as they are finished: all points x tasks x runs are cells of one sweep."""
        for steps in dict.fromkeys(proposal.steps for proposal in asked):
            chosen = [proposal for proposal in asked if proposal.steps == steps]
            methods = [self.changed(proposal) for proposal in chosen]
            plan = make_plan(self._specs(methods, steps), self.most, self.wide)
            waiting: dict[int, dict[str, Agents]] = {}
            for number, tuned in _trained(plan, workers):
                index, place = divmod(number, len(self.validation))
                waiting.setdefault(index, {})[list(self.validation)[place]] = tuned
                if len(waiting[index]) == len(self.validation):
                    yield scored(chosen[index], waiting.pop(index), self.agents)

    def changed(self, proposal: Proposal) -> Method:
        """The method at the point of a proposal."""
        return grids.changed(self.methods[proposal.method], proposal.point)

    @cached_property
    def wide(self) -> int:
        """The width of every batch: that which the first round fills, whatever is finished of it."""
        cells = sum(search.rounds[0].num for search in self.searches.values()) * len(self.validation)
        return natural_width(self.agents.num_seeds, cells, self.most)

    def plan(self) -> Plan:
        """One cell of each method on each task with the whole budget: what a trial takes, to estimate with."""
        return make_plan(self._specs(self.methods.values(), self.budget.steps), self.most, self.wide)

    def _specs(self, methods: Iterable[Method], steps: int) -> list[Spec]:
        """The specs of every method on every task, with a budget of so many env steps."""
        budget, tasks = self.budget._replace(steps=steps), self.validation.values()
        return [finetune_spec(self.agents, task, method, budget) for method in methods for task in tasks]

    @property
    def num_trials(self) -> int:
        """Trials of all methods and rounds."""
        return sum(num for search in self.searches.values() for num, _ in search.rounds)

    @property
    def env_steps(self) -> int:
        """Environment steps that all trials take, where none of the points changes what a method pays beforehand."""
        rounds = [(name, *one) for name, search in self.searches.items() for one in search.rounds]
        return sum(num * self._steps(name, steps) for name, num, steps in rounds)

    def _steps(self, name: str, steps: int) -> int:
        return sum(spec.env_steps * spec.num_runs for spec in self._specs([self.methods[name]], steps))

    def ordered(self, finished: Iterable[Trial]) -> list[Trial]:
        """Finished trials by method and number."""
        names = list(self.searches)
        return sorted(finished, key=lambda trial: (names.index(trial.proposal.method), trial.proposal.number))

    def found(self, finished: Sequence[Trial]) -> dict[str, Method]:
        """The best of every method among finished trials, by name."""
        paths = {path for search in self.searches.values() for path in search.dimensions.of}
        winners = (proposals.best([one for one in finished if one.proposal.method == name]) for name in self.searches)
        return {
            grids.named(
                trial.proposal.method, self.methods[trial.proposal.method], trial.proposal.point, paths
            ): self.changed(trial.proposal)
            for trial in winners
            if trial is not None
        }


def _trained(plan: Plan, workers: Cluster | None) -> Iterator[tuple[int, Agents]]:
    """The number of each cell of a plan and its agents after fine-tuning."""
    if workers is None:
        yield from run_plan(plan)
        return
    for cells in workers.run(_trained_there, plan, shares(plan), lambda share: f"batches {share} of the search"):
        yield from cells


def _trained_there(plan: Plan, share: Share) -> list[tuple[int, Agents]]:
    return list(run_plan(plan, chosen=share))


def scored(proposal: Proposal, tuned: Mapping[str, Agents], start: Agents) -> Trial:
    """The trial of a proposal: the mean over tasks and runs of the area under the curve, per env step.

    Args:
        proposal: what was tried.
        tuned: the agents after it, by validation task.
        start: the agents before it.
    """
    failed = [sum(status != "ok" for status in agents.status) for agents in tuned.values()]
    areas = {name: float(area_under_curve(agents.curve, agents.curve_steps).mean()) for name, agents in tuned.items()}
    score = float(np.mean(list(areas.values()))) if not any(failed) else float("nan")
    runs = sum(agents.num_seeds for agents in tuned.values())
    spent = sum(int((agents.env_steps - start.env_steps).sum()) for agents in tuned.values())
    return Trial(proposal, score, areas, runs, sum(failed), spent)

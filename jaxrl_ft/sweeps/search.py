"""Hyperparameter search that starts from pretrained agents and is scored on tasks that no report uses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.files import Json
from jaxrl_ft.envs.catalogue import held_out_grid, near, validation_tasks
from jaxrl_ft.envs.named_tasks import check_held_out, check_tasks
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods import grids, spaces
from jaxrl_ft.methods.catalogue import named_methods
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.spaces import Space
from jaxrl_ft.sweeps import cost, optuna_proposals, proposals
from jaxrl_ft.sweeps.cells import HeldOut
from jaxrl_ft.sweeps.proposals import Halving, Search, Trial
from jaxrl_ft.sweeps.trials import Quest
from jaxrl_ft.training.agents import Agents, check_is_agents
from jaxrl_ft.training.progress.bars import counting_bar
from jaxrl_ft.training.spec import MAX_RUNS, Budget, finetune_spec

TrialCallback = Callable[[Trial], None]


@dataclass(frozen=True, repr=False)
class Searched:
    """What a search found, and all that it tried."""

    methods: dict[str, Method]
    """the best of every method that was searched, by name, such as `lora+learning_rate=0.0021`; absent where no trial
    is finite"""
    trials: list[dict[str, Json]]
    """one row per trial: method, trial, round, steps, its values by field, score, runs, failed, env_steps, and its
    score of each validation task"""
    validation: dict[str, Task]
    """the tasks that gave the scores"""

    @property
    def env_steps(self) -> int:
        """Environment steps that the search took on the validation tasks."""
        return sum(row["env_steps"] for row in self.trials)

    def __repr__(self) -> str:
        """The best of every method, and what finding it took."""
        return f"Searched: {', '.join(self.methods)} ({len(self.trials)} trials, {self.env_steps:,} environment steps)"


def quest(
    agents: Agents,
    targets: Mapping[str, Task],
    methods: Sequence[str] | Mapping[str, Method],
    space: Space,
    *,
    kind: str,
    trials: int,
    seeds: int,
    budget: Budget,
    validation: Mapping[str, Task] | None = None,
    held_out: Mapping[str, HeldOut] | None = None,
    storage: str | Path | None = None,
) -> Quest:
    """A search that is ready to run; the arguments are those of `search`.

    Raises:
        ValueError: an argument is not allowed; nothing has been compiled.
    """
    check_is_agents(agents)
    check_tasks("targets", targets)
    check_held_out(held_out, targets)
    if validation is not None:
        check_tasks("validation", validation)
    checks.choice("search", kind, proposals.SEARCHES)
    if kind == "optuna":
        optuna_proposals.check()
    chosen = named_methods(methods)
    if not chosen:
        raise ValueError("methods: empty; give at least one name")
    dimensions = spaces.dimensions(chosen, space)
    tasks = _validation(agents.source, targets, validation, held_out or {})
    start = agents.select(np.arange(checks.count("seeds", seeds, 1, MAX_RUNS)) % agents.num_seeds)
    searches: dict[str, Search] = {}
    for name, own in dimensions.items():
        for point in own.corners():
            for task in tasks.values():
                finetune_spec(start, task, grids.changed(chosen[name], point), budget)
        fits = _fits(start, tasks, chosen[name], budget)
        rounds = proposals.plan_rounds(kind, own, trials, budget.steps, budget.seed, fits)
        if kind == "optuna":
            searches[name] = optuna_proposals.TPE(
                name, own, rounds, budget.seed, None if storage is None else Path(storage)
            )
        else:
            searches[name] = {"random": Search, "halving": Halving}[kind](name, own, rounds, budget.seed)
    return Quest(start, {name: chosen[name] for name in searches}, searches, tasks, budget)


def search(
    agents: Agents,
    targets: Mapping[str, Task],
    methods: Sequence[str] | Mapping[str, Method],
    space: Space,
    *,
    kind: str = "random",
    trials: int = 32,
    seeds: int = 4,
    steps: int = 20_480,
    seed: int = 4,
    num_evals: int = 11,
    eval_episodes: int = 16,
    validation: Mapping[str, Task] | None = None,
    held_out: Mapping[str, HeldOut] | None = None,
    storage: str | Path | None = None,
    finished: Sequence[Trial] = (),
    callback: TrialCallback | None = None,
    progress: bool = True,
) -> Searched:
    """The best hyperparameters of every method, by the mean area under its curve on validation tasks.

    The targets themselves, and the tasks held out beside them, are never trained or evaluated on: validation tasks lie
    near them, as `validation_tasks` says, and one that is the same as any of them but for 2% is refused. All trials
    start from the same agents with the same keys, so differences between them are paired. Points x tasks x agents train
    side by side, and those that differ in numbers alone in one program. A trial with a run that failed loses.
    The best of many scores is too good by its luck; `compare` with other seeds on the targets says what it is worth.

    Args:
        agents: S pretrained agents.
        targets: the tasks, by name, that the methods are to be good for.
        methods: names in `ft.METHODS`, or methods of your own by name. One that has no field of the space is left out.
        space: what to choose for a field, by its dotted path: a range, `ft.Range(1e-4, 1e-2, log=True)` or
            "1e-4:1e-2:log", or choices. The method's own values are the first trial where they lie in it.
        kind: `random`; `halving`, by which the best third of each round goes on with three times the budget; or
            `optuna`, a tree-structured Parzen estimator (extra `hpo`).
        trials: the budget of each method in trials of full length; `halving` spends it on more and shorter ones.
        seeds: runs of a trial on each task; run i starts from agent i mod S.
        steps: environment steps of each run.
        seed: 0 <= seed < 2^32; other than that of a comparison.
        num_evals: evaluations of each curve.
        eval_episodes: greedy episodes of each of them.
        validation: tasks by name in the place of these.
        held_out: as in `compare`, so that these tasks are not used either.
        storage: SQLite file for optuna's study; in memory without.
        finished: trials of a call that was cut off, as `callback` got them; they are not done again.
        callback: called with every trial.
        progress: show a bar on stderr where that is a terminal, and in a notebook.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    budget = Budget(steps, seed, num_evals, eval_episodes)
    checks.switch("progress", progress)
    checks.choice("kind", kind, proposals.SEARCHES)
    checks.callback(callback)
    if storage is not None:
        checks.path("storage", storage)
    checks.sequence("finished", finished, "trials, as callback got them")
    for trial in finished:
        checks.kind("finished", trial, Trial, "trials, as callback got them")
    options: dict[str, Any] = {"validation": validation, "held_out": held_out, "storage": storage}
    planned = quest(agents, targets, methods, space, kind=kind, trials=trials, seeds=seeds, budget=budget, **options)
    planned = planned.limited(cost.most_runs(planned.plan()))
    known = {trial.proposal[:2]: trial for trial in finished}
    with counting_bar(progress, "trials", planned.num_trials) as done:
        for trial in planned.trials(finished):
            known[trial.proposal[:2]] = trial
            if callback is not None:
                callback(trial)
            if done is not None:
                done(len(known))
    tried = planned.ordered(known.values())
    return Searched(planned.found(tried), [proposals.row(trial) for trial in tried], dict(planned.validation))


def _validation(
    source: Task,
    targets: Mapping[str, Task],
    given: Mapping[str, Task] | None,
    held_out: Mapping[str, HeldOut],
) -> dict[str, Task]:
    """The tasks to score on.

    Raises:
        ValueError: no targets, no tasks, or one that a report uses.
    """
    if not targets:
        raise ValueError("targets: empty; give at least one task by name")
    grids_of = {name: held_out.get(name) or held_out_grid(source, task) for name, task in targets.items()}
    if given is None:
        return validation_tasks(source, targets, grids_of)
    if not given:
        raise ValueError("validation: empty; give at least one task by name")
    beside = [(f"held out of {name}", task) for name, rows in grids_of.items() for _, task in rows]
    reported = [("source", source), *targets.items(), *beside]
    for name, task in given.items():
        same = [other for other, one in reported if near(task, one)]
        if same:
            raise ValueError(f"validation: {name!r} is not allowed; the report uses it ({same[0]})")
    return dict(given)


def _fits(agents: Agents, tasks: Mapping[str, Task], method: Method, budget: Budget) -> Callable[[int], bool]:
    """Whether a number of env steps makes some updates of a method."""

    def fits(steps: int) -> bool:
        try:
            found = [finetune_spec(agents, task, method, budget._replace(steps=steps)) for task in tasks.values()]
        except ValueError:
            return False
        return min(spec.num_updates for spec in found) >= proposals.LEAST_UPDATES

    return fits

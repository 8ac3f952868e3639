"""Comparisons: methods x targets x seeds, with zero-shot and scratch always among them."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import to_json
from jaxrl_ft.core.curves import together
from jaxrl_ft.core.files import Json, claimed
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods import grids
from jaxrl_ft.methods.method import Method
from jaxrl_ft.sweeps import cells, cluster, cost, directory
from jaxrl_ft.sweeps.cells import HeldOut
from jaxrl_ft.sweeps.cluster import Cluster
from jaxrl_ft.sweeps.dealing import Share, shares
from jaxrl_ft.sweeps.directory import Finished
from jaxrl_ft.sweeps.plan import Plan, Saving, make_plan, run_plan
from jaxrl_ft.sweeps.results import Comparison
from jaxrl_ft.training import devices
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.evaluation.diagnostics import divergence
from jaxrl_ft.training.evaluation.evaluate import episode_returns
from jaxrl_ft.training.progress import bars
from jaxrl_ft.training.progress.moments import CellCallback, Progress
from jaxrl_ft.training.resume import checkpoint as resume
from jaxrl_ft.training.resume.checkpoint import EVERY
from jaxrl_ft.training.resume.held import identity
from jaxrl_ft.training.spec import Budget

_CURVES = ("curve", "curve_steps")


@dataclass(frozen=True)
class Study:
    """A comparison, checked, that has not run yet."""

    names: tuple[tuple[str, str], ...]
    """method and target of each cell"""
    plan: Plan
    num_agents: int
    episodes: int
    held_out_episodes: int
    held_out: Mapping[str, HeldOut]

    @property
    def agents(self) -> Agents:
        """The agents that the runs of each cell start from."""
        return self.plan.specs[0].base_agents

    def limited(self, most: int) -> "Study":
        """The same comparison in batches of at most so many runs."""
        return replace(self, plan=make_plan(self.plan.specs, most))

    def cells(
        self,
        skip: Sequence[int] = (),
        callback: CellCallback | None = None,
        diverged: bool = False,
        chosen: Iterable[int] | None = None,
        saving: Saving | None = None,
    ) -> Iterator[Finished]:
        """Every cell as it is finished, in the order of training.

        Args:
            skip: numbers of cells that are finished already.
            callback: called with every moment of training and after every cell.
            diverged: measure `kl_from_base` too, as `diagnostics.divergence` does.
            chosen: numbers of the batches of the plan to run; all of them without it.
            saving: as in `run_plan`.
        """
        start, seed = self.agents, self.plan.seed
        report = None if callback is None else partial(self._report, callback)
        for number, tuned in run_plan(self.plan, skip, report, chosen, saving):
            name, target = self.names[number]
            spec = self.plan.specs[number]
            columns = {
                **cells.returns(tuned, start.source, spec.task, self.episodes, seed),
                "source_return_before": self._before,
                "jumpstart_return": cells.starting_return(tuned, spec.paid),
                **({"kl_from_base": divergence(tuned, start, tuned.task, seed=seed)} if diverged else {}),
                **cells.held_out_returns(tuned, self.held_out[target], self.held_out_episodes, seed),
            }
            shared = {"method": name, "target": target, "seed": seed, **self._counts}
            yield Finished(number, name, target, tuned, cells.rows(shared, tuned, start, self.num_agents, columns))
            if callback is not None:
                callback(name, target, None)

    def spread(
        self,
        workers: Cluster | None,
        skip: Sequence[int] = (),
        callback: CellCallback | None = None,
        diverged: bool = False,
        saving: Saving | None = None,
    ) -> Iterator[Finished]:
        """Every cell as it is finished on the workers of a cluster, in any order; without a cluster, as `cells` does.

        Args:
            workers: of the cluster.
            skip: as in `cells`, as `diverged` is.
            callback: called after every cell alone.
            saving: as in `run_plan`; workers write none.
        """
        if workers is None:
            yield from self.cells(skip, callback, diverged, saving=saving)
            return
        function = partial(_trained, skip=tuple(skip), diverged=diverged)
        for finished in workers.run(function, self, shares(self.plan, skip), self._named):
            for cell in finished:
                yield cell
                if callback is not None:
                    callback(cell.method, cell.target, None)

    def _named(self, share: Share) -> str:
        numbers = dict.fromkeys(cell for batch in share for cell in self.plan.batches[batch].cells)
        return ", ".join(" on ".join(self.names[number]) for number in numbers)

    def _report(self, callback: CellCallback, number: int, moment: Progress) -> None:
        callback(*self.names[number], moment)

    @property
    def env_steps(self) -> dict[tuple[str, str], int]:
        """Environment steps that training takes in each cell, all runs together."""
        return {name: spec.trained_steps for name, spec in zip(self.names, self.plan.specs)}

    @cached_property
    def _before(self) -> np.ndarray:
        """The mean return of each run's agent on its source, [R]."""
        start = self.agents
        returns = episode_returns(start, start.source, episodes=self.episodes, seed=self.plan.seed)
        return np.asarray(returns.mean(axis=1))

    @property
    def _counts(self) -> dict[str, int]:
        """Over how many episodes of a run its means are."""
        counts = {"episodes": self.episodes, "held_out_episodes": self.held_out_episodes}
        return {"eval_episodes": self.plan.specs[0].eval_episodes, **counts}


def _trained(study: Study, share: Share, skip: Sequence[int], diverged: bool) -> list[Finished]:
    """The cells of a share; called on a worker."""
    return list(study.cells(skip, diverged=diverged, chosen=share))


def study(
    agents: Agents,
    targets: Mapping[str, Task],
    methods: Sequence[str] | Mapping[str, Method],
    *,
    budget: Budget,
    grid: grids.Grid | None = None,
    seeds: int | None = None,
    episodes: int = 100,
    held_out_episodes: int = 16,
    held_out: Mapping[str, HeldOut] | None = None,
    paid: Mapping[str, int] | None = None,
) -> Study:
    """A comparison that is ready to run; the arguments are those of `compare`.

    Raises:
        ValueError: an argument is not allowed; nothing has been compiled.
    """
    for name, count in (("episodes", episodes), ("held_out_episodes", held_out_episodes)):
        checks.count(name, count)
    names, specs, others = cells.checked(
        agents, targets, methods, budget=budget, grid=grid, seeds=seeds, held_out=held_out, paid=paid
    )
    return Study(names, make_plan(specs), agents.num_seeds, episodes, held_out_episodes, others)


def compare(
    agents: Agents,
    targets: Mapping[str, Task],
    methods: Sequence[str] | Mapping[str, Method],
    *,
    grid: grids.Grid | None = None,
    seeds: int | None = None,
    steps: int = 20_480,
    seed: int = 3,
    num_evals: int = 21,
    eval_episodes: int = 16,
    episodes: int = 100,
    held_out_episodes: int = 16,
    held_out: Mapping[str, HeldOut] | None = None,
    layout: str = "fast",
    paid: Mapping[str, int] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = EVERY,
    callback: CellCallback | None = None,
    progress: bool = True,
    ray: bool | str = False,
    cpus_per_worker: int = 1,
) -> Comparison:
    """Every method on every target over many seeds, evaluated on source, target and held-out tasks.

    Run i starts from agent i mod S, and uses the same keys with every method, so that differences are paired.
    `zero_shot` and `scratch` are added when they are not among the methods. Cells whose methods have one structure
    train side by side where they are small, in batches that take no more than half of the memory that is free. No run
    stops early or keeps another policy than its last: areas are compared over equal budgets, and the evaluations that
    would decide it are not paid for.

    Args:
        agents: S pretrained agents.
        targets: tasks by name.
        methods: names in `ft.METHODS`, or methods of your own by name.
        grid: values by the dotted path of a field, such as `{"optimizer.learning_rate": [1e-3, 3e-3]}`; every method
            runs at every point of the fields that it has.
        seeds: runs of each cell R; S without it.
        steps: environment steps of each run on its target.
        seed: 0 <= seed < 2^32.
        num_evals: evaluations of each curve.
        eval_episodes: greedy episodes of each of them.
        episodes: greedy episodes of the final evaluation on source and target.
        held_out_episodes: greedy episodes on each held-out task.
        held_out: tasks by target, each with `interpolation` or `extrapolation`, that are only ever evaluated on;
            without it, tasks between source and target and beyond the target.
        layout: `fast`, or `exact`, where a run has the same bits whatever else is compared and however many seeds there
            are, and which takes longer.
        paid: environment steps on the target by method that went into choosing it, as `advise` tells; its budget pays
            for them, rounded up to whole updates, so that all methods have the same number of steps.
        checkpoint: a directory for every finished cell and for checkpoints of what trains; a call with equal arguments
            goes on from there, as in `ft.pretrain`. On a cluster only finished cells are kept.
        checkpoint_every: seconds between two checkpoints of what trains.
        callback: called with every moment of training and after every cell; on a cluster after every cell alone.
        progress: as in `ft.pretrain`.
        ray: train on the workers of a Ray cluster: True for the one that RAY_ADDRESS names, or else one on this machine
            alone; or `HOST:PORT` of a cluster's head.
        cpus_per_worker: CPUs of each worker, which are its devices where this process computes on CPUs.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
        ChildProcessError: batches failed on workers, three times each.
    """
    checks.choice("layout", layout, devices.LAYOUTS)
    checks.callback(callback)
    checks.switch("progress", progress)
    resume.check(checkpoint, checkpoint_every)
    planned = study(
        agents,
        targets,
        methods,
        grid=grid,
        seeds=seeds,
        budget=Budget(steps, seed, num_evals, eval_episodes),
        episodes=episodes,
        held_out_episodes=held_out_episodes,
        held_out=held_out,
        paid=paid,
    )
    with devices.laid_out(layout), cluster.joined(ray, cpus=cpus_per_worker, layout=layout) as workers:
        limited = planned.limited(cost.most_on(workers, planned.plan))
        with bars.cell_bars(progress, limited.env_steps, callback) as told:
            if checkpoint is None:
                return gathered(limited.spread(workers, callback=told))
            return gathered(_kept(limited, workers, told, resume.made(checkpoint), checkpoint_every))


def _kept(
    study: Study, workers: Cluster | None, callback: CellCallback | None, path: Path, every: float
) -> Iterator[Finished]:
    """Every cell, those that the directory has first; the others are written to it."""
    with claimed(path, "checkpoint"):
        directory.write_plan(path, _decided(study), "checkpoint")
        stored, damaged = directory.whole_cells(path)
        for line in damaged:
            warnings.warn(f"checkpoint: {line}; its cell runs again", stacklevel=2)
        for cell in stored.values():
            yield directory.finished_cell(path, cell)
            if callback is not None:
                callback(cell["method"], cell["target"], None)
        for finished in study.spread(workers, list(stored), callback, saving=(path / "batches", every)):
            directory.keep(path, finished, {})
            yield finished


def _decided(study: Study) -> dict[str, Json]:
    """All that decides the numbers of a comparison, as JSON."""
    held_out = {name: [[kind, to_json(task)] for kind, task in rows] for name, rows in study.held_out.items()}
    return {
        "cells": study.names,
        "specs": [identity(spec) for spec in study.plan.specs],
        "episodes": [study.episodes, study.held_out_episodes],
        "agents": study.num_agents,
        "held_out": held_out,
    }


def gathered(finished: Iterable[Finished]) -> Comparison:
    """Every cell of a study as one comparison, in the order of the study."""
    found = sorted(finished, key=lambda cell: cell.number)
    cells = {(cell.method, cell.target): cell.agents for cell in found}
    curves, curve_steps = (together([getattr(agents, key) for agents in cells.values()]) for key in _CURVES)
    return Comparison([row for cell in found for row in cell.rows], curves, curve_steps, cells)

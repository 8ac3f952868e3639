"""The cells of a comparison, methods x targets, checked before anything runs, and what is told of each afterwards."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import floats
from jaxrl_ft.core.curves import area_under_curve
from jaxrl_ft.core.files import Json
from jaxrl_ft.envs.catalogue import held_out_grid
from jaxrl_ft.envs.named_tasks import check_held_out, check_tasks
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods import grids
from jaxrl_ft.methods.catalogue import ALWAYS, METHODS, named_methods, resolve_method
from jaxrl_ft.methods.method import Method
from jaxrl_ft.training.agents import Agents, check_is_agents
from jaxrl_ft.training.compatibility import check_sizes
from jaxrl_ft.training.evaluation.evaluate import episode_returns
from jaxrl_ft.training.spec import MAX_COUNT, MAX_RUNS, Budget, Spec, check_budget, finetune_spec

HeldOut = Sequence[tuple[str, Task]]


class Cells(NamedTuple):
    """What a comparison runs."""

    names: tuple[tuple[str, str], ...]
    """method and target of each cell"""
    specs: list[Spec]
    """of each cell"""
    held_out: dict[str, HeldOut]
    """tasks by target that are only ever evaluated on"""


def checked(
    agents: Agents,
    targets: Mapping[str, Task],
    methods: Sequence[str] | Mapping[str, Method],
    *,
    budget: Budget,
    grid: grids.Grid | None = None,
    seeds: int | None = None,
    held_out: Mapping[str, HeldOut] | None = None,
    paid: Mapping[str, int] | None = None,
) -> Cells:
    """The cells of a comparison; the arguments are those of `compare`.

    Only the shapes of the agents matter, so that `finetune.untrained` can take the place of agents that are yet to be
    pretrained.

    Raises:
        ValueError: an argument is not allowed, or a method cannot fine-tune these agents to a target; nothing has been
            compiled.
    """
    check_is_agents(agents)
    check_tasks("targets", targets)
    check_held_out(held_out, targets)
    for field, value in (("grid", grid), ("paid", paid)):
        checks.kind(field, {} if value is None else value, Mapping, "values by name")
    chosen = _methods(methods, grid or {})
    if not targets:
        raise ValueError("targets: empty; give at least one task by name")
    num = checks.count("seeds", agents.num_seeds if seeds is None else seeds, 1, MAX_RUNS)
    check_budget(budget)
    for field, known in (("targets", targets), ("methods", chosen)):
        _check_names(field, known)
    for name in paid or {}:
        checks.count(f"paid.{checks.choice('paid', name, chosen)}", (paid or {})[name], 0, MAX_COUNT)
    for task in targets.values():
        # Every run is evaluated on its source too.
        check_sizes(agents, task)
    given, spent = held_out or {}, paid or {}
    others = {name: given.get(name) or held_out_grid(agents.source, task) for name, task in targets.items()}
    for _, task in (row for rows in others.values() for row in rows):
        check_sizes(agents, task)
    start = agents.select(np.arange(num) % agents.num_seeds)
    names = tuple((name, target) for target in targets for name in chosen)
    specs: list[Spec] = []
    for name, target in names:
        try:
            specs.append(finetune_spec(start, targets[target], chosen[name], budget, spent.get(name, 0)))
        except ValueError as error:
            where = f"{name} on {target}" if len(targets) > 1 else name
            raise ValueError(f"{error} ({where})") from None
    return Cells(names, specs, others)


def _check_names(field: str, names: Iterable[object]) -> None:
    """Refuse names that cannot stand in a file.

    Raises:
        ValueError: one is no text, is empty, or cannot be written in UTF-8.
    """
    for name in names:
        if (
            not isinstance(name, str)
            or not name.strip()
            or name.encode(errors="replace") != name.encode(errors="ignore")
        ):
            raise ValueError(f"{field}: the name {name!r} is not allowed; it must be text that UTF-8 can write")


def _methods(methods: Sequence[str] | Mapping[str, Method], grid: grids.Grid) -> dict[str, Method]:
    named = named_methods(methods)
    always = {name: named.get(name, METHODS[name]) for name in ALWAYS}
    points = {**always, **grids.expanded(named, grid)}
    return {name: resolve_method(method) for name, method in points.items()}


def returns(tuned: Agents, source: Task, target: Task, episodes: int, seed: int) -> dict[str, np.ndarray]:
    """The mean return of each run [R] on the source and on the target."""
    tasks = {"source_return": source, "target_return": target}
    return {
        name: episode_returns(tuned, task, episodes=episodes, seed=seed).mean(axis=1) for name, task in tasks.items()
    }


def starting_return(tuned: Agents, paid: int) -> np.ndarray:
    """The first point of each curve at which training starts, [S]; points before it were paid for by looking."""
    before = tuned.method.spent_before() + paid if tuned.method.trains else 0
    return tuned.curve[:, int((tuned.curve_steps[0] < before).sum())]


def held_out_returns(tuned: Agents, grid: HeldOut, episodes: int, seed: int) -> dict[str, np.ndarray]:
    """The mean return of each run [R] on held-out tasks, all together and by kind."""
    means: dict[str, list[np.ndarray]] = {"interpolation": [], "extrapolation": []}
    for kind, task in grid:
        means[kind].append(episode_returns(tuned, task, episodes=episodes, seed=seed).mean(axis=1))
    empty = np.full(tuned.num_seeds, np.nan)
    columns = {f"held_out_{kind}": np.mean(found, axis=0) if found else empty for kind, found in means.items()}
    every = means["interpolation"] + means["extrapolation"]
    return {"held_out_return": np.mean(every, axis=0) if every else empty, **columns}


def rows(
    shared: dict[str, Json], tuned: Agents, start: Agents, num_agents: int, columns: dict[str, np.ndarray]
) -> list[dict[str, Json]]:
    """One row per run.

    Args:
        shared: columns that are the same in every row.
        tuned: the agents after fine-tuning.
        start: the agents before it.
        num_agents: pretrained agents there are.
        columns: a number for each run, [R], by name.
    """
    trains = tuned.method.trains
    shared = {
        **shared,
        "from_scratch": tuned.method.warm_start.from_scratch,
        "probe_steps": tuned.method.spent_before() if trains else 0,
        "source_steps": tuned.source_steps,
        "trainable_parameters": tuned.trainable,
        "total_parameters": tuned.num_parameters,
        "hyperparameters": floats(tuned.method) if trains else {},
    }
    spent = tuned.env_steps - start.env_steps
    auc = area_under_curve(tuned.curve, tuned.curve_steps)
    return [
        {
            **shared,
            "run": i,
            "agent": i % num_agents,
            **{key: float(column[i]) for key, column in columns.items()},
            "auc": float(auc[i]),
            "env_steps": int(spent[i]),
            "status": tuned.status[i],
        }
        for i in range(tuned.num_seeds)
    ]

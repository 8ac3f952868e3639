"""The cells of a comparison, methods x targets, after every check that can be made before anything runs."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.envs.catalogue import held_out_grid
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods import grids
from jaxrl_ft.methods.catalogue import ALWAYS, METHODS
from jaxrl_ft.methods.method import Method
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.compatibility import check_sizes
from jaxrl_ft.training.spec import Budget, Spec, check_budget, finetune_spec, named_methods, resolve_method

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
    chosen = _methods(methods, grid or {})
    if not targets:
        raise ValueError("targets: empty; give at least one task by name")
    num = checks.count("seeds", agents.num_seeds if seeds is None else seeds)
    check_budget(budget)
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


def _methods(methods: Sequence[str] | Mapping[str, Method], grid: grids.Grid) -> dict[str, Method]:
    named = named_methods(methods)
    always = {name: named.get(name, METHODS[name]) for name in ALWAYS}
    points = {**always, **grids.expanded(named, grid)}
    return {name: resolve_method(method) for name, method in points.items()}

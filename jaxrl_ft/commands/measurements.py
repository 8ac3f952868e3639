"""Measurements beside the runs of a comparison, for figures that need more than returns."""

from collections.abc import Iterable, Sequence

import numpy as np

from jaxrl_ft.analysis.report.findings import best_method
from jaxrl_ft.analysis.report.measurements import Animation, Measurements, PhysicsGrid
from jaxrl_ft.core import tree
from jaxrl_ft.deploy import scenes
from jaxrl_ft.envs.cartpole import QUANTITIES
from jaxrl_ft.envs.catalogue import grid_axes, physics_grid
from jaxrl_ft.envs.task import Task
from jaxrl_ft.sweeps.results import Comparison
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.evaluation import diagnostics

BASE = "zero_shot"
CARTPOLE = "CartPole"


def measure(
    comparison: Comparison, seed: int, targets: Iterable[str] | None = None, grids: bool = True, episodes: int = 8
) -> Measurements:
    """Returns over physics, and an episode before and after fine-tuning, of the best method on every target.

    The best method is the one with the largest area under the curve. The episode is that of the first run that did not
    fail, whatever it returns.

    Args:
        comparison: with the agents of every cell.
        seed: of the starts and the noise.
        targets: by name; all without it.
        grids: whether to measure returns over physics, which costs some hundred evaluations of each target.
        episodes: greedy episodes of each run in each cell of a grid.
    """
    rows, agents = comparison.summary().rows, comparison.cells
    measured, animations = [], []
    for target in targets or dict.fromkeys(target for _, target in agents):
        best = best_method([row for row in rows if row["target"] == target])
        if best is None:
            continue
        method = str(best["method"])
        before, after = agents[BASE, target], agents[method, target]
        measured.append(measured_grid(before, after, target, method, seed, episodes) if grids else None)
        animations.append(animated(before, after, target, method, seed))
    return Measurements([one for one in measured if one is not None], [one for one in animations if one is not None])


def measured_grid(
    before: Agents, after: Agents, target: str, method: str, seed: int, episodes: int = 8
) -> PhysicsGrid | None:
    """Mean returns before and after fine-tuning over two quantities; None where the environment has no two.

    Args:
        before: the untouched agents.
        after: the fine-tuned ones, whose task is the target.
        target: its name.
        method: name of the method.
        seed: of the starts and the noise.
        episodes: greedy episodes of each run in each cell.
    """
    axes = grid_axes(after.source, after.task)
    if len(axes) < 2:
        return None
    tasks = physics_grid(after.task, axes)
    good = [place for place, status in enumerate(after.status) if status == "ok"]
    if not good:
        return None
    returns = [
        diagnostics.returns_over(agents, tasks, episodes=episodes, seed=seed)[good].mean(axis=0)
        for agents in (before, after)
    ]
    down, across = (_with_unit(name, after.task) for name in axes)
    values = tuple(np.array(list(numbers)) for numbers in axes.values())
    places = [_place(tasks, task) for task in (after.source, after.task)]
    return PhysicsGrid(
        target, method, (down, across), (values[0], values[1]), returns[0], returns[1], len(good), episodes, *places
    )


def animated(before: Agents, after: Agents, target: str, method: str, seed: int) -> Animation | None:
    """The first run that did not fail, before and after fine-tuning.

    None where all runs failed, or where there is no drawing of the environment.
    """
    run = next((place for place, status in enumerate(after.status) if status == "ok"), None)
    world = scenes.world_of(after.task)
    if run is None or world is None:
        return None
    before_it, after_it = (
        scenes.drawn(tree.take(diagnostics.record(agents, after.task, seed=seed), run), world)
        for agents in (before, after)
    )
    return Animation(target, method, run, before_it, after_it, world)


def _with_unit(name: str, task: Task) -> str:
    unit = QUANTITIES[name].unit if task.simulator == CARTPOLE and name in QUANTITIES else ""
    return f"{name} ({unit})" if unit else name


def _place(tasks: Sequence[Sequence[Task]], wanted: Task) -> tuple[int, int] | None:
    """Where the grid has a task with this description."""
    found = [
        (i, j) for i, row in enumerate(tasks) for j, task in enumerate(row) if task.describe() == wanted.describe()
    ]
    return found[0] if found else None

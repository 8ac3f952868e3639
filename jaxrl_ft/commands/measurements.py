"""What a command measures beside the runs of a comparison, for figures that need more than returns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxrl_ft.analysis.report.findings import best_method
from jaxrl_ft.analysis.report.measurements import Episode, Film, Measurements, PhysicsGrid
from jaxrl_ft.core import tree
from jaxrl_ft.envs.cartpole import QUANTITIES
from jaxrl_ft.envs.catalogue import grid_axes, physics_grid
from jaxrl_ft.envs.task import Task
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.evaluation import diagnostics
from jaxrl_ft.training.evaluation.episodes import Recording

BASE = "zero_shot"
CARTPOLE = "CartPole"


def grids_and_films(
    agents: Mapping[tuple[str, str], Agents],
    rows: Sequence[Mapping[str, Any]],
    targets: Iterable[str],
    seed: int,
    episodes: int = 8,
) -> Measurements:
    """Grids of physics and films of the best method on every target.

    The best method is the one with the largest area among the summary rows; the run that is filmed is the first that
    did not fail, whatever it returns.

    Args:
        agents: by method and target.
        rows: the summary of the runs.
        targets: by name. A grid costs some hundred evaluations.
        seed: of the starts and the noise.
        episodes: greedy episodes of each run in each cell of a grid.
    """
    grids, films = [], []
    for target in targets:
        best = best_method([row for row in rows if row["target"] == target])
        if best is None:
            continue
        method = str(best["method"])
        before, after = agents[BASE, target], agents[method, target]
        grids.append(measured_grid(before, after, target, method, seed, episodes))
        films.append(filmed(before, after, target, method, seed))
    return Measurements([one for one in grids if one is not None], [one for one in films if one is not None])


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


def filmed(before: Agents, after: Agents, target: str, method: str, seed: int) -> Film | None:
    """The first run that did not fail before and after fine-tuning; None where all failed or it is no cart-pole."""
    run = next((place for place, status in enumerate(after.status) if status == "ok"), None)
    if run is None or after.task.simulator != CARTPOLE:
        return None
    physics = after.task.env_params
    episodes = [
        _episode(tree.take(diagnostics.record(agents, after.task, seed=seed), run), physics)
        for agents in (before, after)
    ]
    lengths = [float(getattr(physics, name)) for name in ("half_length", "x_threshold", "theta_threshold", "tau")]
    return Film(target, method, run, episodes[0], episodes[1], *lengths)


def _episode(recording: Recording, physics: Any) -> Episode:
    """The motion of a cart-pole, and which way its motor pushed."""
    length = int(recording.alive.sum())
    motion = np.concatenate([recording.start.motion[None], recording.after.motion[:length]])
    chosen = np.asarray(recording.action[:length], np.float64)
    pushed = 2.0 * np.where(physics.flip_actions > 0, 1.0 - chosen, chosen) - 1.0
    delay = min(int(physics.action_delay), length)
    return Episode(motion, np.concatenate([np.zeros(delay), pushed[: length - delay]]))


def _with_unit(name: str, task: Task) -> str:
    unit = QUANTITIES[name].unit if task.simulator == CARTPOLE and name in QUANTITIES else ""
    return f"{name} ({unit})" if unit else name


def _place(tasks: Sequence[Sequence[Task]], wanted: Task) -> tuple[int, int] | None:
    """Where the grid has a task with this description."""
    found = [
        (i, j) for i, row in enumerate(tasks) for j, task in enumerate(row) if task.describe() == wanted.describe()
    ]
    return found[0] if found else None

"""The public door of films: episodes of several policies on one task beside each other, in a file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.deploy import films, scenes
from jaxrl_ft.envs.task import Task, check_is_task
from jaxrl_ft.training.agents import Agents, check_is_agents
from jaxrl_ft.training.compatibility import check_sizes
from jaxrl_ft.training.evaluation import diagnostics

MOST_STEPS, MOST_SCENES = 500, 6
LIMIT = 10_000
"""Steps of an episode at most."""


def play(
    agents: Agents | Mapping[str, Agents],
    out: str | Path,
    task: Task | None = None,
    *,
    agent: int | None = None,
    seed: int = 2,
    fps: int | None = None,
    max_steps: int = MOST_STEPS,
) -> Path:
    """Write a film of greedy episodes: one of every policy, beside each other, all from the same start.

    CartPole, Acrobot, the mountain cars and Pendulum are drawn with their physics, and games with an image for an
    observation, as MinAtar's, in a colour for each channel. Any other environment is asked: its `render(state, params)`
    returns an array [height, width, 3], or a figure or axes of matplotlib. No display is needed.

    Args:
        agents: S agents, or several by name, such as `{"before": agents, "after": tuned}`.
        out: the file, which ends in .gif, .mp4 (by ffmpeg) or .html (a page that loads nothing); a file that is there
            is replaced.
        task: where they act; the task that the last of the agents were trained on without it.
        agent: which of S, from 0, of each; the first that did not fail in training without it.
        seed: of the start and the noise; 0 <= seed < 2^32. Agent 0 meets the first episode of
            `ft.evaluate(agents, task, seed=seed)`, and so does any other agent here.
        fps: steps in a second, 1 to 50; as the environment has them without it, and 15 where it has no time.
        max_steps: steps after which an episode is cut off.

    Returns:
        The file.

    Raises:
        ValueError: an argument is not allowed, ffmpeg is missing, or the environment cannot be seen; nothing is written
            then.
    """
    checks.path("out", out)
    named = {str(name): one for name, one in agents.items()} if isinstance(agents, Mapping) else {"policy": agents}
    for one in named.values():
        check_is_agents(one)
    if not 1 <= len(named) <= MOST_SCENES:
        raise ValueError(f"agents: {len(named)} are not allowed beside each other; 1 to {MOST_SCENES} are")
    checks.seed(seed)
    checks.count("max_steps", max_steps, 1, LIMIT)
    if fps is not None:
        checks.count("fps", fps, 1, films.MOST_FPS)
    where = list(named.values())[-1].task if task is None else task
    check_is_task("task", where)
    path = Path(out)
    write = films.check(path)
    chosen = {name: one.select(np.array([_place(one, agent)])) for name, one in named.items()}
    for one in chosen.values():
        check_sizes(one, where)
    if scenes.world_of(where) is None:
        scenes.painter(where)
    shown = []
    for name, one in chosen.items():
        recording = tree.take(diagnostics.record(one, where, max_steps=max_steps, seed=seed), 0)
        shown.append(scenes.scene(name, recording, where, max_steps))
    write(path, shown, where.describe(), films.usual_fps(shown[0]) if fps is None else fps)
    return path


def _place(agents: Agents, agent: int | None) -> int:
    """Which of the agents is shown."""
    if agent is not None:
        return checks.count("agent", agent, 0, agents.num_seeds - 1)
    return next((place for place, status in enumerate(agents.status) if status == "ok"), 0)

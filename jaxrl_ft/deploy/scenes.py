"""Recorded episodes as scenes: drawings of classic control, games on a grid, and what an environment renders itself."""

from collections.abc import Callable

import numpy as np

from jaxrl_ft.analysis.figures.scene import Drawn, Pictures, Pixels, Scene
from jaxrl_ft.analysis.figures.world import World
from jaxrl_ft.analysis.figures.worlds import WORLDS
from jaxrl_ft.analysis.report.measurements import Episode
from jaxrl_ft.core import tree
from jaxrl_ft.core.types import EnvState, PyTree
from jaxrl_ft.deploy.pictures import shrunk, whole
from jaxrl_ft.envs.changes.simulator import ChangedState
from jaxrl_ft.envs.changes.wrapping import inside_of
from jaxrl_ft.envs.gymnax_worlds.registry import GYMNAX_IDS
from jaxrl_ft.envs.gymnax_worlds.world import GymnaxWorld, WorldState
from jaxrl_ft.envs.simulator import SIMULATORS
from jaxrl_ft.envs.task import Task
from jaxrl_ft.training.evaluation.episodes import Recording

GROUND = (16, 20, 24)
"""Red, green and blue of an empty place of a game."""
CHANNELS = (
    (255, 255, 255), (86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (213, 94, 0),
    (240, 228, 66), (251, 128, 114), (0, 114, 178), (153, 153, 51), (136, 34, 85),
)  # fmt: skip
"""Those of its channels; the first of several in a place is seen."""


def world_of(task: Task) -> World | None:
    """The drawing of a task's environment with its physics; None where there is none."""
    name = inside_of(task.simulator)
    if name not in WORLDS:
        return None
    physics = {name: float(leaf) for name, leaf in task.quantities.items() if np.ndim(leaf) == 0}
    world = WORLDS[name](physics)
    if world.timed:
        world.tau *= physics.get("frame_skip", 1.0)
    return world


def drawn(recording: Recording, world: World, steps: int | None = None) -> Episode:
    """The states of an episode as the world's columns, and the force or torque in each step.

    Args:
        recording: of one agent.
        world: as `world_of` gives it.
        steps: T, the steps that are taken; all of the episode without it.
    """
    length = int(recording.alive.sum()) if steps is None else steps
    start, after, acted = _own(recording)
    start, after = (state.inner if isinstance(state, WorldState) else state for state in (start, after))
    before, later = (
        np.concatenate([np.reshape(getattr(state, name), (num, -1)) for name in world.fields], axis=1)
        for state, num in ((start, 1), (after, len(recording.alive)))
    )
    actions = np.asarray(acted[:length], np.float64).reshape(length)
    return Episode(np.concatenate([before, later[:length]]), world.push(actions))


def scene(name: str, recording: Recording, task: Task, most: int) -> Scene:
    """An episode of one policy.

    Args:
        name: of the policy.
        recording: its episode on the task.
        task: the task.
        most: steps after which it is cut.

    Raises:
        ValueError: the environment has no drawing, no image and no `render`, or that fails.
    """
    lived, world = int(recording.alive.sum()), world_of(task)
    steps = min(lived, most)
    ended = steps == lived and (lived < len(recording.alive) or _complete(recording, lived, task))
    if world is not None:
        episode = drawn(recording, world, steps)
        over = world.verdict(np.asarray(episode.motion, np.float64))[1]
        return Scene(name, _readouts(recording, steps, over if ended else ""), Drawn(world, episode))
    paint = painter(task)
    start, after, _ = _own(recording)
    states = [start, *(tree.take(after, step) for step in range(steps))]
    over = f"{'ended' if recording.outcome.terminated else 'time limit'} after"
    return Scene(name, _readouts(recording, steps, over if ended else ""), Pictures([paint(state) for state in states]))


def painter(task: Task) -> Callable[[EnvState], Pixels]:
    """What makes a picture of a state of a task that has no drawing.

    A game of gymnax with an image for an observation is painted from that; any other environment renders itself.

    Raises:
        ValueError: it can do neither.
    """
    world = SIMULATORS[inside_of(task.simulator)]
    shapes = [shape for shape in task.obs_shapes.values() if len(shape) in (2, 3)]
    seen = len(task.obs_shapes) == len(shapes) == 1
    if not isinstance(world, GymnaxWorld) or not (seen or world.renders):
        raise ValueError(
            f"task: {task.id} has no picture; give its class a method render(state, params) that returns red, green "
            "and blue [height, width, 3], or a figure of matplotlib"
        )
    if seen and (task.id in GYMNAX_IDS or not world.renders):
        return lambda state: game(np.reshape(state.obs, shapes[0]))
    params: PyTree = getattr(task.env_params, "world", task.env_params)

    def rendered(state: WorldState) -> Pixels:
        try:
            found = world.render(state, params)
        except Exception as error:
            line = str(error).strip().split("\n")[0]
            raise ValueError(f"task: render of {task.id} fails with {type(error).__name__}: {line}") from error
        return shrunk(whole(f"task: render of {task.id}", found))

    return rendered


def game(image: np.ndarray) -> Pixels:
    """An image [H, W] or [H, W, C] with a colour for each channel; of several in one place the first is seen."""
    there = image.reshape(*image.shape[:2], -1) > 0
    colours = np.array([GROUND, *(CHANNELS[i % len(CHANNELS)] for i in range(there.shape[2]))], np.uint8)
    painted: Pixels = colours[np.where(there.any(axis=2), 1 + there.argmax(axis=2), 0)]
    return painted


def _own(recording: Recording) -> tuple[EnvState, EnvState, PyTree]:
    """The environment's own states before and after, and the actions that acted, without the changes around it."""
    start: PyTree = recording.start
    after: PyTree = recording.after
    if isinstance(start, ChangedState):
        return start.world, after.world, after.last
    return start, after, recording.action


def _complete(recording: Recording, lived: int, task: Task) -> bool:
    """Whether an episode that lived as long as the recording ended there."""
    return bool(recording.outcome.terminated) or lived >= int(task.episode_limit)


def _readouts(recording: Recording, steps: int, over: str) -> list[str]:
    """What is said of each moment: the step, the return so far, and at the end how it went.

    Args:
        recording: of one agent.
        steps: T.
        over: how the episode ended, before the number of steps; empty where it was cut.
    """
    returns = [0.0, *np.asarray(recording.returns, np.float64)[:steps].tolist()]
    told = [f"step {step}, return {value:,.1f}" for step, value in enumerate(returns)]
    end = f"episode over: {over} {steps} steps" if over else f"cut off at {steps} steps"
    return [*told[:-1], f"{told[-1]}\n{end}"]

"""Tasks by name: the one place that builds them."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.types import EnvParams, PyTree
from jaxrl_ft.envs.cartpole import NAMES as CARTPOLE_NAMES
from jaxrl_ft.envs.cartpole import cartpole_params
from jaxrl_ft.envs.changes.wrapping import QUANTITIES, inside_of
from jaxrl_ft.envs.gymnax_worlds.registry import GYMNAX_IDS, world_for, world_of
from jaxrl_ft.envs.named_shifts import shift_of
from jaxrl_ft.envs.named_tasks import check_held_out, check_tasks
from jaxrl_ft.envs.shifts import CARTPOLES, EXTRAPOLATION, INTERPOLATION
from jaxrl_ft.envs.sisters import SISTERS
from jaxrl_ft.envs.task import Task, check_is_task, check_numbers

PHYSICS_IDS = (*CARTPOLES, *SISTERS)
"""Environments whose quantities have units and ranges here."""
TASK_IDS = (*PHYSICS_IDS, *GYMNAX_IDS)
BETWEEN = (0.25, 0.5, 0.75)
BEYOND = (1.15, 1.3)
"""Where held-out tasks lie on the way from source (0) to target (1), and further on."""
STAYING = ("flip_actions", "obs_permutation", "action_permutation", "idle_action", "frame_skip", "episode_limit")
"""What held-out tasks share with the target, beside everything that is true or false."""
NEARBY = {INTERPOLATION: (0.8, 1.25), EXTRAPOLATION: (0.6, 1.6)}
"""Factors of one of the quantities below where nothing between or beyond exists, as for a flip."""
VARIED = ("half_length", "link_mass_2", "gravity", "m")
"""The first that a task has is varied then."""
STICKY = {INTERPOLATION: (0.05, 0.1), EXTRAPOLATION: (0.2, 0.3)}
"""Values of `sticky_actions` in their place where a task has none of them."""

VALIDATION_SHARES = (0.9, 0.6, 0.4, 0.8, 0.3, 0.1)
VALIDATION_FACTORS = (0.65, 1.5, 0.9, 1.12, 0.45, 1.8)
VALIDATION_TASKS, APART = 2, 0.02
"""Where validation tasks lie, the best places first; how many a target has, and by how much they differ from others."""

GRID_AXES = ("half_length", "force")
GRID_SHARES = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
GRID_FACTORS = (0.25, 0.5, 2**-0.5, 1.0, 2**0.5, 2.0, 4.0)
"""Quantities of a grid of physics where nothing says which, shares of the way from source to target, and factors."""


def make_task(
    id: str | PyTree,
    shift: str | None = None,
    *,
    env_params: EnvParams = None,
    name: str | None = None,
    return_range: tuple[float, float] | None = None,
    **physics: object,
) -> Task:
    """The task of this id or environment, with a named shift and with physics by name; these override the shift's.

    CartPole, Acrobot, MountainCar and Pendulum have physics in SI units with ranges. Of every other environment that
    gymnax registers, and of a user's own, every leaf of its params can be changed by name, such as `drag=0.3`, or
    `**{"motor.gain": 2.0}` inside another; its type and that it is finite are checked, and `episode_limit` is its time
    limit whatever it is called there. Nothing about a user's environment is saved but its name and these numbers.

    Args:
        id: one of TASK_IDS, what `gymnax.register` was given, the name of an environment that was given here before; or
            an environment: anything with gymnax's `reset(key, params)` and `step(key, state, action, params)`.
        shift: a name in SHIFTS that changes this environment.
        env_params: params of the environment, a pytree of numbers; its `default_params` without them. Those of the four
            above are given by name alone.
        name: what an environment is called; its own `name`, or that of its class, without it.
        return_range: the lowest and highest undiscounted return of an episode, if they are known; methods that measure
            shares of it read them. The four above know theirs.
        **physics: quantities by name.

    Raises:
        ValueError: unknown id, shift or quantity, a value that is not finite or out of its range, quantities that
            together make a task impossible, such as a goal beyond the end of the road, or an environment that cannot be
            stepped: without a time limit, or with shapes, types or numbers that are not allowed.
    """
    if isinstance(id, str) and id in PHYSICS_IDS:
        for field, given in (("env_params", env_params), ("name", name), ("return_range", return_range)):
            if given is not None:
                raise ValueError(f"{field}: is not allowed for {id}, whose quantities are given by name")
        return _known_task(id, shift, physics)
    if isinstance(id, str):
        if name is not None:
            raise ValueError(f"name: {checks.shown(name)} is not allowed for {id}, which has one")
        world = world_of(id, TASK_IDS)
    else:
        world = world_for(id, env_params, name, TASK_IDS)
    if shift is not None:
        physics = {**shift_of(world.id, shift).physics, **physics}
    around = {name: value for name, value in physics.items() if name in QUANTITIES and name not in world.usual}
    inside = {name: value for name, value in physics.items() if name not in around}
    task = Task(simulator=world.id, env_params=world.params(env_params, return_range, **inside))
    task = task.changed(**around) if around else task
    if not isinstance(id, str):
        check_numbers(task)
    return task


def _known_task(id: str, shift: str | None, physics: Mapping[str, object]) -> Task:
    quantities = {**(shift_of(id, shift).physics if shift is not None else {}), **physics}
    own = CARTPOLE_NAMES if id in CARTPOLES else ()
    around = {name: value for name, value in quantities.items() if name in QUANTITIES and name not in own}
    inside = {name: value for name, value in quantities.items() if name not in around}
    if id in CARTPOLES:
        quantities = {"episode_limit": CARTPOLES[id], **inside}
        task = Task(simulator="CartPole", env_params=cartpole_params(**quantities))
    else:
        task = Task(simulator=id, env_params=SISTERS[id].params(**inside))
    return task.changed(**around) if around else task


def held_out_tasks(id: str, shift: str) -> list[tuple[str, Task]]:
    """The tasks only ever evaluated on beside a shift, each with its kind: interpolation or extrapolation.

    Raises:
        ValueError: unknown id or shift, or one of another environment.
    """
    target = make_task(id, shift)
    listed = shift_of(id, shift).held_out
    if listed is None:
        return held_out_grid(make_task(id), target)
    return [(kind, target.changed(**physics)) for kind, physics in listed]


def held_out_grid(source: Task, target: Task) -> list[tuple[str, Task]]:
    """The tasks between source and target, and a little beyond the target, each with its kind.

    Every quantity that differs moves together: geometrically where both ends are positive, linearly elsewhere, whole
    numbers rounded. Flips, permutations and limits stay the target's, and points that `make_task` would refuse, and
    repetitions, are left out. Where that leaves no task of a kind, one of VARIED is varied about the target, or, where
    the environment has none of them, how often actions stick.

    Raises:
        ValueError: the two are different environments.
    """
    check_is_task("source", source)
    check_is_task("target", target)
    if inside_of(source.simulator) != inside_of(target.simulator):
        raise ValueError(f"target: {target.describe()} is not allowed; the source is {source.describe()}")
    source, target = source.alike(target)
    found: list[tuple[str, Task]] = []
    for kind, shares in ((INTERPOLATION, BETWEEN), (EXTRAPOLATION, BEYOND)):
        points = _distinct([_moved(source, target, share) for share in shares], source, target, found)
        if not points:
            points = _distinct(_nearby(target, kind), source, target, found)
        found += [(kind, task) for task in points]
    return found


def validation_tasks(
    source: Task, targets: Mapping[str, Task], held_out: Mapping[str, Sequence[tuple[str, Task]]]
) -> dict[str, Task]:
    """Tasks near the targets to choose hyperparameters on, by name, such as `long-pole@0.9`: none of a report's.

    Two for each target, on the way from the source: first 0.9 of it, then 0.6, and other places where these are taken.
    All lie between source and target, since beyond the target a task may have no solution. Where nothing lies between,
    as for a flip, one of VARIED is varied about the target, by other factors than held-out tasks have. A place
    is taken when a task of the report, which is the source, any target or any held-out task, or another validation
    task, differs from it by less than 2% in every quantity.

    Args:
        source: what the agents were trained on.
        targets: tasks by name that the report will use.
        held_out: tasks by target, each with its kind, that the report will evaluate on.

    Raises:
        ValueError: a target has no such task.
    """
    check_is_task("source", source)
    check_tasks("targets", targets)
    check_held_out(held_out, targets)
    reported = [source, *targets.values(), *(task for rows in (held_out or {}).values() for _, task in rows)]
    found: dict[str, Task] = {}
    for name, target in targets.items():
        places = {f"{name}@{share:g}": _moved(*source.alike(target), share) for share in VALIDATION_SHARES}
        varied = _varied(target)
        if varied:
            places |= {f"{name}@{varied}*{by:g}": _scaled(target, varied, by) for by in VALIDATION_FACTORS}
        own: dict[str, Task] = {}
        for place, task in places.items():
            others = [*reported, *found.values(), *own.values()]
            if task is not None and len(own) < VALIDATION_TASKS and not any(near(task, other) for other in others):
                own[place] = task
        if not own:
            raise ValueError(f"validation: {name!r} has no task beside it that the report does not use; give some")
        found |= own
    return found


def near(one: Task, other: Task, apart: float = APART) -> bool:
    """Whether two tasks are of one environment and differ in no quantity by more than a share of the larger value."""
    if inside_of(one.simulator) != inside_of(other.simulator):
        return False
    one, other = one.alike(other)
    leaves = (task.quantities.values() for task in (one, other))
    pairs = ((np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(*leaves))
    return all(np.all(np.abs(a - b) <= apart * np.maximum(np.abs(a), np.abs(b))) for a, b in pairs)


def physics_grid(task: Task, axes: Mapping[str, Sequence[float]]) -> list[list[Task]]:
    """Tasks that differ in two quantities, a row for each value of the first, a column for each of the second.

    Args:
        task: everything else is as here.
        axes: two quantities by name, each with its values.

    Raises:
        ValueError: not two quantities, one that the task does not have, or a value out of its range.
    """
    if len(axes) != 2:
        raise ValueError(f"axes: {list(axes)} is not allowed; give two quantities")
    known = task.quantities
    for name in axes:
        checks.choice("axes", name, known)
    (down, rows), (across, columns) = axes.items()

    def at(row: float, column: float) -> Task:
        return task.changed(**{n: np.asarray(value, known[n].dtype) for n, value in ((down, row), (across, column))})

    return [[at(row, column) for column in columns] for row in rows]


def grid_axes(source: Task, target: Task) -> dict[str, list[float]]:
    """Two quantities with values around source and target, for `physics_grid`.

    First those that differ, from source past target, geometrically where both are positive; then CartPole's
    half-length and force, or what the environment has, by factors of the target's. Only single positive real numbers
    are taken, and values that are not accepted, alone or beside those of the other axis, are left out.
    """
    before, fields = (task.quantities for task in source.alike(target))
    plain = [name for name, leaf in fields.items() if leaf.ndim == 0 and leaf.dtype.kind == "f" and leaf > 0]
    plain = [name for name in plain if float(before[name]) > 0]
    moved = [name for name in plain if before[name] != fields[name]]
    usual = [name for name in GRID_AXES if name in plain]
    axes: dict[str, list[float]] = {}
    for name in list(dict.fromkeys([*moved, *usual, *plain]))[:2]:
        end, start = float(fields[name]), float(before[name])
        values = [start * (end / start) ** share for share in GRID_SHARES] if name in moved else []
        values = values or [end * factor for factor in GRID_FACTORS]
        others = [dict(zip(axes, cell)) for cell in itertools.product(*axes.values())]
        axes[name] = sorted(
            value for value in values if all(_accepted(target, {name: value, **other}) for other in others)
        )
    return axes


def _moved(source: Task, target: Task, share: float) -> Task | None:
    """The task at this share of the way, or None when its physics are not accepted."""
    before, changed = source.quantities, {}
    for name, leaf in target.quantities.items():
        start, end = np.asarray(before[name]), np.asarray(leaf)
        if name not in STAYING and end.dtype.kind != "b" and np.any(start != end):
            changed[name] = _between(start, end, share)
    return _accepted(target, changed)


def _between(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    positive = (start > 0) & (end > 0)
    safe_start, safe_end = np.where(positive, start, 1.0), np.where(positive, end, 1.0)
    moved = np.where(positive, safe_start * (safe_end / safe_start) ** share, start + share * (end - start))
    return np.rint(moved).astype(end.dtype) if np.issubdtype(end.dtype, np.integer) else moved.astype(end.dtype)


def _varied(target: Task) -> str | None:
    return next((name for name in VARIED if name in target.quantities), None)


def _scaled(target: Task, name: str, factor: float) -> Task | None:
    return _accepted(target, {name: target.quantities[name] * np.float32(factor)})


def _nearby(target: Task, kind: str) -> list[Task | None]:
    """The target with one of VARIED changed, or with actions that stick."""
    name = _varied(target)
    if name:
        return [_scaled(target, name, factor) for factor in NEARBY[kind]]
    return [_accepted(target, {"sticky_actions": value}) for value in STICKY[kind]]


def _accepted(target: Task, changed: Mapping[str, object]) -> Task | None:
    try:
        return target.changed(**changed)
    except ValueError:
        return None


def _distinct(points: list[Task | None], source: Task, target: Task, found: list[tuple[str, Task]]) -> list[Task]:
    kept: list[Task] = []
    for task in points:
        others = [source, target, *kept, *(other for _, other in found)]
        if task is not None and task not in others:
            kept.append(task)
    return kept

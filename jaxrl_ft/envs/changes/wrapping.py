"""Which tasks have changes around them: a simulator by a name that says so, made when it is first asked for."""

import re
from collections.abc import Mapping

from jaxrl_ft.core.types import EnvParams
from jaxrl_ft.envs.changes.numbers import NAMES, ChangedParams, changes_of, steps_in_one
from jaxrl_ft.envs.changes.simulator import ChangedSimulator
from jaxrl_ft.envs.simulator import SIMULATORS, register_simulator

QUANTITIES = (*NAMES, "frame_skip")
"""The names of all changes."""
_NAME = re.compile(r"(?P<inside>.+)\+changes(x(?P<skip>[1-9]\d?))?")


def name_of(inside: str, frame_skip: int) -> str:
    """The name of a simulator with changes around another, which it has then."""
    name = f"{inside}+changes" + (f"x{frame_skip}" if frame_skip > 1 else "")
    if name not in SIMULATORS:
        register_simulator(name, ChangedSimulator(inside, frame_skip), f"{inside} with changes around it")
    return name


def inside_of(name: str) -> str:
    """The name of the simulator inside; the name itself where there are no changes."""
    found = _NAME.fullmatch(name)
    return found["inside"] if found else name


def with_inside(name: str, inside: str) -> str:
    """The name of the simulator that has the changes of `name` around another one."""
    found = _NAME.fullmatch(name)
    return name_of(inside, int(found["skip"] or 1)) if found else inside


def changed(simulator: str, env_params: EnvParams, quantities: Mapping[str, object]) -> tuple[str, EnvParams]:
    """The simulator and the physics of a task with some quantities changed.

    Those that the environment has itself are its own; the others are changes around it.

    Args:
        simulator: its name, with or without changes.
        env_params: its physics.
        quantities: values by name.

    Raises:
        ValueError: an unknown quantity, or a value that is not allowed.
    """
    known = SIMULATORS[simulator]
    own = known.quantities(env_params)
    if all(name in own or name not in QUANTITIES for name in quantities) and "frame_skip" not in quantities:
        return simulator, known.changed(env_params, quantities)
    name, env_params = widened(simulator, env_params)
    skip = steps_in_one(quantities.get("frame_skip", SIMULATORS[name].quantities(env_params)["frame_skip"]))
    name = name_of(inside_of(name), skip)
    return name, SIMULATORS[name].changed(env_params, quantities)


def widened(simulator: str, env_params: EnvParams) -> tuple[str, EnvParams]:
    """The same task with changes around it that change nothing, where it has none."""
    if _NAME.fullmatch(simulator):
        return simulator, env_params
    known = SIMULATORS[simulator]
    nothing = changes_of(simulator, known.obs_size, known.action_space(env_params), {})
    return name_of(simulator, 1), ChangedParams(world=env_params, changes=nothing)

"""Environments by name: those that gymnax registers, and a user's own."""

import contextlib
import functools
import re
import sys

import jax
import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.jax_settings import foreign
from jaxrl_ft.core.types import EnvParams, PyTree
from jaxrl_ft.envs.changes import wrapping
from jaxrl_ft.envs.gymnax_worlds import library
from jaxrl_ft.envs.gymnax_worlds.world import GymnaxWorld
from jaxrl_ft.envs.outside.outline import is_outside
from jaxrl_ft.envs.simulator import SIMULATORS, register_simulator

CORRECTED = "MountainCarContinuous-v0"
"""What gymnax 1.0.1 steps otherwise than gymnasium."""
GYMNAX_IDS = (
    CORRECTED,
    *(f"{game}-MinAtar" for game in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")),
    *(f"{name}-bsuite" for name in ("Catch", "DeepSea", "MemoryChain", "UmbrellaChain", "DiscountingChain")),
    *(f"{name}-bsuite" for name in ("MNISTBandit", "SimpleBandit")),
    *(f"{name}-misc" for name in ("FourRooms", "MetaMaze", "PointRobot", "BernoulliBandit", "GaussianBandit")),
    *(f"{name}-misc" for name in ("Reacher", "Swimmer", "Pong", "FrozenLake")),
)
"""What gymnax registers beside the environments whose physics have units and ranges here; written down because
importing gymnax takes seconds."""


@foreign
def _made(id: str) -> tuple[PyTree, EnvParams]:
    gymnax = library.imported()
    try:
        found: tuple[PyTree, EnvParams] = gymnax.make(id)
        if id == CORRECTED:
            from jaxrl_ft.envs.gymnax_worlds.corrected import MountainCarContinuous

            found = MountainCarContinuous(), found[1]
    except OSError as error:
        raise ValueError(f"id: {id} needs data that gymnax downloads, and cannot: {error}") from error
    return found


for _id in GYMNAX_IDS:
    register_simulator(_id, GymnaxWorld(_id, functools.partial(_made, _id)), f"gymnax's {_id}")


def world_of(id: str, known: tuple[str, ...]) -> GymnaxWorld:
    """The world of this name: of gymnax's registry, or made before of a user's environment.

    Args:
        id: the name.
        known: all ids, for the message.

    Raises:
        ValueError: there is none.
    """
    found = _known(id) if is_known(id) else None
    if found is None:
        raise checks.unknown("id", id, [*known, *(name for name in users() if name not in known)])
    return found


def is_known(id: str) -> bool:
    """Whether there is a simulator of this name, or an environment that `gymnax.register` was given."""
    # A user's registration needs gymnax, which is therefore imported where there is one.
    if id not in SIMULATORS and "gymnax" in sys.modules and id in sys.modules["gymnax"].registered_envs:
        _add(GymnaxWorld(id.replace("_", "-"), functools.partial(_made, id)))
    inside = wrapping.inside_of(id)
    if inside != id and is_known(inside):
        wrapping.with_inside(id, inside)
    return id in SIMULATORS or is_outside(id)


def users() -> list[str]:
    """The names of a user's environments, without those of later ones of the same name."""
    own = [name for name, one in SIMULATORS.items() if isinstance(one, GymnaxWorld) and name not in GYMNAX_IDS]
    return [name for name in own if "~" not in name]


def world_for(environment: PyTree, env_params: EnvParams, name: str | None, taken: tuple[str, ...]) -> GymnaxWorld:
    """The world of a user's environment; the same one for an equal environment with params of the same structure.

    Compiled programs know an environment by its name. Another environment of the same name, as after its class was
    defined anew, is therefore called `NAME~2`, and so on.

    Args:
        environment: anything with gymnax's reset and step.
        env_params: its params; its `default_params` without them.
        name: what to call it; its own `name`, or that of its class, without it.
        taken: names that it cannot have.

    Raises:
        ValueError: it has no reset or no step.
    """
    for what in ("reset", "step"):
        if not (callable(getattr(environment, what, None)) or callable(getattr(environment, f"{what}_env", None))):
            raise ValueError(
                f"env: {type(environment).__name__} has no {what}; an id, or an environment with gymnax's "
                "reset(key, params) and step(key, state, action, params) is needed"
            )
    own = getattr(environment, "name", None)
    name = re.sub(r"[\s~_+]+", "-", str(name or (own if isinstance(own, str) and own else type(environment).__name__)))
    usual = _usual(environment, env_params)
    for number in range(1, len(SIMULATORS) + 2):
        called = name if number == 1 else f"{name}~{number}"
        found = _known(called)
        if found is not None and _same(found.made, (environment, usual)):
            return found
        if called not in SIMULATORS and called not in taken:
            world = GymnaxWorld(called, lambda: (environment, usual))
            world.outline  # noqa: B018 (refuses what it cannot step, before it has a name)
            return _add(world)
    raise AssertionError("there is always a free name")


def _known(name: str) -> GymnaxWorld | None:
    if name not in SIMULATORS:
        return None
    found = SIMULATORS[name]
    return found if isinstance(found, GymnaxWorld) else None


def _add(world: GymnaxWorld) -> GymnaxWorld:
    register_simulator(world.id, world, f"{world.id}, which a user registered")
    return world


@foreign
def _usual(environment: PyTree, env_params: EnvParams) -> EnvParams:
    """The params that descriptions compare with: the environment's own defaults, those of the class, or the given."""
    with jax.ensure_compile_time_eval():
        defaults = [getattr(environment, "default_params", None)]
        if env_params is not None:
            with contextlib.suppress(TypeError):
                defaults.append(type(env_params)())
        fitting = [
            one for one in defaults if one is not None and (env_params is None or tree.same_structure(one, env_params))
        ]
        return fitting[0] if fitting else env_params


def _same(one: tuple[PyTree, EnvParams], other: tuple[PyTree, EnvParams]) -> bool:
    """Whether two environments are of one class with equal attributes, and their params of one structure."""
    (ours, own), (theirs, given) = one, other
    if type(ours) is not type(theirs) or not tree.same_structure(own, given):
        return False
    return ours is theirs or _equal(getattr(ours, "__dict__", None), getattr(theirs, "__dict__", None))


def _equal(one: PyTree, other: PyTree) -> bool:
    if one is None or other is None:
        return False
    if not tree.same_structure(one, other):
        return False
    arrays = (np.ndarray, jax.Array)
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other))
    try:
        return all(tree.bits(a) == tree.bits(b) if isinstance(a, arrays) else bool(a == b) for a, b in pairs)
    except (TypeError, ValueError):
        return False

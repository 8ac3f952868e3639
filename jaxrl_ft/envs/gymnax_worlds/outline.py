"""What an environment's reset and step return, traced once: shapes and types, and which values say what."""

import dataclasses
from collections.abc import Callable, Hashable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_ft.core.jax_settings import foreign
from jaxrl_ft.core.types import EnvParams, EnvState, Key, PyTree
from jaxrl_ft.envs.gymnax_worlds import observations
from jaxrl_ft.envs.gymnax_worlds.actions import Actions, actions_of, space_of
from jaxrl_ft.envs.gymnax_worlds.observations import Part
from jaxrl_ft.envs.simulator import Box


class Outcome(NamedTuple):
    """What one step of an environment comes to, whatever it returns."""

    obs: jax.Array
    """[O], before any reset"""
    env_state: EnvState
    reward: jax.Array
    ended: jax.Array
    """bool: natural end; where `Outline.mixes` is set, that or the environment's own time limit"""
    cut: jax.Array
    """bool: a limit of the environment's own was reached"""


@dataclasses.dataclass(frozen=True)
class Outline:
    """The fixed facts of an environment.

    Attributes:
        reset: `(key, params) -> (obs, state)`.
        step: `(key, state, action, params) -> ` four, five or six values, before any reset where that can be had.
        is_truncated: `(state, params) -> bool`, or None.
        mixes: whether the one flag that a step returns may be set by a time limit too.
        parts: of an observation.
        actions: kind and sizes.
        state: shapes and types of a state.
    """

    reset: Callable[..., PyTree]
    step: Callable[..., PyTree]
    is_truncated: Callable[..., PyTree] | None
    mixes: bool
    parts: tuple[Part, ...]
    actions: Actions
    state: PyTree

    def first(self, key: Key, env_params: EnvParams) -> tuple[jax.Array, EnvState]:
        """The first observation [O] and state of an episode, with strong types."""
        obs, env_state = foreign(self.reset)(key, env_params)
        return foreign(observations.flat)(obs, self.parts), self._typed(env_state)

    def next(self, key: Key, env_state: EnvState, action: jax.Array, env_params: EnvParams) -> Outcome:
        """One step under an action of the environment's own."""
        obs, env_state, reward, ended, *rest = foreign(self.step)(key, env_state, action, env_params)
        cut: PyTree = False
        if len(rest) == 2:
            cut, info = rest
            obs = info.get("final_observation", obs) if isinstance(info, dict) else obs
        elif self.is_truncated is not None:
            cut = foreign(self.is_truncated)(env_state, env_params)
        env_state = self._typed(env_state)
        flags = [jnp.asarray(flag).reshape(()).astype(bool) for flag in (ended, cut)]
        reward = jnp.asarray(reward).reshape(()).astype(jnp.float32)
        return Outcome(foreign(observations.flat)(obs, self.parts), env_state, reward, *flags)

    def _typed(self, env_state: EnvState) -> EnvState:
        return jax.tree.map(strong, env_state, self.state)


def strong(leaf: PyTree, like: PyTree) -> PyTree:
    """The leaf with the type of `like`, and not a weak one; keys stay as they are."""
    if jnp.issubdtype(like.dtype, jax.dtypes.extended):
        return leaf
    return jax.lax.convert_element_type(jnp.asarray(leaf), like.dtype)


@foreign
def outline(name: str, environment: PyTree, env_params: EnvParams) -> Outline:
    """The facts of an environment, found by tracing its reset and step; nothing is computed.

    `reset_env` and `step_env` are taken where its class has them, since they never reset by themselves, else `reset`
    and `step`. A step with six values is gymnax 1.x's `step`: what `info` has as `final_observation` is the true next
    observation. With four or five values, the fourth is whether the episode ended: naturally where the environment has
    `is_truncated`, as gymnax 1.x's `step_env`, else in any way, as gymnax 0.x's.

    Raises:
        ValueError: reset or step fails, or returns something else; in one line.
    """
    space = _space(name, environment, env_params)
    kinds, key = actions_of(name, space), jax.eval_shape(lambda: jax.random.key(0))
    reset, step, is_truncated = _functions(environment)
    first = _traced(name, "reset", reset, key, env_params)
    if not isinstance(first, tuple) or len(first) != 2:
        raise ValueError(f"env: reset of {name} returns {_count(first)}; it must return (obs, state)")
    parts = observations.parts_of(name, first[0], observations.observation_space(environment, env_params))
    state, counts = first[1], [0]
    # A first state may have other types than a later one, such as a Python number; the second trace shows them settled.
    for _ in range(2):
        after = _traced(name, "step", _with_action(name, step, kinds, space, counts), key, state, env_params)
        _check_step(name, first[0], state, after)
        state = jax.tree.map(_common, state, after[1])
    if _types(after[1]) != _types(state):
        raise ValueError(f"env: the types of the state of {name} go on changing from step to step")
    mixes = counts[0] < 6 and is_truncated is None
    return Outline(reset, step, _working(name, is_truncated, state, env_params), mixes, parts, kinds, state)


def _space(name: str, environment: PyTree, env_params: EnvParams) -> PyTree:
    try:
        with jax.ensure_compile_time_eval():
            return space_of(environment, env_params)
    except Exception as error:
        line = str(error).strip().split("\n")[0]
        raise ValueError(f"env: the actions of {name} are not known, {type(error).__name__}: {line}") from error


def _functions(environment: PyTree) -> tuple[PyTree, PyTree, PyTree]:
    """Reset, step and `is_truncated` of an environment; `__getattr__` of a wrapper would give those of another."""
    reset, step = (_own(environment, name) for name in ("reset_env", "step_env"))
    if reset is None or step is None:
        return environment.reset, environment.step, None
    return reset, step, _own(environment, "is_truncated")


def _own(environment: PyTree, name: str) -> PyTree:
    """The method of the environment or its class; None where it has none, or the empty one of gymnax's base class."""
    if name not in getattr(environment, "__dict__", {}) and not hasattr(type(environment), name):
        return None
    found = getattr(environment, name)
    return None if getattr(found, "__qualname__", "") in ("Environment.reset_env", "Environment.step_env") else found


def _working(name: str, is_truncated: PyTree, state: PyTree, env_params: EnvParams) -> PyTree:
    """The function, unless it is that of gymnax's base class and asks for a time or a limit that is not there."""
    if is_truncated is None:
        return None
    try:
        _traced(name, "is_truncated", is_truncated, state, env_params)
    except ValueError:
        if is_truncated.__qualname__ != "Environment.is_truncated":
            raise
        return None
    return is_truncated


class _RefusedError(ValueError):
    """An error of ours, raised while a function of the environment is traced."""


def _with_action(name: str, step: PyTree, kinds: Actions, space: PyTree, counts: list[int]) -> PyTree:
    """The step under a first action, without its `info`; how many values it returns is put into `counts`."""

    def run(key: Key, env_state: EnvState, env_params: EnvParams) -> PyTree:
        ours = kinds.space(space)
        action = jnp.zeros(ours.size, jnp.float32) if isinstance(ours, Box) else jnp.int32(0)
        found = step(key, env_state, kinds.native(action, ours), env_params)
        if not isinstance(found, tuple) or len(found) not in (4, 5, 6):
            raise _RefusedError(
                f"env: step of {name} returns {_count(found)}; it must return (obs, state, reward, terminated, "
                "truncated, info) as in gymnax 1.x, (obs, state, reward, done, info), or these without info"
            )
        counts[0] = len(found)
        if len(found) == 6 and isinstance(found[5], dict):
            found = (found[5].get("final_observation", found[0]), *found[1:])
        return found[:4] if len(found) < 6 else found[:5]

    return run


def _traced(name: str, what: str, function: PyTree, *args: PyTree) -> PyTree:
    try:
        return jax.eval_shape(function, *args)
    except _RefusedError:
        raise
    except Exception as error:
        line = str(error).strip().split("\n")[0]
        raise ValueError(f"env: {what} of {name} fails with {type(error).__name__}: {line}") from error


def _count(value: PyTree) -> str:
    return f"{len(value)} values" if isinstance(value, (tuple, list)) else f"a {type(value).__name__}"


def _check_step(name: str, obs: PyTree, state: PyTree, after: tuple[PyTree, ...]) -> None:
    """Refuse a step whose shapes differ from those of a reset, or whose reward and flags are not one number each."""
    for what, before, now in (("observation", obs, after[0]), ("state", state, after[1])):
        if _shapes(before) != _shapes(now):
            raise ValueError(f"env: the {what} of {name} has other shapes after a step than after a reset")
    for what, one in zip(("reward", "first flag", "second flag"), after[2:]):
        if len(jax.tree.leaves(one)) != 1 or one.size != 1:
            shapes = [leaf.shape for leaf in jax.tree.leaves(one)]
            raise ValueError(f"env: the {what} of a step of {name} has shape {shapes}; it must be one number")
        if one.dtype.kind not in "biuf":
            raise ValueError(f"env: the {what} of a step of {name} is {one.dtype}; it must be a real number")


def _shapes(value: PyTree) -> Hashable:
    return (jax.tree.structure(value), *(leaf.shape for leaf in jax.tree.leaves(value)))


def _types(value: PyTree) -> list[Hashable]:
    return [leaf.dtype for leaf in jax.tree.leaves(value)]


def _common(before: PyTree, now: PyTree) -> PyTree:
    if jnp.issubdtype(before.dtype, jax.dtypes.extended):
        return before
    return jax.ShapeDtypeStruct(before.shape, jnp.promote_types(before.dtype, now.dtype))

"""Actions of any environment as the two kinds that policies know: one of n, or a vector within bounds."""

import dataclasses
import inspect
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core.types import EnvParams, PyTree
from jaxrl_ft.envs.simulator import ActionSpace, Box, Discrete

MOST_ACTIONS = 1024
"""Joint actions at most that a space of several discrete ones may have."""


@dataclasses.dataclass(frozen=True)
class OneOf:
    """Discrete actions of an environment.

    Attributes:
        counts: how many each part has; a single part is a plain discrete space.
        starts: the first action of each part, as gymnasium's spaces have one.
        joint: whether the environment takes an array of one number for each part.
    """

    counts: tuple[int, ...]
    starts: tuple[int, ...]
    joint: bool

    def space(self, found: PyTree) -> ActionSpace:
        """All joint actions as one discrete space."""
        return Discrete(num_actions=math.prod(self.counts))

    def native(self, action: jax.Array, space: ActionSpace) -> jax.Array:
        """The environment's own action: a number, or one for each part, the last one changing fastest."""
        action = jnp.asarray(action, jnp.int32)
        if not self.joint:
            only: jax.Array = action + jnp.int32(self.starts[0])
            return only
        parts = []
        for count, start in zip(reversed(self.counts), reversed(self.starts)):
            parts.append(action % count + jnp.int32(start))
            action = action // count
        return jnp.stack(parts[::-1])


@dataclasses.dataclass(frozen=True)
class Vector:
    """Continuous actions of an environment, of any shape.

    Attributes:
        shape: of the environment's own action.
    """

    shape: tuple[int, ...]

    def space(self, found: PyTree) -> ActionSpace:
        """The entries in one row, with a bound for each."""
        low, high = (
            jnp.broadcast_to(jnp.asarray(bound, jnp.float32), self.shape).reshape(-1)
            for bound in (found.low, found.high)
        )
        return Box(size=math.prod(self.shape), low=low, high=high)

    def native(self, action: jax.Array, space: ActionSpace) -> jax.Array:
        """The action within its bounds, in the environment's own shape."""
        assert isinstance(space, Box)
        return jnp.clip(jnp.asarray(action, jnp.float32), space.low, space.high).reshape(self.shape)


Actions = OneOf | Vector


def space_of(environment: PyTree, env_params: EnvParams) -> PyTree:
    """The environment's own description of its actions.

    Raises:
        AttributeError: it has none.
    """
    if not hasattr(environment, "action_space"):
        return _Count(int(environment.num_actions))
    space = environment.action_space
    if not callable(space):
        return space
    try:
        inspect.signature(space).bind(env_params)
    except TypeError:
        return space()
    return space(env_params)


@dataclasses.dataclass(frozen=True)
class _Count:
    n: int


def actions_of(name: str, found: PyTree) -> Actions:
    """What kind of actions a space of gymnax or gymnasium describes.

    Args:
        name: of the environment, for messages.
        found: the space, told by its attributes: `n`, `nvec`, `low` and `high`, or `spaces`.

    Raises:
        ValueError: of another kind, or with more joint actions than are allowed.
    """
    kind = type(found).__name__
    parts = getattr(found, "spaces", None)
    if isinstance(parts, Sequence) and parts and all(hasattr(part, "n") for part in parts):
        return _one_of(name, [int(part.n) for part in parts], [int(getattr(part, "start", 0)) for part in parts], True)
    if hasattr(found, "nvec"):
        counts = np.asarray(found.nvec)
        if counts.ndim != 1:
            raise ValueError(f"action_space: {name} has a {kind} of shape {counts.shape}; it must have one axis")
        starts = np.broadcast_to(np.asarray(getattr(found, "start", 0)), counts.shape)
        return _one_of(name, counts.tolist(), starts.tolist(), True)
    if hasattr(found, "n"):
        return _one_of(name, [int(found.n)], [int(getattr(found, "start", 0))], False)
    if hasattr(found, "low") and hasattr(found, "high"):
        if not np.issubdtype(np.dtype(getattr(found, "dtype", np.float32)), np.floating):
            raise ValueError(f"action_space: {name} has a {kind} of {np.dtype(found.dtype)}; it must be of floats")
        return Vector(tuple(int(size) for size in found.shape))
    raise ValueError(
        f"action_space: {name} has a {kind}, which is not allowed; it must be Discrete, several of them, or Box"
    )


def _one_of(name: str, counts: Sequence[int], starts: Sequence[int], joint: bool) -> OneOf:
    total = math.prod(counts)
    if not 1 <= total <= MOST_ACTIONS:
        raise ValueError(
            f"action_space: {name} has {' x '.join(map(str, counts))} = {total} joint actions; policies choose among "
            f"{MOST_ACTIONS} at most"
        )
    return OneOf(tuple(counts), tuple(starts), joint)

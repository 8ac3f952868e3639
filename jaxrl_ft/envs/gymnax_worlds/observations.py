"""Observations of any environment, a pytree of arrays, as one float32 vector with named parts."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from jaxrl_ft.core.types import EnvParams, PyTree


@dataclasses.dataclass(frozen=True)
class Part:
    """One array of an observation.

    Attributes:
        name: its dotted path; `obs` where the observation is one array.
        shape: of the array.
        categories: number of values of a discrete observation, which is shown as that many zeros and a one; else 0.
    """

    name: str
    shape: tuple[int, ...]
    categories: int = 0

    @property
    def shown(self) -> tuple[int, ...]:
        """The shape of what a policy sees of it."""
        return (*self.shape, self.categories) if self.categories else self.shape


def parts_of(name: str, obs: PyTree, space: PyTree) -> tuple[Part, ...]:
    """The parts of an observation, in the order of its leaves.

    Args:
        name: of the environment, for messages.
        obs: a pytree of arrays or their shapes.
        space: the environment's own description of it, or None.

    Raises:
        ValueError: no leaf, or one that is not of real numbers.
    """
    found = []
    for path, leaf in jax.tree.leaves_with_path(obs):
        label = jax.tree_util.keystr(path, simple=True, separator=".") or "obs"
        if jnp.issubdtype(leaf.dtype, jax.dtypes.extended) or leaf.dtype.kind == "c":
            raise ValueError(f"obs: {label} of {name} has dtype {leaf.dtype}; it must be of real numbers")
        whole = leaf.dtype.kind in "iu"
        found.append(Part(label, tuple(leaf.shape), _categories(space, path) if whole else 0))
    if not sum(math.prod(part.shown) for part in found):
        raise ValueError(f"obs: {name} gives no number to observe")
    return tuple(found)


def _categories(space: PyTree, path: tuple[PyTree, ...]) -> int:
    for step in path:
        inner: PyTree = getattr(space, "spaces", None)
        place = getattr(step, "key", getattr(step, "idx", getattr(step, "name", None)))
        try:
            space = inner[place]
        except (TypeError, KeyError, IndexError):
            return 0
    # Of categories that are not counted from zero, the number itself is shown.
    return 0 if int(getattr(space, "start", 0)) else int(getattr(space, "n", 0))


def observation_space(environment: PyTree, env_params: EnvParams) -> PyTree:
    """The environment's own description of its observations, or None where it has none that can be asked for."""
    try:
        return environment.observation_space(env_params)
    except (AttributeError, NotImplementedError, TypeError):
        return None


def flat(obs: PyTree, parts: tuple[Part, ...]) -> jax.Array:
    """The observation as one float32 vector [O]."""
    rows = []
    for leaf, part in zip(jax.tree.leaves(obs), parts):
        leaf = jnp.asarray(leaf)
        if part.categories:
            leaf = leaf[..., None] == jnp.arange(part.categories, dtype=leaf.dtype)
        rows.append(leaf.astype(jnp.float32).reshape(-1))
    return jnp.concatenate(rows)

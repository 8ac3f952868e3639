"""What a change of sensors or actuators computes, for every simulator alike."""

import jax
import jax.numpy as jnp

from jaxrl_ft.core.types import Leaf

_COMPARED = 16
"""Entries up to which picking by comparison is faster than a gather."""


def shown(
    values: jax.Array, scale: Leaf, offset: Leaf, permutation: Leaf, spread: Leaf, normal: jax.Array
) -> jax.Array:
    """`(scale * values + offset)[permutation] + spread * normal`, [O]."""
    sensed = jnp.asarray(scale * values + offset)
    return pick(jnp.asarray(permutation), sensed) + spread * normal


def pick(index: jax.Array, values: jax.Array) -> jax.Array:
    """`values[index]` by comparison: over stacked tasks the whole step is a quarter slower with a gather."""
    if values.shape[0] > _COMPARED:
        return values[index]
    chosen = index[..., None] == jax.lax.broadcast_to_rank(jnp.arange(values.shape[0], dtype=jnp.int32), index.ndim + 1)
    return jnp.sum(jnp.where(chosen, values, values.dtype.type(0)), axis=-1, dtype=values.dtype)


def delayed(chosen: jax.Array, queue: jax.Array, delay: Leaf) -> tuple[jax.Array, jax.Array]:
    """The action chosen `delay` steps ago, and the queue after this step.

    Args:
        chosen: the action of now, a number or a vector [A].
        queue: [D] or [D, A], the actions chosen 1 to D steps ago.
        delay: from 0 to D.
    """
    recent = jnp.concatenate([chosen[None], queue])
    index = jnp.asarray(delay)
    applied = pick(index, recent) if recent.ndim == 1 else jax.vmap(pick, (None, 1))(index, recent)
    return applied, recent[:-1]

"""A replay of transitions: one matrix of rows, written in place and read by whole numbers.

A row holds all fields of a transition side by side in float32, so that a minibatch is one gather and a rollout one
write. Rollouts of M rows fill a replay of C rows, a multiple of M, from its beginning; those that were collected before
the first update fill its end. So every position is a function of the number of the update, which all runs of a program
share, and only the number of warm rows belongs to a run.
"""

from typing import NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_ft.core.types import Key, PyTree, Scalar

Rows = TypeVar("Rows")

_BLOCK = 128
"""Rows whose priorities are summed first; a draw looks for its block, and then in it."""


class Replay(NamedTuple):
    """Rows [C, W], how many of them were written before the first update, and what each is drawn by."""

    rows: Float[Array, "C W"]
    warm: Int[Array, ""]
    """rows at the end that were written before the first update"""
    priority: Float[Array, " C"] | None
    """what a row is drawn in proportion to, 0 where none was written; None where all are alike"""
    highest: Float[Array, ""] | None
    """the highest priority so far, with which new rows begin"""


def empty(capacity: int, width: int, prioritized: bool) -> Replay:
    """A replay of C rows of W numbers without any row."""
    rows = jnp.zeros((capacity, width), jnp.float32)
    if not prioritized:
        return Replay(rows, jnp.zeros((), jnp.int32), None, None)
    return Replay(rows, jnp.zeros((), jnp.int32), jnp.zeros((capacity,), jnp.float32), jnp.ones((), jnp.float32))


def packed(rows: PyTree) -> Float[Array, "M W"]:
    """The fields of rows [M, ...] side by side, [M, W]; whole numbers must be below 2^24 in size."""
    leaves = [leaf.reshape((leaf.shape[0], -1)).astype(jnp.float32) for leaf in jax.tree.leaves(rows)]
    return jnp.concatenate(leaves, axis=1)


def unpacked(matrix: Float[Array, "M W"], like: Rows) -> Rows:
    """The rows [M, ...] that `packed` put side by side, with fields and types as in `like` [K, ...]."""
    leaves, structure = jax.tree.flatten(like)
    widths = [int(np.prod(leaf.shape[1:])) for leaf in leaves]
    columns = jnp.split(matrix, np.cumsum(widths)[:-1], axis=1)
    fields = [
        column.reshape((-1, *leaf.shape[1:])).astype(leaf.dtype) for column, leaf in zip(columns, leaves, strict=True)
    ]
    rows: Rows = jax.tree.unflatten(structure, fields)
    return rows


def write(replay: Replay, rows: Float[Array, "M W"], number: Int[Array, ""]) -> Replay:
    """The replay with the rollout of update `number` in the place of the oldest one.

    Args:
        replay: its C rows are a multiple of M.
        rows: of the rollout.
        number: of the update, from 0; the rollout before the first has -1, and so on.
    """
    capacity, num = replay.rows.shape[0], rows.shape[0]
    chex.assert_is_divisible(capacity, num)
    start = jnp.mod(number, capacity // num) * num
    replay = replay._replace(rows=jax.lax.dynamic_update_slice_in_dim(replay.rows, rows, start, 0))
    if replay.priority is None or replay.highest is None:
        return replay
    new = jnp.broadcast_to(replay.highest, (num,))
    return replay._replace(priority=jax.lax.dynamic_update_slice_in_dim(replay.priority, new, start, 0))


def filled(replay: Replay, number: Int[Array, ""], num: int) -> Int[Array, ""]:
    """How many rows were written, once update `number` has written its `num`."""
    return jnp.minimum(replay.warm + (number + 1) * num, replay.rows.shape[0])


def uniform(key: Key, replay: Replay, size: Int[Array, ""], shape: tuple[int, ...]) -> Int[Array, "..."]:
    """Positions of rows drawn with replacement, each of the `size` written ones as likely as any other."""
    drawn = jax.random.randint(key, shape, 0, size, jnp.int32)
    return jnp.mod(drawn - replay.warm, replay.rows.shape[0])


def proportional(key: Key, priority: Float[Array, " C"], num: int) -> Int[Array, " {num}"]:
    """Positions of rows drawn with replacement in proportion to their priority; those of priority 0 never are.

    The range of the sum is divided evenly into `num` parts, and one draw is from each (Schaul et al. 2016,
    arXiv:1511.05952, appendix B.2.1).
    """
    size = priority.shape[0]
    blocks = jnp.pad(priority, (0, -size % _BLOCK)).reshape((-1, _BLOCK))
    ends = jnp.cumsum(blocks.sum(axis=1))
    uniform = (jnp.arange(num, dtype=jnp.float32) + jax.random.uniform(key, (num,), jnp.float32)) / num
    wanted = uniform * ends[-1]
    block = jnp.minimum(jnp.searchsorted(ends, wanted, side="right"), ends.shape[0] - 1)
    inside = blocks[block]
    within = jnp.cumsum(inside, axis=1)
    left = wanted - jnp.where(block > 0, ends[block - 1], 0.0)
    # A draw that rounding puts behind the last row of its block belongs to that row.
    left = jnp.clip(left, 0.0, within[:, -1] * (1.0 - 1e-6))
    place = jnp.argmax((within > left[:, None]) & (inside > 0), axis=1)
    return (block * _BLOCK + place).astype(jnp.int32)


def importance_weights(
    priority: Float[Array, " C"], positions: Int[Array, " B"], size: Int[Array, ""], exponent: Scalar
) -> Float[Array, " B"]:
    """Weights that undo the bias of drawing by priority, [B].

        wᵢ = (N P(i))^-β,   P(i) = pᵢ / Σⱼ pⱼ

    Args:
        priority: p of all rows.
        positions: of the rows that were drawn.
        size: number N of written rows.
        exponent: β; 1 undoes all of the bias.

    Reference: Schaul et al. 2016, arXiv:1511.05952, section 3.4.
    """
    share = priority[positions] / jnp.maximum(priority.sum(), 1e-30)
    return jnp.maximum(size.astype(jnp.float32) * share, 1e-30) ** -exponent

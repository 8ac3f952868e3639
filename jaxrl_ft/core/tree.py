"""Pytree helpers for nested dicts of parameters, addressed by paths such as `policy/dense_0/kernel`."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import reduce
from typing import TypeAlias, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxrl_ft.core.types import PyTree

Tree: TypeAlias = PyTree
"""A nested dict with array leaves."""
T = TypeVar("T")
_LITTLE = 4096
"""Numbers at most of a leaf that is cheaper to copy beside others than to compile loops for."""


def map_leaves(function: Callable[..., object], tree: T, *others: T) -> T:
    """Apply `function` to every leaf of the tree and the leaves of the others at its place."""
    return cast(T, jax.tree.map(function, tree, *others))


def flatten(tree: Tree, prefix: str = "") -> dict[str, jax.Array]:
    """Return the leaves of a nested dict by path; empty dicts are dropped."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    flat: dict[str, jax.Array] = {}
    for key, value in tree.items():
        flat.update(flatten(value, f"{prefix}/{key}" if prefix else str(key)))
    return flat


def unflatten(flat: Mapping[str, object]) -> Tree:
    """Return the nested dict that `flatten` was applied to."""
    tree: Tree = {}
    for path, leaf in flat.items():
        *parents, last = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def select(tree: Tree, keep: Callable[[str], bool]) -> Tree:
    """Return the part of the tree whose paths satisfy `keep`."""
    return unflatten({path: leaf for path, leaf in flatten(tree).items() if keep(path)})


def part(tree: Tree, like: Tree) -> Tree:
    """Return the part of the tree at the paths of `like`."""
    return {key: part(tree[key], value) for key, value in like.items()} if isinstance(like, dict) else tree


def overlay(base: Tree, delta: Tree) -> Tree:
    """Replace the leaves of the base by those of `delta`, and add the ones that it lacks."""
    if not isinstance(base, dict) or not isinstance(delta, dict):
        return delta
    merged = {key: overlay(value, delta[key]) if key in delta else value for key, value in base.items()}
    return merged | {key: value for key, value in delta.items() if key not in base}


def where(condition: jax.Array, on_true: T, on_false: T) -> T:
    """Choose every leaf from `on_true` if the scalar condition holds, else from `on_false`."""
    return map_leaves(lambda a, b: jnp.where(condition, a, b), on_true, on_false)


def bits(tree: Tree) -> tuple[Hashable, ...]:
    """Return structure, and type, shape and bits of every leaf; equal for two trees if all of these are."""
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    return (jax.tree.structure(tree), *((array.dtype, array.shape, array.tobytes()) for array in arrays))


def same_structure(one: Tree, other: Tree) -> bool:
    """Whether two trees differ in their leaves alone."""
    structures: list[Hashable] = [jax.tree.structure(tree) for tree in (one, other)]
    return structures[0] == structures[1]


def ravel(tree: Tree) -> jax.Array:
    """Concatenate all leaves to one vector [P], on which arithmetic needs one loop instead of one a leaf."""
    return jnp.concatenate([jnp.reshape(leaf, -1) for leaf in jax.tree.leaves(tree)])


def unravel(vector: jax.Array, like: Tree) -> Tree:
    """Return the tree with the shapes of `like` from which `ravel` made `vector` [P]."""
    leaves, structure = jax.tree.flatten(like)
    parts = jnp.split(vector, np.cumsum([leaf.size for leaf in leaves])[:-1])
    return jax.tree.unflatten(structure, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves)])


def size(tree: Tree) -> int:
    """The number of scalars in a tree."""
    return sum(int(np.prod(np.shape(leaf))) for leaf in jax.tree.leaves(tree))


def finite(tree: Tree) -> jax.Array:
    """Whether every number of the tree is finite, a bool scalar."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]
    looked_at = [leaf for leaf in leaves if np.size(leaf) > _LITTLE]
    # Each little one alone would be two more loops to compile.
    little: dict[np.dtype, list[jax.Array]] = {}
    for leaf in leaves:
        if np.size(leaf) <= _LITTLE:
            little.setdefault(jnp.result_type(leaf), []).append(leaf)
    looked_at += [ravel(one) for one in little.values()]
    return reduce(jnp.logical_and, [jnp.isfinite(leaf).all() for leaf in looked_at], jnp.asarray(True))


def finite_entries(rows: Tree) -> jax.Array:
    """Return for each entry of the leading axis whether it is finite in all leaves [M, ...], bool [M]."""
    return reduce(jnp.logical_and, [jnp.isfinite(x).reshape((len(x), -1)).all(axis=1) for x in jax.tree.leaves(rows)])


def finite_rows(rows: T) -> T:
    """Replace each row of [M, ...] that is not finite by one that is.

    The last finite one before it takes its place, or the first of all
    where none is before it; where no row is finite, none of the result is.
    """
    good = finite_entries(rows)
    last = jax.lax.cummax(jnp.where(good, jnp.arange(len(good)), 0))
    return take(rows, jnp.maximum(last, jnp.argmax(good)))


def finite_runs(tree: Tree, num: int) -> NDArray[np.bool_]:
    """Return for each of `num` runs whether all of its numbers are finite, [R], from leaves [R, ...] on the host."""
    leaves = (np.isfinite(leaf).reshape((num, -1)).all(axis=1) for leaf in jax.tree.leaves(tree))
    return reduce(np.logical_and, leaves, np.ones(num, bool))


def stack(trees: Sequence[T]) -> T:
    """Stack the leaves of the trees along a new leading axis, as NumPy arrays."""
    return map_leaves(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)


def concatenate(trees: Sequence[T]) -> T:
    """Concatenate the leaves of the trees along their leading axis, as NumPy arrays."""
    return map_leaves(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), *trees)


def repeat(tree: T, num: int) -> T:
    """Repeat every leaf along a new leading axis [num], as NumPy arrays."""
    return map_leaves(lambda leaf: np.broadcast_to(np.asarray(leaf), (num, *np.shape(leaf))), tree)


def zeros(shapes: Tree, num: int) -> Tree:
    """Return zeros of these shapes with a leading axis [num], as NumPy arrays that take no memory."""
    return jax.tree.map(lambda one: np.broadcast_to(np.zeros((), one.dtype), (num, *one.shape)), shapes)


def take(tree: T, index: ArrayLike | jax.Array | slice | tuple[slice | int, ...]) -> T:
    """Index every leaf along its leading axis."""
    return map_leaves(lambda leaf: leaf[index], tree)


def choose_rows(chosen: ArrayLike, on_true: T, on_false: T) -> T:
    """Choose every row from `on_true` where `chosen` [R] holds, else from `on_false`, as NumPy arrays."""
    return map_leaves(
        lambda a, b: np.where(np.reshape(chosen, (-1,) + (1,) * (np.ndim(a) - 1)), a, b), on_true, on_false
    )


def to_host(tree: T) -> T:
    """Return the tree with NumPy leaves."""
    return cast(T, jax.tree.map(np.asarray, jax.device_get(tree)))

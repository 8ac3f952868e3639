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


def map_leaves(function: Callable[..., object], tree: T, *others: T) -> T:
    """The tree with `function` of its leaf, and of those of the others, in the place of every leaf."""
    return cast(T, jax.tree.map(function, tree, *others))


def flatten(tree: Tree, prefix: str = "") -> dict[str, jax.Array]:
    """The leaves of a nested dict by path; empty dicts leave no trace."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    flat: dict[str, jax.Array] = {}
    for key, value in tree.items():
        flat.update(flatten(value, f"{prefix}/{key}" if prefix else str(key)))
    return flat


def unflatten(flat: Mapping[str, object]) -> Tree:
    """The nested dict that `flatten` took apart."""
    tree: Tree = {}
    for path, leaf in flat.items():
        *parents, last = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def select(tree: Tree, keep: Callable[[str], bool]) -> Tree:
    """The part of the tree whose paths satisfy `keep`."""
    return unflatten({path: leaf for path, leaf in flatten(tree).items() if keep(path)})


def part(tree: Tree, like: Tree) -> Tree:
    """The part of the tree at the paths of `like`."""
    return {key: part(tree[key], value) for key, value in like.items()} if isinstance(like, dict) else tree


def overlay(base: Tree, delta: Tree) -> Tree:
    """The base with the leaves of `delta` in the place of its own, and those it lacks added."""
    if not isinstance(base, dict) or not isinstance(delta, dict):
        return delta
    merged = {key: overlay(value, delta[key]) if key in delta else value for key, value in base.items()}
    return merged | {key: value for key, value in delta.items() if key not in base}


def where(condition: jax.Array, on_true: T, on_false: T) -> T:
    """Leaf by leaf, `on_true` where the scalar condition holds, else `on_false`."""
    return map_leaves(lambda a, b: jnp.where(condition, a, b), on_true, on_false)


def bits(tree: Tree) -> tuple[Hashable, ...]:
    """Structure, and type, shape and bits of every leaf: equal for two trees where all of these are."""
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    return (jax.tree.structure(tree), *((array.dtype, array.shape, array.tobytes()) for array in arrays))


def ravel(tree: Tree) -> jax.Array:
    """Every leaf in one vector [P]; arithmetic on it is one loop where that on the tree is one a leaf."""
    return jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(tree)])


def unravel(vector: jax.Array, like: Tree) -> Tree:
    """The tree with the shapes of `like` that `ravel` put into `vector` [P]."""
    leaves, structure = jax.tree.flatten(like)
    parts = jnp.split(vector, np.cumsum([leaf.size for leaf in leaves])[:-1])
    return jax.tree.unflatten(structure, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves)])


def size(tree: Tree) -> int:
    """The number of scalars in a tree."""
    return sum(int(np.prod(np.shape(leaf))) for leaf in jax.tree.leaves(tree))


def finite(tree: Tree) -> jax.Array:
    """Whether every number of the tree is finite, a bool scalar."""
    return reduce(jnp.logical_and, [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)], jnp.asarray(True))


def finite_entries(rows: Tree) -> jax.Array:
    """For each entry of the leading axis whether it is finite in all leaves [M, ...], bool [M]."""
    return reduce(jnp.logical_and, [jnp.isfinite(x).reshape((len(x), -1)).all(axis=1) for x in jax.tree.leaves(rows)])


def finite_rows(rows: T) -> T:
    """The rows [M, ...], with one that is finite in the place of each that is not.

    The last finite one before it takes its place, or the first of all
    where none is before it; where no row is finite, none of the result is.
    """
    good = finite_entries(rows)
    last = jax.lax.cummax(jnp.where(good, jnp.arange(len(good)), 0))
    return take(rows, jnp.maximum(last, jnp.argmax(good)))


def finite_runs(tree: Tree, num: int) -> NDArray[np.bool_]:
    """For each of `num` runs whether all of its numbers are finite, [R], from leaves [R, ...] on the host."""
    leaves = (np.isfinite(leaf).reshape((num, -1)).all(axis=1) for leaf in jax.tree.leaves(tree))
    return reduce(np.logical_and, leaves, np.ones(num, bool))


def stack(trees: Sequence[T]) -> T:
    """One tree whose leaves carry a leading axis over the given trees, as NumPy arrays."""
    return map_leaves(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)


def concatenate(trees: Sequence[T]) -> T:
    """One tree with the leaves of the given ones one after another along their leading axis, as NumPy arrays."""
    return map_leaves(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves]), *trees)


def repeat(tree: T, num: int) -> T:
    """The tree with a new leading axis [num] over which it is constant, as NumPy arrays."""
    return map_leaves(lambda leaf: np.broadcast_to(np.asarray(leaf), (num, *np.shape(leaf))), tree)


def zeros(shapes: Tree, num: int) -> Tree:
    """Zeros of these shapes with a leading axis [num], as NumPy arrays that take no memory."""
    return jax.tree.map(lambda one: np.broadcast_to(np.zeros((), one.dtype), (num, *one.shape)), shapes)


def take(tree: T, index: ArrayLike | jax.Array | slice | tuple[slice | int, ...]) -> T:
    """Every leaf indexed along its leading axis."""
    return map_leaves(lambda leaf: leaf[index], tree)


def choose_rows(chosen: ArrayLike, on_true: T, on_false: T) -> T:
    """Leaf by leaf, the rows of `on_true` where `chosen` [R] holds, else those of `on_false`, as NumPy arrays."""
    return map_leaves(
        lambda a, b: np.where(np.reshape(chosen, (-1,) + (1,) * (np.ndim(a) - 1)), a, b), on_true, on_false
    )


def to_host(tree: T) -> T:
    """The tree with NumPy leaves."""
    return cast(T, jax.tree.map(np.asarray, jax.device_get(tree)))

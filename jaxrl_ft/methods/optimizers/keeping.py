"""Parts of an optimizer's state: those of single entries, and those that are kept when the task changes."""

from typing import ClassVar, TypeAlias

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.types import PyTree

_FIRST = {"mu", "trace", "m1", "m2"}
_SECOND = {"nu"}
_COUNTS = {"count", "count_m2"}
_ANCHORS = {"x0", "z", "params0", "init_params"}
_SHARED = {"average"}
"""Running means of the gradient that all entries of a group share."""
_ENTRIES = _FIRST | _SECOND | _ANCHORS | {"drift", "exp_avg", "exp_avg_sq", "grad_sum"}


@config
class Keep:
    """Parts of the optimizer's state that fine-tuning takes over from the training before it; 1 keeps, 0 starts anew.

    Whether Adam's state should outlive a change of task is disputed: Continual World (Wołczyk et al. 2021,
    arXiv:2105.10919) resets it, others carry all of it.
    """

    first_moment: float = 0.0
    """1 keeps the running means of the gradient, momentum included"""
    second_moment: float = 0.0
    """1 keeps the running means of the squared gradient"""
    step_count: float = 0.0
    """1 keeps the step counts of the bias correction"""
    rate_factor: float = 0.0
    """1 keeps the factor that `desired_kl` put on the learning rate"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "first_moment": (0.0, 1.0),
        "second_moment": (0.0, 1.0),
        "step_count": (0.0, 1.0),
        "rate_factor": (0.0, 1.0),
    }


Path: TypeAlias = tuple[object, ...]
"""Keys on the way to a leaf, as JAX gives them."""


def _field(path: Path) -> str:
    names = [key.name for key in path if isinstance(key, jax.tree_util.GetAttrKey)]
    return names[-1] if names else ""


def _by_entry(field: str, leaf: jax.Array) -> bool:
    return field in _ENTRIES or (field in _COUNTS and leaf.ndim == 1)


def spread(state: PyTree, size: int) -> PyTree:
    """The state of a group with a step count for each of its `size` entries, int32 [size], in the place of one."""

    def change(path: Path, leaf: jax.Array) -> jax.Array:
        return jnp.broadcast_to(leaf, (size,)) if _field(path) in _COUNTS else leaf

    return jax.tree_util.tree_map_with_path(change, state)


def choose(moves: jax.Array, after: PyTree, before: PyTree) -> PyTree:
    """The state `after` a step where entries move, else that `before`; what entries share moves if any of them does.

    Args:
        moves: which entries move, bool [P].
        after: state of the group after the step.
        before: state of the group before it.
    """

    def change(path: Path, new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(moves if _by_entry(_field(path), new) else jnp.any(moves), new, old)

    return jax.tree_util.tree_map_with_path(change, after, before)


def forgotten(state: PyTree, touched: jax.Array) -> PyTree:
    """The state of a group with the moments and step counts of the touched entries at zero.

    Args:
        state: of the group, with a step count for each entry.
        touched: bool [P].
    """

    def change(path: Path, leaf: jax.Array) -> jax.Array:
        field = _field(path)
        zeroed = _by_entry(field, leaf) and field not in _ANCHORS
        return jnp.where(touched, jnp.zeros_like(leaf), leaf) if zeroed else leaf

    return jax.tree_util.tree_map_with_path(change, state)


def anchored(state: PyTree, fresh: jax.Array, vector: jax.Array) -> PyTree:
    """The state of a group whose fresh entries start from `vector`: both [P]."""

    def change(path: Path, leaf: jax.Array) -> jax.Array:
        return jnp.where(fresh, vector, leaf) if _field(path) in _ANCHORS else leaf

    return jax.tree_util.tree_map_with_path(change, state)


def inherited(fresh: PyTree, old: PyTree, keep: Keep) -> PyTree:
    """The `fresh` state of the groups with the kept parts of the `old` one; leaves with or without an axis of runs.

    A step count that all entries share becomes that of each; of counts by entry the largest becomes the shared one.

    Raises:
        ValueError: the states are not of one optimizer over one tree of parameters.
    """
    ours: object = jax.tree.structure(fresh)
    if ours != jax.tree.structure(old):
        raise ValueError("the old state is of another optimizer or of other parameter groups")

    def change(path: Path, new: jax.Array, before: jax.Array) -> jax.Array:
        field = _field(path)
        if field in _COUNTS and new.ndim != before.ndim:
            before = before.max(-1) if new.ndim < before.ndim else jnp.broadcast_to(before[..., None], new.shape)
        if new.shape != before.shape:
            where = jax.tree_util.keystr(path, simple=True, separator="/")
            raise ValueError(f"the old state does not fit: {where} is {before.shape}, and must be {new.shape}")
        kept = _kept(field, keep)
        if kept is None:
            return new
        return jnp.where(kept.reshape(kept.shape + (1,) * (new.ndim - kept.ndim)) > 0.5, before, new)

    return jax.tree_util.tree_map_with_path(change, fresh, old)


def _kept(field: str, keep: Keep) -> jax.Array | None:
    parts = ((_FIRST | _SHARED, keep.first_moment), (_SECOND, keep.second_moment), (_COUNTS, keep.step_count))
    return next((jnp.asarray(part) for fields, part in parts if field in fields), None)

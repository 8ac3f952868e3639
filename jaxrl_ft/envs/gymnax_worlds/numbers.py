"""The numbers of any gymnax environment: the leaves of its params by name, of fixed type and shape."""

from collections.abc import Mapping

import jax
import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import config
from jaxrl_ft.core.types import EnvParams, Leaf, PyTree

LIMITS = ("max_steps_in_episode", "episode_limit")
"""What the time limit is called among an environment's own params; here it is always `episode_limit`."""
MOST_STEPS = 10_000_000
_KINDS = {"b": "True or False", "i": "a whole number", "u": "a whole number of at least 0", "f": "a finite number"}


@config
class WorldParams:
    """The numbers of an environment that gymnax steps.

    Attributes:
        values: every leaf of the environment's own params but its time limit, by dotted path.
        episode_limit: steps (int32).
        return_range: the lowest and highest undiscounted episode return, where it is known.
    """

    values: dict[str, Leaf]
    episode_limit: Leaf
    return_range: tuple[Leaf, Leaf] | None = None


def named_leaves(env_params: PyTree) -> dict[str, PyTree]:
    """The leaves of an environment's own params by dotted path, such as `motor.gain`."""
    leaves = jax.tree.leaves_with_path(env_params)
    return {jax.tree_util.keystr(path, simple=True, separator=".") or "value": leaf for path, leaf in leaves}


def template(name: str, env_params: EnvParams) -> dict[str, Leaf]:
    """The leaves of an environment's own params as NumPy arrays of the types that JAX gives them.

    Raises:
        ValueError: a leaf is not made of finite numbers, as where the params are no pytree.
    """
    found: dict[str, Leaf] = {}
    for field, leaf in named_leaves(env_params).items():
        if not isinstance(leaf, (bool, int, float, np.ndarray, np.generic, jax.Array)) or _is_key(leaf):
            raise ValueError(
                f"env_params: {type(leaf).__name__} in the params of {name} is not allowed; their leaves must be "
                "numbers or arrays of numbers, and their class a pytree, as flax.struct.dataclass makes one"
            )
        array = np.asarray(leaf)
        kind = array.dtype.kind
        if kind not in _KINDS:
            raise ValueError(f"env_params.{field}: dtype {array.dtype} is not allowed; it must be of real numbers")
        narrow = {"f": np.float32, "i": np.int32, "u": np.uint32}.get(kind, array.dtype)
        kept = array.astype(narrow) if array.dtype.itemsize > 4 else array
        if (kind in "iu" and not np.array_equal(kept, array)) or not np.isfinite(kept).all():
            raise ValueError(f"env_params.{field}: {checks.shown(leaf)} is not allowed; it must be finite in 32 bits")
        found[field] = kept
    return found


def _is_key(leaf: object) -> bool:
    return isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.extended)


def leaf(field: str, value: object, like: Leaf) -> np.ndarray:
    """The value as a NumPy leaf of the type and shape of `like`; one number stands for all entries of an array.

    Raises:
        ValueError: of another kind or shape, not finite, or beyond the range of the type.
    """
    shape = f" of shape {like.shape}" if like.shape else ""
    refused = ValueError(f"{field}: {checks.shown(value)} is not allowed; it must be {_KINDS[like.dtype.kind]}{shape}")
    try:
        array = np.asarray(value)
        entries = np.asarray(array, np.float64)
    except (TypeError, ValueError):
        raise refused from None
    kind, wanted = array.dtype.kind, like.dtype.kind
    if array.shape not in ((), like.shape) or kind not in "biuf" or not np.isfinite(entries).all():
        raise refused
    if wanted == "b" and not np.isin(entries, (0, 1)).all():
        raise refused
    if wanted in "iu":
        kinds = np.iinfo(like.dtype)
        whole = kind != "b" and (entries == np.rint(entries)).all()
        if not whole or (entries < kinds.min).any() or (entries > kinds.max).any():
            raise refused
    if wanted == "f" and (kind == "b" or not np.isfinite(entries.astype(like.dtype)).all()):
        raise refused
    return np.broadcast_to(array.astype(like.dtype), like.shape).copy()


def limit_leaf(value: object) -> np.ndarray:
    """The time limit in steps as an int32 leaf.

    Raises:
        ValueError: not a whole number from 1 to MOST_STEPS.
    """
    if hasattr(value, "dtype") and np.asarray(value).size == 1:
        value = np.asarray(value).item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return np.asarray(checks.count("episode_limit", value, 1, MOST_STEPS), np.int32)


def range_leaves(value: object) -> tuple[np.ndarray, np.ndarray] | None:
    """The lowest and highest return as float32 leaves, or None where they are not known.

    Raises:
        ValueError: not two finite numbers in rising order.
    """
    if value is None:
        return None
    refused = ValueError(
        f"return_range: {checks.shown(value)} is not allowed; it must be two finite numbers, the lower one first"
    )
    try:
        low, high = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise refused from None
    if np.ndim(low) or not np.isfinite([low, high]).all() or not low < high:
        raise refused
    return np.asarray(low), np.asarray(high)


def text(leaf: Leaf) -> str:
    """The leaf in few letters, such as `0.3`, `True` or `(1, 2)`; of a large array its size."""
    entries = np.asarray(leaf)
    if entries.size > 8:
        return f"[{entries.size} numbers]"
    words = [str(bool(e)) if entries.dtype.kind == "b" else f"{e:g}" for e in entries.reshape(-1).tolist()]
    return words[0] if entries.ndim == 0 else f"({', '.join(words)})"


def changed_names(values: Mapping[str, Leaf], usual: Mapping[str, Leaf]) -> list[str]:
    """The names whose values differ from the usual ones."""
    return [name for name, value in values.items() if np.any(np.asarray(value) != np.asarray(usual[name]))]

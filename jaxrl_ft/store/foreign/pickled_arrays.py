"""Arrays inside of inert pickles: those of NumPy and of JAX, made from their bytes, and a walk to find objects."""

import math
from collections.abc import Iterator

import ml_dtypes
import numpy as np

from jaxrl_ft.store.foreign.pickles import Inert, Made, Name

MOST_NUMBERS = 2**28
"""Numbers that one array may hold."""
_KINDS = "bifu"
_BFLOAT16: np.dtype = np.dtype(ml_dtypes.bfloat16)
_RECONSTRUCT = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_SCALAR = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_BUFFER = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
_OF_JAX = ("jax._src.array._reconstruct_array",)


def is_array(value: Inert) -> bool:
    """Whether an inert object stands for an array or a number of NumPy or JAX."""
    return isinstance(value, Made) and value.name in (*_RECONSTRUCT, *_SCALAR, *_BUFFER, *_OF_JAX)


def array(what: str, value: Inert) -> np.ndarray:
    """The array that an inert object stands for.

    Args:
        what: its name, for messages.
        value: as `is_array` accepts, or a number.

    Raises:
        ValueError: it is no array of plain numbers, or its bytes do not fill its shape.
    """
    try:
        return _array(value)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise ValueError(f"{what}: is no array of plain numbers ({str(error)[:200]})") from None


def _array(value: Inert) -> np.ndarray:
    if isinstance(value, (bool, int, float)):
        return np.asarray(value)
    name = value.name if isinstance(value, Made) else type(value).__name__
    if name in _RECONSTRUCT:
        return _restored(value.state)
    if name in _OF_JAX:
        return _restored(value.args[2])
    if name in _SCALAR:
        return filled(_bytes(value.args[1]), dtype(value.args[0]), ())
    if name in _BUFFER:
        data, kind, shape, order = value.args
        return _ordered(_bytes(data), dtype(kind), shape, order == "F")
    raise ValueError(f"it is {name or 'another object'}")


def _restored(state: Inert) -> np.ndarray:
    _, shape, kind, fortran, data = state
    return _ordered(_bytes(data), dtype(kind), shape, bool(fortran))


def _ordered(data: bytes, kind: np.dtype, shape: Inert, fortran: bool) -> np.ndarray:
    sizes = tuple(int(size) for size in shape)
    found = filled(data, kind, sizes[::-1] if fortran else sizes)
    return found.T if fortran else found


def filled(data: bytes, kind: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """An array of this type and shape that the bytes fill exactly.

    Raises:
        ValueError: they do not.
    """
    num = math.prod(shape)
    if any(size < 0 for size in shape) or len(shape) > 16 or num > MOST_NUMBERS or num * kind.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes for shape {shape} of {kind}")
    return np.frombuffer(data, kind).reshape(shape)


def dtype(value: Inert) -> np.dtype:
    """The type of numbers that an inert `numpy.dtype` names.

    Raises:
        ValueError: it is not one of plain numbers.
    """
    if not isinstance(value, Made):
        raise ValueError("its type is not told")
    if value.name == "ml_dtypes.bfloat16":
        return _BFLOAT16
    text = value.args[0]
    if isinstance(text, Name) and text.dotted == "ml_dtypes.bfloat16":
        return _BFLOAT16
    if value.name != "numpy.dtype" or not isinstance(text, str):
        raise ValueError("its type is not told")
    found = np.dtype(text) if text[:1] in _KINDS and text[1:].isdecimal() else np.dtype(object)
    if found.kind not in _KINDS:
        raise ValueError(f"it is of type {text!r}")
    order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "="
    return np.dtype(f"{order}{text}") if order in ("<", ">") else found


def _bytes(value: Inert) -> bytes:
    # Pickles of protocols before 3 write bytes as text.
    if isinstance(value, Made) and value.name == "_codecs.encode" and value.args[1:] == ("latin1",):
        return str(value.args[0]).encode("latin1")
    if isinstance(value, Made) and value.name in ("__builtin__.bytes", "builtins.bytes") and not value.args:
        return b""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise ValueError("its bytes lie elsewhere")


def objects(root: Inert) -> Iterator[Made]:
    """Every object inside of an inert value, each once, the outermost first."""
    seen, todo = set(), [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Made):
            yield node
            todo += [node.entries, node.items, node.state, node.args, node.function]
        elif isinstance(node, dict):
            todo += node.values()
        elif isinstance(node, (list, tuple)) and not isinstance(node, Name):
            todo += reversed(node)


def as_mapping(value: Inert) -> dict[Inert, Inert] | None:
    """The entries of a dict, or of an object that would have been one; None for everything else."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Made) and value.name == "collections.OrderedDict":
        given = [tuple(pair) for pair in value.args[0]] if value.args else []
        return {key: entry for key, entry in [*given, *value.entries] if isinstance(key, (str, int))}
    return None

"""Arrays of all seeds in fewer bytes, and back: whole numbers with scales, bit masks, factors, changes of a base."""

import math
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.core.types import Leaf
from jaxrl_ft.deploy.description import Floats
from jaxrl_ft.methods.adapters.compressed import rounded

Arrays: TypeAlias = Mapping[str, np.ndarray]
Bytes: TypeAlias = NDArray[np.uint8]


class Packed(NamedTuple):
    """A parameter of S seeds as it is stored."""

    codec: str
    """how it is stored, a name of `CODECS`"""
    shape: tuple[int, ...]
    """of the parameter, [S, ...]"""
    arrays: Arrays
    """what is stored, by name"""
    bits: int = 32
    """of an entry, where entries are whole numbers"""

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def stored(self) -> int:
        """Bytes of all arrays in a file, where each is deflated if that is shorter."""
        return sum(min(array.nbytes, len(deflated(array))) for array in self.arrays.values())

    def multiplications(self, leaf: np.ndarray) -> float:
        """Multiply-adds of one seed for one input: entries of factors, or those of the kernel that are not zero.

        Args:
            leaf: the kernel, [S, ...].
        """
        if self.codec == "factors":
            return float(sum(array[0].size for array in self.arrays.values()))
        return np.count_nonzero(leaf) / len(leaf)


def floats(leaf: Leaf) -> Packed:
    """The array [S, ...] as it is, in 32 bits."""
    values = np.asarray(leaf, np.float32)
    return Packed("floats", values.shape, {"values": values})


def integers(leaf: Leaf, bits: int, axes: tuple[int, ...]) -> Packed:
    """The array [S, ...] as whole numbers with scales; numbers of at most 4 bits lie in pairs, the first one low.

    Args:
        leaf: the array.
        bits: of every number, 2 to 8.
        axes: those that share a scale.
    """
    values = np.asarray(leaf, np.float32)
    codes, scale = rounded(values, bits, axes)
    whole = codes.astype(np.int8)
    stored = _paired(whole) if bits <= 4 else whole
    return Packed("integers", values.shape, {"codes": stored, "scale": scale.astype(np.float32)}, bits)


def sparse(leaf: Leaf) -> Packed:
    """The array [S, ...] as a bit for every entry and those that are not zero; as it is where that is shorter."""
    values = np.asarray(leaf, np.float32)
    packed = Packed("sparse", values.shape, _masked(values, values != 0))
    return packed if packed.nbytes < values.nbytes else floats(values)


def factors(leaf: Leaf, rank: int) -> Packed:
    """The kernel [S, ..., in, out] as the product of factors of this rank; as it is where that is shorter.

    The factors are those of the truncated singular value decomposition, the nearest matrix of the rank (Eckart & Young
    1936), singular values shared evenly. A convolution's kernel is the matrix [height x width x in, out].
    """
    values = np.asarray(leaf, np.float32)
    num, *_, outputs = values.shape
    matrix = values.reshape(num, -1, outputs)
    if rank * sum(matrix.shape[1:]) >= matrix[0].size:
        return floats(values)
    left, right = _truncated(_factored(matrix), rank)
    return Packed("factors", values.shape, {"left": left, "right": right})


def change(leaf: Leaf, base: Leaf, tolerance: float) -> Packed:
    """What is new of the array [S, ...] beside that of a base: nothing, a product of factors, or single entries.

    Args:
        leaf: the array.
        base: that of the base, of equal shape.
        tolerance: how far factors may be off, of the largest entry of the array; entries are exact.
    """
    values, before = np.asarray(leaf, np.float32), np.asarray(base, np.float32)
    moved = values.view(np.uint32) != before.view(np.uint32)
    if not moved.any():
        return Packed("same", values.shape, {})
    single = Packed("entries", values.shape, _masked(values, moved))
    product = _low_rank_change(values, before, tolerance) if values.ndim > 2 else None
    return single if product is None or product.nbytes >= single.nbytes else product


def unpack(packed: Packed, base: Leaf | None = None) -> Floats:
    """The parameter [S, ...] in 32 bits.

    Args:
        packed: as stored.
        base: the parameter of the base, which changes are changes of.

    Raises:
        ValueError: the arrays do not fit the shape, or a base is missing or of another shape.
    """
    if packed.codec not in CODECS:
        raise ValueError(f"codec {packed.codec!r} is not known (one of: {', '.join(CODECS)})")
    if packed.codec not in OF_A_BASE:
        # What other kinds leave out is zero, also where a base is at hand.
        base = None
    elif base is None or base.shape != packed.shape:
        raise ValueError(f"a base of shape {list(packed.shape)} is needed")
    try:
        found = CODECS[packed.codec](packed, np.asarray(0 if base is None else base, np.float32))
        return np.asarray(found, np.float32).reshape(packed.shape)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"arrays do not fit {packed.codec} of shape {list(packed.shape)}: {error}") from None


def deflated(array: np.ndarray) -> bytes:
    """The bytes of an array after DEFLATE, which has a Huffman code, as in Deep Compression (arXiv:1510.00149)."""
    return zlib.compress(np.ascontiguousarray(array).tobytes(), 9)


def inflated(data: Bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array whose bytes were deflated.

    Raises:
        ValueError: the bytes are damaged, or not as many as the array has.
    """
    wanted = np.dtype(dtype).itemsize * math.prod(shape)
    stream = zlib.decompressobj()
    try:
        # No more than that is ever made, whatever the bytes say.
        found = stream.decompress(data.tobytes(), wanted + 1)
    except zlib.error as error:
        raise ValueError(f"is damaged: {error}") from None
    if len(found) != wanted or not stream.eof:
        raise ValueError(f"is not {dtype}{list(shape)}")
    return np.frombuffer(found, dtype).reshape(shape)


def _masked(values: Floats, kept: np.ndarray) -> Arrays:
    return {"mask": np.packbits(kept.reshape(len(values), -1), axis=1), "values": values[kept]}


def _unmasked(packed: Packed, otherwise: Floats) -> Floats:
    size = math.prod(packed.shape[1:])
    kept = np.unpackbits(packed.arrays["mask"], axis=1, count=size).astype(bool).reshape(packed.shape)
    values = np.broadcast_to(otherwise, packed.shape).copy()
    values[kept] = packed.arrays["values"]
    return values


def _paired(codes: NDArray[np.int8]) -> Bytes:
    """Whole numbers [S, ...] of 4 bits in pairs, [S, half of them]."""
    flat = codes.reshape(len(codes), -1).view(np.uint8) & 15
    even = np.pad(flat, [(0, 0), (0, flat.shape[1] % 2)])
    return np.asarray(even[:, ::2] | (even[:, 1::2] << 4), np.uint8)


def _whole(packed: Packed) -> NDArray[np.int8]:
    codes = packed.arrays["codes"]
    if packed.bits > 4:
        return codes
    pairs = np.stack([codes & 15, codes >> 4], axis=-1).reshape(len(codes), -1)
    signed = (pairs[:, : math.prod(packed.shape[1:])] ^ 8).astype(np.int8) - 8
    return np.asarray(signed, np.int8).reshape(packed.shape)


def _factored(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factors [S, n, k] and [S, k, m] of matrices [S, n, m], k the smaller side; a rank takes the first."""
    left, values, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    root = np.sqrt(values)
    return left * root[:, None, :], root[:, :, None] * right


def _truncated(factored: tuple[np.ndarray, np.ndarray], rank: int) -> tuple[Floats, Floats]:
    left, right = factored
    return left[:, :, :rank].astype(np.float32), right[:, :rank].astype(np.float32)


def _low_rank_change(values: Floats, before: Floats, tolerance: float) -> Packed | None:
    """The change as factors of the smallest rank that is near enough; None where that is no shorter than the array."""
    num, *_, outputs = values.shape
    moved = (values.astype(np.float64) - before).reshape(num, -1, outputs)
    allowed, factored = tolerance * np.abs(values).max(), _factored(moved)
    for rank in range(1, math.ceil(moved[0].size / sum(moved.shape[1:]))):
        left, right = _truncated(factored, rank)
        packed = Packed("low_rank_change", values.shape, {"left": left, "right": right})
        if np.abs(unpack(packed, before) - values).max() <= allowed:
            return packed
    return None


def _product(packed: Packed) -> Floats:
    return np.asarray(np.matmul(packed.arrays["left"], packed.arrays["right"]), np.float32).reshape(packed.shape)


CODECS: Mapping[str, Callable[[Packed, Floats], np.ndarray]] = {
    "floats": lambda packed, base: packed.arrays["values"],
    "integers": lambda packed, base: _whole(packed) * packed.arrays["scale"],
    "sparse": _unmasked,
    "factors": lambda packed, base: _product(packed),
    "same": lambda packed, base: base,
    "entries": _unmasked,
    "low_rank_change": lambda packed, base: base + _product(packed),
}
"""How every kind of storage is read."""
OF_A_BASE = ("same", "entries", "low_rank_change")
"""Kinds that need the base."""

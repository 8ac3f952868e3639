"""Physical quantities: the default, the accepted range and the unit of each, and checks between two of them."""

import dataclasses
from collections.abc import Mapping
from typing import SupportsFloat

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.types import Leaf


@dataclasses.dataclass(frozen=True)
class Quantity:
    """The default, the accepted range and the unit of one physical quantity; `size` 4 takes a scalar or 4 numbers."""

    default: float
    low: float
    high: float
    unit: str = ""
    size: int = 1
    whole: bool = False

    def leaf(self, field: str, value: object) -> np.ndarray:
        """The value as a NumPy leaf: float32, or int32 when whole; [4] when the size is 4.

        Raises:
            ValueError: not finite, out of range, or of another size.
        """
        if self.size == 1:
            return self._scalar(field, value)
        entries = entries_of(value)
        if len(entries) not in (1, self.size):
            raise ValueError(f"{field}: {checks.shown(value)} is not allowed; it must be one number or {self.size}")
        return np.array([self._scalar(field, entry) for entry in (entries * self.size)[: self.size]])

    def _scalar(self, field: str, value: object) -> np.ndarray:
        if hasattr(value, "dtype") and (array := np.asarray(value)).size == 1:
            value = array.item()
        if self.whole:
            return np.asarray(checks.count(field, value, int(self.low), int(self.high)), np.int32)
        # float32 rounds a bound such as 1e-4 outwards, and a saved task must be readable again
        low, high = min(self.low, float(np.float32(self.low))), max(self.high, float(np.float32(self.high)))
        return np.asarray(checks.number(field, value, low, high, self.unit), np.float32)


def entries_of(value: object) -> list[object]:
    """Return the Python numbers in a scalar, a sequence or an array; other values are returned unchanged."""
    return (np.asarray(value) if hasattr(value, "dtype") else np.asarray(value, object)).reshape(-1).tolist()


def check_order(
    leaves: Mapping[str, SupportsFloat], lower: str, upper: str, otherwise: str, equal: bool = False
) -> None:
    """Refuse physics in which one quantity is not below another.

    Args:
        leaves: quantities by name, scalars.
        lower: the name of the one that must be smaller.
        upper: the name of the other.
        otherwise: what would be wrong with the task, for the message.
        equal: whether the two may be equal.

    Raises:
        ValueError: it is not; both are named with their values.
    """
    low, high = float(leaves[lower]), float(leaves[upper])
    if low > high or (low == high and not equal):
        allowed = "at most" if equal else "less than"
        raise ValueError(f"{lower}: {low:g} is not allowed; it must be {allowed} {upper} ({high:g}), or {otherwise}")


def permutation(field: str, value: object, size: int) -> np.ndarray:
    """The numbers from 0 to `size` - 1 in some order, int32.

    Raises:
        ValueError: not each of them once.
    """
    entries = entries_of(value)
    if sorted(map(str, entries)) != sorted(map(str, range(size))):
        names = f"{', '.join(map(str, range(size - 1)))} and {size - 1}" if 1 < size < 9 else f"0 to {size - 1}"
        raise ValueError(f"{field}: {checks.shown(value)} is not allowed; it must hold {names} once each")
    return np.array(entries, np.int32)


def switch(field: str, value: object) -> np.ndarray:
    """1 or 0, float32.

    Raises:
        ValueError: neither true nor false.
    """
    entries = entries_of(value)
    if len(entries) != 1 or not isinstance(entries[0], (bool, int, float)) or entries[0] not in (0, 1):
        raise ValueError(f"{field}: {checks.shown(value)} is not allowed; it must be True or False")
    return np.asarray(entries[0], np.float32)


def text(leaf: Leaf | int) -> str:
    """The leaf in few letters, such as `0.3` or `(1, 2)`; one number where all entries are equal."""
    entries = np.asarray(leaf)
    if entries.ndim and np.all(entries == entries.flat[0]):
        entries = entries.flat[0]
    if entries.size > 16:
        return f"[{entries.size} numbers]"
    return f"{entries:g}" if np.ndim(entries) == 0 else "(" + ", ".join(f"{e:g}" for e in entries) + ")"

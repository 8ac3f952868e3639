"""Checks at the public door: each raises a ValueError that names the field, the value and what is allowed."""

import difflib
import math
from collections.abc import Iterable
from typing import SupportsFloat, TypeVar, cast

import numpy as np

MAX_SEED = 2**32
T = TypeVar("T")


def nearest(name: object, names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` with the closest known name, or an empty string if none is close."""
    close = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown(field: str, name: object, names: Iterable[str]) -> ValueError:
    """Return the error for a name that is not in a table, with the nearest name and all names."""
    names = list(names)
    return ValueError(f"{field}: {name!r} is not known{nearest(name, names)} (one of: {', '.join(names)})")


def count(field: str, value: object, minimum: int = 1, maximum: int | None = None) -> int:
    """Return the value as an int of at least `minimum` and at most `maximum`.

    Raises:
        ValueError: not a whole number, or outside the bounds.
    """
    whole = int(value) if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else None
    allowed = f"a whole number of at least {minimum}" + (f" and at most {maximum}" if maximum is not None else "")
    if whole is None or whole < minimum or (maximum is not None and whole > maximum):
        raise ValueError(f"{field}: {value!r} is not allowed; it must be {allowed}")
    return whole


def seed(value: object, field: str = "seed") -> int:
    """Return the seed as an int in [0, 2^32); `jax.random.key` wraps other values without an error.

    Raises:
        ValueError: not a whole number in the range.
    """
    return count(field, value, 0, MAX_SEED - 1)


def number(field: str, value: object, low: float, high: float, unit: str = "", low_open: bool = False) -> float:
    """Return the value as a finite float in [low, high], or (low, high] when `low_open`.

    Raises:
        ValueError: not a number, NaN, infinite, or outside the range.
    """
    try:
        result = float(cast(SupportsFloat, value))
    except (TypeError, ValueError):
        result = math.nan
    inside = math.isfinite(result) and (low < result if low_open else low <= result) and result <= high
    if not inside or isinstance(value, (bool, str)):
        opening, closing = "(" if low_open else "[", ")" if math.isinf(high) else "]"
        suffix = f" {unit}" if unit else ""
        raise ValueError(
            f"{field}: {value!r} is not allowed; it must be in {opening}{low:g}, {high:g}{closing}{suffix}"
        )
    return result


def choice(field: str, value: T, allowed: Iterable[T]) -> T:
    """Return the value if it is allowed.

    Raises:
        ValueError: it is not; the nearest allowed one is named.
    """
    allowed = list(allowed)
    if value not in allowed:
        raise unknown(field, value, [str(a) for a in allowed])
    return value

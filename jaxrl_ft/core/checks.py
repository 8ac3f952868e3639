"""Checks at the public door: each raises a ValueError that names the field, the value and what is allowed."""

import difflib
import importlib.util
import math
import os
from collections.abc import Iterable
from typing import SupportsFloat, TypeVar, cast

import numpy as np

MAX_SEED = 2**32
T = TypeVar("T")
_LONGEST = 120
_MAX_FLOAT = float(np.finfo(np.float32).max)


def nearest(name: object, names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` with the closest known name, or an empty string if none is close."""
    close = difflib.get_close_matches(name if isinstance(name, str) else shown(name), list(names), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(value: object) -> str:
    """Return a value as messages show it: in one line, its beginning and its end where it is long."""
    try:
        text = " ".join(repr(value).split())
    except Exception:
        # Python refuses to write whole numbers of thousands of digits, and a class may have a repr that fails.
        return (
            f"a {type(value).__name__} of thousands of digits"
            if isinstance(value, int)
            else f"a {type(value).__name__}"
        )
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}...{text[-_LONGEST // 4 :]}"


def unknown(field: str, name: object, names: Iterable[str]) -> ValueError:
    """Return the error for a name that is not in a table, with the nearest name and all names."""
    names = list(names)
    return ValueError(f"{field}: {shown(name)} is not known{nearest(name, names)} (one of: {', '.join(names)})")


def count(field: str, value: object, minimum: int = 1, maximum: int | None = None) -> int:
    """Return the value as an int of at least `minimum` and at most `maximum`.

    Raises:
        ValueError: not a whole number, or outside the bounds.
    """
    whole = int(value) if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else None
    allowed = f"a whole number of at least {minimum}" + (f" and at most {maximum}" if maximum is not None else "")
    if whole is None or whole < minimum or (maximum is not None and whole > maximum):
        raise ValueError(f"{field}: {shown(value)} is not allowed; it must be {allowed}")
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
        ValueError: not a number, NaN, infinite also as a float32, or outside the range.
    """
    try:
        result = float(cast(SupportsFloat, value)) if not getattr(value, "ndim", 0) else math.nan
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    inside = abs(result) <= _MAX_FLOAT and (low < result if low_open else low <= result) and result <= high
    if not inside or isinstance(value, (bool, np.bool_, str)):
        opening, closing = "(" if low_open else "[", ")" if math.isinf(high) else "]"
        suffix = (f" {unit}" if unit else "") + (", as a 32-bit number" if abs(result) > _MAX_FLOAT else "")
        raise ValueError(
            f"{field}: {shown(value)} is not allowed; it must be in {opening}{low:g}, {high:g}{closing}{suffix}"
        )
    return result


def kind(field: str, value: object, kind: type | tuple[type, ...], words: str) -> None:
    """Refuse a value that is not of a class.

    Args:
        field: what it is called.
        value: what was given.
        kind: the class, or several of which one will do.
        words: what must be given, such as `a Task, as ft.make_task returns`.

    Raises:
        ValueError: it is of another class.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{field}: {shown(value)} is not allowed; it must be {words}")


def switch(field: str, value: object) -> None:
    """Refuse what is neither True nor False; 0 and 1 are numbers.

    Raises:
        ValueError: it is something else.
    """
    kind(field, value, (bool, np.bool_), "True or False")


def path(field: str, value: object) -> None:
    """Refuse what is no path that a system could have.

    Raises:
        ValueError: it is no text and no `Path`, empty, has a null byte, or cannot be written in UTF-8.
    """
    text = str(value) if isinstance(value, (str, os.PathLike)) else ""
    if not text or "\0" in text or text.encode(errors="replace") != text.encode(errors="ignore"):
        raise ValueError(f"{field}: {shown(value)} is not allowed; it must be a path, in UTF-8 and without null bytes")


def sequence(field: str, value: object, words: str = "a sequence of names") -> None:
    """Refuse what has no entries, and text, whose entries are letters.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable) or not getattr(value, "ndim", 1):
        raise ValueError(f"{field}: {shown(value)} is not allowed; it must be {words}")


def callback(value: object, field: str = "callback") -> None:
    """Refuse a callback that cannot be called; None stands for none.

    Raises:
        ValueError: it cannot be called.
    """
    if value is not None and not callable(value):
        raise ValueError(f"{field}: {shown(value)} is not allowed; it must be a function, or None")


def package(field: str, module: str, extra: str, user: str = "") -> None:
    """Refuse what needs a package that is not installed; the message says how to install it.

    Args:
        field: what asked for it.
        module: name of the package's module.
        extra: extra of this package that installs it.
        user: what needs it, where the field does not say so.
    """
    if importlib.util.find_spec(module) is None:
        needs = f"{user} needs" if user else "needs"
        raise ValueError(
            f'{field}: {needs} the package {module}, which is not installed; python -m pip install "jaxrl_ft[{extra}]"'
        )


def choice(field: str, value: T, allowed: Iterable[T]) -> T:
    """Return the value if it is allowed.

    Raises:
        ValueError: it is not; the nearest allowed one is named.
    """
    allowed = list(allowed)
    if getattr(value, "ndim", 0) or value not in allowed:
        raise unknown(field, value, [str(a) for a in allowed])
    return value

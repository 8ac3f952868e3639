"""Spaces of the numbers of methods: what a search may choose for a field, and points drawn from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.methods import grids
from jaxrl_ft.methods.method import Method

_PATIENCE = 100
"""Draws for each point that is wanted"""
Point = dict[str, Any]
"""Values by the dotted path of a field"""


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included; with `log` as many in every factor as in every other."""

    low: float
    high: float
    log: bool = False

    def at(self, share: float, whole: bool) -> float | int:
        """The number at a share in [0, 1) of the range: low (high / low)^share, or low + share (high - low).

        It is rounded as the name of a point is: to 3 digits where the range is logarithmic, else 6. Every whole
        number of a range of theirs has an equal part of it, or of its logarithm.
        """
        low, high = (self.low, self.high + 1) if whole else (self.low, self.high)
        value = low * (high / low) ** share if self.log else low + share * (high - low)
        if whole:
            return min(math.floor(value), int(self.high))
        return min(max(rounded(value, self.log), self.low), self.high)

    def holds(self, value: Any) -> bool:
        """Whether it is a number of the range."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high


Dimension = Range | tuple[Any, ...]
"""A range, or choices"""
Space = Mapping[str, Range | str | Sequence[Any]]
"""By the dotted path of a field: a range, such as `Range(1e-4, 1e-2, log=True)` or "1e-4:1e-2:log", or choices"""


@dataclass(frozen=True)
class Dimensions:
    """The choices of a search for one method.

    Attributes:
        of: ranges and choices by field.
        now: the method's own values of these fields.
    """

    of: Mapping[str, Dimension]
    now: Mapping[str, Any]

    @property
    def size(self) -> float:
        """The number of points; infinite where a range of real numbers is among them."""
        return math.prod(self._size(path) for path in self.of)

    def _size(self, path: str) -> float:
        dimension = self.of[path]
        if not isinstance(dimension, Range):
            return len(dimension)
        return dimension.high - dimension.low + 1 if self.whole(path) else math.inf

    def whole(self, path: str) -> bool:
        """Whether a field holds whole numbers."""
        return isinstance(self.now[path], int)

    def own(self) -> Point | None:
        """The method's own point; None when it does not lie in the space."""
        inside = (
            dimension.holds(self.now[path]) if isinstance(dimension, Range) else self.now[path] in dimension
            for path, dimension in self.of.items()
        )
        return dict(self.now) if all(inside) else None

    def at(self, shares: Sequence[float]) -> Point:
        """The point at shares in [0, 1), one for each field."""
        return {
            path: dimension.at(share, self.whole(path))
            if isinstance(dimension, Range)
            else dimension[int(share * len(dimension))]
            for (path, dimension), share in zip(self.of.items(), shares)
        }

    def drawn(self, num: int, seed: int) -> list[Point]:
        """Draw `num` different points, the method's own first; fewer where the space has no more.

        The draws depend on the seed and on their number alone, so fewer points are the first of more.
        """
        own = self.own()
        points = {} if own is None else {tuple(own.values()): own}
        most = min(num, self.size)
        # A narrow range has few points of 3 digits, and the last of a small space is long in coming.
        for draw in range(_PATIENCE * num):
            if len(points) >= most:
                break
            point = self.at(np.random.default_rng([seed, draw]).random(len(self.of)).tolist())
            points.setdefault(tuple(point.values()), point)
        return list(points.values())[:num]

    def corners(self) -> list[Point]:
        """Points that hold every end and every choice once at least; fields with bounds are fine if these are."""
        ends = {
            path: [self._number(path, end) for end in (dimension.low, dimension.high)]
            if isinstance(dimension, Range)
            else list(dimension)
            for path, dimension in self.of.items()
        }
        longest = max(map(len, ends.values()))
        return [{path: values[min(i, len(values) - 1)] for path, values in ends.items()} for i in range(longest)]

    def _number(self, path: str, end: float) -> float | int:
        return int(end) if self.whole(path) else end


def rounded(value: float, log: bool) -> float:
    """Return the number rounded as in names: to 3 digits where the range is logarithmic, else to 6."""
    return float(f"{value:.3g}" if log else f"{value:g}")


def dimensions(methods: Mapping[str, Method], space: Space) -> dict[str, Dimensions]:
    """Return the choices of every method that has a field of the space, by name.

    Args:
        methods: methods by name.
        space: ranges and choices by field; `-` and `_` are alike.

    Raises:
        ValueError: an empty space, a field that no method has (the nearest is named), an empty range, or a value of
            another type than the field's.
    """
    checks.kind("space", space, Mapping, "ranges or choices by field")
    if not space:
        raise ValueError("space: empty; give a range or choices of one field at least")
    for path in space:
        checks.kind("space", path, str, "ranges or choices by the name of a field")
    given = {path.replace("-", "_"): dimension for path, dimension in space.items()}
    found = {}
    for name, fields in grids.known_fields("space", methods, given).items():
        own = {path: value for path, value in fields.items() if path in given}
        if own:
            ordered = {path: own[path] for path in given if path in own}
            found[name] = Dimensions({path: _checked(path, given[path], now) for path, now in ordered.items()}, ordered)
    return found


def _checked(path: str, given: Any, now: Any) -> Dimension:
    """The dimension in the type of the field's present value; text comes from a command line."""
    parsed = _parsed(path, given) if isinstance(given, str) else given
    if not isinstance(parsed, Range):
        checks.sequence(f"space.{path}", parsed, "a range or a sequence of choices")
        values = tuple(dict.fromkeys(grids.typed(f"space.{path}", value, now) for value in parsed))
        if not values:
            raise ValueError(f"space.{path}: no values; give at least one")
        return values
    if isinstance(now, bool) or not (isinstance(now, (int, float)) or now is None):
        raise ValueError(f"space.{path}: a range is not allowed for {now!r}; list the choices")
    low, high = (grids.typed(f"space.{path}", _plain(end, now), now) for end in (parsed.low, parsed.high))
    if not (math.isfinite(low) and math.isfinite(high) and low < high and (low > 0 or not parsed.log)):
        condition = "0 < low < high" if parsed.log else "low < high"
        raise ValueError(f"space.{path}: {low:g} to {high:g} is not allowed; it must be {condition}")
    return Range(low, high, parsed.log)


def _plain(end: float, now: Any) -> Any:
    """The end of a range, as a whole number where it is one and the field's are."""
    return int(end) if isinstance(now, int) and float(end).is_integer() else end


def _parsed(path: str, text: str) -> Range | list[str]:
    """`low:high`, `low:high:log`, or `a,b,c`."""
    parts = text.split(":")
    if len(parts) == 1:
        return [value for value in text.split(",") if value]
    try:
        low, high = float(parts[0]), float(parts[1])
        if parts[2:] not in ([], ["log"]):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"space.{path}: {checks.shown(text)} is not allowed; it must be low:high, low:high:log or a,b,c"
        ) from None
    return Range(low, high, parts[2:] == ["log"])

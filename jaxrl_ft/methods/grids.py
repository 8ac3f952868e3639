"""Grids over the numbers of methods: every combination is a method of its own, named by what differs."""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import map_fields
from jaxrl_ft.methods.method import Method

Grid = Mapping[str, Sequence[Any]]
"""Values by the dotted path of a field, such as `optimizer.learning_rate`"""


def expanded(methods: Mapping[str, Method], grid: Grid) -> dict[str, Method]:
    """Every method at every point of the grid, by name, such as `lora+learning_rate=0.001`.

    A method takes those fields of the grid that it has; a method with none of them is listed once. A point that changes
    nothing of a method has its plain name, and numbers that are equal in float32 are one.

    Args:
        methods: methods by name.
        grid: values by field; `-` and `_` are alike.

    Raises:
        ValueError: a field that no method has (the nearest is named), no values, or a value of another type.
    """
    for path, values in grid.items():
        checks.kind("grid", path, str, "values by the name of a field")
        checks.sequence(f"grid.{path}", values, "a sequence of values")
    grid = {path.replace("-", "_"): list(values) for path, values in grid.items()}
    fields = known_fields("grid", methods, grid)
    for path, values in grid.items():
        if not values:
            raise ValueError(f"grid.{path}: no values; give at least one")
    points: dict[str, Method] = {}
    for name, method in methods.items():
        own = {path: values for path, values in grid.items() if path in fields[name]}
        for combination in itertools.product(*own.values()):
            chosen = {path: typed(f"grid.{path}", value, fields[name][path]) for path, value in zip(own, combination)}
            points[named(name, method, chosen, grid)] = changed(method, chosen)
    return points


def known_fields(what: str, methods: Mapping[str, Method], paths: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The fields of every method with their values by dotted path; none of a method that does not train.

    Args:
        what: the argument that names the paths, for the error.
        methods: methods by name.
        paths: the fields.

    Raises:
        ValueError: no method has one of the paths; the nearest is named.
    """
    fields = {name: _fields(method) if method.trains else {} for name, method in methods.items()}
    known = list(dict.fromkeys(path for found in fields.values() for path in found))
    for path in paths:
        if path not in known:
            raise checks.unknown(what, path, known)
    return fields


def named(name: str, method: Method, point: Mapping[str, Any], paths: Collection[str]) -> str:
    """The name of a method at a point, such as `lora+learning_rate=0.001`; its own where the point changes nothing.

    Args:
        name: the method's own.
        method: the method.
        point: values by dotted path.
        paths: all fields that are changed in any method; two that end alike are written with their whole paths.
    """
    own = _fields(method)
    if all(_alike(value, own[path]) for path, value in point.items()):
        return name
    return "+".join([name, *(_shown(path, value, paths) for path, value in point.items())])


def changed(method: Method, point: Mapping[str, Any]) -> Method:
    """The method with these values in its fields, by dotted path."""
    return map_fields(method, lambda path, value: point.get(path, value))


def _fields(method: Method) -> dict[str, Any]:
    found: dict[str, Any] = {}
    map_fields(method, found.setdefault)
    return found


def typed(where: str, value: Any, now: Any) -> Any:
    """The value in the type of the field's present one; what is text comes from a command line.

    Args:
        where: the argument and the path, for the error.
        value: the value.
        now: the field's present value.

    Raises:
        ValueError: it has another type.
    """
    whole = isinstance(now, int) and not isinstance(now, bool)
    try:
        if isinstance(now, bool):
            return {"true": True, "false": False}[str(value).lower()]
        if whole:
            return int(value) if isinstance(value, str) else checks.count(where, value, -(2**31))
        return float(value) if isinstance(now, float) or now is None else value
    except (KeyError, TypeError, ValueError):
        kind = "true or false" if isinstance(now, bool) else "a whole number" if whole else "a number"
        raise ValueError(f"{where}: {checks.shown(value)} is not allowed; it must be {kind}") from None


def _alike(value: Any, own: Any) -> bool:
    """Whether two values of a field make the same run: programs compute with numbers in float32."""
    numbers = isinstance(value, float) and isinstance(own, float)
    return bool(_single(value) == _single(own) if numbers else value == own)


def _single(value: float) -> np.float32:
    """The number in float32; one beyond its range is refused later, by its bounds."""
    with np.errstate(over="ignore"):
        return np.float32(value)


def _shown(path: str, value: Any, paths: Collection[str]) -> str:
    short = path.split(".")[-1]
    shown = short if sum(other.split(".")[-1] == short for other in paths) == 1 else path
    if not isinstance(value, float):
        return f"{shown}={value}"
    # Any two numbers in float32 differ within nine digits.
    return f"{shown}={value:g}" if _alike(value, float(f"{value:g}")) else f"{shown}={_single(value):.9g}"

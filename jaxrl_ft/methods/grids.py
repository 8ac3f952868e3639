"""Grids over the numbers of methods: every combination is a method of its own, named by what differs."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import map_fields
from jaxrl_ft.methods.method import Method

Grid = Mapping[str, Sequence[Any]]
"""Values by the dotted path of a field, such as `optimizer.learning_rate`"""


def expanded(methods: Mapping[str, Method], grid: Grid) -> dict[str, Method]:
    """Every method at every point of the grid, by name, such as `lora+learning_rate=0.001`.

    A method takes those fields of the grid that it has, and stands once where it has none.

    Args:
        methods: methods by name.
        grid: values by field; `-` and `_` are alike.

    Raises:
        ValueError: a field that no method has (the nearest is named), no values, or a value of another type.
    """
    grid = {path.replace("-", "_"): list(values) for path, values in grid.items()}
    fields = {name: _fields(method) if method.trains else {} for name, method in methods.items()}
    known = list(dict.fromkeys(path for found in fields.values() for path in found))
    for path, values in grid.items():
        if path not in known:
            raise checks.unknown("grid", path, known)
        if not values:
            raise ValueError(f"grid.{path}: no values; give at least one")
    points: dict[str, Method] = {}
    for name, method in methods.items():
        own = {path: values for path, values in grid.items() if path in fields[name]}
        for combination in itertools.product(*own.values()):
            chosen = {path: _typed(path, value, fields[name][path]) for path, value in zip(own, combination)}
            points["+".join([name, *(_shown(path, value, grid) for path, value in chosen.items())])] = _with(
                method, chosen
            )
    return points


def _fields(method: Method) -> dict[str, Any]:
    found: dict[str, Any] = {}
    map_fields(method, found.setdefault)
    return found


def _with(method: Method, chosen: Mapping[str, Any]) -> Method:
    return map_fields(method, lambda path, value: chosen.get(path, value))


def _typed(path: str, value: Any, now: Any) -> Any:
    """The value in the type of the field's present one; what is text comes from a command line."""
    whole = isinstance(now, int) and not isinstance(now, bool)
    try:
        if isinstance(now, bool):
            return {"true": True, "false": False}[str(value).lower()]
        if whole:
            return int(value) if isinstance(value, str) else checks.count(f"grid.{path}", value, -(2**31))
        return float(value) if isinstance(now, float) or now is None else value
    except (KeyError, TypeError, ValueError):
        kind = "true or false" if isinstance(now, bool) else "a whole number" if whole else "a number"
        raise ValueError(f"grid.{path}: {value!r} is not allowed; it must be {kind}") from None


def _shown(path: str, value: Any, grid: Mapping[str, Any]) -> str:
    short = path.split(".")[-1]
    # Two fields of one name are told apart by their whole paths.
    unique = sum(other.split(".")[-1] == short for other in grid) == 1
    return (
        f"{short if unique else path}={value:g}" if isinstance(value, float) else f"{short if unique else path}={value}"
    )

"""Checks of a whole config, before anything compiles."""

import dataclasses
import itertools
import math
import typing
from typing import Literal

from jaxrl_ft.core import checks


def check_config(value: object, name: str, kind: type | None = None) -> None:
    """Check every field of a config and of the configs inside it.

    Floats must be finite and within the class's `BOUNDS` (by default at least 0), whole numbers at least 1, choices
    among the allowed, and each entry of a tuple as a field of its type; then the config's own `check()` runs where it
    has one.

    Args:
        value: the config.
        name: what the user calls it, for messages.
        kind: the class that it must be of; any config without.

    Raises:
        ValueError: names the field by dotted path, the value and what is allowed.
    """
    if kind is not None and not isinstance(value, kind):
        raise ValueError(f"{name}: {checks.shown(value)} is not allowed; it must be of type {kind.__name__}")
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise ValueError(f"{name}: {checks.shown(value)} is not allowed; it must be a config, such as ft.PPO()")
    hints = typing.get_type_hints(type(value))
    bounds = getattr(value, "BOUNDS", {})
    for field in dataclasses.fields(value):
        _check_field(f"{name}.{field.name}", getattr(value, field.name), hints[field.name], bounds.get(field.name))
    own = getattr(value, "check", None)
    if own is not None:
        try:
            own()
        except ValueError as error:
            raise ValueError(f"{name}.{error}") from None


def _check_field(path: str, value: object, annotation: object, bounds: tuple[float, float] | None) -> None:
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal:
        checks.choice(path, value, arguments)
    elif typing.get_origin(annotation) is tuple:
        if not isinstance(value, tuple):
            raise ValueError(f"{path}: {checks.shown(value)} is not allowed; it must be a tuple")
        kinds = itertools.cycle(kind for kind in arguments if kind is not Ellipsis)
        for i, (entry, kind) in enumerate(zip(value, kinds)):
            _check_field(f"{path}[{i}]", entry, kind, bounds)
    elif annotation is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{path}: {checks.shown(value)} is not allowed; it must be True or False")
    elif annotation is int:
        low, high = bounds or (1, 2**31 - 1)
        checks.count(path, value, int(low), int(high))
    elif annotation is float or float in arguments:
        if value is None and type(None) in arguments:
            return
        low, high = bounds or (0.0, math.inf)
        checks.number(path, value, low, high)
    elif annotation is str:
        if not isinstance(value, str):
            raise ValueError(f"{path}: {checks.shown(value)} is not allowed; it must be text")
    elif dataclasses.is_dataclass(annotation):
        check_config(value, path, typing.cast(type, annotation))

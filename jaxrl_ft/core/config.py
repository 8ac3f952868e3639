"""The config rule: structure is static, every float is traced.

A config is a frozen dataclass registered as a pytree. Fields annotated `int`, `bool`, `str`, `Literal` or a tuple
of these are static; every other field (`float`, `float | None`, tuples of floats, configs, tuples of configs) is a
subtree. Two configs that differ in floats alone share one compiled program and stack into a sweep.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, TypeVar, Union, cast, dataclass_transform

import jax
import numpy as np

from jaxrl_ft.core.files import Json
from jaxrl_ft.core.tree import map_leaves

T = TypeVar("T")

CONFIGS: dict[str, type] = {}
"""The class of every config by its name."""
_DICT = "dict"
_PACKAGE = __name__.split(".")[0]


def _is_static(annotation: object) -> bool:
    origin = typing.get_origin(annotation)
    if annotation in (int, bool, str):
        return True
    if origin is Literal:
        return True
    if origin in (Union, types.UnionType):
        members = [a for a in typing.get_args(annotation) if a is not type(None)]
        return all(_is_static(member) for member in members)
    if origin is tuple:
        members = [a for a in typing.get_args(annotation) if a is not Ellipsis]
        return bool(members) and all(_is_static(member) for member in members)
    return False


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[T]) -> type[T]:
    """A frozen, keyword-only dataclass registered as a pytree by the rule of this module.

    Two configs are equal, and have one hash, where class, structure and all numbers are: arrays entry by entry. Classes
    are found again by name when a saved config is read, so names are unique.

    Raises:
        TypeError: a config of this name exists in another module.
    """
    frozen = dataclasses.dataclass(frozen=True, kw_only=True, eq=False)(cls)
    for name, method in (("__eq__", _equal), ("__hash__", _hash)):
        setattr(frozen, name, method)
    hints = typing.get_type_hints(frozen)
    names = [f.name for f in dataclasses.fields(frozen)]  # type: ignore[arg-type]
    static = [name for name in names if _is_static(hints[name])]
    data = [name for name in names if name not in static]
    # Not `register_dataclass`: jaxlib takes two such classes for one where their static fields are equal, and jit then
    # now and then runs the program of the other.
    jax.tree_util.register_pytree_with_keys(
        frozen,
        partial(_children, data, static),
        partial(_rebuilt, frozen, data, static),
        partial(_leaves, data, static),
    )
    known = CONFIGS.get(cls.__name__)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise TypeError(f"config name {cls.__name__!r} is taken by {known.__module__}")
    CONFIGS[cls.__name__] = frozen
    return frozen


def _content(value: object) -> tuple[object, ...]:
    """Return structure and numbers of a config; a Python number equals a scalar array."""
    leaves, structure = jax.tree.flatten(value)
    return (structure, *((np.shape(leaf), *np.ravel(leaf).tolist()) for leaf in leaves))


def _equal(self: object, other: object) -> bool:
    return _content(self) == _content(other) if type(other) is type(self) else NotImplemented


def _hash(self: object) -> int:
    return hash(_content(self))


def _children(data: list[str], static: list[str], value: object) -> tuple[list[Any], tuple[Any, ...]]:
    """Return the subtrees with their keys, and the static fields."""
    children, fixed = _leaves(data, static, value)
    return [(jax.tree_util.GetAttrKey(name), child) for name, child in zip(data, children)], fixed


def _leaves(data: list[str], static: list[str], value: object) -> tuple[list[Any], tuple[Any, ...]]:
    return [getattr(value, name) for name in data], tuple(getattr(value, name) for name in static)


def _rebuilt(
    cls: type[T], data: list[str], static: list[str], fixed: tuple[object, ...], children: Iterable[object]
) -> T:
    # Without `__init__`, as JAX puts placeholders of any type into a tree.
    value = object.__new__(cls)
    value.__dict__.update(zip(data, children), **dict(zip(static, fixed)))
    return value


def as_arrays(tree: T) -> T:
    """Return the config with every float as a float32 array, so that Python floats and arrays share one trace."""
    return map_leaves(lambda leaf: np.asarray(leaf, np.float32), tree)


def floats(tree: object) -> dict[str, float]:
    """Return the floats of a config by dotted path, for checks and result tables."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): float(leaf) for path, leaf in leaves}


def to_json(value: object) -> Json:
    """Return a JSON value from which `from_json` makes the same config.

    The type of a config is the name of its class, behind the module where that is not of this package.

    Raises:
        TypeError: the value is neither a config nor made of numbers, strings, tuples and None.
    """
    if type(value).__name__ in CONFIGS and dataclasses.is_dataclass(value):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": _type_name(type(value)), **fields}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return np.asarray(value).tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {"type": _DICT, "items": {str(key): to_json(item) for key, item in value.items()}}
    raise TypeError(f"a config holds numbers, strings, tuples and configs, not {type(value).__name__}")


def _type_name(cls: type) -> str:
    own = cls.__module__.split(".")[0] == _PACKAGE
    return cls.__name__ if own else f"{cls.__module__}.{cls.__name__}"


def modules_of(value: object) -> set[str]:
    """Return the modules outside of this package that define the classes of a config and of its parts."""
    if not dataclasses.is_dataclass(value):
        return set()
    module, _, _ = _type_name(type(value)).rpartition(".")
    inner = (modules_of(getattr(value, field.name)) for field in dataclasses.fields(value))
    return {module}.union(*inner) - {""}


def from_json(value: Json) -> Any:
    """Return the config that `to_json` described; lists become tuples, and no module is imported.

    A class with a static method `upgraded` is given its JSON fields first, and returns those that it has now.

    Raises:
        ValueError: the type or a field is not known here; a module that must be imported first is named.
    """
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if not isinstance(value, dict):
        return value
    if value.get("type") == _DICT:
        return {key: from_json(item) for key, item in value["items"].items()}
    fields = dict(value)
    told: object = fields.pop("type", None)
    module, _, name = told.rpartition(".") if isinstance(told, str) else ("", "", told)
    if name not in CONFIGS and module == "__main__":
        raise ValueError(f"needs class {name}, which the script or notebook that saved it defined; define it first")
    if name not in CONFIGS and module:
        raise ValueError(f"needs module {module} (class {name}); import it first, or give --import {module}")
    if name not in CONFIGS:
        raise ValueError(f"config type {name!r} is not known; known: {', '.join(sorted(CONFIGS))}")
    cls = CONFIGS[name]
    fields = getattr(cls, "upgraded", dict)(fields)
    known = {f.name for f in dataclasses.fields(cls)}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise ValueError(f"{name} has no field {unknown[0]!r}; its fields: {', '.join(sorted(known))}")
    return cls(**{key: from_json(item) for key, item in fields.items()})


def map_fields(value: T, function: Callable[[str, Any], Any], prefix: str = "") -> T:
    """Replace every field that is not a config itself by `function(dotted_path, value)`."""
    if not dataclasses.is_dataclass(value):
        return cast(T, function(prefix, value))
    changed = {}
    for field in dataclasses.fields(value):
        path = f"{prefix}.{field.name}" if prefix else field.name
        changed[field.name] = map_fields(getattr(value, field.name), function, path)
    return dataclasses.replace(value, **changed)  # type: ignore[type-var]

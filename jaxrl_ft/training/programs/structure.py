"""The structure of a pytree as JSON, by which a program is found again and its results get their classes back."""

import functools
import sys
from collections.abc import Sequence
from types import NoneType
from typing import TypeAlias

import jax
import numpy as np
from jax.tree_util import PyTreeDef, default_registry

from jaxrl_ft.core.files import Json
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.training.programs.live import LIBRARIES, PACKAGE

LEAF = "*"
LeafType: TypeAlias = tuple[tuple[int, ...], str, bool]
"""Shape and type of an array, and whether the type is weak."""
_TRUSTED = {PACKAGE, "builtins", *LIBRARIES}


class UnstorableError(Exception):
    """Something cannot be described such that a later process finds the same."""


def described(structure: PyTreeDef) -> Json:
    """Return the JSON from which `rebuilt` makes the structure.

    Raises:
        UnstorableError: it holds a class from elsewhere than this package and the libraries it stands on, or static
            data that is not made of numbers, text, None, tuples and such classes.
    """
    node = structure.node_data()
    if node is None:
        return LEAF
    kind, data = node
    return [_class_name(kind), value(data), [described(child) for child in structure.children()]]


def rebuilt(description: Json) -> PyTreeDef:
    """Return the structure that `described` was applied to; no module is imported.

    Raises:
        UnstorableError: it names a class that is not loaded here.
    """
    node = None
    children: list[PyTreeDef] = []
    if description != LEAF:
        kind, data, inner = description
        node, children = (_class(kind), _value(data)), [rebuilt(child) for child in inner]
    made: PyTreeDef = PyTreeDef.from_node_data_and_children(default_registry, node, children)
    return made


def value(static: object) -> Json:
    """Return static data as JSON that tells types apart.

    Raises:
        UnstorableError: as `described` does.
    """
    if static is None or static.__class__ in (bool, int, float, str):
        return static
    if isinstance(static, (tuple, list)) and static.__class__ in (tuple, list):
        return {static.__class__.__name__: [value(item) for item in static]}
    if isinstance(static, type):
        return {"class": _class_name(static)}
    raise UnstorableError(f"{static!r} is static")


def _value(told: Json) -> object:
    if not isinstance(told, dict):
        return told
    ((kind, content),) = told.items()
    if kind == "class":
        return _class(content)
    items = [_value(item) for item in content]
    return tuple(items) if kind == "tuple" else items


def _class_name(cls: type) -> str:
    name = f"{cls.__module__}:{cls.__qualname__}"
    if cls is not NoneType and _class(name) is not cls:
        raise UnstorableError(f"{name} names another class")
    return name


def _class(name: str) -> type:
    module, _, inner = name.partition(":")
    if name == "builtins:NoneType":
        return NoneType
    try:
        if module.split(".")[0] not in _TRUSTED:
            raise UnstorableError(f"{name} is a class from elsewhere")
        found = functools.reduce(getattr, inner.split("."), sys.modules[module])
    except (AttributeError, KeyError) as error:
        raise UnstorableError(f"{name} is not loaded") from error
    if not isinstance(found, type):
        raise UnstorableError(f"{name} is no class")
    return found


def leaf_types(leaves: Sequence[PyTree]) -> tuple[LeafType, ...]:
    """Return the type of each leaf: what a program is traced for, besides structure."""
    return tuple(_leaf_type(leaf) for leaf in leaves)


def _leaf_type(leaf: PyTree) -> LeafType:
    if not isinstance(leaf, (np.ndarray, np.generic)):
        leaf = jax.typeof(leaf)
    return tuple(leaf.shape), str(leaf.dtype), bool(getattr(leaf, "weak_type", False))

"""What the loaded code is, so that whatever somebody has put in the place of a part of it is noticed.

A function is described by its file, line and name, what it closes over and what it wraps; a class by its name; an
object by its class and attributes. What files hold is looked at in `code`. Nothing that is written elsewhere than in
this package and the libraries it stands on has a description, since it may call anything.
"""

import functools
import hashlib
import inspect
import os
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import NamedTuple, TypeAlias

import jax
import numpy as np

from jaxrl_ft.core.config import CONFIGS
from jaxrl_ft.core.table import AnyTable, Table

PACKAGE = __name__.split(".")[0]
ROOT = Path(__file__).parents[2]
EDITED = ("gymnax", "optax", "flax", "chex")
"""Libraries in which constants and objects are looked at too."""
WATCHED = (*EDITED, "jax", "numpy")
"""Libraries that somebody may have changed functions of."""
LIBRARIES = (*WATCHED, "jaxlib")
"""Whose classes and functions may be in a stored program."""
_HELPERS = ("absl", "flatbuffers", "jaxtyping", "lazy_loader", "ml_dtypes", "rich", "toolz", "typing_extensions")
"""What stands in the modules of these libraries, and no program depends on."""
_COMPILED = ("nanobind", "_cython_")
"""Beginnings of the modules of classes that extensions generate."""
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
_HOLDERS = (property, staticmethod, classmethod, functools.partial, functools.cached_property)
_GENERATED, _DEEPEST = "<string>", 3

Told: TypeAlias = object
"""A description made of lists, tuples and text, equal in every process for equal code."""
Live: TypeAlias = dict[str, str]
"""Hashes by the name of a module, or by those of a table and a row."""


class ForeignError(Exception):
    """Something is from elsewhere than this package and the libraries it stands on."""


def state() -> Live:
    """Return the hash of each loaded module of this package and its libraries, and of each row of its tables.

    Raises:
        ForeignError: a part is from elsewhere.
    """
    watched = [(name, module) for name, module in list(sys.modules.items()) if _top(name) in (PACKAGE, *WATCHED)]
    # The package itself gets its names when they are first asked for, from modules that are looked at.
    loaded = [(name, module) for name, module in watched if name != PACKAGE]
    hashes = {name: _module_hash(name, module) for name, module in loaded}
    for table in _tables(module for name, module in loaded if _top(name) == PACKAGE):
        hashes |= _row_hashes(table)
    return hashes


def agree(before: Live, now: Live) -> bool:
    """Return whether all that was loaded before, and is loaded now, is the same."""
    return all(now.get(place, one) == one for place, one in before.items())


class _Module(NamedTuple):
    spaces: list[Mapping[str, object]]
    """names of the module and of its classes, as they are now"""
    objects: list[object]
    """what they stood for, kept so that no other object has the identity of one of them"""
    ids: list[int]
    digest: str


class _Rows(NamedTuple):
    objects: list[object]
    """a table and its rows, kept likewise"""
    ids: list[tuple[str, int]]
    hashes: Live


_modules: dict[str, _Module] = {}
_rows: dict[int, _Rows] = {}
_lates: dict[type, set[str]] = {}


def _module_hash(name: str, module: ModuleType) -> str:
    known = _modules.get(name)
    if known is None or [id(found) for space in known.spaces for found in space.values()] != known.ids:
        classes = {found for found in vars(module).values() if isinstance(found, type) and found.__module__ == name}
        spaces = [vars(module), *(vars(cls) for cls in sorted(classes, key=lambda cls: cls.__qualname__))]
        objects = [found for space in spaces for found in space.values()]
        near = _top(name) in (PACKAGE, *EDITED)
        told = [item for space in spaces for item in _space(space, near)]
        _modules[name] = known = _Module(spaces, objects, [id(found) for found in objects], _digest(told))
    return known.digest


def _space(space: Mapping[str, object], near: bool) -> Iterator[Told]:
    for key, found in sorted(space.items()):
        # A module may be loaded by the first question.
        if isinstance(found, (ModuleType, Table)):
            continue
        if isinstance(found, FunctionType) or hasattr(found, "__wrapped__"):
            yield key, (_told(found) if near else _shallow(found))
        elif near and not key.startswith("__") and _matters(found):
            yield key, _told(found)


def _matters(found: object) -> bool:
    """Whether a program may depend on it, and it stays as it is after the module was imported."""
    return isinstance(found, (*_PLAIN, *_HOLDERS, type, tuple, frozenset)) or _ours(type(found))


def _tables(modules: Iterator[ModuleType]) -> list[AnyTable]:
    found = {id(one): one for module in modules for one in vars(module).values() if isinstance(one, Table)}
    return list(found.values())


def _row_hashes(table: AnyTable) -> Live:
    known, now = _rows.get(id(table)), [(name, id(row)) for name, row in table.items()]
    if known is None or known.ids != now:
        _rows[id(table)] = known = _Rows([table, *table.values()], now, dict(_told_rows(table)))
    return known.hashes


def _told_rows(table: AnyTable) -> Iterator[tuple[str, str]]:
    """The hashes of rows, those left out that reach a program as arguments alone, whoever wrote their classes."""
    for name, row in table.items():
        by_user = _top(table.module(name)) != PACKAGE
        if by_user and not _is_config(row):
            raise ForeignError(f"{table.kind} {name} was added by {table.module(name)}")
        if not by_user:
            yield f"{table.kind}:{name}", _digest(_told(row))


def _digest(told: Told) -> str:
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _shallow(found: object) -> Told:
    """What stands in a place of a large library: where the function was written."""
    inside = inspect.unwrap(found) if callable(found) else found
    if not isinstance(inside, FunctionType):
        return str(getattr(inside, "__qualname__", ""))
    return _written(inside)


def _told(found: object, above: tuple[int, ...] = ()) -> Told:
    """The description of an object; of one that it is a part of, the place among those `above`."""
    if isinstance(found, _PLAIN):
        return repr(found)
    if isinstance(found, type):
        return _class(found)
    if id(found) in above:
        return above.index(id(found))
    if len(above) > _DEEPEST:
        return _class(type(found))
    deeper = functools.partial(_told, above=(*above, id(found)))
    if isinstance(found, FunctionType):
        return _function(found, deeper)
    if isinstance(found, (tuple, list)):
        return [_class(type(found)), *(deeper(item) for item in found)]
    if isinstance(found, (set, frozenset)):
        return sorted(repr(deeper(item)) for item in found)
    if isinstance(found, (dict, types.MappingProxyType)):
        return sorted((repr(deeper(key)), repr(deeper(item))) for key, item in found.items())
    if isinstance(found, (np.ndarray, np.generic, jax.Array)):
        array = np.asarray(found)
        return [array.shape, str(array.dtype), hashlib.sha256(array.tobytes()).hexdigest()]
    return [deeper(part) for part in _held(found)] or _object(found, deeper)


def _held(found: object) -> list[object]:
    """What a holder of functions holds; nothing where it is none."""
    if isinstance(found, (staticmethod, classmethod, types.MethodType)):
        return [found.__func__, getattr(found, "__self__", None)]
    if isinstance(found, functools.partial):
        return [found.func, found.args, found.keywords]
    if isinstance(found, (property, functools.cached_property)):
        return [getattr(found, name, None) for name in ("fget", "fset", "func")]
    return [type(found).__name__, found.__wrapped__] if hasattr(found, "__wrapped__") else []


def _object(found: object, deeper: Callable[[object], Told]) -> Told:
    cls = type(found)
    if not hasattr(found, "__dict__"):
        return [_class(cls), str(getattr(found, "__name__", ""))]
    if not _ours(cls):
        return _class(cls)
    return [
        _class(cls),
        *((name, deeper(part)) for name, part in sorted(vars(found).items()) if name not in _late(cls)),
    ]


def _late(cls: type) -> set[str]:
    """Attributes that an object gets when they are first asked for."""
    if cls not in _lates:
        parts = ((name, part) for kind in cls.__mro__ for name, part in vars(kind).items())
        _lates[cls] = {name for name, part in parts if isinstance(part, functools.cached_property)}
    return _lates[cls]


def _function(found: FunctionType, deeper: Callable[[object], Told]) -> Told:
    cells = [cell.cell_contents for cell in found.__closure__ or () if _filled(cell)]
    parts = [*cells, found.__defaults__, found.__kwdefaults__, getattr(found, "__wrapped__", None)]
    return [*_written(found), *(deeper(part) for part in parts if part is not None)]


def _written(function: FunctionType) -> tuple[str, int, str]:
    """Where a function of this package, of the libraries it stands on, or of Python's own is written."""
    code = function.__code__
    special = function.__name__.startswith("__") and function.__globals__.get("__name__") != "__main__"
    # What dataclasses and named tuples generate has no file.
    if not (code.co_filename.startswith(_roots()) or (code.co_filename == _GENERATED and special)):
        raise ForeignError(f"{function.__qualname__} is written in {code.co_filename}")
    return code.co_filename, code.co_firstlineno, code.co_name


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _class(cls: type) -> str:
    return _class_name(str(cls.__module__), cls.__qualname__)


@functools.cache
def _class_name(module: str, name: str) -> str:
    top = _top(module)
    known = top in (PACKAGE, *LIBRARIES, *_HELPERS) or (top in sys.stdlib_module_names and top != "__main__")
    if not (known or top.startswith(_COMPILED)):
        raise ForeignError(f"{name} is a class of {module}")
    return f"{module}:{name}"


def _ours(cls: type) -> bool:
    return _top(str(cls.__module__)) in (PACKAGE, *LIBRARIES)


def _is_config(row: object) -> bool:
    cls = row if isinstance(row, type) else type(row)
    return CONFIGS.get(cls.__name__) is cls


@functools.cache
def _roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    places = [f"{paths[where]}{os.sep}{name}" for where in ("purelib", "platlib") for name in (*LIBRARIES, *_HELPERS)]
    places += [f"{paths['stdlib']}{os.sep}{name}" for name in sys.stdlib_module_names]
    return (f"{ROOT}{os.sep}", "<frozen ", *(place + end for place in places for end in (os.sep, ".py")))


def _top(module: str) -> str:
    return module.split(".")[0]

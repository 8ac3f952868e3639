"""What a compiled program depends on besides its arguments: code, libraries, machine and settings."""

import functools
import hashlib
import importlib.util
import inspect
import json
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FunctionType, ModuleType

import jax
import psutil

from jaxrl_ft.core import machine
from jaxrl_ft.core.config import CONFIGS
from jaxrl_ft.core.table import Table

PACKAGE = __name__.split(".")[0]
ROOT = Path(__file__).parents[2]
LIBRARIES = ("gymnax", "optax", "flax", "chex", "jax", "numpy")
"""Whose classes and functions may be in a stored program."""
_EDITED = ("gymnax", "optax", "flax", "chex")
"""Libraries whose files are looked at, as somebody may work on them; the others are known by their versions."""
_UNRELATED = ("compilation_cache", "persistent_cache", "log")
"""Parts of the names of settings that change no program."""
_VARIABLES = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
_GENERATED, _DEEPEST = "<string>", 8

Stamp = tuple[str, int, int]
"""Path, size and time of change of a file."""


@functools.cache
def fingerprint() -> str | None:
    """The hash of all code and of the machine; None where the code is not what its files say.

    A file that changed since this process began may have been loaded before it did.
    """
    stamps = [*_hashed(), *_stamps(_library_files())]
    # The start of a process is known to a second.
    if max(changed for _, _, changed in stamps) > (psutil.Process().create_time() - 1.0) * 1e9:
        return None
    sources = [hashlib.sha256(path.read_bytes()).hexdigest() for path in _own_files()]
    backend = jax.devices()[0].client
    kinds = [device.device_kind for device in jax.devices()]
    variables = [os.environ.get(name) for name in _VARIABLES]
    parts = [stamps, sources, machine.versions(), backend.platform, backend.platform_version, kinds, _cpu(), variables]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def trustworthy() -> bool:
    """Whether the code in this process is that of the files that were hashed."""
    return jax.process_count() == 1 and fingerprint() is not None and not any(_replaced())


def unchanged() -> bool:
    """Whether the files of this package are those that were hashed."""
    return _stamps(_own_files()) == _hashed()


def settings() -> tuple[str, ...]:
    """Return the values of JAX's settings that a program may depend on, in this thread."""
    return tuple(repr(getattr(jax.config, name, jax.config.values[name])) for name in _settings())


def own(function: Callable[..., object]) -> bool:
    """Whether a function is written in a file of this package."""
    path: str = inspect.unwrap(function).__code__.co_filename
    return path.startswith(f"{ROOT}{os.sep}")


@functools.cache
def _settings() -> tuple[str, ...]:
    return tuple(name for name in sorted(jax.config.values) if not any(part in name for part in _UNRELATED))


def _known(function: FunctionType) -> bool:
    """Whether a function is of this package, or was installed, or was generated for a dataclass."""
    path = function.__code__.co_filename
    generated = path == _GENERATED and function.__name__.startswith("__")
    return generated or path.startswith(("<frozen ", *_roots()))


@functools.cache
def _roots() -> tuple[str, ...]:
    installed = [sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")]
    return tuple(f"{folder}{os.sep}" for folder in (ROOT, *installed))


def _folder(library: str) -> Path:
    found = importlib.util.find_spec(library)
    return Path(str(found.origin)).parent if found else Path(library)


def _own_files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def _library_files() -> list[Path]:
    return [path for name in _EDITED for path in sorted(_folder(name).rglob("*.py"))]


def _stamps(files: Sequence[Path]) -> list[Stamp]:
    """The files as they are now."""
    stats = [(path, path.stat()) for path in files]
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats]


@functools.cache
def _hashed() -> list[Stamp]:
    return _stamps(_own_files())


def _cpu() -> list[str]:
    """What the processor can do, which compiled code relies on."""
    if not machine.CPU_INFO.exists():
        return [machine.hardware()["processor"]]
    lines = machine.CPU_INFO.read_text(encoding="utf-8").splitlines()
    return sorted({line for line in lines if line.split("\t")[0].split(":")[0].strip() in ("model name", "flags")})


def _replaced() -> Iterator[str]:
    """What somebody has put into this package: functions of other files, and rows of tables that are no configs.

    A config may come from anywhere, since its class is part of the structure that a program is stored under.
    """
    for module in [module for name, module in sys.modules.items() if name.split(".")[0] == PACKAGE]:
        yield from (name for name, function in _functions(module) if not _known(function))
        for table in [found for found in vars(module).values() if isinstance(found, Table)]:
            yield from (name for name, row in table.items() if not (_is_config(row) or _own_parts(row)))


def _functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    classes = [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module.__name__]
    for space in (module, *classes):
        for name, found in list(vars(space).items()):
            if isinstance(found, (staticmethod, classmethod)):
                found = found.__func__
            if isinstance(found, FunctionType):
                yield name, found


def _is_config(row: object) -> bool:
    cls = row if isinstance(row, type) else row.__class__
    return CONFIGS.get(cls.__name__) is cls


def _own_parts(part: object, depth: int = 0) -> bool:
    """Whether an object and all that it holds are of classes of this package and the libraries it stands on."""
    if isinstance(part, FunctionType):
        return _known(part)
    cls = part if isinstance(part, type) else part.__class__
    if depth > _DEEPEST or cls.__module__.split(".")[0] not in (PACKAGE, "builtins", "functools", "jaxlib", *LIBRARIES):
        return False
    inside: list[object] = [] if isinstance(part, type) else list(getattr(part, "__dict__", {}).values())
    if isinstance(part, functools.partial):
        inside += [part.func, *part.args, *part.keywords.values()]
    if isinstance(part, (tuple, list, dict)):
        inside += part.values() if isinstance(part, dict) else part
    return all(_own_parts(inner, depth + 1) for inner in inside)

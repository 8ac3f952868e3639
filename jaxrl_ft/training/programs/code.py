"""What a compiled program depends on besides its arguments: code, libraries, machine and settings."""

import functools
import hashlib
import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import psutil

from jaxrl_ft.core import machine
from jaxrl_ft.training.programs import live
from jaxrl_ft.training.programs.live import ROOT

_STAMPED = (*live.EDITED, "jax", "jaxlib")
"""Libraries whose files are looked at, as somebody may work on them; the others are known by their versions."""
_UNRELATED = ("compilation_cache", "persistent_cache", "log")
"""Parts of the names of settings that change no program."""
_VARIABLES = ("XLA_", "LIBTPU_", "TPU_", "FLAX_", "CHEX_", "TF_XLA_", "NVIDIA_TF32_")
"""Beginnings of the names of variables of the environment that a program may depend on, besides JAX's settings."""


class Stamp(NamedTuple):
    """What tells that a file was changed."""

    path: str
    size: int
    written: int
    """time of the last change of its content, in nanoseconds; a copy may keep it"""
    changed: int
    """likewise, as the system notes it"""


@functools.cache
def fingerprint() -> str | None:
    """The hash of all code and of the machine; None where the code is not what its files say, or they cannot be read.

    A file that changed since this process began may have been loaded before it did.
    """
    try:
        return _fingerprint()
    except OSError:
        return None


def _fingerprint() -> str | None:
    stamps = [*_hashed(), *(stamp for name in _STAMPED for stamp in _stamps(_folder(name)))]
    # The start of a process is known to a second.
    if max(max(stamp.written, stamp.changed) for stamp in stamps) > (psutil.Process().create_time() - 1.0) * 1e9:
        return None
    sources = [hashlib.sha256(Path(stamp.path).read_bytes()).hexdigest() for stamp in _hashed()]
    backend = jax.devices()[0].client
    kinds = [device.device_kind for device in jax.devices()]
    variables = sorted(item for item in os.environ.items() if item[0].startswith(_VARIABLES))
    versions = [machine.versions(), backend.platform, backend.platform_version, sys.flags.optimize]
    parts = [[stamp[:3] for stamp in stamps], sources, versions, kinds, _cpu(), variables]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def loaded() -> live.Live | None:
    """What is loaded here, to be compared with another process; None where it is not what the hashed files say."""
    if jax.process_count() > 1 or fingerprint() is None:
        return None
    try:
        return live.state()
    except (live.ForeignError, RecursionError, TypeError, ValueError):
        # Objects of others may refuse what is asked of them.
        return None


def unchanged() -> bool:
    """Whether the files of this package are those that were hashed."""
    try:
        return _stamps(ROOT) == _hashed()
    except OSError:
        return False


def settings() -> tuple[str, ...]:
    """Return the values of JAX's settings that a program may depend on, in this thread."""
    values = [repr(getattr(jax.config, name, jax.config.values[name])) for name in _settings()]
    return (*values, repr(jax.sharding.get_abstract_mesh()))


def own(function: Callable[..., object]) -> bool:
    """Whether a function is written in a file of this package."""
    path: str = inspect.unwrap(function).__code__.co_filename
    return path.startswith(f"{ROOT}{os.sep}")


@functools.cache
def _settings() -> tuple[str, ...]:
    return tuple(name for name in sorted(jax.config.values) if not any(part in name for part in _UNRELATED))


def _folder(library: str) -> Path:
    found = importlib.util.find_spec(library)
    return Path(str(found.origin)).parent if found else Path(library)


def _stamps(folder: Path) -> list[Stamp]:
    """The Python files of a folder as they are now.

    Raises:
        OSError: a part cannot be read, or is a link to another folder.
    """
    found, folders = [], [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    if entry.is_symlink():
                        raise OSError(f"{entry.path} is a link to a folder")
                    folders.append(entry.path)
                elif entry.name.endswith(".py"):
                    stat = entry.stat()
                    found.append(Stamp(entry.path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return sorted(found)


@functools.cache
def _hashed() -> list[Stamp]:
    return _stamps(ROOT)


def _cpu() -> list[str]:
    """What the processor can do, which compiled code relies on."""
    if not machine.CPU_INFO.exists():
        return [machine.hardware()["processor"]]
    lines = machine.CPU_INFO.read_text(encoding="utf-8").splitlines()
    return sorted({line for line in lines if line.split("\t")[0].split(":")[0].strip() in ("model name", "flags")})

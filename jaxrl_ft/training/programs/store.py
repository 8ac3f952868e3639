"""Lowered programs in files beside JAX's compilation cache.

JAX's cache is keyed by the lowered program, so that every process traces and lowers all programs only to look them up.
Here the key is what a trace depends on: the code, the machine, JAX's settings, and the structure and types of all
arguments. A file holds a SHA-256 of the rest, and compressed its name, hashes of what was loaded, the structure of the
results as JSON, and the program as `jax.export` serialises it (StableHLO; no Python object). One that is damaged, or
that describes what is not here, is ignored and written anew. Executables stay in JAX's cache.
"""

import contextlib
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax
from jax import export

from jaxrl_ft.core.files import replacing
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.training.programs import code
from jaxrl_ft.training.programs.live import Live, agree
from jaxrl_ft.training.programs.structure import LeafType, UnstorableError, described, rebuilt, value

FOLDER = "programs"
SWITCH = "JAXRL_FT_STORED_PROGRAMS"
"""The variable of the environment that turns this on with `1`; any other value turns it off in commands too."""
MOST_BYTES = 2**27
"""How much all files may take together; the program of a training takes 10 to 50 kB."""
_LEVEL = 1

Leaves: TypeAlias = Sequence[PyTree]
Option: TypeAlias = PyTree
Ready: TypeAlias = Callable[..., PyTree]
"""A program as a function of the leaves of its arguments."""


class Form(NamedTuple):
    """All that tells a program from others of the same code."""

    name: str
    exact: bool
    """as in `Layout`"""
    static: tuple[PyTree, ...]
    """the arguments that are compiled in"""
    structure: PyTree
    """of the other arguments"""
    types: tuple[LeafType, ...]
    """of their leaves"""
    settings: tuple[str, ...]
    """of JAX"""

    def file(self) -> str:
        """The name of the program's file.

        Raises:
            UnstorableError: a class is not from this package, or a value is no number, text or None.
        """
        parts = [self.name, self.exact, value(self.static), described(self.structure), self.types, self.settings]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Known(NamedTuple):
    """A lowered program of leaves to leaves."""

    program: export.Exported
    structure: PyTree
    """of the results"""


def turn_on() -> None:
    """Store programs in this process and its children, unless the environment says otherwise."""
    os.environ.setdefault(SWITCH, "1")


def directory() -> Path | None:
    """The folder for programs of this code, or None where there is to be none."""
    config = jax.config
    root, on = config.values["jax_compilation_cache_dir"], config.values["jax_enable_compilation_cache"]
    watched = any(getattr(config, name) for name in ("jax_debug_nans", "jax_debug_infs", "jax_disable_jit"))
    if not root or "://" in root or not on or watched or os.environ.get(SWITCH) != "1":
        return None
    version = code.fingerprint()
    return None if version is None else Path(root) / FOLDER / version[:32]


def obtain(folder: Path, form: Form, many: Callable[..., PyTree], leaves: Leaves, **options: Option) -> Ready | None:
    """The program of a form, traced by another process or else now; None where no file can hold it.

    Both run the same lowered program, and so have the same bits.

    Args:
        folder: of the programs of this code.
        form: of the program.
        many: the function of the arguments besides static ones.
        leaves: of these arguments.
        options: of `jax.jit`.
    """
    try:
        path, loaded = folder / form.file(), code.loaded()
        if loaded is None:
            return None
        known = read(path, form, loaded)
        if known is None:
            modules = len(sys.modules)
            known = lowered(form, many, leaves)
            # A trace may import more, which later processes are to be compared with too.
            loaded = loaded if len(sys.modules) == modules else code.loaded()
            if loaded is not None and code.unchanged():
                write(path, known, loaded)
    except (UnstorableError, ImportError, NotImplementedError, ValueError):
        # What JAX cannot export, or not without a library.
        return None
    return _ready(form.name, known, **options)


def lowered(form: Form, many: Callable[..., PyTree], leaves: Leaves) -> Known:
    """A program lowered for these leaves, and the structure of its results.

    Raises:
        UnstorableError: the results have a class from elsewhere.
        ValueError: it holds what JAX does not export.
    """
    structures: list[PyTree] = []

    def flat(*leaves: PyTree) -> list[PyTree]:
        results, structure = jax.tree.flatten(many(*form.structure.unflatten(leaves)))
        structures.append(structure)
        return results

    flat.__name__ = form.name
    exported = export.export(jax.jit(flat))(*leaves)
    if rebuilt(described(structures[-1])) != structures[-1]:
        raise UnstorableError(f"{structures[-1]} is not rebuilt")
    return Known(exported, structures[-1])


def _ready(name: str, known: Known, **options: Option) -> Ready:
    """The function from the leaves of the arguments to the results."""

    def call(*leaves: PyTree) -> PyTree:
        return known.structure.unflatten(known.program.call(*leaves))

    call.__name__ = name
    jitted: Ready = jax.jit(call, **options)
    return jitted


def read(path: Path, form: Form, loaded: Live) -> Known | None:
    """The program of a form, or None where the file holds none that is of what is loaded here, and runs here."""
    try:
        digest, _, packed = path.read_bytes().partition(b"\n")
        if hashlib.sha256(packed).hexdigest().encode() != digest:
            return None
        header, _, serialized = zlib.decompress(packed).partition(b"\n")
        name, before, structure = json.loads(header)
        if name != path.name or not agree(before, loaded):
            return None
        known = Known(export.deserialize(bytearray(serialized)), rebuilt(structure))
    except Exception:
        # A file that something else wrote can fail in any way, and is then as good as none.
        return None
    taken = tuple((aval.shape, str(aval.dtype)) for aval in known.program.in_avals)
    fits = taken == tuple(kind[:2] for kind in form.types)
    if not fits or len(known.program.out_avals) != known.structure.num_leaves:
        return None
    with contextlib.suppress(OSError):
        # The time of the last use.
        os.utime(path)
    return known


def write(path: Path, known: Known, loaded: Live) -> None:
    """Write a program, whole or not at all; a disk that takes nothing is no error.

    Args:
        path: of the file.
        known: what it holds.
        loaded: what the program was traced from.
    """
    header = json.dumps([path.name, loaded, described(known.structure)]).encode()
    packed = zlib.compress(header + b"\n" + known.program.serialize(), level=_LEVEL)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(hashlib.sha256(packed).hexdigest().encode() + b"\n" + packed)
        drop(path.parent.parent)


def drop(root: Path, most: int = MOST_BYTES) -> None:
    """Remove the programs that were not used for longest, until all of them take at most so many bytes."""
    files = []
    for path in root.glob("*/*"):
        with contextlib.suppress(OSError):
            stat = path.stat()
            files.append((stat.st_mtime_ns, stat.st_size, path))
    excess = sum(size for _, size, _ in files) - most
    for _, size, path in sorted(files):
        if excess <= 0:
            break
        excess -= size
        with contextlib.suppress(OSError):
            path.unlink()
            # Only where it was the last one.
            path.parent.rmdir()

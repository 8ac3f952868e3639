"""Modules of a user, which a command imports so that the methods, parts and shifts that they register have names."""

import importlib
import sys
import traceback
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import ModuleType

from jaxrl_ft.core.config import modules_of
from jaxrl_ft.core.table import AnyTable
from jaxrl_ft.envs.named_shifts import SHIFTS
from jaxrl_ft.methods.catalogue import AXES, METHODS
from jaxrl_ft.nets.catalogue import NETWORKS
from jaxrl_ft.rl.catalogue import ALGOS
from jaxrl_ft.training import devices
from jaxrl_ft.training.agents import Agents

TABLES: tuple[AnyTable, ...] = (SHIFTS, METHODS, ALGOS, NETWORKS, *AXES.values())


def load(names: Sequence[str]) -> frozenset[str]:
    """Import modules; returns their names with those of all modules that they imported in turn.

    Args:
        names: names of modules, or paths of .py files.

    Raises:
        ValueError: a module does not exist, or fails while it is imported; in one line.
    """
    if names:
        # A module that computes something starts the backend, whose devices must be set by then.
        devices.prepare()
    before, found = set(sys.modules), set()
    for name in names:
        found.add(_imported(name).__name__)
    return frozenset(found | (set(sys.modules) - before))


def named(names: Sequence[str]) -> list[str]:
    """The names of modules, some of which are given as paths of .py files."""
    return [Path(name).stem if name.endswith(".py") else name for name in names]


def unnamed(words: Sequence[str], loaded: Collection[str], agents: Agents | None) -> tuple[str, ...]:
    """Modules of a user that a command line needs and does not import; they were imported from Python.

    Args:
        words: the command line, whose words may be names in the tables.
        loaded: modules that the command imported.
        agents: saved agents that the command loads.
    """
    rows = {table.module(name) for table in TABLES for name in (table if "all" in words else words) if name in table}
    ours = __name__.split(".")[0]
    configs = (agents.algo, agents.network, agents.method) if agents else ()
    needed = {module for module in rows if module.split(".")[0] != ours}.union(*map(modules_of, configs))
    return tuple(sorted(needed - set(loaded)))


def _imported(name: str) -> ModuleType:
    path = Path(name) if name.endswith(".py") else None
    if path is not None and not path.is_file():
        raise ValueError(f"import: {name!r} is not a file")
    if path is not None and not path.stem.isidentifier():
        raise ValueError(f"import: {name!r} is not allowed; a module's name has letters, digits and _ alone")
    module, again = (name, f"python -c 'import {name}'") if path is None else (path.stem, f"python {name}")
    if path is not None:
        # As `python FILE` does, so that the file finds its neighbours.
        sys.path.insert(0, str(path.resolve().parent))
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise ValueError(
                f"import: {name!r} is not a module that Python finds; give its name, or the path of a .py file"
            ) from None
        what = f"{type(error).__name__}: {error}{''.join(_place(error))}"
        raise ValueError(f"import: {name!r} fails with {what}; `{again}` shows where") from None
    if path is not None and Path(found.__file__ or "").resolve() != path.resolve():
        raise ValueError(f"import: {name!r} cannot be imported: another module is called {module}; rename the file")
    return found


def _place(error: BaseException) -> Iterator[str]:
    """Where the module failed: the last line outside of the import system."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    for frame in frames[1:][-1:]:
        yield f" ({Path(frame.filename).name}, line {frame.lineno})"

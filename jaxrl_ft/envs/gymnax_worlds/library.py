"""gymnax as a library that is imported when it is first needed, without what it only draws with."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

PLOTTING = "seaborn"
"""What gymnax imports for drawings that this package never asks for; with all that it imports it takes a second."""


class Later(ModuleType):
    """Stands for a module, and imports it when something of it is first asked for."""

    def __getattr__(self, name: str) -> object:
        """Give what the module has of this name."""
        return getattr(import_module(self.__name__), name)


@contextmanager
def later(name: str) -> Iterator[None]:
    """Make whoever imports a module while the context lasts import it when needed, unless it is imported already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = Later(name)
    try:
        yield
    finally:
        del sys.modules[name]


def imported(module: str = "gymnax") -> ModuleType:
    """Import gymnax or a module of it.

    Args:
        module: its full name.
    """
    with later(PLOTTING):
        return import_module(module)

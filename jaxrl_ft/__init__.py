"""Fine-tuning of reinforcement-learning policies in JAX; the public API, loaded on first use.

    import jaxrl_ft as ft

Importing the package imports no jax. The names and their modules stand in `__init__.pyi`.
"""

import importlib
from typing import Any

import lazy_loader

__version__ = "0.2.0"

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__:
        # The devices are set before the first call, whichever it is, as JAX keeps those that it starts with.
        importlib.import_module("jaxrl_ft.training.devices").prepare()
        globals()[name] = value = _load(name)
        return value
    raise AttributeError(f"module 'jaxrl_ft' has no attribute {name!r}")

"""Shapes and types of the annotated rooms, checked at every call."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import TypeCheckError, install_import_hook

ROOMS = ["jaxrl_ft.rl", "jaxrl_ft.nets", "jaxrl_ft.methods.adapters", "jaxrl_ft.methods.penalties"]
_CONF = BeartypeConf(is_pep484_tower=True)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose arguments and result are compared with its annotations.

    A config takes anything: it is checked at the public door, and holds arrays and shapes inside a program.
    """
    return function if function.__name__ == "__init__" else beartype(function, conf=_CONF)


def install() -> None:
    """Check the annotated rooms, which must not have been imported yet."""
    install_import_hook(ROOMS, "helpers.shape_checks.checked")


def refused(function: Callable[..., Any], *args: Any) -> None:
    """The arguments break an annotation of the function, and an assertion inside it where nothing checks those."""
    with pytest.raises(TypeCheckError):
        function(*args)
    with pytest.raises(AssertionError):
        inspect.unwrap(function)(*args)

"""Code of other libraries under JAX's default settings, whatever the user has set."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
T = TypeVar("T")


def foreign(function: Callable[P, T]) -> Callable[P, T]:
    """Run the function with JAX's default types and promotions, which other libraries need.

    Everything else of this package names its types and ranks itself, and so runs under `jax_enable_x64`,
    `jax_numpy_rank_promotion="raise"` and `jax_numpy_dtype_promotion="strict"`.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with jax.enable_x64(False), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return run

"""A tree is finite if no number in it is infinite or not a number, whatever the sizes and types of its leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_ft.core import tree

FLOATS = {"scalar": (), "little": (3, 4), "second": (7,), "large": (70, 90), "none": (0, 2)}


def mixed():
    """Floats of several sizes and types, and leaves of types that are always finite."""
    floats = {name: jnp.ones(shape) for name, shape in FLOATS.items()}
    others = {"half": jnp.ones(5, jnp.bfloat16), "whole": jnp.arange(3), "flag": jnp.asarray(True)}
    return {**floats, **others, "key": jax.random.key(0), "nested": {"plain": 1.0}}


def test_what_is_finite_is_told_so_also_inside_a_program():
    assert tree.finite(mixed()) and jax.jit(tree.finite)(mixed()) and tree.finite({}) and tree.finite({"one": 3})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["scalar", "little", "second", "large", "half"])
def test_one_number_that_is_not_finite_is_found_in_any_leaf(name, value):
    broken = mixed()
    flat = broken[name].reshape(-1)
    broken[name] = flat.at[len(flat) // 2].set(value).reshape(broken[name].shape)
    assert not tree.finite(broken) and not jax.jit(tree.finite)(broken)


def test_runs_side_by_side_are_told_apart():
    values = jnp.ones((4, 3)).at[2, 1].set(jnp.nan)
    found = jax.vmap(lambda one, two: tree.finite({"one": one, "two": two}))(values, jnp.ones((4, 5000)))
    np.testing.assert_array_equal(found, [True, True, False, True])

"""Operations are counted as one counts them by hand, whatever loops, calls and conditionals they lie in."""

import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from jaxrl_ft.training import devices

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"
X, A = jnp.ones(3), jnp.ones((3, 3))


@pytest.fixture(scope="module")
def counted():
    """A function from a function and its arguments to the body of its program for CUDA."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        module = importlib.import_module("gpu_operations")

    def count(function, *args):
        lowered = jax.jit(function).trace(*args).lower(lowering_platforms=("cuda",))
        return module.counted(lowered.compiler_ir("stablehlo"))

    return count


def shape(body):
    """Operations and turns of a body and of the loops in it."""
    return body.operations.total(), body.turns, [shape(loop) for loop in body.loops]


@jax.jit
def two(x):
    return jnp.sin(x) * x


def seven(x):
    return jax.lax.scan(lambda carry, _: (two(carry), None), x, None, length=7)[0]


def stretch(x, start, stop):
    """A loop of traced bounds with a scan and a multiplication in each turn."""
    return jax.lax.fori_loop(start, stop, lambda index, carry: jax.jit(seven)(carry) * carry, x)


def test_a_function_that_is_called_three_times_counts_three_times(counted):
    assert shape(counted(lambda x: two(two(two(x))), X)) == (6, 1, [])


# A turn of a loop compares its number with the last and adds one to it.
TURN = 2


def test_a_scan_counts_by_the_turn(counted):
    assert shape(counted(seven, X)) == (0, 1, [(2 + TURN, 7, [])])


def test_a_loop_of_traced_bounds_has_no_number_of_turns_and_what_is_in_it_has(counted):
    assert shape(counted(stretch, X, 2, 9)) == (0, 1, [(1 + TURN, None, [(2 + TURN, 7, [])])])


@pytest.mark.parametrize("step, turns", [(1, 6), (2, None)])
def test_turns_are_known_of_what_counts_in_ones(step, turns, counted):
    def loop(x):
        return jax.lax.while_loop(lambda carry: carry[0] < 9, lambda carry: (carry[0] + step, two(carry[1])), (3, x))

    assert shape(counted(loop, X)) == (0, 1, [(2 + TURN, turns, [])])


def test_it_counts_within_what_is_split_over_devices(counted):
    split = jax.shard_map(
        lambda x: stretch(x, 2, 9) + seven(x),
        mesh=devices.mesh(), in_specs=PartitionSpec("runs"), out_specs=PartitionSpec("runs"), check_vma=False,
    )  # fmt: skip
    found = shape(counted(split, jnp.ones(4)))
    assert found == (1, 1, [(1 + TURN, 7, [(2 + TURN, 7, [])]), (2 + TURN, 7, [])])


@pytest.mark.parametrize("branches", [(jnp.cos, lambda x: jnp.sin(two(x))), (lambda x: jnp.sin(two(x)), jnp.cos)])
def test_of_a_conditional_the_longest_branch_counts(branches, counted):
    found = counted(lambda x, index: jax.lax.switch(index, branches, x), X, 1).operations
    assert {"case": 1, "sine": 2, "multiply": 1}.items() <= found.items()
    assert not found["cosine"]


@pytest.mark.parametrize("name, function", [("dot_general", lambda a: a @ a), ("sort", jnp.sort), ("reduce", jnp.sum)])
def test_kernels_with_operations_inside_count_once(name, function, counted):
    assert counted(function, A).operations == {name: 1}

"""Laws of the random order of rows: a permutation by the bits, uniform over all orders."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrl_ft.rl.rollout import order


@pytest.mark.parametrize("num", [1, 2, 3, 7, 256, 257, 512, 513, 700])
def test_rows_come_in_the_order_of_their_bits(num):
    # The high bits are all different, so the order is that of any sort.
    high = np.random.default_rng(num).permuted(np.tile(np.arange(num, dtype=np.uint32), (3, 1)), axis=-1) << 22
    bits = high | np.random.default_rng(1).integers(0, 2**22, (3, num), dtype=np.uint32)
    np.testing.assert_array_equal(jax.jit(order)(bits), np.argsort(bits, axis=-1))


@pytest.mark.parametrize("num", [2, 256, 512])
def test_pairs_that_differ_in_their_lowest_bits_alone_are_in_order_too(num):
    generator = np.random.default_rng(num)
    pairs = np.tile(np.arange(num // 2, dtype=np.uint32), 2) << 22
    bits = generator.permuted(np.tile(pairs, (20, 1)), axis=-1) | generator.integers(0, 4, (20, num), dtype=np.uint32)
    np.testing.assert_array_equal(jax.jit(order)(bits), np.argsort(bits, axis=-1, kind="stable"))


def test_rows_of_which_many_tie_stay_a_permutation():
    bits = np.random.default_rng(0).integers(0, 4, (50, 300), dtype=np.uint32)
    assert np.all(np.sort(jax.jit(order)(bits), axis=-1) == np.arange(300))


@pytest.mark.parametrize("num", [5, 600])
def test_rows_of_equal_bits_keep_their_order(num):
    np.testing.assert_array_equal(order(jnp.full((num,), 7, jnp.uint32)), np.arange(num))


def test_all_orders_of_four_rows_are_equally_likely():
    found = np.asarray(jax.jit(order)(jax.random.bits(jax.random.key(0), (24_000, 4), np.uint32)))
    counts = [np.sum(np.all(found == one, axis=1)) for one in itertools.permutations(range(4))]
    assert sum(counts) == 24_000
    assert stats.chisquare(counts).pvalue > 1e-4


def test_each_row_is_equally_likely_in_each_place():
    found = np.asarray(jax.jit(order)(jax.random.bits(jax.random.key(1), (2_000, 512), np.uint32)))
    counts = np.stack([np.bincount(found[:, place], minlength=512) for place in (0, 1, 255, 510, 511)])
    assert np.all(np.sort(found, axis=1) == np.arange(512))
    for row in counts.reshape(5, 16, 32).sum(axis=2):
        assert stats.chisquare(row).pvalue > 1e-4

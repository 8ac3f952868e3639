"""The replay: what is written comes back, nothing else does, and draws have the frequencies that they should."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick

from jaxrl_ft.rl import replay
from jaxrl_ft.rl.q_learning.off_policy import Stored

CAPACITY, NUM = 12, 3


def rows_of(first, num=NUM):
    """Rows that name themselves: every field tells the number of the row."""
    number = first + np.arange(num)
    return Stored(
        np.stack([number, -number], axis=1).astype(np.float32),
        number.astype(np.int32) % 3,
        number.astype(np.float32) / 2,
        np.ones(num, np.float32),
        np.stack([number + 1, number + 2], axis=1).astype(np.float32),
    )


def test_rows_come_back_as_they_were_packed():
    rows = rows_of(5)
    packed = quick(replay.packed)(rows)
    assert packed.shape == (NUM, 7)
    back = replay.unpacked(packed, rows)
    for one, other in zip(rows, back):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@functools.partial(quick, static_argnums=(0, 1, 2))
def drawn(warm, updates, prioritized, key):
    """Numbers of rows drawn from a replay after some rollouts before the first update, and some updates."""
    stored = replay.empty(CAPACITY, 1, prioritized)
    for number in range(-warm, updates):
        rows = jnp.asarray(np.arange(NUM, dtype=np.float32)[:, None] + 1000.0 + number * NUM)
        stored = replay.write(stored, rows, jnp.int32(number))
    stored = stored._replace(warm=jnp.int32(warm * NUM))
    if prioritized:
        places = replay.proportional(key, stored.priority, 600)
    else:
        places = replay.uniform(key, stored, replay.filled(stored, jnp.int32(updates - 1), NUM), (600,))
    return stored.rows[places, 0] - 1000.0


@pytest.mark.parametrize("prioritized", [False, True])
@pytest.mark.parametrize("warm", [0, 1, 2, 4])
@pytest.mark.parametrize("updates", [1, 2, 3, 7])
def test_a_draw_is_one_of_the_newest_rows_and_each_of_them_is_drawn(warm, updates, prioritized):
    found = np.asarray(drawn(warm, updates, prioritized, jax.random.key(0)))
    newest = np.arange(-warm * NUM, updates * NUM)[-CAPACITY:]
    np.testing.assert_array_equal(np.unique(found), newest)


def chi_square(counts, expected):
    return np.sum((counts - expected) ** 2 / expected)


def test_uniform_draws_are_uniform():
    stored = replay.empty(40, 1, False)
    found = quick(lambda key: replay.uniform(key, stored, jnp.int32(20), (40_000,)))(jax.random.key(3))
    counts = np.bincount(np.asarray(found), minlength=40)
    assert counts[20:].sum() == 0
    # The 99.9% point of chi-square with 19 degrees of freedom.
    assert chi_square(counts[:20], 2000.0) < 43.8


def test_proportional_draws_have_the_frequencies_of_their_priorities():
    random = np.random.default_rng(4)
    priority = random.exponential(size=300).astype(np.float32)
    priority[random.random(300) < 0.3] = 0.0
    keys = jax.random.split(jax.random.key(5), 4000)
    found = quick(jax.vmap(lambda key: replay.proportional(key, jnp.asarray(priority), 25)))(keys)
    counts = np.bincount(np.asarray(found).ravel(), minlength=300)
    assert counts[priority == 0].sum() == 0
    held = priority > 0
    expected = 100_000 * priority[held].astype(float) / priority.sum(dtype=float)
    # Strata make the counts vary less than independent draws would; 99.9% of 300 degrees of freedom at most.
    common = expected > 5
    assert chi_square(counts[held][common], expected[common]) < 380.0
    assert abs(counts[held][~common].sum() - expected[~common].sum()) < 5 * np.sqrt(expected[~common].sum()) + 5


def test_weights_undo_the_bias_of_the_draws():
    """With exponent 1 the weighted mean over draws by priority is the mean over all rows."""
    random = np.random.default_rng(6)
    priority, value = random.exponential(size=64).astype(np.float32) + 0.1, random.normal(size=64)
    places = np.arange(64, dtype=np.int32)
    weights = quick(replay.importance_weights)(priority, places, jnp.int32(64), 1.0)
    share = priority / priority.sum()
    np.testing.assert_allclose(np.sum(share * np.asarray(weights) * value), value.mean(), rtol=1e-4)
    flat = quick(replay.importance_weights)(priority, places, jnp.int32(64), 0.0)
    np.testing.assert_array_equal(flat, 1.0)

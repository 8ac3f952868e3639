"""Laws of one update, run by itself on two environments with normalised observations."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.engine import beginning, update
from jaxrl_ft.methods.penalties import Source

ALGO = ft.PPO(num_envs=2, num_steps=8, num_epochs=1, num_minibatches=1, normalize_obs=True)
NETWORK = ft.MLP(width=3, depth=1)


@pytest.fixture(scope="module")
def run(random_params, source):
    method = as_arrays(ft.Method())
    return update.Run(
        algo=as_arrays(ALGO), adapter=method.adapter, penalty=method.penalty.term(),
        optimizer=method.training_optimizer(), intervention=method.intervention, data=method.data, network=NETWORK,
        source=source, task=source, base=random_params(source, NETWORK), statistics=ALGO.init_statistics(source),
        seed=jnp.uint32(3), index=jnp.uint32(1), num_updates=jnp.int32(4),
    )  # fmt: skip


@pytest.fixture(scope="module")
def chunk():
    options = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    return jax.jit(update.chunk, compiler_options=options)


@pytest.fixture(scope="module")
def once(chunk):
    """A function from run, state and number of the update to the state after it, and its metrics."""

    def take(run, state, index):
        after, _, metrics = chunk(run, state, index, index + 1)
        return after, metrics

    return take


@pytest.fixture(scope="module")
def start(run):
    whole = Source(Policy(run.base, run.statistics, NETWORK), run.base)
    return jax.jit(beginning.begin)(run, run.penalty, whole, None, None)[1]


def test_the_probability_ratio_starts_at_one_although_the_statistics_move(run, start, once):
    state = start
    for index in range(3):
        moved, metrics = once(run, state, jnp.int32(index))
        assert np.any(moved.carry.statistics["obs"].mean != state.carry.statistics["obs"].mean)
        assert 0 <= metrics["kl"] < 1e-10
        state = moved


def test_the_same_update_of_the_same_run_is_the_same_and_each_update_has_a_key_of_its_own(run, start, once, same):
    one, again, next_update = (once(run, start, jnp.int32(index))[0] for index in (0, 0, 1))
    other_run, other_call = (
        once(replace(run, **{name: jnp.uint32(7)}), start, jnp.int32(0))[0] for name in ("index", "seed")
    )
    assert same(one, again)
    for other in (next_update, other_run, other_call):
        assert not same(one.carry.obs, other.carry.obs)


def test_what_is_trained_is_the_delta_alone(run, start, once, same):
    after, _ = once(run, start, jnp.int32(0))
    assert not same(after.delta, start.delta)
    assert same(after.memory, start.memory)
    assert jax.tree.structure(after) == jax.tree.structure(start)


def test_a_chunk_is_its_updates_one_after_the_other(run, start, chunk, once, same):
    state, entropy = start, np.float32(0)
    for index in range(3):
        state, metrics = once(run, state, jnp.int32(index))
        entropy += metrics["policy/entropy"]
    looped, policy, sums = chunk(run, start, jnp.int32(0), jnp.int32(3))
    assert same(looped, state)
    assert sums["policy/entropy"] == entropy
    assert same(policy.params, looped.delta)
    nothing, _, zero = chunk(run, start, jnp.int32(2), jnp.int32(2))
    assert same(nothing, start) and not any(np.any(leaf) for leaf in zero.values())


def test_the_streams_of_a_run_are_distinct_from_its_updates():
    names = "INIT WARM_START ADAPTER PENALTY CARRY EVALUATION FREEZE INTERVENTION DATA TASKS MIXING STEPS SOURCE"
    streams = [getattr(update, name) for name in names.split()]
    assert len(set(streams)) == len(streams) and min(streams) >= 2**31 and max(streams) < 2**32

"""Laws of one update, run by itself on two environments with normalised observations."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.training import collect, initial_state, keys, update

ALGO = ft.PPO(num_envs=2, num_steps=8, num_epochs=1, num_minibatches=1, normalize_obs=True)
NETWORK = ft.MLP(width=3, depth=1)


@pytest.fixture(scope="module")
def run(random_params, source):
    method = as_arrays(ft.Method())
    return update.Run(
        algo=as_arrays(ALGO), adapter=method.adapter, penalty=method.penalty.term(),
        optimizer=method.training_optimizer(), intervention=method.intervention, network=NETWORK,
        base=random_params(source, NETWORK), statistics=ALGO.init_statistics(source), seed=jnp.uint32(3),
        index=jnp.uint32(1), num_updates=jnp.int32(4),
    )  # fmt: skip


def world_of(run, source):
    shared = {name: getattr(run, name) for name in ("algo", "network", "seed", "index", "num_updates")}
    return collect.World(**shared, data=ft.DATA["target"], source=source, task=source, guide=None)


@pytest.fixture(scope="module")
def once(source):
    """A function from run, state and number of the update to the state after it, and its metrics."""

    def take(run, state, index):
        return update.update(world_of(run, source), run, state, index)

    return jax.jit(take)


@pytest.fixture(scope="module")
def whole(run):
    return Source(Policy(run.base, run.statistics, NETWORK), run.base)


@pytest.fixture(scope="module")
def beginnings(run, source, whole):
    """What stands before the first update: what is fixed, the state, whom to evaluate."""

    def both(run, source, whole):
        begun = collect.enter.one(world_of(run, source), whole.policy, whole)
        return initial_state.first_state.one(run, *begun, run.penalty, whole, None, None)

    return jax.jit(both)(run, source, whole)


@pytest.fixture(scope="module")
def start(beginnings):
    return beginnings[1]


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


def test_the_streams_of_a_run_are_distinct_from_its_updates():
    names = "INIT WARM_START ADAPTER PENALTY CARRY EVALUATION FREEZE INTERVENTION DATA TASKS MIXING STEPS SOURCE"
    found = [getattr(keys, name) for name in names.split()]
    assert len(set(found)) == len(found) and min(found) >= 2**31 and max(found) < 2**32

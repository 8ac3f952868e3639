"""Laws of stretches: they are their updates one after the other, however they are cut into calls."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.training import devices
from jaxrl_ft.training.finetune import pretraining_spec
from jaxrl_ft.training.initial_state import Start, begin, fresh_policy, given
from jaxrl_ft.training.spec import Budget
from jaxrl_ft.training.stretch import LONGEST, SECONDS, Pace, advance, packed, stretch
from jaxrl_ft.training.update import update

ALGO = ft.PPO(num_envs=2, num_steps=8, num_epochs=1, num_minibatches=1, normalize_obs=True)


@pytest.fixture(scope="module")
def begun(source):
    """A function that puts runs before their first update."""
    network = ft.MLP(width=3, depth=1)

    def first(num=2):
        spec = pretraining_spec(source, ALGO, network, ft.Adam(), num, Budget(256, 0, 2, 2), None)
        policy = fresh_policy(ALGO, network, source, spec.seeds)
        start = Start(policy, policy.params, Source(policy, policy.params), np.ones(num, np.float32))
        return begin(given(spec, start))[:3]

    return first


def paced(updates):
    pace = Pace()
    pace.updates = updates
    return pace


def test_a_stretch_is_its_updates_one_after_the_other(begun, same):
    world, run, state = begun()
    one, entropies = jax.jit(jax.vmap(update, (0, 0, 0, None))), []
    for index in range(3):
        state, metrics = one(world, run, state, jnp.int32(index))
        entropies.append(metrics["policy/entropy"])
    together, answer, sums = advance(*begun(), 0, 3, paced(3))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), together, state)
    np.testing.assert_allclose(sums["policy/entropy"], sum(entropies), rtol=1e-6)
    assert same(answer.params, together.delta)


def test_the_cut_of_a_stretch_into_calls_changes_no_bit(begun, same):
    together, answer, sums = advance(*begun(), 0, 5, paced(5))
    for pace in (None, paced(1), paced(2)):
        again, policy, others = advance(*begun(), 0, 5, pace)
        assert same(again, together) and same(policy, answer) and same(others, sums)
    world, run, state = begun()
    state, _, first = advance(world, run, state, 0, 2, paced(2))
    assert same(advance(world, run, state, 2, 5, paced(3))[0], together)
    assert not same(first, sums)


def test_one_program_serves_stretches_of_every_length(begun, compilations):
    advance(*begun(), 0, 3)
    compilations.reset()
    for first, last in ((0, 1), (2, 4), (5, 12)):
        advance(*begun(), first, last)
    assert "stretch" not in compilations.names


def test_metrics_are_those_of_each_update_and_zero_behind_the_last(begun):
    world, run, state = begun()
    *_, metrics = stretch.placed(world, run, state, devices.put(np.ones(2, bool), 2), np.int32(4), np.int32(7))
    assert metrics["kl"].shape[1:] == (LONGEST,)
    assert np.all(metrics["policy/entropy"][:, :3] > 0) and not np.any(metrics["policy/entropy"][:, 3:])


def test_runs_that_nobody_looks_at_take_no_time(begun, same):
    begin = jax.device_get(begun()[2])
    state, _, sums = advance(*begun(), 0, 3, going=np.zeros(2, bool))
    assert same(state, begin)
    assert not any(values.any() for values in sums.values())


@pytest.mark.parametrize("layout", devices.LAYOUTS)
def test_those_that_learn_fill_as_few_turns_as_can_be(layout):
    random = np.random.default_rng(0)
    better = 0
    for each in (*range(2, 9), 8, 16, 24, 64, 64):
        with devices.laid_out(layout):
            num = devices.mesh().size
            width = devices.layout().width(each * num)
            turns = devices.layout().turns(width // num, few_at_once=True)
            going = random.random(width) < random.random()
            order = packed(going)
        size = width // num // turns
        least = math.ceil(math.ceil(going.sum() / size) / num)
        before = going.reshape(num, turns, size).any(axis=2).sum(axis=1).max()
        if order is None:
            assert before == least
            continue
        better += 1
        assert sorted(order) == list(range(width))
        assert going[order].reshape(num, turns, size).any(axis=2).sum(axis=1).max() == least < before
    assert better > 2


def test_the_order_in_which_runs_are_put_changes_no_bit(begun, same):
    """Beside runs that nobody looks at, in another place, a run learns what it learns beside others."""
    with devices.laid_out("exact"):
        num = 2 * devices.mesh().size
        going = np.arange(num) < 2
        assert packed(going) is not None or devices.mesh().size == 1
        whole, policy, sums = advance(*begun(num), 0, 5, paced(2))
        told = []

        def first(runs):
            return tree.take(jax.device_get(runs), slice(2))

        some = advance(*begun(num), 0, 5, paced(2), after=lambda state, *_: told.append(first(state)), going=going)
        assert same(*(first(found) for found in (some[0], whole)))
        assert same(first(some[1]), first(policy)) and same(first(some[2]), first(sums))
        assert len(told) > 1 and same(told[-1], first(whole))


def test_calls_grow_until_they_take_about_the_time_that_they_may():
    pace = Pace()
    found = [pace.updates]
    for _ in range(12):
        pace.took(pace.updates, pace.updates * SECONDS / 100)
        found.append(pace.updates)
    assert found[:7] == [1, 2, 4, 8, 16, 32, 64] and set(found[7:]) == {64}
    pace.took(64, 1.5 * SECONDS)
    assert pace.updates == 32
    pace.took(1, 0.001)
    assert pace.updates == 32
    for _ in range(9):
        pace.took(pace.updates, 100.0)
    assert pace.updates == 1
    for _ in range(20):
        pace.took(pace.updates, 0.0)
    assert pace.updates == LONGEST

"""DQN and PQN: losses against NumPy in float64, Q-values against value iteration, targets, priorities and refusals."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import loss_references
from helpers.compiling import quick
from helpers.rl_probes import probe

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.rl import on_policy
from jaxrl_ft.rl.q_learning import off_policy, pqn

NETWORK = ft.MLP(width=5, depth=1)
DUELING = ft.Boltzmann(dueling=True)
CASES = {
    "plain": ft.DQN(double=False, huber=None),
    "double, huber": ft.DQN(huber=0.5),
    "dueling": ft.DQN(actor=DUELING),
    "pqn": ft.PQN(),
    "pqn, dueling": ft.PQN(actor=DUELING),
}


def params_of(algo, seed):
    shapes = jax.eval_shape(lambda: algo.init_params(jax.random.key(0), probe(), NETWORK))
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: random.normal(scale=0.5, size=leaf.shape).astype(np.float32), shapes)


def batch_of(algo, num=16):
    random = np.random.default_rng(0)
    normal = random.normal(size=(num, 6)).astype(np.float32)
    action = random.integers(0, 2, num).astype(np.int32)
    if isinstance(algo, ft.PQN):
        return pqn.Batch(normal[:, :2], action, normal[:, 2])
    discount = np.where(random.random(num) < 0.3, 0.0, 0.9).astype(np.float32)
    return off_policy.Batch(normal[:, :2], action, normal[:, 2], discount, normal[:, 3:5], np.abs(normal[:, 5]), None)


@quick
def loss_and_slope(algo, params, target, batch, direction):
    worlds = (None, None, None, None, {})
    carry = off_policy.Carry(*worlds, None, target, None, None)
    if isinstance(algo, ft.PQN):
        carry = on_policy.Carry(*worlds)
    return jax.jvp(lambda params: algo.loss(Policy(params, {}, NETWORK), carry, batch)[0], (params,), (direction,))


@pytest.mark.parametrize("name", list(CASES))
def test_loss_and_gradient_equal_the_reference(name):
    algo = CASES[name]
    reference = loss_references.pqn if isinstance(algo, ft.PQN) else loss_references.dqn
    params, target, direction = (params_of(algo, seed) for seed in (1, 2, 3))
    batch = batch_of(algo)
    found, slope = loss_and_slope(as_arrays(algo), params, target, batch, direction)
    rows = {name: np.asarray(leaf, float) for name, leaf in batch._asdict().items() if leaf is not None}
    params, target, direction = jax.tree.map(lambda leaf: leaf.astype(float), (params, target, direction))
    held = {**params, "target": target}
    np.testing.assert_allclose(found, reference(params, held, rows, algo), rtol=1e-4)
    expected = loss_references.directional(reference, params, held, rows, algo, direction=direction)
    np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-5)


LENGTH, GAMMA = 4, 0.9
TASK = probe(LENGTH, each=0.1, by_both=1.0, last=1.0, random_signal=1.0)
LEARNERS = {
    "dqn": ft.DQN(
        num_envs=8, num_steps=8, gradient_steps=8, gamma=GAMMA, num_returns=1, huber=None, tau=0.05, epsilon_end=1.0
    ),
    "dqn, the other choices": ft.DQN(
        num_envs=8, num_steps=8, gradient_steps=8, gamma=GAMMA, num_returns=1, huber=None, target_update="periodic",
        target_period=40, prioritized=True, actor=DUELING, epsilon_end=0.5
    ),
    "pqn": ft.PQN(num_envs=8, num_steps=16, gamma=GAMMA, q_lambda=0.0, epsilon_end=1.0),
}  # fmt: skip


def value_iteration():
    """Q(signal, time, action) of the probe, [2, LENGTH, 2], by iteration on its table."""
    signs = np.array([-1.0, 1.0])
    reward = np.full((2, LENGTH, 2), 0.1) + (signs[:, None] * signs[None])[:, None]
    reward[:, -1] += 1.0
    values = np.zeros_like(reward)
    for _ in range(LENGTH):
        after = np.concatenate([values.max(axis=2)[:, 1:], np.zeros((2, 1))], axis=1)
        values = reward + GAMMA * after[..., None]
    return values


@pytest.mark.parametrize("name", ["dqn", pytest.param("dqn, the other choices", marks=pytest.mark.slow), "pqn"])
def test_q_values_of_a_table_are_those_of_value_iteration(name):
    algo = LEARNERS[name]
    agents = ft.pretrain(
        TASK, algo=algo, network=ft.MLP(width=32), optimizer=ft.Adam(learning_rate=3e-3), seeds=4, steps=40_000,
        num_evals=2,
    )  # fmt: skip
    obs = np.array([[[sign, time / LENGTH] for time in range(LENGTH)] for sign in (-1.0, 1.0)], np.float32)
    found = np.stack([algo.actor.values(tree.take(agents.policies, i), jnp.asarray(obs)) for i in range(4)])
    np.testing.assert_allclose(found, np.broadcast_to(value_iteration(), found.shape), atol=0.15)


@quick
def collected(algo, tasks, policy, steps):
    carry = algo.init_carry(jax.random.key(1), tasks, policy)
    carry = algo.warm_up(jax.random.key(2), tasks, policy, carry)
    for number in range(2):
        carry, data, indices, metrics = algo.collect(
            jax.random.key(3 + number), tasks, policy, carry, Moment(jnp.float32(0.0), jnp.int32(number))
        )
    return carry, data, indices, metrics


SMALL = ft.DQN(
    num_envs=2, num_steps=4, gradient_steps=3, batch_size=4, replay_size=32, learning_starts=10, prioritized=True
)


def world_of(algo):
    params = params_of(algo, 1)
    tasks = jax.tree.map(lambda leaf: np.stack([leaf] * 2), TASK)
    return as_arrays(algo), tasks, Policy(params, {}, NETWORK), 0


def test_rows_of_the_rollout_come_first_and_indices_point_behind_them():
    carry, data, indices, _ = jax.device_get(collected(*world_of(SMALL)))
    assert data.obs.shape == (8 + 12, 2) and indices.shape == (3, 4)
    np.testing.assert_array_equal(indices.ravel(), 8 + np.arange(12))
    written = np.asarray(carry.replay.rows)[np.asarray(carry.replay.priority) > 0]
    # Two rollouts before the first update and two of updates fill the replay.
    assert len(written) == 32
    known = {row[:2].tobytes() for row in written}
    assert all(row.tobytes() in known for row in data.obs[8:])


def test_errors_become_the_priorities_of_the_rows_that_were_learned_from():
    algo, *rest = world_of(SMALL)
    carry, _, indices, _ = jax.device_get(collected(algo, *rest))
    error = np.array([0.5, 1.0, 2.0, 4.0], np.float32)
    metrics = {"loss/error": jnp.asarray(error)}
    step = quick(lambda carry: algo.after_step(params_of(SMALL, 2), carry, jnp.asarray(indices[1]), metrics))
    after = jax.device_get(step(carry))
    places = np.asarray(carry.drawn)[4:8]
    for place in places:
        # Of a row that was drawn twice either error may stay.
        mine = error[places == place] ** 0.6
        assert np.isclose(mine, after.replay.priority[place], rtol=1e-3).any()
    rest = np.setdiff1d(np.arange(32), places)
    np.testing.assert_array_equal(after.replay.priority[rest], np.asarray(carry.replay.priority)[rest])
    assert after.replay.highest == pytest.approx(4.0**0.6, rel=1e-3)


def test_a_target_follows_or_is_replaced():
    old, new = params_of(SMALL, 1), params_of(SMALL, 2)
    blank = off_policy.Carry(None, None, None, None, {}, None, old, None, jnp.int32(6))
    rows = jnp.zeros(4, jnp.int32)
    follows = replace(SMALL, tau=0.25).after_step(new, blank, rows, {}).target
    jax.tree.map(lambda f, o, n: np.testing.assert_allclose(f, 0.75 * o + 0.25 * n, rtol=1e-5), follows, old, new)
    for period, expected in ((7, new), (8, old)):
        algo = replace(SMALL, target_update="periodic", target_period=period)
        jax.tree.map(np.testing.assert_array_equal, algo.after_step(new, blank, rows, {}).target, expected)


@pytest.mark.parametrize(
    ("algo", "task", "message"),
    [
        (
            ft.DQN(),
            ft.make_task("Pendulum-v1"),
            "algo: DQN is not allowed on Pendulum-v1, whose actions are",
        ),
        (
            ft.PQN(),
            ft.make_task("Pendulum-v1"),
            "algo: PQN is not allowed on Pendulum-v1, whose actions are",
        ),
        (ft.DQN(replay_size=32), TASK, "algo.replay_size: 32 is not allowed; it is below batch_size, 64"),
        (ft.DQN(replay_size=512), TASK, "algo.replay_size: 512 is not allowed; it is below learning_starts, 1000"),
        (ft.DQN(num_returns=9), TASK, "algo.num_returns: 9 is not allowed; returns end with a rollout of num_steps, 8"),
        (ft.DQN(exploration_hold=9), TASK, "algo.exploration_hold: 9 is not allowed; random numbers are drawn for a"),
        (ft.PQN(num_minibatches=3), TASK, "algo.num_minibatches: 3 does not divide the batch of 16"),
        (ft.DQN(learning_starts=8000), TASK, "steps: 8000 is not allowed; it must exceed the 8000 steps that"),
        (ft.DQN(actor=ft.Boltzmann(temperature=0.0)), TASK, "algo.actor.temperature: 0.0 is not allowed"),
        (ft.DQN(replay_size=2**26), TASK, "algo: 1024 runs that store"),
    ],
)
def test_what_makes_no_sense_is_refused(algo, task, message, monkeypatch):
    monkeypatch.setattr("jaxrl_ft.training.loop.train", lambda *_: pytest.fail("a program was reached"))
    with pytest.raises(ValueError, match=re.escape(message)):
        ft.pretrain(task, algo=algo, steps=8000, seeds=1024)


@pytest.mark.parametrize("algo", [ft.DQN(num_steps=7), ft.SAC(num_steps=7)], ids=["dqn", "sac"])
def test_exploration_is_held_for_so_many_steps_of_a_rollout_and_then_drawn_anew(algo):
    key, length = jax.random.key(0), 7
    each = np.asarray(algo.exploration_noise(key, TASK))
    held = np.asarray(replace(algo, exploration_hold=3).exploration_noise(key, TASK))
    assert each.shape == held.shape and each.shape[:2] == (length, algo.num_envs)
    np.testing.assert_array_equal(held, held[[0, 0, 0, 3, 3, 3, 6]])
    for numbers, first in ((each, range(length)), (held, (0, 3, 6))):
        drawn = numbers[list(first)]
        assert len(np.unique(drawn)) == drawn.size


def test_a_random_action_that_is_held_acts_in_every_step_of_its_span():
    algo = ft.DQN(num_envs=16, num_steps=8, learning_starts=0, epsilon_start=1.0, exploration_hold=4)
    policy = Policy(params_of(algo, 1), {}, NETWORK)
    _, data, _, _ = collected(as_arrays(algo), tree.repeat(TASK, 16), policy, 0)
    spans = np.asarray(data.action[:128]).reshape((2, 4, 16))
    assert (spans == spans[:, :1]).all() and (spans[0] != spans[1]).any() and 0 < spans[:, 0].mean() < 1

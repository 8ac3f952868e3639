"""The oracle: its dynamics are the simulator's, its regulator is optimal, and it solves what it should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_ft.envs import oracle
from jaxrl_ft.envs.cartpole import NO_FORCE, CartPoleState
from jaxrl_ft.envs.catalogue import make_task
from jaxrl_ft.envs.task import Task

HARD = {"half_length": 1.5, "gravity": 20.0, "force": 6.0, "tau": 0.03, "pole_mass": 0.5, "cart_mass": 2.0}


def test_its_dynamics_are_the_simulator_s():
    task, generator = make_task("CartPole-v1", x_threshold=100.0, theta_threshold=3.1, **HARD), np.random.default_rng(0)
    motion, action = generator.uniform(-1, 1, (64, 4)).astype(np.float32), generator.integers(0, 2, 64)
    states = CartPoleState(motion=motion, time=np.zeros(64, np.int32), queue=np.full((64, 3), NO_FORCE, np.float32))
    step = jax.jit(jax.vmap(Task.transition, (None, 0, 0, 0)))
    after = step(task, task.draw(jax.random.key(0), (64,)), states, action)[1].motion
    np.testing.assert_allclose(after, oracle.euler(task.env_params, motion.T, 2.0 * action - 1).T, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("delay", [0, 1, 2, 3])
def test_its_linear_model_is_the_derivative_of_the_dynamics_with_the_queue(delay):
    params = make_task("CartPole-v1", action_delay=delay, **HARD).env_params
    transition, control = oracle.linearised(params)

    def following(state, push):
        recent = np.concatenate([[push], state[4:]])
        return np.concatenate([oracle.euler(params, state[:4], recent[delay]), recent[:3]])

    small, zero = 1e-6, np.zeros(7)
    columns = [(following(small * row, 0.0) - following(-small * row, 0.0)) / (2 * small) for row in np.eye(7)]
    np.testing.assert_allclose(transition, np.transpose(columns), atol=1e-6)
    np.testing.assert_allclose(control, (following(zero, small) - following(zero, -small)) / (2 * small), atol=1e-6)


@pytest.mark.parametrize("delay", [0, 2])
def test_its_regulator_is_stable_and_no_other_gain_costs_less(delay):
    params = make_task("CartPole-v1", action_delay=delay).env_params
    transition, control = oracle.linearised(params)
    gain = oracle.regulator(params, 1.0, 0.5)
    scale = 1 / np.array([2.4, 12 * 2 * np.pi / 360]) ** 2

    def cost(k):
        state, total = np.array([0.1, 0.0, 0.02, 0.0, 0.0, 0.0, 0.0]), 0.0
        for _ in range(5000):
            push = k @ state
            total += scale @ state[[0, 2]] ** 2 + 0.5 * push**2
            state = transition @ state + control * push
        return total

    assert np.max(np.abs(np.linalg.eigvals(transition + np.outer(control, gain)))) < 1
    best, generator = cost(gain), np.random.default_rng(0)
    assert all(cost(gain * (1 + 0.02 * generator.standard_normal(7))) >= best for _ in range(8))


def test_it_solves_the_default_and_a_hopeless_controller_does_not():
    task = make_task("CartPole-v1")
    np.testing.assert_array_equal(oracle.oracle_return(task, episodes=50), 500.0)
    start = np.random.default_rng(0).uniform(-0.05, 0.05, (50, 4))
    assert oracle.rollout(task.env_params, np.zeros((1, 7)), start).mean() < 20


def test_an_unsolvable_task_shows_as_one():
    assert oracle.oracle_return(make_task("CartPole-v1", tau=0.2), episodes=50).mean() < 50


def test_its_controller_holds_the_pole_in_the_simulator_too():
    task = make_task("CartPole-v1", half_length=2.0, action_delay=2, flip_actions=True, obs_noise=1.0)
    gain = jnp.asarray(oracle.oracle_gain(task), jnp.float32)

    def one(carry, draws):
        env_state, alive = carry
        # the queue holds applied actions in 0 to 1, after the flip
        state = jnp.concatenate([env_state.motion, 2 * env_state.queue - 1])
        outcome = task.transition(draws, env_state, jnp.where(gain @ state > 0, 0.0, 1.0))
        return (outcome[1], alive & ~outcome[3]), alive

    draws = task.draw(jax.random.key(0), (500,))
    first, rest = jax.tree.map(lambda leaf: leaf[0], draws), jax.tree.map(lambda leaf: leaf[1:], draws)
    (_, alive), _ = jax.jit(lambda d: jax.lax.scan(one, (task.initial(first)[1], jnp.bool_(True)), d))(rest)
    assert alive


def test_returns_are_the_steps_up_to_the_fall_and_repeat_with_their_seed():
    task = make_task("CartPole-v1", episode_limit=7)
    np.testing.assert_array_equal(oracle.oracle_return(task, episodes=3, seed=1), [7, 7, 7])
    slow = make_task("CartPole-v1", tau=0.1)
    first = oracle.oracle_return(slow, episodes=100, seed=2)
    np.testing.assert_array_equal(first, oracle.oracle_return(slow, episodes=100, seed=2))
    # from rest at upright a constant push tips the pole over its threshold in the step that plain arithmetic says
    angle, state, steps = 0.0, np.zeros((4, 1)), 0
    while angle <= float(slow.env_params.theta_threshold):
        state = oracle.euler(slow.env_params, state, np.ones(1))
        angle, steps = abs(state[2, 0]), steps + 1
    right = np.array([[1.0, 0, 0, 0, 0, 0, 0]])
    assert oracle.rollout(slow.env_params, right, np.array([[1e-9, 0, 0, 0]]))[0, 0] == steps


def test_other_environments_and_bad_counts_are_refused():
    with pytest.raises(ValueError, match="the oracle knows CartPole alone"):
        oracle.oracle_return(make_task("Pendulum-v1"))
    with pytest.raises(ValueError, match="episodes: 0"):
        oracle.oracle_return(make_task("CartPole-v1"), episodes=0)

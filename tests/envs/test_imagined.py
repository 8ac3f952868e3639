"""A world learned from experience keeps the laws of every simulator, and does what its numbers say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import from_json, to_json
from jaxrl_ft.envs.imagined import ImaginedParams, ImaginedState, imagined_simulator
from jaxrl_ft.envs.simulator import SIMULATORS, Box, Discrete
from jaxrl_ft.envs.task import Task

RNG = np.random.default_rng(0)
step = jax.jit(Task.step)
steps = jax.jit(jax.vmap(Task.transition, (None, 0, 0, 0)))


def imagined(continuous=False, **changes):
    inputs = 6 if continuous else 4
    worlds = 1 if continuous else 2
    arrays = {
        "weights": RNG.normal(size=(worlds, inputs, 3)) / 10,
        "reward": RNG.normal(size=(worlds, inputs)),
        "error": np.zeros(3),
        "low": -np.ones(3),
        "high": np.ones(3),
        "ends": np.ones(3),
        "start_mean": np.array([0.1, -0.2, 0.3]),
        "start_spread": np.array([0.05, 0.0, 0.2]),
        "lowest_return": -7.0,
        "highest_return": 20.0,
        "action_low": -0.5,
        "action_high": 0.5,
    } | changes
    leaves = {name: np.asarray(value, np.float32) for name, value in arrays.items() if name != "episode_limit"}
    params = ImaginedParams(**leaves, episode_limit=np.asarray(changes.get("episode_limit", 20), np.int32))
    space = Box(size=2, low=-0.5, high=0.5) if continuous else Discrete(num_actions=2)
    return Task(simulator=imagined_simulator(3, space), env_params=params)


def at(obs, time=0):
    return ImaginedState(obs=jnp.asarray(obs, jnp.float32), time=jnp.int32(time))


def test_it_tells_the_sizes_limits_and_returns_of_the_task_it_stands_for():
    task, continuous = imagined(), imagined(True)
    assert task.obs_size == continuous.obs_size == 3
    assert task.action_space == Discrete(num_actions=2)
    assert continuous.action_space == Box(size=2, low=-0.5, high=0.5)
    assert task.episode_limit == 20 and task.return_range == (-7.0, 20.0)
    assert "learned model of 3 observations and 2 actions" in task.describe()


def test_one_name_for_each_kind_of_world():
    spaces = (Discrete(num_actions=2), Discrete(num_actions=3), Box(size=2, low=0.0, high=1.0))
    names = [imagined_simulator(size, space) for size in (3, 4) for space in spaces]
    assert len(set(names)) == 6 and all(name in SIMULATORS for name in names)
    # the bounds are physics, not structure
    assert imagined_simulator(3, Box(size=2, low=-9.0, high=9.0)) == names[2]


@pytest.mark.parametrize("continuous", [False, True])
def test_a_step_is_affine_in_the_observation_for_each_action(continuous):
    task = imagined(continuous, low=-np.full(3, 1e3), high=np.full(3, 1e3))
    weights, reward = task.env_params.weights, task.env_params.reward
    for i in range(4):
        obs = RNG.uniform(-1, 1, 3).astype(np.float32)
        action = RNG.uniform(-2, 2, 2).astype(np.float32) if continuous else np.int32(i % 2)
        inputs = np.concatenate([obs, np.clip(action, -0.5, 0.5), [1]]) if continuous else np.append(obs, 1)
        after, env_state, got, terminated, truncated, info = step(task, jax.random.key(i), at(obs), action)
        kind = 0 if continuous else int(action)
        np.testing.assert_allclose(after, obs + inputs @ weights[kind], rtol=1e-5)
        np.testing.assert_allclose(got, inputs @ reward[kind], rtol=1e-5)
        np.testing.assert_array_equal(after, env_state.obs)
        np.testing.assert_array_equal(after, info["final_observation"])
        assert not terminated and not truncated and int(env_state.time) == 1


def test_types_are_strong_and_stay():
    task = imagined()
    obs, env_state = jax.jit(task.reset)(jax.random.key(0))
    described = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), (obs, env_state))
    outcome = step(task, jax.random.key(1), env_state, jnp.int32(1))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), outcome[:2]) == described
    assert outcome[2].dtype == jnp.float32 and outcome[3].dtype == outcome[4].dtype == bool
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(outcome))


def still(**changes):
    """A world in which nothing moves but by `push`, an intercept for each sensor."""
    push = changes.pop("push", np.zeros(3))
    weights = np.zeros((2, 4, 3))
    weights[:, 3] = push
    return imagined(weights=weights, reward=np.zeros((2, 4)), **changes)


@pytest.mark.parametrize("sensor", range(3))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_episode_ends_beyond_the_range_and_keeps_the_final_observation(sensor, sign):
    push = np.zeros(3)
    push[sensor] = sign
    task = still(push=push)
    obs, env_state, _, terminated, truncated, info = step(task, jax.random.key(0), at(push / 2, 5), jnp.int32(0))
    assert terminated and not truncated
    np.testing.assert_allclose(info["final_observation"], 1.5 * push)
    assert int(env_state.time) == 0 and np.all(np.abs(obs - task.env_params.start_mean) <= task.env_params.start_spread)
    held = still(push=push, ends=1.0 - np.abs(push))
    obs, env_state, _, terminated, truncated, _ = step(held, jax.random.key(0), at(push / 2, 5), jnp.int32(0))
    assert not terminated and not truncated and int(env_state.time) == 6
    np.testing.assert_allclose(obs, push)


def test_the_limit_cuts_and_only_the_limit():
    task = still(start_spread=np.zeros(3))
    flags = []
    env_state = at(np.zeros(3))
    for _ in range(25):
        _, env_state, _, terminated, truncated, _ = step(task, jax.random.key(0), env_state, jnp.int32(0))
        flags.append((bool(terminated), bool(truncated)))
    assert [i for i, flag in enumerate(flags) if flag[1]] == [19] and not any(flag[0] for flag in flags)


def test_a_run_away_model_stays_finite():
    task = imagined(weights=np.full((2, 4, 3), 1e30))
    after = step(task, jax.random.key(0), at(np.ones(3)), jnp.int32(0))
    assert np.isfinite(after[5]["final_observation"]).all() and after[3]


def test_starts_are_uniform_and_errors_normal():
    task = still(error=np.array([0.5, 0.0, 2.0]), low=np.full(3, -1e3), high=np.full(3, 1e3))
    draws = task.draw(jax.random.key(0), (20_000,))
    starts = np.asarray(jax.jit(jax.vmap(task.initial))(draws)[0], float)
    np.testing.assert_allclose(starts.mean(axis=0), [0.1, -0.2, 0.3], atol=0.005)
    np.testing.assert_allclose(starts.std(axis=0), np.array([0.05, 0, 0.2]) / np.sqrt(3), rtol=0.02, atol=1e-6)
    assert np.all(np.abs(starts - task.env_params.start_mean) <= task.env_params.start_spread + 1e-6)
    states = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (20_000, *leaf.shape)), at(np.zeros(3)))
    moved = np.asarray(steps(task, draws, states, jnp.zeros(20_000, jnp.int32))[0], float)
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(moved.std(axis=0), [0.5, 0, 2], rtol=0.03)
    np.testing.assert_allclose((moved[:, 0] ** 4).mean() / moved[:, 0].var() ** 2, 3.0, atol=0.2)
    assert abs(np.corrcoef(moved[:, 0], moved[:, 2])[0, 1]) < 0.04
    assert abs(np.corrcoef(moved[:, 0], starts[:, 0])[0, 1]) < 0.04


def test_models_stack_and_scan():
    tasks = [imagined(), imagined()]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *tasks)

    def run(task, key):
        draws = task.draw(key, (5,))

        def one(env_state, draw):
            obs, env_state, reward, *_ = task.transition(draw, env_state, jnp.int32(1))
            return env_state, (obs, reward)

        return jax.lax.scan(one, task.initial(jax.tree.map(lambda leaf: leaf[0], draws))[1], draws)[1]

    run = jax.jit(run)
    together = jax.jit(jax.vmap(run, (0, None)))(stacked, jax.random.key(0))
    for i, task in enumerate(tasks):
        alone = run(task, jax.random.key(0))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), tree.take(together, i), alone)


def test_checked_makes_numpy_leaves_of_the_declared_types_and_json_brings_them_back():
    task = imagined()
    device = jax.tree.map(jnp.asarray, task)
    for other in (device.checked(), from_json(to_json(task)).checked()):
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(other))
        jax.tree.map(np.testing.assert_array_equal, other, task)
        assert other.env_params.episode_limit.dtype == np.int32 and other.env_params.weights.dtype == np.float32


@pytest.mark.parametrize("limit, length", [(500, 101), (30, 30)])
def test_an_episode_lasts_until_the_range_or_the_limit(limit, length):
    # a push of a hundredth a step goes from 0 to beyond 1 in 101 steps
    task = still(push=np.full(3, 0.01), episode_limit=limit)
    env_state, count, done = at(np.zeros(3)), 0, False
    while not done:
        _, env_state, _, terminated, truncated, _ = step(task, jax.random.key(0), env_state, jnp.int32(0))
        count, done = count + 1, bool(terminated | truncated)
    assert abs(count - length) <= 1 and bool(terminated) == (limit == 500)

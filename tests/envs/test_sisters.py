"""Acrobot, MountainCar and Pendulum step as gymnax's own `step` does, and default to gymnax's physics."""

import dataclasses
import re
from functools import cache, partial

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick

from jaxrl_ft.envs.catalogue import make_task
from jaxrl_ft.envs.simulator import Discrete
from jaxrl_ft.envs.sisters import SISTERS

CHANGED = {"Acrobot-v1": {"link_mass_1": 1.5}, "MountainCar-v0": {"force": 0.002}, "Pendulum-v1": {"g": 15.0}}
# One environment of each, as its programs are found again by it.
made = cache(gymnax.make)


@pytest.mark.parametrize("id", SISTERS)
def test_default_physics_are_gymnax_s(id):
    _, params = made(id)
    ours = vars(make_task(id).env_params)
    theirs = {f.name: getattr(params, f.name) for f in dataclasses.fields(params)}
    theirs["episode_limit"] = theirs.pop("max_steps_in_episode")
    for fixed in ("available_torque", "link_length_2"):
        theirs.pop(fixed, None)
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert float(ours[name]) == pytest.approx(float(value), rel=1e-6), name


@partial(quick, static_argnums=0)
def walked(environment, params, task, key):
    """The first observation and state, and 45 steps [45, ...] of random actions by us and by gymnax from our states."""
    beyond = 1 if isinstance(task.action_space, Discrete) else 1.5

    def one(carry, i):
        key, action_key = jax.random.split(jax.random.fold_in(carry[0], i))
        action = environment.action_space(params).sample(action_key) * beyond
        ours, theirs = task.step(key, carry[1], action), environment.step(key, carry[1], action, params)
        return (key, ours[1]), (ours, theirs)

    first = task.reset(key)
    return first, jax.lax.scan(one, (key, first[1]), jnp.arange(45))[1]


@pytest.mark.parametrize("id", SISTERS)
@pytest.mark.parametrize("changed", [False, True])
def test_a_step_is_gymnax_s_step_with_its_reset(id, changed):
    physics = CHANGED[id] if changed else {}
    environment, params = made(id)
    params, task = params.replace(max_steps_in_episode=20, **physics), make_task(id, episode_limit=20, **physics)
    (obs, env_state), (outcome, expected) = jax.device_get(walked(environment, params, task, jax.random.key(0)))
    assert obs.shape == (task.obs_size,)
    final = [o[5]["final_observation"] for o in (outcome, expected)]
    for ours, theirs in zip(jax.tree.leaves((outcome[:5], final[0])), jax.tree.leaves((expected[:5], final[1]))):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert [leaf.dtype for leaf in jax.tree.leaves(outcome[1])] == [leaf.dtype for leaf in jax.tree.leaves(env_state)]
    assert np.sum(outcome[3] | outcome[4]) == 2


@pytest.mark.parametrize("id", SISTERS)
def test_episodes_scan_and_stack(id):
    tasks = [make_task(id), make_task(id, **CHANGED[id])]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *tasks)

    def run(task, key):
        draws = task.draw(key, (4,))
        action = jnp.zeros(1) if id == "Pendulum-v1" else jnp.int32(2)

        def one(env_state, draw):
            obs, env_state, reward, *_ = task.transition(draw, env_state, action)
            return env_state, (obs, reward)

        return jax.lax.scan(one, task.initial(draws[0])[1], draws[1:])[1]

    obs, reward = jax.device_get(quick(jax.vmap(run, (0, None)))(stacked, jax.random.key(0)))
    assert obs.shape == (2, 3, tasks[0].obs_size)
    assert np.any(obs[0] != obs[1])
    low, high = tasks[0].return_range
    assert np.all(reward * tasks[0].episode_limit >= low)
    assert np.all(reward <= high)


def test_pendulum_s_worst_return_is_its_worst_reward_for_ever():
    task = make_task("Pendulum-v1")
    environment, params = made("Pendulum-v1")

    def worst(key):
        env_state = environment.reset_env(key, params)[1].replace(theta=jnp.float32(np.pi), theta_dot=jnp.float32(8.0))
        return environment.step_env(key, env_state, jnp.array([2.0]), params)[2]

    reward = quick(worst)(jax.random.key(0))
    assert task.return_range == (pytest.approx(200 * float(reward), rel=1e-5), 0.0)


@pytest.mark.parametrize(
    ("id", "physics", "message"),
    [
        ("Pendulum-v1", {"g": float("nan")}, "g: nan"),
        ("Pendulum-v1", {"l": 0.0}, "l: 0.0 is not allowed; it must be in [0.01, 10] m"),
        ("Pendulum-v1", {"mass": 1.0}, "Pendulum-v1 quantity: 'mass' is not known"),
        ("Acrobot-v1", {"link_mas_1": 1.0}, "did you mean 'link_mass_1'?"),
        ("Acrobot-v1", {"torque_noise_max": -1.0}, "torque_noise_max: -1.0"),
        ("Acrobot-v1", {"available_torque": 1.0}, "'available_torque' is not known"),
        ("Acrobot-v1", {"link_length_2": 1.5}, "'link_length_2' is not known"),
        ("MountainCar-v0", {"goal_position": float("inf")}, "goal_position: inf"),
        ("MountainCar-v0", {"episode_limit": 0}, "episode_limit: 0"),
    ],
)
def test_bad_physics_are_refused(id, physics, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_task(id, **physics)

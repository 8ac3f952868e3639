"""Acrobot, MountainCar and Pendulum step as gymnasium's NumPy versions do, from random states under random physics."""

import dataclasses
from functools import partial
from typing import NamedTuple

import gymnasium
import jax
import numpy as np
import pytest
from helpers.compiling import quick

from jaxrl_ft.envs.catalogue import make_task

WORLDS = 20
"""Random physics, the first of which are the defaults."""
TOLERANCE = {"Acrobot-v1": (2e-4, 5e-3)}
"""Of 99.9% of the observations and of all, relative where they are above 1: float32 against float64; 2e-6 where nothing
is said. A fast Acrobot multiplies the rounding of its four stages."""


class Kind(NamedTuple):
    """How the two versions of an environment name the same things, and where random numbers lie."""

    fields: dict
    """of the state, each with the largest value"""
    physics: dict
    """gymnasium's attribute, and the range of factors of the default, by our quantity"""
    action: float
    """number of discrete actions, or the largest continuous one, negative"""


KINDS = {
    "Acrobot-v1": Kind(
        {"joint_angle1": np.pi, "joint_angle2": np.pi, "velocity_1": 12.0, "velocity_2": 25.0},
        {
            "link_mass_1": "LINK_MASS_1", "link_mass_2": "LINK_MASS_2", "link_length_1": "LINK_LENGTH_1",
            "link_moi": "LINK_MOI", "max_vel_1": "MAX_VEL_1", "max_vel_2": "MAX_VEL_2",
        },
        3,
    ),
    "MountainCar-v0": Kind(
        {"position": 0.9, "velocity": 0.07},
        {"force": "force", "gravity": "gravity", "max_speed": "max_speed", "goal_position": "goal_position"},
        3,
    ),
    "MountainCarContinuous-v0": Kind(
        {"position": 0.9, "velocity": 0.07},
        {"power": "power", "max_speed": "max_speed", "goal_position": "goal_position"},
        -1.0,
    ),
    "Pendulum-v1": Kind(
        {"theta": np.pi, "theta_dot": 8.0},
        {"g": "g", "m": "m", "l": "l", "max_speed": "max_speed", "max_torque": "max_torque"},
        -1.6,
    ),
}  # fmt: skip


def worlds(id, rng):
    """Tasks of random physics, within a fifth of the defaults; the goal is never beyond the end of the road."""
    plain = make_task(id)
    tasks = [plain]
    while len(tasks) < WORLDS:
        factors = {name: rng.uniform(0.8, 1.2) for name in KINDS[id].physics}
        try:
            tasks.append(plain.changed(**{name: plain.quantities[name] * f for name, f in factors.items()}))
        except ValueError:
            continue
    return tasks


def moments(id, rng, num):
    """Random states [num, F] and actions, float32."""
    kind = KINDS[id]
    states = np.stack([rng.uniform(-most, most, num) for most in kind.fields.values()], axis=1).astype(np.float32)
    if id.startswith("MountainCar"):
        states[:, 0] = rng.uniform(-1.2, 0.6, num)
    actions = rng.integers(0, kind.action, num) if kind.action > 0 else rng.uniform(kind.action, -kind.action, (num, 1))
    return states, np.asarray(actions, np.int32 if kind.action > 0 else np.float32)


@partial(quick, static_argnums=3)
def ours(task, states, actions, fields):
    """True next observations [N, O], rewards and natural endings."""

    def one(row, action):
        draws = task.draw(jax.random.key(0), ())
        begun = task.initial(draws)[1]
        inner = getattr(begun, "inner", begun).replace(**dict(zip(fields, row)))
        env_state = dataclasses.replace(begun, inner=inner) if hasattr(begun, "inner") else inner
        _, _, reward, terminated, _, obs = task.transition(draws, env_state, action)
        return obs, reward, terminated

    return jax.vmap(one)(states, actions)


def theirs(id, task, states, actions):
    """The same by gymnasium, in float64, a step at a time."""
    env = gymnasium.make(id, disable_env_checker=True).unwrapped
    env.reset(seed=0)
    for name, attribute in KINDS[id].physics.items():
        setattr(env, attribute, float(task.quantities[name]))
    found = []
    for state, action in zip(states.astype(np.float64), actions):
        env.state = np.array(state)
        obs, reward, terminated, *_ = env.step(action)
        found.append((obs, reward, terminated))
    return [np.array(column) for column in zip(*found)]


def check(id, num):
    rng = np.random.default_rng(7)
    for task in worlds(id, rng):
        states, actions = moments(id, rng, num // WORLDS)
        obs, reward, ended = jax.device_get(ours(task, states, actions, tuple(KINDS[id].fields)))
        expected = theirs(id, task, states, actions)
        error = np.max(np.abs(obs - expected[0]) / np.maximum(1.0, np.abs(expected[0])), axis=1)
        usual, most = TOLERANCE.get(id, (2e-6, 2e-6))
        assert np.quantile(error, 0.999) < usual and error.max() < most
        np.testing.assert_allclose(reward, expected[1], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(ended, expected[2])


@pytest.mark.parametrize("id", KINDS)
def test_2000_transitions_are_gymnasium_s(id):
    check(id, 2_000)


@pytest.mark.slow
@pytest.mark.parametrize("id", KINDS)
def test_100000_transitions_are_gymnasium_s(id):
    check(id, 100_000)

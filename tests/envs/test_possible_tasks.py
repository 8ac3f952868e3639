"""Every quantity of every environment has an effect, and no task is made in which nothing can be reached."""

import dataclasses
import itertools
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick

from jaxrl_ft.envs.catalogue import grid_axes, held_out_grid, make_task, physics_grid, validation_tasks
from jaxrl_ft.envs.simulator import Discrete
from jaxrl_ft.envs.sisters import SISTERS

NUM = 512
# Half-widths of random states around zero: past every limit and bound, in the order of the state's own leaves.
WIDE = {
    "CartPole": {"motion": np.array([3.0, 3.0, 0.3, 3.0]), "queue": 0.5},
    "Acrobot-v1": {"joint_angle1": 3.1, "joint_angle2": 3.1, "velocity_1": 15.0, "velocity_2": 35.0},
    "MountainCar-v0": {"position": 1.3, "velocity": 0.1},
    "Pendulum-v1": {"theta": 3.1, "theta_dot": 10.0, "last_u": 0.0},
}
CHANGES = {
    "obs_scale": 1.5, "obs_offset": 0.5, "obs_permutation": (1, 0, 2, 3), "obs_noise": 0.1, "flip_actions": True,
    "action_delay": 2, "torque_noise_max": 0.5, "goal_velocity": 0.03,
}  # fmt: skip
CASES = [(id, name) for id in ("CartPole-v1", *SISTERS) for name in vars(make_task(id).env_params)]


def changed(task, name):
    """Another value that is allowed: of `CHANGES`, or a tenth smaller, which stays on a road and below a link's end."""
    value = CHANGES.get(name)
    if value is None:
        value = getattr(task.env_params, name)
        value = value - 3 if value.dtype.kind == "i" else value * 0.9
    return value


@partial(quick, static_argnums=2)
def outcomes(task, key, simulator):
    """Random transitions, and the starts of episodes, of a task."""
    draws_key, action_key, state_key, time_key = jax.random.split(key, 4)
    draws = task.draw(draws_key, (NUM,))
    obs, states = jax.vmap(task.initial)(draws)
    wide = {
        name: half * jax.random.uniform(jax.random.fold_in(state_key, i), getattr(states, name).shape, minval=-1)
        for i, (name, half) in enumerate(WIDE[simulator].items())
    }
    if simulator == "CartPole":
        wide["queue"] += 0.5
    moving = dataclasses.replace(states, **wide, time=jax.random.randint(time_key, (NUM,), 0, 500))
    if isinstance(task.action_space, Discrete):
        action = jax.random.randint(action_key, (NUM,), 0, task.action_space.num_actions)
    else:
        action = jax.random.uniform(action_key, (NUM, 1), minval=-3.0, maxval=3.0)
    return obs, states, jax.vmap(task.transition)(draws, moving, action)


@pytest.mark.parametrize(("id", "name"), CASES)
def test_every_quantity_has_an_effect(id, name):
    usual = make_task(id)
    other = make_task(id, **{name: changed(usual, name)})
    one, two = (jax.device_get(outcomes(task, jax.random.key(0), usual.simulator)) for task in (usual, other))
    differences = [np.any(a != b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two))]
    assert any(differences), f"{name} changes nothing"


def push(simulator, env_state, first):
    """The action that does positive work: the way the car moves, or the second link turns; the first one at rest."""
    speed = env_state.velocity if simulator == "MountainCar-v0" else env_state.velocity_2
    return jnp.where(speed == 0, first, jnp.where(speed > 0, 2, 0))


@partial(quick, static_argnums=(2, 3))
def reached(tasks, key, simulator, steps):
    """Whether gymnax's own steps end an episode within so many, for each task from any of 64 starts."""

    def one(task, draws, first):
        def step(carry, _):
            env_state, ended = carry
            after, terminated = task.transition(draws, env_state, push(simulator, env_state, first))[1:4:2]
            return (after, ended | terminated), None

        return jax.lax.scan(step, (task.initial(draws)[1], False), None, steps)[0][1]

    draws = jax.tree.map(lambda leaf: leaf[0], tasks).draw(key, (64,))
    return jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))(tasks, draws, jnp.arange(64) % 2 * 2).any(axis=1)


def worlds(id, num=60):
    """Physics within a factor of 6 of the usual, those that are refused as None."""
    generator, usual = np.random.default_rng(0), vars(make_task(id).env_params)
    found = []
    for _ in range(num):
        names = generator.choice([name for name in usual if name not in ("episode_limit", "torque_noise_max")], 3)
        factors = np.exp(generator.uniform(-np.log(6), np.log(6), 3))
        try:
            found.append(make_task(id, **{name: usual[name] * factor for name, factor in zip(names, factors)}))
        except ValueError:
            found.append(None)
    return found


@pytest.mark.parametrize("id", ["MountainCar-v0", pytest.param("Acrobot-v1", marks=pytest.mark.slow)])
def test_what_is_accepted_can_be_reached(id):
    found = worlds(id)
    accepted = [task for task in found if task is not None]
    assert 15 < len(accepted) < len(found) - 10
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *accepted)
    assert reached(stacked, jax.random.key(0), id, accepted[0].episode_limit).all()


IMPOSSIBLE = [
    ("MountainCar-v0", {"goal_position": 5}, "goal_position: 5 is not allowed; it must be at most max_position (0.6)"),
    ("MountainCar-v0", {"max_position": 0.4}, "goal_position: 0.5 is not allowed; it must be at most max_position"),
    ("MountainCar-v0", {"goal_position": -0.5}, "goal_position: -0.5 is not allowed; it must be in [-0.39, 10]"),
    (
        "MountainCar-v0",
        {"goal_velocity": 0.2},
        "goal_velocity: 0.2 is not allowed; it must be at most max_speed (0.07)",
    ),
    ("MountainCar-v0", {"goal_velocity": -0.1}, "goal_velocity: -0.1 is not allowed; it must be in [0, 1]"),
    ("MountainCar-v0", {"min_position": 0.7}, "min_position: 0.7 is not allowed; it must be in [-10, -0.6]"),
    ("MountainCar-v0", {"min_position": -0.61}, "physics: min_position=-0.61 is not allowed; a car that always pushes"),
    ("MountainCar-v0", {"force": 1e-4, "gravity": 0.003}, "physics: force=0.0001, gravity=0.003 is not allowed; a car"),
    ("MountainCar-v0", {"max_speed": 0.02}, "does not get to the goal in 200 steps"),
    ("Acrobot-v1", {"link_mass_2": 9.0}, "physics: link_mass_2=9 is not allowed; a torque that always acts"),
    ("Acrobot-v1", {"link_com_pos_1": 1.1}, "link_com_pos_1: 1.1 is not allowed; it must be at most link_length_1 (1)"),
    ("Acrobot-v1", {"dt": 0.6}, "dt: 0.6 is not allowed; it must be in [0.001, 0.5] s"),
    ("Pendulum-v1", {"dt": 0.2, "l": 0.1}, "dt: 0.2 is not allowed with g=10 and l=0.1; it must be below 0.163 s"),
]


@pytest.mark.parametrize(("id", "physics", "message"), IMPOSSIBLE)
def test_impossible_tasks_are_refused(id, physics, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_task(id, **physics)


def test_a_longer_episode_is_time_for_a_weaker_car():
    with pytest.raises(ValueError, match="in 200 steps"):
        make_task("MountainCar-v0", force=3e-4, episode_limit=20)
    assert make_task("MountainCar-v0", force=3e-4, episode_limit=400).episode_limit == 400


def test_a_hanging_pendulum_hangs_below_the_longest_step_and_swings_up_above():
    usual = make_task("Pendulum-v1", g=15.0)
    longest = 2 / np.sqrt(1.5 * 15.0)

    def swing(dt):
        angle, speed, highest = 1e-3, 0.0, 0.0
        for _ in range(2000):
            speed += -1.5 * float(usual.env_params.g) * np.sin(angle) * dt
            angle += speed * dt
            highest = max(highest, abs(angle))
        return highest

    assert swing(0.99 * longest) < 0.05 < 0.3 < swing(1.01 * longest)
    with pytest.raises(ValueError, match=r"dt: 0\.2 is not allowed with g=151"):
        make_task("Pendulum-v1", g=151.0, dt=0.2, l=1.0)
    make_task("Pendulum-v1", g=149.0, dt=0.13)


NEAR = [
    ("MountainCar-v0", {"goal_position": 0.6, "force": 0.0015}),
    ("MountainCar-v0", {"goal_velocity": 0.065}),
    ("MountainCar-v0", {"force": 0.0005}),
    ("Acrobot-v1", {"link_mass_2": 2.9}),
    ("Pendulum-v1", {"g": 20.0}),
]


@pytest.mark.parametrize(("id", "physics"), NEAR)
def test_every_task_made_beside_a_target_is_one_that_make_task_makes(id, physics):
    source, target = make_task(id), make_task(id, **physics)
    held_out = held_out_grid(source, target)
    assert held_out and len(held_out) <= 5
    tasks = [task for _, task in held_out]
    tasks += validation_tasks(source, {"target": target}, {"target": held_out}).values()
    tasks += itertools.chain.from_iterable(physics_grid(target, grid_axes(source, target)))
    for task in tasks:
        again = make_task(id, **vars(task.env_params))
        assert again.describe() == task.describe()

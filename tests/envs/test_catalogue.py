"""make_task, the shifts and the held-out grids: what is accepted, what is refused, and that tasks stack."""

import dataclasses
import json
import re
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_ft.core.config import from_json, to_json
from jaxrl_ft.envs.cartpole import CartPoleSimulator, cartpole_params
from jaxrl_ft.envs.catalogue import PHYSICS_IDS, held_out_grid, held_out_tasks, make_task
from jaxrl_ft.envs.named_shifts import SHIFTS, shifts_of
from jaxrl_ft.envs.oracle import oracle_return
from jaxrl_ft.envs.shifts import DEFAULT_SHIFT, EXTRAPOLATION, INTERPOLATION
from jaxrl_ft.envs.simulator import Box, Discrete, register_simulator
from jaxrl_ft.envs.task import Task

DESIGNED = {
    "long-pole": {"half_length": 1.0},
    "longer-pole": {"half_length": 1.5},
    "double-long-pole": {"half_length": 2.0},
    "giant-pole": {"half_length": 3.0},
    "long-heavy-weak": {"half_length": 1.0, "gravity": 19.6, "force": 5.0},
    "slow-controller": {"tau": 0.1},
    "flipped-actions": {"flip_actions": True},
    "biased-sensors": {"obs_offset": (1, -1, 0.5, 1)},
    "weak-motor": {"force": 2.0},
    "feeble-motor": {"force": 1.0},
    "strong-gravity": {"gravity": 50.0},
    "heavy-cart": {"cart_mass": 10.0},
}

NAMES = shifts_of("CartPole-v1")
REFUSED = [
    ({"gravity": 0.0}, "gravity: 0.0 is not allowed; it must be in [0.1, 200] m/s2"),
    ({"gravity": float("nan")}, "gravity: nan"),
    ({"force": float("inf")}, "force: inf"),
    ({"cart_mass": 101}, "cart_mass: 101 is not allowed; it must be in [0.01, 100] kg"),
    ({"pole_mass": -1.0}, "pole_mass: -1.0"),
    ({"half_length": 11.0}, "half_length: 11.0 is not allowed; it must be in [0.01, 10] m"),
    ({"half_length": "1"}, "half_length: '1'"),
    ({"half_length": None}, "half_length: None"),
    ({"half_length": [1.0, 2.0]}, "half_length: [1.0, 2.0]"),
    ({"tau": 0.3}, "tau: 0.3 is not allowed; it must be in [0.0001, 0.2] s"),
    ({"x_threshold": 0.0}, "x_threshold: 0.0"),
    ({"theta_threshold": 4.0}, "theta_threshold: 4.0"),
    ({"reset_range": -0.1}, "reset_range: -0.1"),
    ({"reset_range": 0.3}, "reset_range: 0.3 is not allowed; it must be less than theta_threshold (0.20944)"),
    ({"episode_limit": 0}, "episode_limit: 0 is not allowed; it must be a whole number"),
    ({"episode_limit": 10_001}, "episode_limit: 10001"),
    ({"episode_limit": 20.5}, "episode_limit: 20.5"),
    ({"obs_scale": (1.0, 2.0)}, "obs_scale: (1.0, 2.0) is not allowed; it must be one number or 4"),
    ({"obs_scale": [[1.0, 2.0], [3.0]]}, "obs_scale: [[1.0, 2.0], [3.0]]"),
    ({"obs_offset": (0, 0, 0, 101.0)}, "obs_offset: 101.0 is not allowed; it must be in [-100, 100]"),
    ({"obs_offset": (0, 0, 0, float("nan"))}, "obs_offset: nan"),
    ({"obs_permutation": (0, 1, 2, 2)}, "obs_permutation: (0, 1, 2, 2) is not allowed"),
    ({"obs_permutation": (0, 1, 2)}, "obs_permutation: (0, 1, 2)"),
    ({"obs_permutation": (False, True, 2, 3)}, "obs_permutation: (False, True, 2, 3)"),
    ({"obs_permutation": (0.5, 1, 2, 3)}, "obs_permutation: (0.5, 1, 2, 3)"),
    ({"obs_noise": -0.1}, "obs_noise: -0.1"),
    ({"flip_actions": 2}, "flip_actions: 2 is not allowed; it must be True or False"),
    ({"flip_actions": "yes"}, "flip_actions: 'yes'"),
    ({"flip_actions": float("nan")}, "flip_actions: nan"),
    ({"action_delay": 4}, "action_delay: 4"),
    ({"action_delay": True}, "action_delay: True"),
    ({"action_delay": 3, "episode_limit": 3}, "action_delay: 3 is not allowed; it must be less than episode_limit (3)"),
    ({"obs_scale": 0.0}, "obs_scale: 0 is not allowed for every sensor"),
    ({"half_lenght": 1.0}, "CartPole quantity: 'half_lenght' is not known; did you mean 'half_length'?"),
    ({"total_mass": 1.0}, "CartPole quantity: 'total_mass' is not known"),
    ({"polemass_length": 1.0}, "CartPole quantity: 'polemass_length' is not known"),
]


@pytest.mark.parametrize(("physics", "message"), REFUSED)
def test_bad_physics_are_refused_with_field_value_and_range(physics, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_task("CartPole-v1", **physics)


@pytest.mark.parametrize(
    ("id", "shift", "message"),
    [
        ("CartPole", None, "id: 'CartPole' is not known; did you mean 'CartPole-v"),
        ("Walker2d-v4", None, "id: 'Walker2d-v4' is not known (one of: CartPole-v1"),
        ("CartPole-v1", "long-poel", "shift: 'long-poel' is not known; did you mean 'long-pole'?"),
        ("Pendulum-v1", "long-pole", "shift: 'long-pole' is not allowed for Pendulum-v1"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(id, shift, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_task(id, shift)


@pytest.mark.parametrize("value", [0.1, 200, np.float32(9.0), np.array(3.0), True + 0])
def test_any_kind_of_number_becomes_a_float32_leaf(value):
    leaf = make_task("CartPole-v1", gravity=value).env_params.gravity
    assert (type(leaf), leaf.dtype, leaf.shape) == (np.ndarray, np.float32, ())
    assert leaf == np.float32(value)


def test_the_default_is_cartpole_v1_and_v0_is_shorter():
    v1, v0 = make_task("CartPole-v1"), make_task("CartPole-v0")
    assert (v1.obs_size, v1.action_space, v1.return_range) == (4, Discrete(num_actions=2), (0.0, 500.0))
    assert (v0.episode_limit, v0.return_range) == (200, (0.0, 200.0))
    assert make_task("CartPole-v0", episode_limit=50).episode_limit == 50


def test_given_physics_override_the_shift_s_and_both_spellings_work():
    task = make_task("CartPole-v1", "long_heavy_weak", force=7.0)
    assert task.describe() == "CartPole-v1 gravity=19.6 half_length=1 force=7"
    scaled = make_task("CartPole-v1", obs_scale=2.0, obs_offset=(0, 0, 1, 0))
    assert scaled.describe() == "CartPole-v1 obs_scale=2 obs_offset=(0, 0, 1, 0)"


@pytest.mark.parametrize("id", PHYSICS_IDS)
def test_a_task_survives_json_and_is_checked_again(id):
    task = make_task(id, episode_limit=77)
    read = from_json(json.loads(json.dumps(to_json(task)))).checked()
    assert jax.tree.structure(read) == jax.tree.structure(task)
    jax.tree.map(np.testing.assert_array_equal, read, task)
    broken = dataclasses.replace(task, env_params=dataclasses.replace(task.env_params, episode_limit=-1))
    with pytest.raises(ValueError, match="episode_limit: -1"):
        broken.checked()


def test_bounds_survive_being_rounded_to_float32():
    task = make_task("CartPole-v1", tau=1e-4, gravity=0.1, reset_range=0.0, x_threshold=0.1)
    jax.tree.map(np.testing.assert_array_equal, task.checked(), task)


def test_the_designed_shifts_are_there_and_the_default_is_one():
    for name, physics in DESIGNED.items():
        assert dict(SHIFTS[name].physics) == physics
    assert len(NAMES) >= 16 and shifts_of("CartPole-v0") == NAMES
    assert DEFAULT_SHIFT in NAMES
    assert all(SHIFTS.text(name) for name in SHIFTS)


def every_task() -> list[Task]:
    held_out = [task for name in NAMES for _, task in held_out_tasks("CartPole-v1", name)]
    return [make_task("CartPole-v1"), *(make_task("CartPole-v1", name) for name in NAMES), *held_out]


def test_all_cartpole_tasks_have_one_structure_stack_and_share_one_trace():
    tasks = every_task()
    assert len({jax.tree.structure(task) for task in tasks}) == 1
    assert len({tuple((leaf.dtype, leaf.shape) for leaf in jax.tree.leaves(task)) for task in tasks}) == 1
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *tasks)
    limits = stacked.return_range[1]
    assert limits.shape == (len(tasks),)

    def two_steps(task, key):
        _, env_state = task.reset(key)
        env_state = task.step(key, env_state, jnp.int32(1))[1]
        return task.step(key, env_state, jnp.int32(0))[0]

    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(two_steps, n=1))
    alone = np.stack([step(task, jax.random.key(0)) for task in tasks])
    together = jax.jit(jax.vmap(two_steps, (0, None)))(stacked, jax.random.key(0))
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_held_out_tasks_are_valid_distinct_and_of_both_kinds(name):
    source, target, held_out = (
        make_task("CartPole-v1"),
        make_task("CartPole-v1", name),
        held_out_tasks("CartPole-v1", name),
    )
    assert {kind for kind, _ in held_out} == {INTERPOLATION, EXTRAPOLATION}
    described = [task.describe() for task in (source, target, *(task for _, task in held_out))]
    assert len(set(described)) == len(described)
    assert all(task.checked().describe() == task.describe() for _, task in held_out)


def test_interpolation_lies_between_and_extrapolation_beyond():
    for kind, task in held_out_tasks("CartPole-v1", "long-heavy-weak"):
        p = task.env_params
        assert (0.5 < p.half_length < 1 and 9.8 < p.gravity < 19.6 and 5 < p.force < 10) == (kind == INTERPOLATION)
        assert (p.half_length > 1 and p.gravity > 19.6 and p.force < 5) == (kind == EXTRAPOLATION)


def test_a_grid_moves_every_differing_quantity_and_keeps_the_flip():
    target = make_task("CartPole-v1", half_length=2.0, obs_offset=(1, -1, 0, 0), flip_actions=True, episode_limit=300)
    found = held_out_grid(make_task("CartPole-v1"), target)
    middle = found[1][1].env_params
    assert float(middle.half_length) == pytest.approx(1.0)
    np.testing.assert_allclose(middle.obs_offset, [0.5, -0.5, 0, 0])
    assert all(task.env_params.flip_actions == 1 and task.env_params.episode_limit == 300 for _, task in found)


def test_a_grid_leaves_out_what_is_not_accepted():
    found = held_out_grid(make_task("CartPole-v1"), make_task("CartPole-v1", gravity=200.0))
    assert all(float(task.env_params.gravity) <= 200 for _, task in found)
    assert {kind for kind, _ in found} == {INTERPOLATION, EXTRAPOLATION}


def test_grids_work_for_the_other_environments_and_refuse_a_change_of_environment():
    found = held_out_grid(make_task("Pendulum-v1"), make_task("Pendulum-v1", l=2.0))
    assert [round(float(task.env_params.l), 3) for _, task in found] == [1.189, 1.414, 1.682, 2.219, 2.462]
    with pytest.raises(ValueError, match="the source is CartPole-v1"):
        held_out_grid(make_task("CartPole-v1"), make_task("Pendulum-v1"))


def test_naming_listing_and_building_cartpoles_imports_no_gymnax_and_starts_no_backend():
    program = """
import sys
from jaxrl_ft.envs.catalogue import PHYSICS_IDS, held_out_tasks, make_task
from jaxrl_ft.envs.named_shifts import shifts_of
names = shifts_of("CartPole-v1")
tasks = [make_task(id) for id in PHYSICS_IDS] + [t for s in names for _, t in held_out_tasks("CartPole-v1", s)]
facts = [(t.describe(), t.obs_size, t.action_space, t.return_range, t.episode_limit, t.checked()) for t in tasks]
from jaxrl_ft.training.devices import backend_started
assert not backend_started()
assert not {"gymnax", "matplotlib", "flax"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_simulator_s_name_cannot_be_taken_twice():
    with pytest.raises(ValueError, match="'CartPole' is in the table already"):
        register_simulator("CartPole", CartPoleSimulator())
    with pytest.raises(ValueError, match="simulator: 'Cartpole' is not known; did you mean 'CartPole'"):
        Task(simulator="Cartpole", env_params=cartpole_params()).describe()


def test_the_pendulum_s_actions_follow_its_torque():
    space = make_task("Pendulum-v1", max_torque=3.0).action_space
    assert isinstance(space, Box)
    assert (space.size, space.low.tolist(), space.high.tolist()) == (1, [-3.0], [3.0])


@pytest.mark.parametrize("name", NAMES)
def test_every_shift_can_be_solved(name):
    assert oracle_return(make_task("CartPole-v1", name), episodes=200, seed=1).mean() >= 475


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_held_out_task_can_be_solved(name):
    for _, task in held_out_tasks("CartPole-v1", name):
        assert oracle_return(task, episodes=200, seed=1).mean() >= 475, task.describe()

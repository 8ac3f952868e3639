"""Every environment that gymnax registers resets, steps, ends as gymnax's own step does, and survives a file."""

from functools import cache, partial

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import from_json, to_json
from jaxrl_ft.envs.catalogue import PHYSICS_IDS, TASK_IDS, make_task
from jaxrl_ft.envs.gymnax_worlds.registry import GYMNAX_IDS
from jaxrl_ft.envs.simulator import Box

DOWNLOADS = "MNISTBandit-bsuite"
HEAVY = ("Asterix-MinAtar", "Freeway-MinAtar", "Seaquest-MinAtar", "SpaceInvaders-MinAtar")
HERE = [id for id in GYMNAX_IDS if id != DOWNLOADS]
RUN = [pytest.param(id, marks=[pytest.mark.slow] if id in HEAVY else []) for id in HERE]


def test_the_ids_are_those_that_gymnax_registers():
    assert {id for id in TASK_IDS if id != "CartPole-v0"} >= set(gymnax.registration._BUILTIN_ENV_IDS)
    assert set(TASK_IDS) == {*gymnax.registration._BUILTIN_ENV_IDS, "CartPole-v0"}
    assert len(set(TASK_IDS)) == len(TASK_IDS) == len(PHYSICS_IDS) + len(GYMNAX_IDS)


@partial(quick, static_argnums=0)
def walked(environment, task, key):
    """First observations, and five steps of three environments by us, and by gymnax from our states."""
    space = task.action_space

    def one(carry, i):
        key, step_key = jax.random.fold_in(carry[0], i), jax.random.fold_in(carry[0], i + 100)
        action = jax.random.randint(step_key, (), 0, 2)
        if isinstance(space, Box):
            action = jax.random.uniform(step_key, (space.size,), minval=space.low, maxval=space.high)
        ours = task.step(key, carry[1], action)
        params = made(task.simulator)[1].replace(max_steps_in_episode=task.env_params.episode_limit)
        theirs = environment.step(key, carry[1].inner, action, params)
        return (key, ours[1]), (ours[:1] + ours[2:], theirs[:1] + theirs[2:5] + (theirs[5]["final_observation"],))

    def run(key):
        obs, env_state = task.reset(key)
        return obs, env_state, jax.lax.scan(one, (key, env_state), jnp.arange(5))

    return jax.vmap(run)(jax.random.split(key, 3))


# Programs are found again by the environment.
made = cache(gymnax.make)


@pytest.mark.parametrize("id", RUN)
def test_five_steps_are_gymnax_s(id):
    task = make_task(id, episode_limit=3)
    obs, first, (last, (ours, theirs)) = jax.device_get(walked(made(id)[0], task, jax.random.key(0)))
    assert obs.shape == (3, task.obs_size) and obs.dtype == np.float32
    assert task.obs_size == sum(int(np.prod(shape)) for shape in task.obs_shapes.values())
    for ending in (2, 3):
        np.testing.assert_array_equal(ours[ending], theirs[ending])
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6, atol=1e-6)
    if id != "FrozenLake-misc":
        np.testing.assert_allclose(ours[4]["final_observation"], theirs[4].reshape(ours[0].shape), rtol=1e-6, atol=1e-6)
    assert (ours[2] | ours[3])[:, 2].all() or (ours[2] | ours[3])[:, :2].any()
    types = [(leaf.dtype, leaf.shape) for leaf in jax.tree.leaves(first)]
    assert types == [(leaf.dtype, leaf.shape) for leaf in jax.tree.leaves(last[1])]
    assert all(array.dtype == kind for array, kind in zip(ours[:4], (np.float32, np.float32, bool, bool)))


@pytest.mark.parametrize("id", HERE)
def test_no_type_is_weak_and_a_file_keeps_it(id):
    task = make_task(id, episode_limit=7)
    assert task.describe() == f"{id} episode_limit=7" and task.id == id and int(task.episode_limit) == 7
    shapes = jax.eval_shape(lambda key: task.step(key, *task.reset(key)[1:], _middle(task)), jax.random.key(0))
    assert not [leaf for leaf in jax.tree.leaves(shapes) if leaf.weak_type]
    again = from_json(to_json(task)).checked()
    assert again == task and tree.bits(again) == tree.bits(task)
    assert all(isinstance(leaf, (np.ndarray, np.generic)) for leaf in jax.tree.leaves(task.env_params))
    for bound in (task.action_space.low, task.action_space.high) if isinstance(task.action_space, Box) else ():
        assert bound.shape == (task.action_space.size,)


def _middle(task):
    space = task.action_space
    return (space.low + space.high) / 2 if isinstance(space, Box) else jnp.int32(0)


def test_a_discrete_observation_is_shown_as_a_one_among_zeros():
    task = make_task("FrozenLake-misc")
    obs, env_state = task.reset(jax.random.key(0))
    assert task.obs_shapes == {"obs": (16,)}
    np.testing.assert_array_equal(obs, np.eye(16)[int(env_state.inner.position)])


@pytest.mark.parametrize(
    ("physics", "message"),
    [
        ({"power": float("nan")}, "power: nan is not allowed; it must be a finite number"),
        ({"power": True}, "power: True is not allowed; it must be a finite number"),
        ({"power": (1.0, 2.0)}, "power: (1.0, 2.0) is not allowed; it must be a finite number"),
        ({"powr": 1.0}, "MountainCarContinuous-v0 quantity: 'powr' is not known; did you mean 'power'?"),
        ({"episode_limit": 0}, "episode_limit: 0 is not allowed"),
        ({"max_steps_in_episode": 3}, "did you mean"),
        ({"max_action": -2.0}, "action_space: the bounds of MountainCarContinuous-v0 are [-1.] and [-2.]"),
        ({"return_range": (1.0, 0.0)}, "return_range: (1.0, 0.0) is not allowed"),
        ({"shift": "long-pole"}, "shift: 'long-pole' is not allowed for MountainCarContinuous-v0"),
        ({"name": "car"}, "name: 'car' is not allowed"),
        ({"env_params": {"power": 1.0}}, "env_params: {'power': 1.0} is not allowed; their structure is not that of"),
    ],
)
def test_bad_physics_are_refused(physics, message):
    with pytest.raises(ValueError) as caught:
        make_task("MountainCarContinuous-v0", **physics)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_ids_are_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match="did you mean 'Breakout-MinAtar'"):
        make_task("Breakout-Minatar")
    with pytest.raises(ValueError, match="env_params: is not allowed for CartPole-v1"):
        make_task("CartPole-v1", env_params=3)


def test_environments_of_the_registry_are_found_by_name():
    from helpers.own_worlds import Count

    gymnax.register("Count_ing-v0", Count)
    task = make_task("Count_ing-v0", last=2)
    assert task.describe() == "Count-ing-v0 last=2" and task == from_json(to_json(task)).checked()

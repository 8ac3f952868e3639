"""Tasks can be compared, hashed and read, whatever their physics hold."""

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.envs.catalogue import PHYSICS_IDS
from jaxrl_ft.envs.task import Task

CHANGED = {
    "CartPole-v1": {"obs_permutation": (1, 0, 2, 3)},
    "CartPole-v0": {"force": 5.0},
    "Acrobot-v1": {"link_mass_1": 2.0},
    "MountainCar-v0": {"force": 0.002},
    "Pendulum-v1": {"max_torque": 1.5},
}


def test_every_environment_is_compared():
    assert set(CHANGED) == set(PHYSICS_IDS)


@pytest.mark.parametrize("id", CHANGED)
def test_tasks_are_equal_where_environment_and_physics_are(id):
    task, again, other = ft.make_task(id), ft.make_task(id), ft.make_task(id, **CHANGED[id])
    assert task == again and hash(task) == hash(again) and task is not again
    assert task != other and len({task, again, other}) == 2 and task != id
    assert task in [other, again] and other not in [task, again]
    stacked = tree.repeat(task, 3)
    assert stacked != task and stacked == tree.repeat(again, 3)


@pytest.mark.parametrize("id", CHANGED)
def test_a_task_is_described_in_a_line(id):
    task = ft.make_task(id, **CHANGED[id])
    assert repr(task) == f"<Task {task.describe()}>"
    assert repr(tree.repeat(task, 64)) == f"<64 tasks of {task.simulator}>"
    seen = []
    jax.eval_shape(lambda task: seen.append(repr(task)), task)
    assert "\n" not in seen[0] and task.simulator in seen[0]


def test_what_is_no_task_yet_has_a_description_too():
    for env_params in (None, {"force": np.float32(1)}):
        assert repr(Task(simulator="CartPole", env_params=env_params)) == "<Task of CartPole>"
    assert repr(Task(simulator="Cart", env_params=None)) == "<Task of Cart>"

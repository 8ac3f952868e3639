"""Laws of validation tasks: near the targets, with a solution, and none that a report uses."""

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.envs.catalogue import grid_axes, held_out_grid, near, physics_grid, validation_tasks
from jaxrl_ft.envs.oracle import oracle_return

SOURCE = ft.make_task("CartPole-v1")
NAMES = ft.shifts_of("CartPole-v1")
TARGETS = {name: ft.make_task("CartPole-v1", name) for name in NAMES}
HELD_OUT = {name: ft.held_out_tasks("CartPole-v1", name) for name in NAMES}
ALONE = {name: validation_tasks(SOURCE, {name: TARGETS[name]}, {name: HELD_OUT[name]}) for name in NAMES}
TOGETHER = validation_tasks(SOURCE, TARGETS, HELD_OUT)


def reported(names):
    return [SOURCE, *(TARGETS[name] for name in names), *(task for name in names for _, task in HELD_OUT[name])]


def test_no_validation_task_is_a_task_of_the_report():
    for name, tasks in ALONE.items():
        assert not any(near(task, other) for task in tasks.values() for other in reported([name]))
    assert not any(near(task, other) for task in TOGETHER.values() for other in reported(NAMES))


def test_they_differ_from_each_other():
    tasks = list(TOGETHER.values())
    assert not any(near(tasks[i], tasks[j]) for i in range(len(tasks)) for j in range(i))


@pytest.mark.parametrize("name", NAMES)
def test_they_are_not_in_the_grid_of_physics_that_the_report_draws(name):
    grid = physics_grid(TARGETS[name], grid_axes(SOURCE, TARGETS[name]))
    assert not any(near(task, cell) for task in ALONE[name].values() for row in grid for cell in row)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_has_two_that_lie_on_the_way_to_it_and_can_be_solved(name):
    assert len(ALONE[name]) == 2
    assert [key for key in TOGETHER if key.startswith(f"{name}@")]
    for key, task in ALONE[name].items():
        if "*" not in key:
            for start, end, now in zip(*(vars(one.env_params).values() for one in (SOURCE, TARGETS[name], task))):
                assert np.all((np.minimum(start, end) <= now) & (now <= np.maximum(start, end)))
        assert oracle_return(task, episodes=32).mean() >= 475


def test_two_tasks_are_near_when_no_quantity_differs_by_two_percent():
    task = ft.make_task("CartPole-v1", half_length=1.0)
    for value, expected in ((1.0, True), (1.015, True), (1.03, False), (0.985, True), (0.97, False)):
        assert near(task, ft.make_task("CartPole-v1", half_length=value)) is expected
    assert not near(task, ft.make_task("CartPole-v1", half_length=1.0, flip_actions=True))
    assert not near(SOURCE, ft.make_task("Acrobot-v1"))


def test_places_that_are_taken_are_left_out():
    target = {"long": TARGETS["long-pole"]}
    taken = {"long": [("interpolation", task) for task in ALONE["long-pole"].values()]}
    found = validation_tasks(SOURCE, target, taken)
    assert list(found) == ["long@0.4", "long@0.8"]


def test_other_environments_have_them_and_a_target_without_is_named():
    source, target = ft.make_task("Pendulum-v1"), ft.make_task("Pendulum-v1", g=20.0)
    found = validation_tasks(source, {"heavy": target}, {"heavy": held_out_grid(source, target)})
    assert [round(float(task.env_params.g), 2) for task in found.values()] == [18.66, 15.16]
    game = ft.make_task("Breakout-MinAtar")
    with pytest.raises(ValueError, match="validation: 'same' has no task beside it"):
        validation_tasks(game, {"same": game}, {})

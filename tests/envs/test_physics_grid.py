"""Grids of physics: every task is one that could be made by name, and the axes go where the shift goes."""

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.envs.catalogue import grid_axes, physics_grid

SOURCE = ft.make_task("CartPole-v1")


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(vars(one.env_params).values(), vars(other.env_params).values()))


def test_cells_are_the_tasks_that_make_task_makes():
    target = ft.make_task("CartPole-v1", flip_actions=True)
    grid = physics_grid(target, {"half_length": [0.5, 2.0], "episode_limit": [10, 20, 30]})
    assert [len(row) for row in grid] == [3, 3]
    assert same(grid[1][2], ft.make_task("CartPole-v1", flip_actions=True, half_length=2.0, episode_limit=30))
    assert same(grid[0][0], ft.make_task("CartPole-v1", flip_actions=True, episode_limit=10))


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"force": [1.0]}, "axes: .* give two quantities"),
        ({"force": [1.0], "half_lenght": [1.0]}, "did you mean 'half_length'"),
        ({"force": [1.0], "half_length": [99.0]}, "half_length: 99"),
        ({"force": [np.nan], "half_length": [1.0]}, "force: nan"),
    ],
)
def test_what_cannot_be_a_grid_is_refused(axes, message):
    with pytest.raises(ValueError, match=message):
        physics_grid(SOURCE, axes)


@pytest.mark.parametrize("shift", ft.shifts_of("CartPole-v1"))
def test_axes_of_every_shift_are_ascending_accepted_and_hold_the_target(shift):
    target = ft.make_task("CartPole-v1", shift=shift)
    axes = grid_axes(SOURCE, target)
    grid = physics_grid(target, axes)
    described = [task.describe() for row in grid for task in row]
    assert target.describe() in described and len(set(described)) == len(described)
    for name, values in axes.items():
        assert len(values) >= 5 and (np.diff(values) > 0).all()
        assert min(values) < float(getattr(target.env_params, name)) < max(values)
    moved = [name for name in axes if getattr(SOURCE.env_params, name) != getattr(target.env_params, name)]
    changed = set(ft.SHIFTS[shift].physics) & {"gravity", "half_length", "force", "tau", "cart_mass"}
    assert len(moved) == min(len(changed), 2)
    if moved and len(ft.SHIFTS[shift].physics) == len(moved):
        assert SOURCE.describe() in described


def test_other_environments_have_axes_of_their_own():
    axes = grid_axes(ft.make_task("Pendulum-v1"), ft.make_task("Pendulum-v1", g=15.0))
    assert next(iter(axes)) == "g" and len(axes) == 2
    physics_grid(ft.make_task("Pendulum-v1"), axes)

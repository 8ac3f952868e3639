"""The named changes of the environments beside CartPole: who has which, and which tasks are held out beside each."""

import json

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core.config import to_json
from jaxrl_ft.envs.classic_shifts import CLASSIC, GAMES
from jaxrl_ft.envs.shifts import EXTRAPOLATION, INTERPOLATION

PAIRS = [(id, name) for id in CLASSIC for name in ft.shifts_of(id)]
GAME_PAIRS = [(GAMES[1], name) for name in ft.shifts_of(GAMES[1])]


HEAVY_GAMES = [pytest.param(id, marks=pytest.mark.slow) for id in GAMES if id != GAMES[1]]


@pytest.mark.parametrize("id", [*CLASSIC, GAMES[1], *HEAVY_GAMES])
def test_every_environment_has_a_dozen_shifts_and_each_changes_it(id):
    source, targets = ft.make_task(id), [ft.make_task(id, name) for name in ft.shifts_of(id)]
    assert len(targets) >= 12
    # A description leaves out the middle of long orders.
    described = [json.dumps(to_json(task)) for task in (source, *targets)]
    assert len(set(described)) == len(described)


@pytest.mark.parametrize(("id", "name"), PAIRS + GAME_PAIRS)
def test_held_out_tasks_are_of_both_kinds_and_none_is_the_target_or_another(id, name):
    target, held_out = ft.make_task(id, name), ft.held_out_tasks(id, name)
    assert {kind for kind, _ in held_out} == {INTERPOLATION, EXTRAPOLATION}
    described = [task.describe() for task in (ft.make_task(id), target, *(task for _, task in held_out))]
    assert len(set(described)) == len(described)


def test_a_mirrored_screen_shows_each_row_from_the_right():
    source, target = ft.make_task(GAMES[1]), ft.make_task(GAMES[1], "mirrored-screen")
    shown = [np.asarray(task.reset(jax.random.key(0))[0]).reshape((10, 10, 4)) for task in (source, target)]
    np.testing.assert_array_equal(shown[1], shown[0][:, ::-1])
    swapped = np.asarray(ft.make_task(GAMES[1], "swapped-screen").reset(jax.random.key(0))[0]).reshape((10, 10, 4))
    np.testing.assert_array_equal(swapped, shown[0][..., [1, 2, 3, 0]])


def test_a_shift_is_of_its_environments_alone():
    with pytest.raises(ValueError, match="shift: 'long-pole' is not allowed for Pendulum-v1; it changes CartPole-v1"):
        ft.make_task("Pendulum-v1", "long-pole")
    with pytest.raises(ValueError, match=r"'heavy-bob' is not allowed for DeepSea-bsuite; .* DeepSea-bsuite has none"):
        ft.make_task("DeepSea-bsuite", "heavy-bob")
    assert "sticky-actions" not in ft.shifts_of("CartPole-v1")


def test_what_is_given_by_name_overrides_the_shift_s_inside_and_around_the_environment():
    task = ft.make_task("MountainCarContinuous-v0", "weak-engine", gravity=0.002, obs_noise=0.5)
    quantities = task.quantities
    assert np.isclose(quantities["power"], 0.00105) and np.isclose(quantities["gravity"], 0.002)
    assert quantities["obs_noise"] == 0.5
    changed = ft.make_task("Pendulum-v1", "sticky-actions", sticky_actions=0.1, m=2.0).quantities
    assert changed["sticky_actions"] == np.float32(0.1) and changed["m"] == 2.0


def test_validation_tasks_of_a_flip_vary_what_the_environment_has():
    id, name = "Pendulum-v1", "mirrored-actions"
    target = ft.make_task(id, name)
    found = ft.validation_tasks(ft.make_task(id), {name: target}, {name: ft.held_out_tasks(id, name)})
    assert len(found) == 2
    assert all(task.quantities["flip_actions"] == 1 and task.quantities["m"] != 1 for task in found.values())

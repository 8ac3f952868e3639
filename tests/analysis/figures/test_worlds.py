"""Drawings of the environments: their geometry is that of the environment's own states, rewards and endings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.analysis.figures.world import unwrapped
from jaxrl_ft.analysis.figures.worlds import WORLDS
from jaxrl_ft.envs.sisters import SISTERS

IDS = {"CartPole": "CartPole-v1", **{name: name for name in SISTERS}}


def drawn(name, **changed):
    """A task of an environment, and the drawing of it."""
    task = ft.make_task(IDS[name], **changed)
    leaves = vars(task.env_params).items()
    return task, WORLDS[name]({key: float(leaf) for key, leaf in leaves if np.ndim(leaf) == 0})


def stepped(name, num=400, **changed):
    """Random states of an environment, those after one step, the actions, whether they ended, and observations."""
    task, world = drawn(name, **changed)
    space = task.action_space
    reset, *keys = jax.random.split(jax.random.key(0), 3)
    _, states = jax.vmap(task.reset)(jax.random.split(reset, num))
    wide = jax.random.uniform(keys[0], (num, world.columns), minval=-1.0, maxval=1.0)
    if name == "CartPole":
        columns = {"motion": wide * jnp.array([3.0, 2.0, 0.3, 2.0])}
    else:
        reach = {"velocity": 0.05, "theta": jnp.pi, "joint_angle1": jnp.pi, "joint_angle2": jnp.pi}
        columns = {field: reach.get(field, 1.0) * wide[:, place] for place, field in enumerate(world.fields)}
    states = states.replace(**columns) if hasattr(states, "replace") else type(states)(**(vars(states) | columns))
    if hasattr(space, "num_actions"):
        actions = jax.random.randint(keys[1], (num,), 0, space.num_actions)
    else:
        actions = jax.random.uniform(keys[1], (num, 1), minval=-2.0, maxval=2.0)
    draws = task.draw(keys[1], (num,))
    after = jax.vmap(task.after)(draws, states, actions)
    _, _, _, ended, _, obs = jax.vmap(task.transition)(draws, states, actions)
    motions = [np.asarray(columns_of(world, state, num), np.float64) for state in (states, after)]
    return world, *motions, np.asarray(actions, np.float64).reshape(num), np.asarray(ended), np.asarray(obs)


def columns_of(world, state, num):
    return np.concatenate([np.reshape(getattr(state, field), (num, -1)) for field in world.fields], axis=1)


def test_every_environment_with_physics_has_a_drawing_and_so_has_the_continuous_car():
    assert set(WORLDS) == {*IDS, "MountainCarContinuous-v0"}
    world = WORLDS["MountainCarContinuous-v0"](
        {"min_position": -1.2, "max_position": 0.6, "goal_position": 0.45, "goal_velocity": 0.0}
    )
    assert world.push(np.array([-2.0, -0.5, 0.0, 0.3])).tolist() == [-1.0, -0.5, 0.0, 0.3]


def test_the_tip_of_the_acrobot_is_as_high_as_its_goal_says():
    world, _, after, _, ended, _ = stepped("Acrobot-v1")
    height = world.outline(after)[:, -1, 1]
    np.testing.assert_allclose(height, -np.cos(after[:, 0]) - np.cos(after[:, 0] + after[:, 1]), atol=1e-12)
    assert 0 < ended.sum() < len(ended)
    np.testing.assert_array_equal(height > world.goal, ended)
    np.testing.assert_array_equal([world.verdict(row[None])[1] == "above the line after" for row in after], ended)
    links = np.linalg.norm(np.diff(world.outline(after), axis=1), axis=2)
    np.testing.assert_allclose(links, 1.0)


def test_the_tip_of_the_pendulum_is_what_it_observes():
    world, _, after, _, _, obs = stepped("Pendulum-v1")
    tip = world.outline(after)[:, -1]
    np.testing.assert_allclose(np.stack([tip[:, 1], -tip[:, 0]], axis=1), obs[:, :2], atol=1e-5)
    np.testing.assert_allclose(world.chart(after).values, obs[:, 0], atol=1e-5)


def test_the_car_rolls_down_the_hill_that_is_drawn():
    world, before, after, actions, ended, _ = stepped("MountainCar-v0", gravity=0.003)
    place = world.outline(before)[:, 0]
    np.testing.assert_allclose(place[:, 1], world.rise * np.sin(3.0 * before[:, 0]))
    step = np.array([1e-6, 0.0])
    slope = (world.outline(before + step) - world.outline(before - step))[:, 0, 1] / 2e-6
    np.testing.assert_allclose(np.tan(-np.radians(world.parts(before)[0].angle)), slope, atol=1e-6)
    free = (actions == 1) & (np.abs(after[:, 1]) < 0.069) & (after[:, 0] > -1.19)
    assert free.sum() > 50
    pull = (after[:, 1] - before[:, 1])[free]
    np.testing.assert_allclose(pull, -0.003 / (3.0 * world.rise) * slope[free], atol=1e-7)
    np.testing.assert_array_equal([world.verdict(row[None])[1] == "at the flag after" for row in after], ended)


def test_the_pole_is_as_long_as_its_physics_and_falls_where_episodes_end():
    world, _, after, _, ended, _ = stepped("CartPole", half_length=1.0)
    pole = world.outline(after)[:, 1] - world.outline(after)[:, 0]
    np.testing.assert_allclose(np.linalg.norm(pole, axis=1), 2.0)
    np.testing.assert_allclose(np.arctan2(pole[:, 0], pole[:, 1]), after[:, 2])
    np.testing.assert_allclose(world.outline(after)[:, 0, 0], after[:, 0])
    assert 0 < ended.sum() < len(ended)
    np.testing.assert_array_equal([world.verdict(row[None])[0] for row in after], ended)


@pytest.mark.parametrize("name", ["Acrobot-v1", "MountainCar-v0", "Pendulum-v1"])
def test_arrows_point_where_the_action_pushes(name):
    """An action and its opposite change the speed by the same amount to both sides of doing nothing."""
    task, world = drawn(name)
    _, state = task.reset(jax.random.key(1))
    draws = task.draw(jax.random.key(2), ())
    actions = [jnp.array([u]) for u in (-2.0, 0.0, 2.0)] if name == "Pendulum-v1" else [0, 1, 2]
    speeds = [np.ravel(getattr(task.after(draws, state, action), world.fields[-1]))[0] for action in actions]
    push = world.push(np.asarray(actions, np.float64).reshape(3))
    np.testing.assert_array_equal(push, [-1.0, 0.0, 1.0])
    assert np.sign(np.diff(speeds)).tolist() == [1.0, 1.0]


def test_flipped_and_delayed_actions_of_the_cart_push_the_other_way_and_later():
    _, world = drawn("CartPole", **{"flip_actions": True, "action_delay": 2})
    assert world.push(np.array([1.0, 1.0, 0.0, 1.0])).tolist() == [0.0, 0.0, -1.0, -1.0]


ENDS = {
    "CartPole": (0.0, -200.0),
    "Acrobot-v1": (0.0, 100.0),
    "MountainCar-v0": (0.0, 0.0),
    "Pendulum-v1": (0.0, -100.0),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_parts_put_the_tip_where_the_outline_has_it(name):
    world, _, after, *_ = stepped(name, **({"half_length": 1.0} if name == "CartPole" else {}))
    after = after[:1]
    expected = world.scale * world.outline(after)[:, -1] * (1.0, -1.0) + (0.0, world.base)
    tip = np.array(ENDS[name])
    for part in reversed(world.parts(after)):
        angle = np.radians(part.angle[0])
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ tip
        tip = turned + np.array([part.x[0], part.y[0]])
    np.testing.assert_allclose(tip, expected[0], atol=1e-9)


def test_angles_turn_on_where_the_simulator_wraps_them():
    speed, tau = 25.0, 0.2
    true = speed * tau * np.arange(40)
    wrapped = np.remainder(true + np.pi, 2.0 * np.pi) - np.pi
    np.testing.assert_allclose(unwrapped(wrapped, np.full(40, speed), tau), true - true[0] + wrapped[0], atol=1e-9)


@pytest.mark.parametrize("name", ENDS)
def test_drawings_have_an_element_for_each_part_and_stay_in_their_box(name):
    world, _, after, *_ = stepped(name)
    body = world.body()
    assert body.count('class="push"') == 1
    for part in world.parts(after):
        assert body.count(f'class="{part.name}"') == 1
    x, y = np.moveaxis(world.scale * world.outline(after) * (1.0, -1.0) + (0.0, world.base), -1, 0)
    left, top, width, height = world.box
    inside = (x >= left - 60) & (x <= left + width + 60) & (y >= top) & (y <= top + height)
    assert inside.all()

"""A user's own environment is a task as any other: its numbers are physics, its actions and observations vectors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.own_worlds import Count, CountParams, Mixed, Motor, Parted, Point, PointParams, Six

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import from_json, to_json
from jaxrl_ft.envs.catalogue import held_out_grid, near, physics_grid

FAR = PointParams(drag=0.3, motor=Motor(gain=2.0), goal=jnp.array([1.0, -1.0]), walls=True)


def steps(task, actions, key=0):
    """Rewards, both flags, observations and true next observations of these actions, one after another."""

    def one(env_state, inputs):
        after = task.transition(inputs[0], env_state, inputs[1])
        return after[1], (after[2], after[3], after[4], after[0], after[5])

    def run(task, actions, key):
        draws = task.draw(key, (len(actions) + 1,))
        return jax.lax.scan(one, task.initial(draws[0])[1], (draws[1:], actions))[1]

    return jax.device_get(quick(run)(task, actions, jax.random.key(key)))


def test_every_number_has_a_name():
    task = ft.make_task(Point(), env_params=FAR)
    assert task.describe() == "Point drag=0.3 motor.gain=2 walls=True goal=(1, -1)"
    assert {name: leaf.dtype.name for name, leaf in task.quantities.items()} == {
        "drag": "float32", "motor.gain": "float32", "strides": "int32", "walls": "bool", "goal": "float32",
        "episode_limit": "int32",
    }  # fmt: skip
    by_name = ft.make_task(Point(), drag=0.3, walls=True, goal=(1, -1), **{"motor.gain": 2.0})
    assert task == by_name == ft.make_task(Point()).changed(**task.quantities) and hash(task) == hash(by_name)
    assert tree.bits(task) == tree.bits(by_name) == tree.bits(from_json(to_json(task)).checked())
    assert task != ft.make_task(Point()) == ft.make_task("Point")


def test_shapes_are_named_and_flattened():
    task = ft.make_task(Point())
    assert task.obs_shapes == {"image": (2, 3), "place": (2,)} and task.obs_size == 8
    obs, env_state = quick(task.reset)(jax.random.key(3))
    np.testing.assert_array_equal(obs, [*range(6), *env_state.inner[0]])
    np.testing.assert_array_equal(obs, task.changed(obs_scale=2.0).flatten(Point().obs(env_state.inner[0])))
    assert obs.dtype == np.float32


def test_actions_keep_their_bounds_and_their_shape():
    task = ft.make_task(Point(), env_params=FAR)
    assert (task.action_space.low.tolist(), task.action_space.high.tolist()) == ([-2.0, -2.0], [2.0, 2.0])
    inside, beyond = (steps(task, jnp.full((3, 2), size)) for size in (2.0, 50.0))
    np.testing.assert_array_equal(inside[3], beyond[3])
    assert not np.array_equal(inside[3], steps(task, jnp.full((3, 2), 1.0))[3])
    stacked = tree.stack([ft.make_task(Point()), task])
    np.testing.assert_array_equal(stacked.action_space.high, [[1.0, 1.0], [2.0, 2.0]])


def test_joint_actions_are_all_combinations():
    task = ft.make_task(Parted(), episode_limit=9)
    assert task.action_space == ft.make_task(Parted(), episode_limit=9).action_space
    rewards, *_, seen = steps(task, jnp.arange(6))
    assert rewards.tolist() == [0, 1, 2, 10, 11, 12] and task.action_space.num_actions == 6
    np.testing.assert_array_equal(seen, np.tile(np.eye(5)[1], (6, 1)))


@pytest.mark.parametrize("kind", [Count, Six, Mixed])
@pytest.mark.parametrize(("last", "limit", "both"), [(3, 4, False), (5, 2, False), (2, 2, True)])
def test_the_two_endings_are_told_apart(kind, last, limit, both):
    task = ft.make_task(kind(), env_params=CountParams(last=last), episode_limit=limit)
    reward, terminated, truncated, obs, seen = steps(task, jnp.zeros(6, jnp.int32))
    times = np.arange(6) % min(last, limit) + 1
    np.testing.assert_array_equal(seen[:, 0], times)
    np.testing.assert_array_equal(obs[:, 0], times % min(last, limit))
    np.testing.assert_array_equal(truncated, times == limit)
    # One flag for both endings cannot say that both came at once.
    np.testing.assert_array_equal(terminated, (times == last) & ~(both and kind is Mixed))
    assert reward.tolist() == [1.0] * 6


def test_an_equal_environment_is_the_same_and_another_one_is_called_otherwise():
    class Point2(Point):
        name = "Narrow"

    class Other(Point):
        name = "Narrow"

    first, same, other = (ft.make_task(kind) for kind in (Point2(3.0), Point2(3.0), Point2(4.0)))
    assert (first.id, same.id, other.id, ft.make_task(Other(3.0)).id) == ("Narrow", "Narrow", "Narrow~2", "Narrow~3")
    assert first == same and first != other and ft.make_task(Point2(4.0), name="my_own wide").id == "my-own-wide"
    assert ft.make_task(Count(), name="CartPole-v1").id == "CartPole-v1~2"


def test_held_out_tasks_grids_and_nearness_move_every_number():
    source, target = ft.make_task(Point()), ft.make_task(Point(), env_params=FAR)
    found = held_out_grid(source, target)
    assert [task.describe() for _, task in found][
        1
    ] == "Point drag=0.173205 motor.gain=1.41421 walls=True goal=(0.5, -0.5)"
    assert not near(source, target) and near(target, target.changed(drag=0.301)) and not near(target, found[0][1])
    rows = physics_grid(target, {"drag": [0.1, 0.2], "motor.gain": [1.0, 2.0, 3.0]})
    assert [[task.quantities["motor.gain"] for task in row] for row in rows] == [[1, 2, 3], [1, 2, 3]]
    assert set(ft.validation_tasks(source, {"far": target}, {})) == {"far@0.9", "far@0.6"}


def test_an_agent_is_saved_without_its_environment(tmp_path):
    task = ft.make_task(Point(7.0), env_params=FAR, name="Saved", return_range=(-100.0, 0.0))
    agents = ft.pretrain(
        task, algo=ft.PPO(num_envs=2, num_steps=4, num_minibatches=2), seeds=2, steps=8, num_evals=2, eval_episodes=1
    )
    ft.save(agents, tmp_path / "agents")
    loaded = ft.load(tmp_path / "agents")
    assert loaded == agents and loaded.task.return_range == (-100.0, 0.0)
    assert loaded == ft.load(tmp_path / "agents", task=ft.make_task("Saved"))
    assert loaded.policy(0)(np.zeros(8)).shape == (2,)
    unknown = tmp_path / "unknown"
    from jaxrl_ft.core.bundle import read_bundle, write_bundle

    arrays, metadata = read_bundle(tmp_path / "agents")
    for place in ("source", "task"):
        metadata[place]["simulator"] = "Elsewhere"
    write_bundle(unknown, arrays, metadata)
    with pytest.raises(
        ValueError, match="environment 'Elsewhere', which is not known here; call make_task with it first"
    ):
        ft.load(unknown)
    assert ft.load(unknown, task=ft.make_task("Saved")) == agents
    with pytest.raises(ValueError, match=r"is missing among the numbers of Count|drag"):
        ft.load(unknown, task=ft.make_task(Count()))
    with pytest.raises(ValueError, match=r"task: CartPole-v1 is not allowed; .* holds agents of Saved"):
        ft.load(tmp_path / "agents", task=ft.make_task("CartPole-v1"))


def test_it_can_be_changed_from_the_first():
    assert ft.make_task(Point(), drag=0.2, obs_noise=0.1).describe() == "Point drag=0.2 obs_noise=0.1"

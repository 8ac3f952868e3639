"""Tasks with more, fewer or reordered sensors and actions than the file."""

import numpy as np
import pytest
from helpers.foreign_files import FOLDER
from helpers.foreign_networks import QUIET, ROWS, forward, layers, named, relu

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.store.foreign import maps

CARTPOLE, PENDULUM = ft.make_task("CartPole-v1"), ft.make_task("Pendulum-v1")


def test_sensors_by_place_by_name_and_new_ones():
    network = layers((3, 8, 2))
    for given in ([2, None, 0, 1], {"obs[0]": 2, "obs[2]": 0, 3: 1}, ["obs[2]", "obs[3]", "obs[0]"]):
        agents = ft.import_policy({"policy": network, "value": layers((3, 8, 1))}, CARTPOLE, obs_map=given, **QUIET)
        acts = agents.policy(0)
        np.testing.assert_array_equal(acts(ROWS), forward(network, ROWS[:, [2, 3, 0]]).argmax(axis=-1))
        np.testing.assert_array_equal(acts(ROWS + np.array([0, 9, 0, 0])), acts(ROWS))
        assert "obs_map: new are obs[1]; without an effect at first" in agents.report
        assert np.all(agents.params["value"]["dense_0"]["kernel"][0, 1] == 0)


def test_sensors_that_the_task_lacks_are_left_out():
    network = layers((6, 8, 2))
    agents = ft.import_policy({"policy": network}, CARTPOLE, obs_map=[5, 4, 1, 0], **QUIET)
    wide = np.zeros((len(ROWS), 6))
    wide[:, [5, 4, 1, 0]] = ROWS
    np.testing.assert_array_equal(agents.policy(0)(ROWS), forward(network, wide).argmax(axis=-1))
    assert "obs_map: the file's 2, 3 left out" in agents.report


@pytest.mark.parametrize("algo", [ft.PPO(), ft.DQN()], ids=["ppo", "dqn"])
def test_a_new_discrete_action_is_not_taken(algo):
    acrobot = ft.make_task("Acrobot-v1")
    network = layers((6, 8, 2))
    names = named(("network.",) if isinstance(algo, ft.DQN) else ("actor.",), (network,))
    agents = ft.import_policy(names, acrobot, action_map=[1, None, 0], **QUIET)
    obs = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
    activation = relu if isinstance(algo, ft.DQN) else np.tanh
    params = tree.take(agents.params["policy"], 0)
    scores = forward([(params[name]["kernel"], params[name]["bias"]) for name in ("dense_0", "head")], obs, activation)
    known = forward(network, obs, activation)
    np.testing.assert_allclose(scores[:, [2, 0]], known, atol=1e-5)
    temperature = 0.1 if isinstance(algo, ft.DQN) else 1.0
    np.testing.assert_allclose(scores[:, 1], known.mean(axis=1) - 10 * temperature, atol=1e-5)
    assert f"action_map: new are 1; {10 * temperature:g} behind the mean of the others at first" in agents.report


def test_actions_of_a_squashed_policy_and_its_critics_are_mapped():
    plain = ft.import_policy(FOLDER / "sb3_sac.zip", PENDULUM, **QUIET)
    same = ft.import_policy(FOLDER / "sb3_sac.zip", PENDULUM, obs_map=[0, 1, 2], action_map=[0], **QUIET)
    assert tree.bits(same.params) == tree.bits(plain.params)
    turned = ft.import_policy(FOLDER / "sb3_sac.zip", PENDULUM, obs_map=[2, 1, 0], **QUIET)
    rows = {"policy/dense_0": [2, 1, 0], "value/dense_0": [2, 1, 0, 3], "value/twin/dense_0": [2, 1, 0, 3]}
    before, after = tree.flatten(plain.params), tree.flatten(turned.params)
    for path, leaf in before.items():
        layer, _, name = path.rpartition("/")
        wanted = leaf[:, rows[layer]] if layer in rows and name == "kernel" else leaf
        np.testing.assert_array_equal(after[path], wanted)


def test_new_continuous_actions_are_the_middle_of_their_bounds():
    head = {"kernel": np.arange(8.0).reshape(1, 2, 4), "bias": np.arange(4.0)[None]}
    found = maps.with_outputs({"head": head}, maps.Map(np.array([1, -1, 0]), 2), None)["head"]
    np.testing.assert_array_equal(found["kernel"][0, 0], [1, 0, 0, 3, 0, 2])
    np.testing.assert_array_equal(found["bias"][0], [1, 0, 0, 3, 0, 2])
    critic = {"dense_0": {"kernel": np.arange(10.0).reshape(1, 5, 2), "bias": np.zeros((1, 2))}}
    found = maps.with_last_inputs(critic, maps.Map(np.array([1, -1, 0]), 2))["dense_0"]["kernel"][0]
    np.testing.assert_array_equal(found[:, 0], [0, 2, 4, 8, 0, 6])


def test_statistics_go_with_their_sensors():
    network, moments = layers((3, 8, 2)), {"mean": np.arange(3.0), "var": np.arange(1.0, 4.0), "clip": 5.0}
    agents = ft.import_policy({"policy": network}, CARTPOLE, obs_map=[2, None, 0, 1], normalizer=moments, **QUIET)
    np.testing.assert_array_equal(agents.statistics["obs"].mean[0], [2, 0, 0, 1])
    np.testing.assert_array_equal(agents.statistics["obs"].variance[0], [3, 1, 1, 2])

"""Tasks with more, fewer or reordered sensors and actions than the file."""

import jax
import numpy as np
import pytest
from helpers.foreign_files import FOLDER, expected
from helpers.foreign_networks import QUIET, ROWS, forward, layers, named, relu, values_of

import jaxrl_ft as ft
from jaxrl_ft.core import tree

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
    act = np.maximum if isinstance(algo, ft.DQN) else None
    wanted = forward(network, obs, (relu) if act else np.tanh).argmax(axis=-1)
    np.testing.assert_array_equal(agents.policy(0)(obs), np.array([2, 0])[wanted])
    policy = tree.take(agents.policies, 0)
    logits = np.asarray(jax.jit(lambda x: agents.algo.distribution(policy, x).logits)(obs))
    assert np.all(jax.nn.softmax(logits)[:, 1] <= 1.01 * np.exp(-10) * jax.nn.softmax(logits).max(axis=1))
    assert any(line.startswith("action_map: new are 1; ") for line in agents.report)


def test_actions_of_a_squashed_policy_and_its_critics_are_mapped():
    same = ft.import_policy(FOLDER / "sb3_sac.zip", PENDULUM, obs_map=[0, 1, 2], action_map=[0], **QUIET)
    plain = ft.import_policy(FOLDER / "sb3_sac.zip", PENDULUM, **QUIET)
    assert tree.bits(same.params) == tree.bits(plain.params)
    turned = ft.import_policy(FOLDER / "sb3_sac.zip", PENDULUM, obs_map=[2, 1, 0], **QUIET)
    obs, actions = expected("sb3_sac", "obs", "actions")
    np.testing.assert_allclose(turned.policy(0)(obs[:, ::-1]), actions, atol=1e-5)
    values = [values_of(agents, x, actions) for agents, x in ((plain, obs), (turned, obs[:, ::-1].copy()))]
    np.testing.assert_allclose(values[0], values[1], atol=1e-4)


def test_statistics_go_with_their_sensors():
    network, moments = layers((3, 8, 2)), {"mean": np.arange(3.0), "var": np.arange(1.0, 4.0), "clip": 5.0}
    agents = ft.import_policy({"policy": network}, CARTPOLE, obs_map=[2, None, 0, 1], normalizer=moments, **QUIET)
    np.testing.assert_array_equal(agents.statistics["obs"].mean[0], [2, 0, 0, 1])
    np.testing.assert_array_equal(agents.statistics["obs"].variance[0], [3, 1, 1, 2])

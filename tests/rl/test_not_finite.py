"""Rows of experience that are not finite enter neither statistics nor memories nor what is learned from."""

import jax
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.rl_probes import probe

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.rl import rollout
from jaxrl_ft.training.collect import environments
from jaxrl_ft.training.keys import Seeds
from jaxrl_ft.training.preparation.experience import gather

ALGO = ft.PPO(
    num_envs=4, num_steps=32, num_epochs=1, num_minibatches=4, gamma=0.9, normalize_obs=True, normalize_reward=True
)
NETWORK = ft.MLP(width=4, depth=1)
UPDATES = 6
SOUND = probe(length=16, each=1.0, random_signal=1.0)
BROKEN = {
    "an observation": probe(length=16, each=1.0, random_signal=1.0, broken_obs=3.0),
    "a reward": probe(length=16, each=1.0, random_signal=1.0, broken_reward=3.0),
}
rows = quick(tree.finite_rows)


def test_rows_that_are_finite_stay_where_they_are_and_others_become_the_ones_before_them():
    given = {"a": np.arange(12.0, dtype=np.float32).reshape(6, 2), "b": np.arange(6, dtype=np.float32)}
    jax.tree.map(np.testing.assert_array_equal, rows(given), given)
    given["a"][[0, 3]], given["b"][4] = np.nan, np.inf
    expected = jax.tree.map(lambda leaf: leaf[[1, 1, 2, 2, 2, 5]], given)
    jax.tree.map(np.testing.assert_array_equal, rows(given), expected)
    nothing = rows({"a": np.full((4, 2), np.nan, np.float32)})
    assert np.isnan(nothing["a"]).all()


def test_runs_are_finite_where_all_of_their_leaves_are():
    parts = {"a": np.ones((3, 2, 2)), "b": np.ones(3, int)}
    parts["a"][1, 0, 1] = np.inf
    assert tree.finite_runs(parts, 3).tolist() == [True, False, True]
    assert tree.finite_runs({}, 2).tolist() == [True, True]


@pytest.fixture(scope="module")
def policy():
    return Policy(ALGO.init_params(jax.random.key(0), SOUND, NETWORK), ALGO.init_statistics(SOUND), NETWORK)


@pytest.fixture(scope="module")
def collected(policy):
    """Statistics, and the share of rows that were left out, after some rollouts of one policy in each world."""

    @quick
    def roll(task, key, carry):
        tasks, now = environments(task, ALGO.num_envs), policy._replace(statistics=carry.statistics)
        carry, data, _, metrics = ALGO.collect(key, tasks, now, carry, Moment(0.0, 0))
        return carry, tree.finite(data), metrics["rollout/left_out"]

    @quick
    def begin(task):
        return ALGO.init_carry(jax.random.key(1), environments(task, ALGO.num_envs), policy)

    found = {}
    for name, task in (("nothing", SOUND), *BROKEN.items()):
        carry, shares = begin(task), []
        for key in jax.random.split(jax.random.key(2), 2 * UPDATES):
            carry, finite, left_out = roll(task, key, carry)
            assert finite
            shares.append(float(left_out) / ALGO.steps_per_update())
        found[name] = jax.device_get(carry.statistics), np.mean(shares)
    return found


def test_a_world_that_now_and_then_breaks_leaves_few_rows_out(collected):
    for name, (statistics, share) in collected.items():
        assert tree.finite_runs(tree.stack([statistics]), 1).all()
        # one row in thirty-two, and at most the three before it in its episode
        assert share == 0.0 if name == "nothing" else 1 / 40 < share < 5 / 32


def test_moments_are_near_those_of_the_world_that_never_breaks(collected):
    for what in BROKEN:
        # A total of rewards starts over behind one that is not finite, and so is smaller in the mean.
        for name, moments in collected[what][0].items():
            expected = collected["nothing"][0][name]
            np.testing.assert_allclose(moments.mean, expected.mean, atol=0.4 * expected.variance.max() ** 0.5)
            np.testing.assert_allclose(moments.variance, expected.variance, rtol=0.3)


@pytest.mark.parametrize("what", list(BROKEN))
def test_what_penalties_and_replay_remember_is_finite(what, policy):
    data = quick(lambda task, seeds: gather.one(3, ALGO, policy, task, seeds))(BROKEN[what], Seeds(1, 0))
    assert tree.finite_runs(jax.device_get(data), 3 * ALGO.steps_per_update()).all()


def test_an_episode_whose_return_is_not_finite_is_left_out_of_the_means():
    done = np.array([[0, 0], [1, 1], [1, 0]], bool)
    reward = np.array([[1, np.nan], [2, 1], [4, 8]], np.float32)
    steps = rollout.Transition(None, None, reward, done, np.zeros_like(done), None)
    episodes, sums = quick(rollout.count_episodes)(rollout.Episodes(np.zeros(2), np.zeros(2)), steps)
    assert {name: float(value) for name, value in sums.items()} == {
        "num": 2.0, "episode_return": 7.0, "episode_length": 3.0,
    }  # fmt: skip
    assert episodes.episode_return.tolist() == [0.0, 8.0]

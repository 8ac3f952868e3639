"""Rows of experience that are not finite enter neither statistics nor memories nor what is learned from."""

import jax
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.rl_probes import probe

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.rl import rollout
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
def trained():
    budget = {"algo": ALGO, "network": NETWORK, "seeds": 2, "num_evals": 2, "eval_episodes": 2}
    steps = UPDATES * ALGO.steps_per_update()
    return {name: ft.pretrain(task, steps=steps, **budget) for name, task in (("nothing", SOUND), *BROKEN.items())}


@pytest.mark.parametrize("what", list(BROKEN))
def test_a_world_that_now_and_then_breaks_leaves_statistics_finite_and_skips_no_step(what, trained):
    agents = trained[what]
    assert tree.finite_runs((agents.params, agents.statistics, agents.opt_state), 2).all()
    assert not agents.opt_state.skipped.any()
    moved = jax.tree.map(lambda old, new: np.any(old != new), agents.init_params, agents.params)
    assert all(jax.tree.leaves(moved))
    (line,) = (line for line in agents.report if line.startswith("rows of experience left out"))
    left_out = int(line.split(": ")[1].split()[0].replace(",", ""))
    # one row in thirty-two, and at most the three before it in its episode
    assert 1 / 40 < left_out / (2 * UPDATES * ALGO.steps_per_update()) < 5 / 32


def test_moments_are_near_those_of_the_world_that_never_breaks(trained):
    sound = trained["nothing"]
    assert sound.status == ("ok", "ok") and not any(line.startswith("rows") for line in sound.report)
    for what in BROKEN:
        # A total of rewards starts over behind one that is not finite, and so is smaller in the mean.
        for name, moments in trained[what].statistics.items():
            expected = sound.statistics[name]
            np.testing.assert_allclose(moments.mean, expected.mean, atol=0.4 * expected.variance.max() ** 0.5)
            np.testing.assert_allclose(moments.variance, expected.variance, rtol=0.3)


@pytest.mark.parametrize("what", list(BROKEN))
def test_what_penalties_and_replay_remember_is_finite(what, trained):
    policy = tree.take(Policy(trained[what].params, trained[what].statistics, NETWORK), 0)
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

"""Laws of evaluation: returns of whole episodes, with random numbers that all methods and tasks have in common."""

from dataclasses import replace

import gymnasium
import jax
import numpy as np
import pytest

import jaxrl_ft as ft


def constant(agents, logits):
    """Agents that take the same distribution everywhere."""
    params = jax.tree.map(np.zeros_like, agents.params)
    params["policy"]["head"]["bias"] = np.tile(np.asarray(logits, np.float32), (agents.num_seeds, 1))
    return replace(agents, params=params)


@pytest.fixture(scope="module")
def left(agents):
    return constant(agents, (1.0, 0.0))


def test_returns_are_of_each_agent_and_episode_and_within_the_range_of_the_task(agents):
    short = ft.make_task("CartPole-v1", episode_limit=15)
    returns = ft.evaluate(agents, short, episodes=20, seed=1)
    assert returns.shape == (4, 20) and isinstance(returns, np.ndarray)
    assert returns.min() >= 1 and returns.max() == 15
    assert np.all(returns == np.round(returns))


@pytest.mark.parametrize("half_length", [0.5, 1.5])
def test_always_left_lasts_as_long_as_in_gymnasium(half_length, left):
    env = gymnasium.make("CartPole-v1").unwrapped
    env.length, env.polemass_length = half_length, env.masspole * half_length
    env.reset(seed=0)
    env.state, steps, ended = np.zeros(4), 0, False
    while not ended:
        _, _, ended, _, _ = env.step(0)
        steps += 1
    env.close()
    task = ft.make_task("CartPole-v1", half_length=half_length, reset_range=0.0)
    assert np.all(ft.evaluate(left, task, episodes=3) == steps)


def test_the_first_episodes_do_not_depend_on_how_many_follow(agents, target):
    forty, sixteen, three = (ft.evaluate(agents, target, episodes=n, seed=4) for n in (40, 16, 3))
    assert len(np.unique(forty)) > 3
    np.testing.assert_array_equal(forty[:, :16], sixteen)
    np.testing.assert_array_equal(sixteen[:, :3], three)
    assert not np.array_equal(forty[:, 16:32], sixteen)


def test_methods_and_tasks_meet_the_same_starts(left, source):
    blind = ft.make_task("CartPole-v1", obs_offset=5.0, obs_noise=1.0)
    surer = constant(left, (9.0, -9.0))
    returns = ft.evaluate(left, source, episodes=30, seed=2)
    assert len(np.unique(returns[0])) > 1
    np.testing.assert_array_equal(ft.evaluate(left, blind, episodes=30, seed=2), returns)
    np.testing.assert_array_equal(ft.evaluate(surer, source, episodes=30, seed=2), returns)
    assert not np.array_equal(ft.evaluate(left, source, episodes=30, seed=3), returns)
    assert not np.array_equal(returns[0], returns[1])


def test_samples_are_random_and_the_greedy_action_is_the_mode(left, source):
    coin = constant(left, (1e-3, 0.0))
    greedy, sampled = (ft.evaluate(coin, source, episodes=32, greedy=g, seed=1) for g in (True, False))
    np.testing.assert_array_equal(greedy, ft.evaluate(left, source, episodes=32, seed=1))
    # a fair coin balances for 22 steps on average (gymnasium's random policy), always left for 9
    assert 19 < sampled.mean() < 26 and greedy.mean() < 11
    certain = constant(left, (50.0, -50.0))
    np.testing.assert_array_equal(ft.evaluate(certain, source, episodes=32, greedy=False, seed=1), greedy)


def test_samples_meet_the_same_noise_on_every_task(left, source):
    coin = constant(left, (0.0, 0.0))
    blind = ft.make_task("CartPole-v1", obs_offset=5.0)
    one, two = (ft.evaluate(coin, task, episodes=16, greedy=False, seed=1) for task in (source, blind))
    np.testing.assert_array_equal(one, two)


def test_evaluation_is_of_undiscounted_rewards(agents, source):
    returns = ft.evaluate(replace(agents, algo=replace(agents.algo, gamma=0.1)), source, episodes=8, seed=1)
    np.testing.assert_array_equal(returns, ft.evaluate(agents, source, episodes=8, seed=1))


def test_the_curve_ends_at_the_mean_greedy_return_of_the_final_policy(finetuned, target):
    tuned = finetuned("full")
    again = ft.evaluate(tuned, target, episodes=200, seed=8).mean(axis=1)
    # other starts, so equal in expectation alone
    assert np.all(np.abs(again - tuned.curve[:, -1]) < 0.5 * again)


@pytest.fixture(scope="module")
def lengths():
    """More tasks than one call of the program plays, no two alike."""
    return [ft.make_task("CartPole-v1", half_length=0.3 + 0.01 * i, obs_noise=0.02) for i in range(70)]


@pytest.mark.parametrize("greedy", [True, False])
def test_one_episode_on_each_of_equal_tasks_is_many_on_one(greedy, agents, lengths):
    options = {"greedy": greedy, "seed": 4}
    each = ft.evaluate(agents, [lengths[0]] * 70, **options)
    np.testing.assert_array_equal(each, ft.evaluate(agents, lengths[0], episodes=70, **options))
    assert len(np.unique(each)) > 3


def test_an_episode_is_that_of_its_task_whatever_the_other_tasks(agents, lengths):
    each = ft.evaluate(agents, lengths, seed=4)
    assert each.shape == (4, 70)
    for number in (0, 33, 69):
        alone = ft.evaluate(agents, lengths[number], episodes=70, seed=4)
        np.testing.assert_array_equal(each[:, number], alone[:, number])
        assert np.any(alone != each)
    np.testing.assert_array_equal(ft.evaluate(agents, lengths[:5], episodes=5, seed=4), each[:, :5])


def test_other_tasks_compile_nothing_new(agents, lengths, compilations):
    ft.evaluate(agents, lengths)
    compilations.reset()
    ft.evaluate(agents, lengths[::-1][:7], seed=9, greedy=False)
    assert not compilations.names


@pytest.mark.parametrize(
    "tasks, changes, message",
    [
        ([], {}, "task: an empty sequence is not allowed"),
        (["CartPole-v1", "CartPole-v1"], {"episodes": 3}, "episodes: 3 is not allowed; it must be left out, or 2"),
        (["CartPole-v1", "Acrobot-v1"], {}, "6 observations, .* do not fit agents trained on 4 observations"),
    ],
)
def test_sequences_that_make_no_sense_are_refused(tasks, changes, message, agents, nothing_runs):
    with pytest.raises(ValueError, match=message):
        ft.evaluate(agents, [ft.make_task(name) for name in tasks], **changes)


def test_what_is_no_task_is_refused(agents, source, nothing_runs):
    for given in ("CartPole-v1", [source, "CartPole-v1"]):
        with pytest.raises(ValueError, match="task: 'CartPole-v1' is not allowed; it must be a Task"):
            ft.evaluate(agents, given)


@pytest.mark.parametrize(
    "changes, message",
    [({"episodes": 0}, "episodes: 0"), ({"seed": -1}, "seed: -1"), ({"greedy": 2}, "greedy: 2")],
)
def test_bad_arguments_are_refused(changes, message, agents, source, nothing_runs):
    with pytest.raises(ValueError, match=message):
        ft.evaluate(agents, source, **changes)


def test_a_task_of_other_sizes_is_refused(agents, nothing_runs):
    with pytest.raises(
        ValueError, match="6 observations, 3 discrete actions do not fit agents trained on 4 observations, 2 discrete"
    ):
        ft.evaluate(agents, ft.make_task("Acrobot-v1"))

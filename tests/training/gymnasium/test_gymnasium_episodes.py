"""Returns in Gymnasium environments are those that were earned, under every autoreset mode."""

from dataclasses import replace
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from helpers.exported import random_agents

import jaxrl_ft as ft
from jaxrl_ft.analysis.statistics import aggregate, intervals
from jaxrl_ft.training.gymnasium import episodes as gymnasium_episodes
from jaxrl_ft.training.gymnasium import spaces as gymnasium_spaces

LENGTHS = (3, 1, 4, 2)


class Counting(gym.Env):
    """Episodes of 3, 1, 4, 2, 3, ... steps; the reward is 10 to the episode's number for the right action."""

    observation_space = spaces.Box(-9, 9, (4,), np.float32)
    action_space = spaces.Discrete(2, start=5)

    def __init__(self, lengths=LENGTHS):
        self.lengths, self.episode, self.seeds = lengths, -1, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode = 0 if seed is not None and len(self.lengths) > 1 else self.episode + 1
        self.seeds.append(seed)
        self.at = 0
        return self._obs(), {}

    def _obs(self):
        self.wanted = (self.at + self.episode) % 2
        return np.array([2 * self.wanted - 1, 0, 0, 0], np.float32)

    def step(self, action):
        assert 0 <= self.at < self.lengths[self.episode % len(self.lengths)], "stepped behind the end"
        reward = 1.0 if action == 5 + self.wanted else -100.0
        self.at += 1
        done = self.at == self.lengths[self.episode % len(self.lengths)]
        return self._obs(), reward, done and self.episode % 2 == 0, done and self.episode % 2 == 1, {}


@pytest.fixture(scope="module")
def agents():
    """Two agents: one that always acts rightly, and one that always acts wrongly."""
    found = random_agents(ft.make_task("CartPole-v1"), ft.PPO(), ft.MLP(width=4, depth=1))
    policy = found.params["policy"]
    for leaf in (
        policy["dense_0"]["kernel"],
        policy["dense_0"]["bias"],
        policy["head"]["kernel"],
        policy["head"]["bias"],
    ):
        leaf[:] = 0
    policy["dense_0"]["kernel"][:, 0, 0] = 1
    policy["head"]["kernel"][:, 0] = [[-1, 1], [1, -1]]
    return found


@pytest.mark.parametrize("mode", AutoresetMode, ids=lambda mode: mode.value)
def test_every_autoreset_mode_gives_the_returns_that_were_earned(agents, mode):
    env = SyncVectorEnv([Counting, partial(Counting, (2, 5, 1))], autoreset_mode=mode)
    returns = ft.gymnasium_returns(agents, env, episodes=7)
    # Environment 0 plays the episodes 0, 2, 4, 6, and environment 1 plays 1, 3, 5.
    np.testing.assert_array_equal(returns[0], [3, 2, 1, 5, 4, 1, 2])
    np.testing.assert_array_equal(returns[1], -100 * returns[0])


def test_an_environment_plays_episode_after_episode_with_the_same_seeds_for_every_agent(agents):
    env = Counting((3,))
    np.testing.assert_array_equal(ft.gymnasium_returns(agents, env, episodes=3), [[3] * 3, [-300] * 3])
    assert env.seeds[:3] == env.seeds[3:] and len(set(env.seeds)) == 3 and None not in env.seeds
    before = list(env.seeds)
    ft.gymnasium_returns(agents, env, episodes=3, seed=3)
    assert not set(env.seeds[6:]) & set(before)


def test_samples_are_drawn_from_the_policy(agents):
    flat = replace(agents, params={**agents.params, "policy": {**agents.params["policy"]}})
    flat.params["policy"]["head"] = {k: np.zeros_like(v) for k, v in agents.params["policy"]["head"].items()}
    env = SyncVectorEnv([partial(Counting, (8,))] * 4)
    returns = ft.gymnasium_returns(flat, env, episodes=40, greedy=False)
    right = (returns + 800) / 101
    assert abs(right.mean() - 4) < 0.5 and right.std() > 0.5
    np.testing.assert_array_equal(returns, ft.gymnasium_returns(flat, env, episodes=40, greedy=False))


def test_an_agent_that_is_not_finite_has_no_score(agents):
    broken = replace(agents, env_steps=agents.env_steps, statistics={"x": np.array([0.0, np.nan])})
    with pytest.warns(UserWarning, match="not finite: 1 of 2; their returns are NaN"):
        returns = ft.gymnasium_returns(broken, Counting((3,)), episodes=2)
    np.testing.assert_array_equal(returns, [[3, 3], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("CartPole-v9", r"^env: 'CartPole-v9' is no id of gymnasium; did you mean 'CartPole-v"),
        (
            "Acrobot-v1",
            "^env: Acrobot-v1 has 6 observations, 3 discrete actions, and the agents act on 4 observations, 2",
        ),
        ("Pendulum-v1", "^env: Pendulum-v1 has 3 observations, 1 continuous actions, and"),
        (3, "^env: 3 is not allowed; it must be an id, a gymnasium.Env or"),
    ],
)
def test_what_does_not_fit_is_refused(agents, nothing_runs, env, message):
    with pytest.raises(ValueError, match=message):
        ft.gymnasium_returns(agents, env, episodes=1)


def test_an_episode_without_an_end_is_refused(agents, monkeypatch):
    monkeypatch.setattr(gymnasium_episodes, "LONGEST", 20)
    for env in (Counting((50,)), SyncVectorEnv([partial(Counting, (50,))])):
        with pytest.raises(ValueError, match=r"^env: an episode of \w+ has not ended after 20 steps; .*TimeLimit"):
            ft.gymnasium_returns(agents, env, episodes=1)


def test_a_missing_gymnasium_is_one_line(agents, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r'^env: needs the package gymnasium, .*; python -m pip install "jaxrl_ft\[gym\]"$'
    ):
        ft.gymnasium_returns(agents, "CartPole-v1")


def test_observations_of_parts_are_one_vector_and_joint_actions_several_numbers():
    observation = spaces.Dict({"b": spaces.Discrete(3), "a": spaces.Box(0, 1, (2, 2)), "c": spaces.MultiBinary(2)})
    found = gymnasium_spaces.read("x", observation, spaces.MultiDiscrete([3, 2], start=[1, 0]))
    obs = {"b": 2, "a": np.array([[1, 2], [3, 4]]), "c": np.array([0, 1])}
    np.testing.assert_array_equal(found.flat(obs, ()), [1, 2, 3, 4, 0, 0, 1, 0, 1])
    batch = {key: np.stack([value, value]) for key, value in obs.items()}
    np.testing.assert_array_equal(found.flat(batch, (2,)), [found.flat(obs, ())] * 2)
    assert found.sizes() == "9 observations, 6 discrete actions"
    np.testing.assert_array_equal(found.native(np.array([0, 1, 5])), [[1, 0], [1, 1], [3, 1]])
    box = gymnasium_spaces.read("x", spaces.Box(0, 1, (2,)), spaces.Box(-1, 1, (2, 2)))
    np.testing.assert_array_equal(box.native(np.array([[-3, 0, 0.5, 3]])), [[[-1, 0], [0.5, 1]]])
    with pytest.raises(ValueError, match=r"^env: x has observations of Text"):
        gymnasium_spaces.read("x", spaces.Text(3), spaces.Discrete(2))


# One hidden unit in the linear range of tanh: gains for each entry of the observation.
GAINS = {
    "CartPole-v1": [0.1, 0.2, 4.0, 1.0],
    "MountainCar-v0": [0.0, 1.0],
    "Acrobot-v1": [0.0, 0.0, 0.0, 0.0, -1.0, 0.3],
    "Pendulum-v1": [0.0, -0.5, -0.1],
}


def linear(name):
    task, gains = ft.make_task(name), np.array(GAINS[name], np.float32)
    num = 1 if name == "Pendulum-v1" else task.action_space.num_actions
    head = np.linspace(-1000, 1000, num, dtype=np.float32)[None] if num > 1 else np.full((1, 1), 2000, np.float32)
    zero = np.zeros
    layers = [(1e-3 * gains[:, None], zero(1, np.float32)), (head, zero(num, np.float32))]
    return ft.wrap({"policy": layers}, task), task


@pytest.mark.slow
@pytest.mark.parametrize("name", GAINS)
def test_the_classics_give_the_returns_that_evaluate_gives(name):
    agents, task = linear(name)
    ours = ft.evaluate(agents, task, episodes=200)[0]
    worst = float(task.return_range[0])
    assert ours.mean() > worst + 20
    for mode in (*AutoresetMode, None):
        make = partial(gym.make, name)
        env = make() if mode is None else SyncVectorEnv([make] * 10, autoreset_mode=mode)
        theirs = ft.gymnasium_returns(agents, env, episodes=100)[0]
        a, b = (intervals.stratified_bootstrap(returns, aggregate.mean) for returns in (ours, theirs))
        assert a.low <= b.high and b.low <= a.high, (name, mode, a, b)

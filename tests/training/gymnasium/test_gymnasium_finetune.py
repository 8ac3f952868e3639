"""Fine-tuning to Gymnasium: what is stepped is counted and learned from, and what cannot be done there is refused."""

import re
from functools import partial
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import jaxrl_ft as ft
from jaxrl_ft.analysis.statistics import aggregate, intervals
from jaxrl_ft.core import tree
from jaxrl_ft.training.gymnasium.worlds import GymnasiumWorlds, worlds_of
from jaxrl_ft.training.keys import seeds_of


class Steps(gym.Env):
    """Episodes of 3 steps that end naturally and of 5 that are cut, in turn; an observation tells seed and time."""

    observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    action_space = spaces.Discrete(2, start=5)
    made: ClassVar = []

    def __init__(self, broken=False):
        self.seed, self.episode, self.taken, self.broken = None, -1, 0, broken
        self.shown = np.zeros(4, np.float32)
        self.made.append(self)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seed = self.seed if seed is None else seed
        self.episode, self.at = self.episode + 1, 0
        return self._obs(), {}

    def _obs(self):
        # Always the same memory, as some environments show.
        self.shown[:] = [self.seed % 1000, self.episode, self.at, 0]
        return self.shown

    def step(self, action):
        assert action in (5, 6) and self.at < 5, "stepped behind the end"
        self.at, self.taken = self.at + 1, self.taken + 1
        long = self.episode % 2
        reward = np.nan if self.broken and self.taken > 20 else float(action == 6)
        return self._obs(), reward, not long and self.at == 3, bool(long) and self.at == 5, {}


class Uneven(Steps):
    """A seed that is even begins with a short episode, and one that is odd with a long one."""

    def reset(self, *, seed=None, options=None):
        self.episode = self.episode if seed is None else seed % 2 - 1
        return super().reset(seed=seed, options=options)


@pytest.fixture
def made(monkeypatch):
    """The environments that a test makes."""
    monkeypatch.setattr(Steps, "made", [])
    return Steps.made


def test_transitions_are_those_of_the_environments():
    worlds = worlds_of(Steps)
    worlds.open(2, 3)
    first, seen = worlds.reset(seeds_of(1, 2)), []
    assert first.shape == (2, 3, 4) and len(np.unique(first[..., 0])) == 6
    for _ in range(9):
        seen.append(worlds.step(np.ones((2, 3), int)))
    worlds.close()
    told = [[(s.obs[1, 2, 2], s.next_obs[1, 2, 2], s.terminated[1, 2], s.truncated[1, 2]) for s in seen]]
    natural, cut = [(0, 3, True, False)], [(0, 5, False, True)]
    assert told == [[(i, i, False, False) for i in (1, 2)] + natural + [(i, i, False, False) for i in (1, 2, 3, 4)]
                    + cut + [(1, 1, False, False)]]  # fmt: skip
    assert all((s.reward == 1).all() and (s.next_obs[..., 0] == first[..., 0]).all() for s in seen)
    assert seen[2].next_obs[0, 0, 1] == 0 and seen[2].obs[0, 0, 1] == 1


def test_resets_depend_on_seed_run_and_place_alone():
    def starts(seed, runs, num):
        worlds = worlds_of(Steps)
        worlds.open(runs, num)
        found = worlds.reset(seeds_of(seed, runs))[..., 0]
        worlds.close()
        return found

    np.testing.assert_array_equal(starts(1, 3, 4)[:2, :2], starts(1, 2, 2))
    assert not (starts(1, 2, 2) == starts(2, 2, 2)).any()


def test_evaluations_play_one_episode_in_each_of_their_own():
    worlds, seen = worlds_of(Uneven), []

    def act(obs):
        seen.append(obs)
        return (obs[..., 2] > 0).astype(int)

    returns = worlds.returns(act, seeds_of(1, 2), 3, 0)
    again, other = seen[0], len(seen)
    np.testing.assert_array_equal(returns, np.where(again[..., 1] == 1, 4.0, 2.0))
    assert len(np.unique(returns)) == 2
    worlds.returns(act, seeds_of(1, 2), 3, 0)
    worlds.returns(act, seeds_of(1, 2), 3, 8)
    np.testing.assert_array_equal(again, seen[other])
    assert not (again[..., 0] == seen[2 * other][..., 0]).any()


def test_a_fine_tune_spends_its_budget_and_reports(agents, made, tmp_path, same, tiny):
    moments, before = [], agents.digest
    tuned = ft.finetune_gymnasium(
        agents, Steps, steps=150, num_evals=4, eval_episodes=2, callback=moments.append, progress=False
    )
    training = [env for env in made if env.taken > 5]
    assert len(training) == agents.num_seeds * tiny.algo.num_envs and {env.taken for env in training} == {48}
    np.testing.assert_array_equal(tuned.curve_steps, np.broadcast_to([0, 64, 128, 192], (4, 4)))
    np.testing.assert_array_equal(tuned.env_steps, agents.env_steps + 192)
    assert ((tuned.curve >= 0) & (tuned.curve <= 3)).all() and tuned.status == ("ok",) * 4
    assert agents.digest == before and tree.finite_runs(tuned.params, 4).all()
    assert not any(same(tree.take(tuned.params, i), tree.take(agents.params, i)) for i in range(4))
    assert tuned.task.describe() == "gymnasium:Steps" and tuned.source == agents.source
    assert tuned.report[-1] == "stepped by Gymnasium: Steps, 16 environments side by side"
    assert [moment.step for moment in moments if moment.returns is not None] == [0, 64, 128, 192]
    again = ft.finetune_gymnasium(agents, Steps, steps=150, num_evals=2, eval_episodes=2, progress=False)
    assert same(again.params, tuned.params)
    ft.save(tuned, tmp_path / "tuned")
    loaded = ft.load(tmp_path / "tuned")
    assert loaded.digest == tuned.digest and loaded.task == tuned.task
    with pytest.raises(ValueError, match=r"^task: gymnasium:Steps is not allowed here; .*ft.gymnasium_returns plays"):
        ft.evaluate(loaded, loaded.task)

    def broken():
        return Steps(broken=len(made) % 16 == 5)

    with pytest.warns(UserWarning, match=r"^agents: not ok: \d \(non-finite reward in update 2\) of 4$"):
        found = ft.finetune_gymnasium(agents, broken, steps=192, num_evals=4, eval_episodes=2, progress=False)
    assert sum(status != "ok" for status in found.status) == 1


class Pendulum(gym.Env):
    """Three observations, one continuous action, and no time limit."""

    observation_space = spaces.Box(-9, 9, (3,), np.float32)
    action_space = spaces.Box(-2, 2, (1,), np.float32)


@pytest.mark.parametrize(
    ("env", "method", "message"),
    [
        ("CartPole-v9", "full", "env: 'CartPole-v9' is no id of gymnasium; did you mean 'CartPole-v"),
        (3, "full", "env: 3 is not allowed; it must be an id, or a function that makes a gymnasium.Env"),
        (Steps(), "full", "env: <Steps instance> is one environment, which is not allowed; each agent trains in"),
        (lambda: 3, "full", "env: 3 is not allowed; it must be an id, or a function that makes a gymnasium.Env"),
        (Steps, ft.RECOMMENDED, "method.look: Look is not allowed; it looks at the target in a compiled program, and"),
        (Steps, "strength", "method.look: Look is not allowed"),
        (Steps, "zero_shot", "method: trains nothing, which is not allowed; ft.gymnasium_returns plays agents"),
        (Steps, "mixture", "target: gymnasium:Steps is not allowed; it must have the source's simulator (CartPole)"),
        (Pendulum, "replay", "method: asks for source experience, but the target has other observations or actions"),
    ],
)
def test_what_cannot_be_done_there_is_refused(agents, nothing_runs, env, method, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        ft.finetune_gymnasium(agents, env, method, steps=128)


def test_a_control_that_validates_and_an_algorithm_of_one_piece_are_refused(agents, nothing_runs, monkeypatch):
    pbt = next(m for m in ft.METHODS.values() if m.control.acts and m.spent() > m.spent_before() and not m.look.spent())
    with pytest.raises(ValueError, match=r"^method.control: \w+ is not allowed; it plays episodes of its own on the"):
        ft.finetune_gymnasium(agents, Steps, pbt, steps=20_480)
    monkeypatch.setattr(ft.PPO, "behaviour", None)
    with pytest.raises(ValueError, match=r"^algo: PPO is not allowed; its rollouts are compiled as a whole"):
        ft.finetune_gymnasium(agents, Steps, steps=128)


def long_pole(half_length):
    env = gym.make("CartPole-v1")
    env.unwrapped.length = half_length
    env.unwrapped.polemass_length = half_length * env.unwrapped.masspole
    return env


@pytest.mark.slow
def test_cartpole_of_gymnasium_is_learned_as_ours():
    source, target = ft.make_task("CartPole-v1"), ft.make_task("CartPole-v1", half_length=1.5)
    agents = ft.pretrain(source, seeds=8, steps=20_480, num_evals=2, progress=False)
    settings = {"steps": 10_240, "num_evals": 3, "progress": False}
    there = partial(long_pole, 1.5)
    ours, theirs = ft.finetune(agents, target, "full", **settings), ft.finetune_gymnasium(agents, there, **settings)
    returns = [ft.evaluate(ours, target, episodes=50), ft.evaluate(theirs, target, episodes=50)]
    returns += [ft.gymnasium_returns(theirs, there(), episodes=10)]
    found = [intervals.stratified_bootstrap(r.mean(axis=1), aggregate.mean) for r in returns]
    untouched = ft.evaluate(agents, target, episodes=50).mean()
    assert all(one.low <= other.high for one in found for other in found), found
    assert returns[1].mean() > untouched + 50
    assert isinstance(worlds_of(there), GymnasiumWorlds)

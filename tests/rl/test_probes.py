"""PPO learns what each probe environment asks for, and bootstraps where a time limit, not an end, cut the episode."""

import jax
import numpy as np
import pytest
from helpers import ppo_reference
from helpers.rl_probes import probe

import jaxrl_ft as ft

GAMMA = 0.9
NETWORK = ft.MLP(width=8)
SIGNALS = np.array([[-1.0, 0.0], [1.0, 0.0]], np.float32)


def learn(task, steps=10_000, gamma=GAMMA, gae_lambda=0.9):
    """Four agents, trained by a program that all calls share."""
    algo = ft.PPO(num_envs=8, num_steps=16, num_epochs=4, num_minibatches=2, gamma=gamma, gae_lambda=gae_lambda)
    optimizer = ft.Adam(learning_rate=1e-2)
    return ft.pretrain(
        task, algo=algo, network=NETWORK, optimizer=optimizer, seeds=4, steps=steps, num_evals=2, eval_episodes=16
    )


def judged(agents, obs):
    """Values and probabilities of action 1, [4, B] each, in NumPy."""
    params = jax.tree.map(lambda leaf: leaf.astype(float), agents.params)
    each = [{group: take(layers, i) for group, layers in params.items()} for i in range(agents.num_seeds)]
    logits = np.stack([ppo_reference.forward(p["policy"], obs)[0] for p in each])
    values = np.stack([ppo_reference.forward(p["value"], obs)[0][:, 0] for p in each])
    return values, 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))


def take(layers, i):
    return {name: {part: leaf[i] for part, leaf in layer.items()} for name, layer in layers.items()}


def test_a_constant_reward_of_one_step():
    values, _ = judged(learn(probe(each=1.0)), SIGNALS * 0)
    np.testing.assert_allclose(values, 1.0, atol=0.02)


def test_a_reward_that_the_observation_foretells():
    values, _ = judged(learn(probe(by_signal=1.0, random_signal=1.0)), SIGNALS)
    np.testing.assert_allclose(values, np.broadcast_to([-1.0, 1.0], (4, 2)), atol=0.05)


@pytest.mark.parametrize("gamma", [0.9, 0.5])
def test_a_reward_two_steps_away_is_discounted_once(gamma):
    obs = np.array([[0.0, 0.0], [0.0, 0.5]], np.float32)
    values, _ = judged(learn(probe(length=2, last=1.0), gamma=gamma), obs)
    np.testing.assert_allclose(values, np.broadcast_to([gamma, 1.0], (4, 2)), atol=0.05)


def test_a_reward_that_the_action_earns():
    agents = learn(probe(by_action=1.0))
    values, probs = judged(agents, SIGNALS * 0)
    np.testing.assert_allclose(probs, 1.0, atol=0.05)
    np.testing.assert_allclose(values, 1.0, atol=0.1)
    assert np.all(agents.curve[:, -1] == 1.0)


def test_a_reward_that_action_and_observation_earn_together():
    agents = learn(probe(by_both=1.0, random_signal=1.0))
    values, probs = judged(agents, SIGNALS)
    np.testing.assert_allclose(probs, np.broadcast_to([0.0, 1.0], (4, 2)), atol=0.05)
    np.testing.assert_allclose(values, 1.0, atol=0.1)
    assert np.all(agents.curve[:, -1] == 1.0)


@pytest.mark.parametrize("gae_lambda", [0.9, 0.0])
def test_an_endless_reward_is_worth_1_over_1_less_gamma_when_a_time_limit_cuts_it(gae_lambda):
    obs = np.stack([np.zeros(8), np.arange(8) / 8], axis=1).astype(np.float32)
    values, _ = judged(learn(probe(length=8, each=1.0, natural=0.0), 40_000, gae_lambda=gae_lambda), obs)
    np.testing.assert_allclose(values, 1 / (1 - GAMMA), rtol=0.02)


def test_the_same_reward_is_worth_its_finite_sum_when_the_episode_ends():
    obs = np.stack([np.zeros(8), np.arange(8) / 8], axis=1).astype(np.float32)
    values, _ = judged(learn(probe(length=8, each=1.0, natural=1.0), 40_000), obs)
    finite = (1 - GAMMA ** np.arange(8, 0, -1)) / (1 - GAMMA)
    np.testing.assert_allclose(values, np.broadcast_to(finite, (4, 8)), atol=0.15)
    assert np.all(values < 0.7 / (1 - GAMMA))

"""Agents with random parameters of every kind of policy, and 10,000 observations on which exports are compared."""

from functools import cache

import jax
import numpy as np

import jaxrl_ft as ft
from helpers.trees import drawn
from jaxrl_ft.core import tree
from jaxrl_ft.deploy import parity
from jaxrl_ft.deploy.describe import host, unchecked
from jaxrl_ft.methods.method import Method

NUM_OBS = 10_000
SQUASHED = ft.ActorCritic(squash=True, max_log_std=0.5)
KINDS = {
    "ppo": ("CartPole-v1", ft.PPO(), ft.MLP(width=16)),
    "ppo_normalized": ("Pendulum-v1", ft.PPO(normalize_obs=True), ft.MLP(width=16, activation="relu")),
    "a2c": ("Acrobot-v1", ft.A2C(), ft.MLP(width=16, activation="swish", layer_norm=True)),
    "reinforce": ("Pendulum-v1", ft.REINFORCE(actor=SQUASHED), ft.MLP(policy=(16, 8, 4))),
    "dqn": ("MountainCar-v0", ft.DQN(), ft.MLP(width=16, activation="relu")),
    "dqn_dueling": ("Acrobot-v1", ft.DQN(actor=ft.Boltzmann(dueling=True)), ft.MLP(width=16, activation="relu")),
    "pqn": ("CartPole-v1", ft.PQN(), ft.MLP(width=16, activation="relu", layer_norm=True)),
    "sac": ("Pendulum-v1", ft.SAC(), ft.MLP(width=16, activation="relu")),
    "sac_discrete": ("Acrobot-v1", ft.SAC(), ft.MLP(width=16, activation="relu")),
}
"""Task, algorithm and network of each kind."""


def random_agents(task, algo, network, seeds=2, seed=0):
    """Untrained agents whose parameters are all random, and whose normalisers have seen something."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: algo.init_params(jax.random.key(0), task, network))
    params = drawn(jax.tree.map(lambda leaf: np.zeros((seeds, *leaf.shape)), shapes), rng)
    statistics = tree.stack([jax.device_get(algo.init_statistics(task))] * seeds)
    if "obs" in statistics:
        mean = rng.normal(size=(seeds, task.obs_size)).astype(np.float32)
        variance = np.exp(rng.normal(size=mean.shape)).astype(np.float32)
        statistics["obs"] = statistics["obs"]._replace(mean=mean, variance=variance)
    return agents_of(task, algo, network, params, statistics)


def agents_of(task, algo, network, params, statistics):
    num = len(jax.tree.leaves(params)[0])
    nothing = np.zeros((num, 0), np.float32)
    return ft.Agents(
        params=params,
        statistics=statistics,
        init_params=params,
        opt_state=None,
        algo=algo,
        network=network,
        method=Method(trains=False),
        source=task,
        task=task,
        env_steps=np.zeros(num, np.int64),
        curve=nothing,
        curve_steps=nothing.astype(np.int64),
        kept_steps=np.zeros(num, np.int64),
        trainable=0,
        status=("ok",) * num,
    )


@cache
def kind(name):
    """Agents of a kind, their description, 10,000 observations, and the actions of the policy itself there."""
    task, algo, network = KINDS[name]
    agents = random_agents(ft.make_task(task), algo, network)
    description = unchecked(agents, host(agents, 1))
    obs = parity.observations(description, NUM_OBS, seed=1)
    return agents, description, obs, agents.policy(1)(obs)


def assert_same(name, actions, outputs=None):
    """Hold actions on the observations of a kind, and what they are made from, to the policy and its description."""
    _, description, obs, expected = kind(name)
    ours = description.policy().outputs(obs)
    if outputs is not None:
        assert outputs.shape == ours.shape
        assert parity.apart(description, obs, outputs, ours).max() <= 1
    assert actions.shape == expected.shape
    assert not parity.actions_apart(description, obs, ours, actions, expected).any()
    if description.bounds is None:
        assert len(np.unique(expected)) > 1
        assert parity.decided(description, obs, ours).mean() > 0.9

"""A description is the policy, for every algorithm, kind of action and part that an adapter adds."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers import adapted, exported, image_worlds
from helpers.exported import KINDS, assert_same, kind

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.deploy import parity
from jaxrl_ft.deploy.describe import BEST, chosen, describe, host, unchecked
from jaxrl_ft.deploy.description import Dense, Normalize, Squash
from jaxrl_ft.training.agents import scores


@pytest.mark.parametrize("name", KINDS)
def test_a_description_is_the_policy(name):
    agents, description, obs, _ = kind(name)
    policy = description.policy()
    outputs = policy.outputs(obs)
    found = scores(agents, 1, obs) * np.float32(description.temperature)
    # Tighter than the promise: without the allowance for observations at which 32 bits do not tell.
    apart = np.abs(outputs - found) / (1e-5 * np.maximum(1, np.abs(found).max(axis=-1, keepdims=True)))
    assert np.nanmax(apart) <= 1 and np.isfinite(found).mean() > 0.9
    assert_same(name, policy(obs), outputs)


def test_every_part_that_an_adapter_adds_is_described():
    """One network with bottlenecks, a residual policy, its offset, and a column beside it that has all these too."""
    normal, plain = adapted.normal, adapted.plain

    def with_parts(layers):
        bottlenecks = {
            f"bottleneck_{i}": {
                "down": {"kernel": normal(8, 3), "bias": normal(3)},
                "up": {"kernel": normal(3, 8), "bias": normal(8)},
            }
            for i in range(2)
        }
        return {**layers, **bottlenecks, "residual": plain(4, 2, 5), "offset": plain(4, 2, 5)}

    laterals = {"lateral_1": {"kernel": normal(8, 8)}, "lateral_head": {"kernel": normal(8, 2)}}
    inner = {"lateral_1": {"kernel": normal(16, 8)}, "lateral_head": {"kernel": normal(16, 2)}}
    last = {**plain(4, 2), **inner}
    policy = {**with_parts(plain(4, 2)), "column": {**with_parts({**plain(4, 2), **laterals}), "column": last}}
    params = jax.tree.map(lambda leaf: leaf[None], {"policy": policy, "value": plain(4, 1)})
    agents = exported.agents_of(ft.make_task("CartPole-v1"), ft.PPO(), adapted.NETWORK, params, {})
    description = describe(agents, 0)
    found = [step.op for step in description.steps]
    assert found.count("subtract") == 2 and found.count("join") == 2 and found.count("add") >= 4 + 3 + 2
    params["policy"]["column"]["down"] = {"kernel": normal(1, 4, 2)}
    with pytest.raises(ValueError, match=r"^params: 'down' has no description"):
        unchecked(agents, host(agents, 0))


IMAGES = {
    "plain": ft.CNN(channels=(3, 5), kernels=(2,), dense=(6, 6), layer_norm=True),
    "padded": ft.CNN(channels=(3, 4), kernels=(3, 2), strides=(2, 1), padding="same", dense=(5,), shared_trunk=True),
}


@pytest.mark.parametrize("name", IMAGES)
def test_convolutions_are_described(name):
    task = image_worlds.task()
    network = IMAGES[name].reading(task.obs_shapes)
    agents = exported.random_agents(task, ft.PPO(), network)
    description = describe(agents, 1)
    assert [step.op for step in description.steps].count("gather") == 2
    obs = parity.observations(description, 100, 0)
    assert not parity.actions_apart(
        description, obs, description.policy().outputs(obs), description.policy()(obs), agents.policy(1)(obs)
    ).any()


def test_parts_of_adapters_on_convolutions_are_described():
    task = image_worlds.task()
    network = ft.CNN(channels=(3, 4), kernels=(2,), dense=(6,)).reading(task.obs_shapes)
    agents = exported.random_agents(task, ft.PPO(), network, seeds=1)
    policy = agents.params["policy"]
    normal = adapted.normal

    def bottleneck(width):
        down, up = ({"kernel": normal(*pair), "bias": normal(pair[1])} for pair in ((width, 2), (2, width)))
        return {"down": down, "up": up}

    other = jax.tree.map(lambda leaf: normal(*leaf.shape), policy)
    laterals = {
        "lateral_1": {"kernel": normal(2, 2, 3, 4)},
        "lateral_2": {"kernel": normal(2 * 2 * 4, 6)},
        "lateral_head": {"kernel": normal(6, 3)},
    }
    laterals = jax.tree.map(lambda leaf: leaf[None], laterals)
    parts = jax.tree.map(lambda leaf: leaf[None], {"bottleneck_0": bottleneck(3), "bottleneck_1": bottleneck(4)})
    grown = {**policy, **parts, "residual": other, "column": {**other, **laterals}}
    agents = replace(agents, params={**agents.params, "policy": grown})
    found = [step.op for step in describe(agents, 0).steps]
    assert found.count("gather") == 2 + 2 + 3 and found.count("add") == 2 + 2 + 1 + 1


def test_the_observations_have_bounds_and_extremes():
    _, description, obs, _ = kind("ppo_normalized")
    normalizer = description.steps[0]
    assert isinstance(normalizer, Normalize)
    z = (obs.astype(float) - normalizer.mean) * normalizer.scale
    assert obs.shape == (exported.NUM_OBS, 3) and np.isfinite(obs).all()
    assert np.abs(obs).max() > 1e29 and ((obs != 0) & (np.abs(obs) < 1e-38)).any() and (obs == 0).all(axis=-1).any()
    assert (np.abs(np.abs(z) - normalizer.clip) < 1e-4).all(axis=-1).sum() >= 6
    assert 0.4 < (np.abs(z) < normalizer.clip).mean() < 0.9


@pytest.mark.parametrize("name", ["ppo", "ppo_normalized", "reinforce", "dqn_dueling"])
def test_a_wrong_number_is_noticed(name):
    agents, description, obs, _ = kind(name)
    last = max(i for i, step in enumerate(description.steps) if isinstance(step, Dense))
    step = description.steps[last]
    kernel = step.kernel.copy()
    kernel[0, 0] *= 1.001
    steps = [*description.steps[:last], replace(step, kernel=kernel), *description.steps[last + 1 :]]
    wrong = replace(description, steps=tuple(steps))
    with pytest.raises(ValueError, match="the description is not the policy"):
        parity.check(wrong, agents.policy(1), lambda obs: scores(agents, 1, obs), obs)


def test_wrong_actions_are_noticed():
    _, description, obs, expected = kind("ppo")
    outputs = description.policy().outputs(obs)
    assert parity.actions_apart(description, obs, outputs, 1 - expected, expected).mean() > 0.9
    tie = np.array([[0.25, 0.25 + 5e-6]], np.float32)
    assert not parity.actions_apart(description, obs[:1], tie, np.array([0]), np.array([1])).any()
    _, gaussian, obs, expected = kind("ppo_normalized")
    assert parity.actions_apart(gaussian, obs, expected, expected + np.float32(1e-3), expected).all()


def test_bounds_are_those_of_the_task_and_squashing_those_of_pretraining():
    task = ft.make_task("Pendulum-v1")
    agents = exported.random_agents(task, ft.SAC(), ft.MLP(width=4))
    weaker = replace(agents, task=task.changed(max_torque=0.5))
    description = describe(weaker, 0)
    assert description.bounds.high == 0.5 and description.bounds.low == -0.5
    assert isinstance(squash := description.steps[-1], Squash) and squash.high == 2.0


def test_the_best_seed_is_the_first_with_the_highest_last_return():
    agents = exported.random_agents(ft.make_task("CartPole-v1"), ft.PPO(), ft.MLP(width=4), seeds=4)
    assert chosen(agents, BEST) == 0 and chosen(agents, 3) == 3
    curve = np.array([[9, 1], [0, 5], [0, 7], [0, 7]], np.float32)
    broken = replace(agents, curve=curve, params=tree.map_leaves(np.copy, agents.params))
    assert chosen(broken, BEST) == 2
    broken.params["policy"]["head"]["bias"][2] = np.nan
    assert chosen(broken, BEST) == 3
    with pytest.raises(ValueError, match=r"^seed: 2 is not allowed; its parameters"):
        describe(broken, 2)
    with pytest.raises(ValueError, match=r"^seed: 'first' is not allowed"):
        describe(broken, "first")

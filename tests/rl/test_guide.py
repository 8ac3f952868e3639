"""Laws of a guided rollout: who acts when, whose log-probability is recorded, and that nothing else changes."""

import jax
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.penalty_worlds import moment
from helpers.rl_probes import probe

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.rl import actor_critic, on_policy, rollout
from jaxrl_ft.rl.algorithm import Algorithm, Guide

NETWORK = ft.MLP(width=4, depth=1)
LENGTHS = np.array([3, 5, 100], np.int32)
STEPS = 14
ALGO = ft.PPO(num_envs=3, num_steps=STEPS, num_epochs=1, num_minibatches=1, normalize_obs=True)


def tasks_of():
    """Three environments whose episodes have the three lengths."""
    return jax.tree.map(lambda leaf: LENGTHS if leaf.dtype == np.int32 else leaf, tree.repeat(probe(1, each=1.0), 3))


statistics_of = quick(ALGO.init_statistics)


def constant(task, bias):
    """A policy whose outputs are `bias` everywhere."""
    shapes = jax.eval_shape(lambda: ALGO.init_params(jax.random.key(0), task, NETWORK))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    params["policy"]["head"]["bias"] = np.asarray(bias, np.float32)
    return Policy(params, statistics_of(task), NETWORK)


@quick
def twice(algo, tasks, policy, guide):
    """Two rollouts in a row."""

    def once(carry, key):
        outcome = algo.collect(key, tasks, policy, carry, moment(), guide)
        return outcome[0], outcome

    first = algo.init_carry(jax.random.key(1), tasks, policy)
    return jax.lax.scan(once, first, jax.random.split(jax.random.key(2), 2))[1]


def columns(outcomes, name):
    """A field of the data of two rollouts, [2 T, N]."""
    return np.asarray(getattr(outcomes[1], name)).reshape(2 * STEPS, 3)


def ages():
    return np.arange(2 * STEPS)[:, None] % LENGTHS


@pytest.fixture(scope="module")
def random_policies(random_params):
    statistics = jax.device_get(statistics_of(probe()))
    policy, guide = (Policy(random_params(probe(), NETWORK, seed), statistics, NETWORK) for seed in (1, 2))
    return policy, guide._replace(statistics=jax.tree.map(lambda leaf: leaf + np.float32(0.5), statistics))


@pytest.mark.parametrize("horizon", [0.0, 1.0, 2.5, 5.0, 20.0, 1e6])
def test_the_guide_acts_exactly_while_the_episode_is_young(horizon):
    left, right = constant(probe(), [50.0, -50.0]), constant(probe(), [-50.0, 50.0])
    outcomes = twice(as_arrays(ALGO), tasks_of(), right, Guide(left, np.float32(horizon)))
    np.testing.assert_array_equal(columns(outcomes, "action"), np.where(ages() < horizon, 0, 1))


def test_recorded_log_probabilities_are_those_of_whoever_acted():
    guide, policy = np.array([0.8, 0.2]), np.array([0.3, 0.7])
    outcomes = twice(
        as_arrays(ALGO), tasks_of(), constant(probe(), np.log(policy)),
        Guide(constant(probe(), np.log(guide)), np.float32(2.0)),
    )  # fmt: skip
    action, young = columns(outcomes, "action"), ages() < 2
    expected = np.log(np.where(young, guide[action], policy[action]))
    np.testing.assert_allclose(columns(outcomes, "log_prob"), expected, rtol=1e-5)
    assert {(y, a) for y, a in zip(young.ravel(), action.ravel())} == {(y, a) for y in (True, False) for a in (0, 1)}


@quick
def action_and_log_prob(policy, guide, obs, age, noise):
    action = on_policy.of_actor(ALGO, lambda d: d.sample(noise), policy, guide, obs, age)
    return action, on_policy.of_actor(ALGO, lambda d: d.log_prob(action), policy, guide, obs, age)


def test_a_guide_of_continuous_actions():
    task = ft.make_task("Pendulum-v1")
    guide, policy = (constant(task, [mean]) for mean in (-30.0, 30.0))
    obs, age, noise = np.zeros((4, 3)), np.array([0.0, 1.0, 2.0, 3.0]), np.array([[0.3], [-1.0], [2.0], [0.1]])
    action, log_prob = action_and_log_prob(policy, Guide(guide, 2.0), obs, age, noise)
    mean, std = np.array([[-30.0], [-30.0], [30.0], [30.0]]), np.exp(float(policy.params["policy"]["log_std"][0]))
    np.testing.assert_allclose(action, mean + std * noise, rtol=1e-6)
    np.testing.assert_allclose(log_prob, (-0.5 * noise**2 - np.log(std * np.sqrt(2 * np.pi)))[:, 0], rtol=1e-4)


def test_horizon_zero_is_no_guide_bit_for_bit(random_policies, same):
    policy, guide = random_policies
    plain = twice(as_arrays(ALGO), tasks_of(), policy, None)
    assert same(twice(as_arrays(ALGO), tasks_of(), policy, Guide(guide, np.float32(0.0))), plain)
    assert not same(twice(as_arrays(ALGO), tasks_of(), policy, Guide(guide, np.float32(2.0))), plain)


def test_a_policy_that_guides_itself_is_no_guide(random_policies, same):
    policy, _ = random_policies
    plain = twice(as_arrays(ALGO), tasks_of(), policy, None)
    assert same(twice(as_arrays(ALGO), tasks_of(), policy, Guide(policy, np.float32(2.0))), plain)


def test_values_and_counts_are_the_policys_own(random_policies):
    """The guide has no part in the critic, nor in how the environments count their episodes."""
    policy, guide = random_policies
    outcomes = twice(as_arrays(ALGO), tasks_of(), policy, Guide(guide, np.float32(2.0)))
    carry, data, _, metrics = jax.device_get(outcomes)
    np.testing.assert_allclose(data.value, quick(actor_critic.values)(policy, data.obs), rtol=1e-4, atol=1e-5)
    for i, steps in enumerate((STEPS, 2 * STEPS)):
        np.testing.assert_array_equal(carry.episodes.episode_length[i], steps % LENGTHS)
        assert metrics["rollout/num"][i] == (steps // LENGTHS - (steps - STEPS) // LENGTHS).sum()


@quick
def log_prob_of(policy, data):
    return actor_critic.distribution(policy, data.obs).log_prob(data.action)


def test_a_guide_sees_through_its_own_statistics(random_policies):
    policy, guide = random_policies
    data = jax.device_get(twice(as_arrays(ALGO), tasks_of(), policy, Guide(guide, np.float32(1e6)))[1])
    own, other = (log_prob_of(guide._replace(statistics=by.statistics), data) for by in (guide, policy))
    np.testing.assert_allclose(data.log_prob, own, rtol=1e-4, atol=1e-5)
    assert np.abs(data.log_prob - np.asarray(other)).max() > 1e-3


def test_horizons_of_runs_are_traced(random_policies):
    policy, guide = random_policies
    horizons = np.float32([0.0, 1.0, 4.0])
    together = jax.vmap(lambda h: twice(as_arrays(ALGO), tasks_of(), policy, Guide(guide, h))[1])(horizons)
    together = jax.device_get(together)
    for i, horizon in enumerate(horizons):
        alone = twice(as_arrays(ALGO), tasks_of(), policy, Guide(guide, horizon))[1]
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-5), together, alone)


def test_without_a_guide_nothing_is_counted(random_policies, monkeypatch):
    policy, guide = random_policies
    seen, own = [], rollout.rollout

    def watched(*args):
        *after, steps = own(*args)
        seen.append((args[6], steps.age))
        return *after, steps

    monkeypatch.setattr(rollout, "rollout", watched)
    carry = jax.eval_shape(lambda: ALGO.init_carry(jax.random.key(1), tasks_of(), policy))
    for other in (None, Guide(guide, np.float32(2.0))):
        rollouts = (jax.random.key(2), tasks_of(), policy)
        jax.eval_shape(lambda carry, r=rollouts, o=other: ALGO.collect(*r, carry, moment(), o), carry)
    (before, counted), (guided_before, guided_counted) = seen
    assert before is None and counted is None
    assert guided_before.shape == (3,) and guided_counted.shape == (STEPS, 3)


def test_ppo_is_still_an_algorithm():
    assert isinstance(ALGO, Algorithm)

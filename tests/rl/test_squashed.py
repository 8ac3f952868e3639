"""Squashed Gaussians against numerical change of variables and integration; bounds of standard deviations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick

import jaxrl_ft as ft
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.rl import actor_critic
from jaxrl_ft.rl.distributions import TanhGaussian

CASES = [(0.0, 0.0), (1.5, -1.0), (-3.0, 0.5), (0.3, 1.5)]
"""Mean and log standard deviation before the squashing."""
LOW, HIGH = -2.0, 3.0


def one(mean, log_std, shape=(1,)):
    parts = (mean, log_std, LOW, HIGH)
    return TanhGaussian(*(np.full(shape, part, np.float32) for part in parts))


def gaussian(u, mean, log_std):
    return -0.5 * ((u - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)


def action_of(u):
    """In float64."""
    return LOW + (HIGH - LOW) * (1 + np.tanh(u)) / 2


@quick
def log_probs(wide, u):
    return wide.log_prob(wide.squashed(u)), wide.log_prob_of(u)


@pytest.mark.parametrize(("mean", "log_std"), CASES)
def test_the_density_is_that_of_a_numerical_change_of_variables(mean, log_std):
    u = np.linspace(-5.0, 5.0, 401)
    step = 1e-6
    slope = (action_of(u + step) - action_of(u - step)) / (2 * step)
    expected = gaussian(u, mean, log_std) - np.log(slope)
    by_action, by_point = log_probs(one(mean, log_std, (401, 1)), np.float32(u)[:, None])
    np.testing.assert_allclose(by_point, expected, rtol=1e-4, atol=1e-4)
    middle = np.abs(u) < 3.5
    np.testing.assert_allclose(np.asarray(by_action)[middle], expected[middle], rtol=2e-3, atol=2e-2)


@pytest.mark.parametrize(("mean", "log_std"), CASES)
def test_density_entropy_and_divergence_are_integrals_over_the_actions(mean, log_std):
    u = np.linspace(mean - 12 * np.exp(log_std), mean + 12 * np.exp(log_std), 40_001)
    p = np.exp(gaussian(u, mean, log_std))
    # log(1 - tanh² u) in a form that neither rounds to log 0 nor overflows.
    log_slope = np.log((HIGH - LOW) / 2) + 2 * (np.log(2) - np.abs(u) - np.log1p(np.exp(-2 * np.abs(u))))
    width = u[1] - u[0]
    entropy = -np.sum(p * (gaussian(u, mean, log_std) - log_slope)) * width
    found, divergence = quick(lambda d, o: (d.entropy(), d.kl(o)))(one(mean, log_std), one(0.5, 0.2))
    np.testing.assert_allclose(found, entropy, atol=2e-2 if log_std > 1 else 1e-3)
    other = gaussian(u, 0.5, 0.2)
    np.testing.assert_allclose(divergence, np.sum(p * (gaussian(u, mean, log_std) - other)) * width, rtol=1e-3)


def test_samples_stay_inside_and_extremes_stay_finite():
    wide = one(0.0, 3.0, (10_000, 1))
    action = quick(lambda d, n: d.sample(n))(wide, np.random.default_rng(0).normal(size=(10_000, 1)).astype(np.float32))
    assert np.min(action) >= LOW and np.max(action) <= HIGH
    far = jnp.asarray([[-1e4], [-30.0], [0.0], [30.0], [1e4]], jnp.float32)

    def total(mean):
        d = one(0.0, 0.0, (5, 1))._replace(mean=mean)
        ends = d.log_prob(d.squashed(far)).sum() + d.log_prob_of(jnp.clip(far, -50, 50)).sum()
        return ends + d.entropy().sum() + d.mode().sum()

    value, slope = quick(jax.value_and_grad(total))(np.zeros((5, 1), np.float32))
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_standard_deviations_are_bounded_and_can_come_back():
    value, slope = quick(jax.value_and_grad(lambda x: actor_critic.bounded(x, -1.0, 0.5).sum()))(
        np.float32([-3.0, 0.0, 2.0])
    )
    assert value == -0.5
    np.testing.assert_array_equal(slope, 1.0)


@pytest.mark.slow
def test_a_squashed_policy_acts_within_the_bounds_of_its_task_and_learns():
    task = ft.make_task("Pendulum-v1")
    actor = ft.ActorCritic(squash=True, min_log_std=-2.0, max_log_std=0.5)
    algo = ft.PPO(actor=actor, num_envs=4, num_steps=16, num_epochs=1, num_minibatches=2)
    agents = ft.pretrain(task, algo=algo, network=ft.MLP(width=8), seeds=2, steps=256, num_evals=2, eval_episodes=2)
    assert agents.status == ("ok",) * 2
    np.testing.assert_array_equal(agents.statistics["action"].high, np.full((2, 1), 2.0))
    params = jax.tree.map(lambda leaf: leaf[0] * 100, agents.params)
    statistics = jax.tree.map(lambda leaf: leaf[0], agents.statistics)
    obs = jnp.asarray(np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32))
    found = algo.distribution(Policy(params, statistics, agents.network), obs)
    assert np.abs(found.mode()).max() <= 2.0
    assert "normaliser: none" in ft.finetune(agents, task, "full", steps=64, num_evals=2, eval_episodes=2).report


def test_bounds_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match=r"algo.actor.min_log_std: 1.0 is not allowed; it is above max_log_std, 0.0"):
        ft.pretrain(ft.make_task("Pendulum-v1"), algo=ft.PPO(actor=ft.ActorCritic(min_log_std=1.0, max_log_std=0.0)))

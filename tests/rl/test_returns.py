"""GAE against its definition as a double sum in float64, and against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.ppo_reference import double_sum
from helpers.shape_checks import refused

from jaxrl_ft.rl import on_policy, returns, rollout

T, N = 24, 1000
gae, batched = quick(returns.gae), quick(jax.vmap(returns.gae))


def cases(seed=0):
    """N cases of T steps: normal rewards and values; rates of both endings from none to always, both at once too."""
    random = np.random.default_rng(seed)
    reward, value, next_value = random.normal(size=(3, N, T)).astype(np.float32)
    rates = random.choice([0.0, 0.05, 0.3, 1.0], p=[0.3, 0.3, 0.3, 0.1], size=(2, N, 1))
    terminated, truncated = random.random((2, N, T)) < rates
    gamma, gae_lambda = random.choice([0.0, 0.5, 0.9, 0.99, 1.0], size=(2, N)).astype(np.float32)
    return reward, value, next_value, terminated, terminated | truncated, gamma, gae_lambda


def test_it_equals_the_double_sum_on_a_thousand_random_cases():
    inputs = cases()
    terminated, done, gamma, gae_lambda = inputs[3:]
    assert (done & ~terminated).any() and terminated.any() and (~done).any()
    assert {0.0, 1.0} <= set(gamma.tolist()) and {0.0, 1.0} <= set(gae_lambda.tolist())
    expected = np.stack([double_sum(*(part[i] for part in inputs)) for i in range(N)])
    np.testing.assert_allclose(batched(*inputs), expected, rtol=1e-5, atol=1e-5)


def test_lambda_0_is_the_td_error_bit_for_bit():
    reward, value, next_value, terminated, done, gamma, _ = cases(1)
    # Op by op, as a program may multiply and add in one rounding.
    result = jax.vmap(returns.gae)(reward, value, next_value, terminated, done, gamma, jnp.zeros(N))
    bootstrap = np.where(terminated, np.float32(0.0), next_value)
    np.testing.assert_array_equal(result, reward + gamma[:, None] * bootstrap - value)


def test_lambda_1_is_the_return_less_the_value():
    """With V(s_{t+1}) shared between steps, the values in between cancel and only the ends' bootstraps stay."""
    random = np.random.default_rng(2)
    gamma, ends = 0.9, {5: "terminated", 9: "truncated", 15: "cut"}
    reward, states = random.normal(size=16), random.normal(size=17)
    next_value, terminated, done = states[1:].copy(), np.zeros(16, bool), np.zeros(16, bool)
    next_value[[5, 9]] = random.normal(size=2)
    terminated[5], done[[5, 9]] = True, True
    expected = np.zeros(16)
    for t in range(16):
        end = min(e for e in ends if e >= t)
        monte_carlo = sum(gamma ** (k - t) * reward[k] for k in range(t, end + 1))
        bootstrap = 0.0 if ends[end] == "terminated" else gamma ** (end + 1 - t) * next_value[end]
        expected[t] = monte_carlo + bootstrap - states[t]
    arrays = [np.asarray(x, np.float32) for x in (reward, states[:-1], next_value)]
    np.testing.assert_allclose(gae(*arrays, terminated, done, gamma, 1.0), expected, atol=1e-5)


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.9, 0.8), (0.99, 1.0), (1.0, 0.5)])
def test_a_constant_reward_sums_to_the_geometric_series(gamma, gae_lambda):
    ones, none = np.ones(10, np.float32), np.zeros(10, bool)
    product, left = gamma * gae_lambda, np.arange(10, 0, -1)
    result = gae(ones, 0 * ones, 0 * ones, none, none, gamma, gae_lambda)
    np.testing.assert_allclose(result, (1 - product**left) / (1 - product), rtol=1e-5)


def test_the_value_of_an_endless_reward_is_a_fixed_point_only_through_truncation():
    """With V = 1 / (1 - γ) every advantage is zero, time limits included; a natural end leaves -γ V."""
    gamma, value = np.float32(0.75), np.full(8, 4.0, np.float32)
    done = np.arange(8) == 7
    ones = np.ones(8, np.float32)
    np.testing.assert_array_equal(gae(ones, value, value, done & False, done, gamma, 0.9), 0.0)
    assert np.asarray(gae(ones, value, value, done, done, gamma, 0.9))[7] == -3.0


def test_nothing_crosses_an_ending():
    reward, value, next_value, terminated, done, gamma, gae_lambda = cases(3)
    done[0, 10], gamma[0], gae_lambda[0] = True, 0.9, 0.9
    changed = reward.copy()
    changed[0, 11:] = np.nan
    rest = (value, next_value, terminated, done, gamma, gae_lambda)
    before, after = (np.asarray(batched(x, *rest))[0] for x in (reward, changed))
    np.testing.assert_array_equal(before[:11], after[:11])


def test_monte_carlo_returns_are_generalised_advantages_without_values_and_know_their_end():
    reward, _, _, _, done, gamma, _ = cases(4)
    done[0, 10] = True
    expected = batched(reward, 0 * reward, 0 * reward, done, done, gamma, np.ones(N, np.float32))
    total, ended = quick(jax.vmap(returns.monte_carlo))(reward, done, gamma)
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ended, np.logical_or.accumulate(done[:, ::-1], axis=1)[:, ::-1])
    reward[0, 11:] = np.nan
    np.testing.assert_array_equal(quick(returns.monte_carlo)(reward[0], done[0], gamma[0])[0][:11], total[0, :11])


def test_arrays_of_other_shapes_and_whole_numbers_are_refused():
    ones, none = jnp.ones(4), jnp.zeros(4, bool)
    refused(returns.gae, ones, ones[:3], ones, none, none, 0.9, 0.9)
    refused(returns.gae, jnp.ones(4, int), ones, ones, none, none, 0.9, 0.9)


@pytest.mark.parametrize("truncating", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("terminating", [0.0, 0.3])
def test_values_of_successors_are_those_of_the_states_before_the_reset(truncating, terminating):
    """Whatever ends where, several environments and runs side by side; a terminal state is asked for none."""
    random = np.random.default_rng(3)
    runs, steps, envs = 3, 7, 2
    terminated = random.random((runs, steps, envs)) < terminating
    truncated = random.random((runs, steps, envs)) < truncating
    after = random.normal(size=(runs, steps, envs, 1)).astype(np.float32)
    fresh = random.normal(size=after.shape).astype(np.float32)
    then = np.where((terminated | truncated)[..., None], fresh, after)
    obs = np.concatenate([fresh[:, -1:], then[:, :-1]], axis=1)

    def found(obs, after, terminated, truncated):
        transitions = rollout.Transition(obs, None, None, terminated, truncated, after)
        return on_policy.successor_values(lambda obs: 3.0 * obs[:, 0], 3.0 * obs[..., 0], transitions)

    values = np.asarray(quick(jax.vmap(found))(obs, after, terminated, truncated))
    np.testing.assert_allclose(values[~terminated], 3.0 * after[..., 0][~terminated], rtol=1e-6)

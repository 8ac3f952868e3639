"""Returns of Q-learning by closed form: n steps, lambda, and what endings cut."""

import numpy as np
import pytest
from helpers.compiling import quick

from jaxrl_ft.rl import returns

T, N = 24, 200


def cases(seed=0):
    random = np.random.default_rng(seed)
    reward, next_value = random.normal(size=(2, T, N)).astype(np.float32)
    terminated, truncated = random.random((2, T, N)) < random.choice([0.0, 0.1, 0.4], size=(2, 1, N))
    return reward, next_value, terminated, terminated | truncated


@pytest.mark.parametrize("num", [3, *(pytest.param(num, marks=pytest.mark.slow) for num in (1, 2, 5, 24))])
def test_n_step_sums_stop_at_n_at_endings_and_at_the_edge(num):
    reward, _, terminated, done = cases()
    gamma = 0.9
    total, discount, last = quick(returns.n_step, static_argnums=4)(reward, terminated, done, gamma, num)
    for n in range(N):
        for t in range(T):
            end = t
            while end - t + 1 < num and end < T - 1 and not done[end, n]:
                end += 1
            expected = sum(gamma ** (k - t) * float(reward[k, n]) for k in range(t, end + 1))
            assert last[t, n] == end
            np.testing.assert_allclose(total[t, n], expected, rtol=1e-4, atol=1e-5)
            follows = 0.0 if terminated[end, n] else gamma ** (end - t + 1)
            np.testing.assert_allclose(discount[t, n], follows, rtol=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_lambda_returns_are_mixtures_of_n_step_returns(decay):
    """G = (1 - λ) Σ λ^(n-1) G⁽ⁿ⁾ up to the last step of the episode or of the arrays, which has the weight left."""
    reward, next_value, terminated, done = cases(1)
    gamma = 0.9
    found = quick(returns.q_lambda)(reward, next_value, terminated, done, gamma, decay)
    follows = np.where(terminated, 0.0, next_value.astype(float))
    for n in range(0, N, 5):
        for t in range(T):
            end = next((k for k in range(t, T) if done[k, n]), T - 1)
            sums = [
                sum(gamma ** (k - t) * float(reward[k, n]) for k in range(t, last + 1))
                + gamma ** (last - t + 1) * follows[last, n]
                for last in range(t, end + 1)
            ]
            shares = [(1 - decay) * decay**i for i in range(len(sums) - 1)] + [decay ** (len(sums) - 1)]
            np.testing.assert_allclose(found[t, n], np.dot(shares, sums), rtol=1e-4, atol=1e-4)


def test_they_are_generalised_advantages_with_the_greedy_value_added():
    reward, next_value, terminated, done = cases(2)
    value = np.concatenate([np.zeros((1, N), np.float32), next_value[:-1]])
    # After a reset the value of the state is another one than that of the last successor.
    value = np.where(np.concatenate([np.ones((1, N), bool), done[:-1]]), np.float32(0.3), value)
    advantage = quick(returns.gae)(reward, value, next_value, terminated, done, 0.9, 0.7)
    found = quick(returns.q_lambda)(reward, next_value, terminated, done, 0.9, 0.7)
    np.testing.assert_allclose(found, advantage + value, rtol=1e-4, atol=1e-4)


def test_nothing_crosses_an_ending():
    reward, next_value, terminated, done = (part.copy() for part in cases(3))
    done[10], changed = True, reward.copy()
    changed[11:] = np.nan
    for function, rest in (
        (quick(returns.q_lambda), (next_value, terminated, done, 0.9, 0.9)),
        (quick(lambda *a: returns.n_step(*a, 4)[0]), (terminated, done, 0.9)),
    ):
        np.testing.assert_array_equal(function(reward, *rest)[:11], function(changed, *rest)[:11])

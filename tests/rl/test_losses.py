"""The terms of the loss on literal arrays, and their gradients against finite differences in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.shape_checks import refused

from jaxrl_ft.rl import losses

ADVANTAGE = np.array([1.0, -2.0, 3.0, -4.0, 0.5])
LOG_RATIO = np.log(np.array([1.1, 0.9, 1.5, 0.6, 1.4]))
RATIO_AT_ENDS = np.log(np.array([1.5, 0.5, 1.5, 0.5, 1.1], np.float32))
ADVANTAGE_AT_ENDS = np.array([1.0, 1.0, -1.0, -1.0, 2.0], np.float32)

clipped_surrogate = jax.jit(losses.clipped_surrogate)
pull = jax.jit(jax.grad(losses.clipped_surrogate))
approximate_kl = jax.jit(losses.approximate_kl)
normalize_advantage = jax.jit(losses.normalize_advantage)


def test_the_surrogate_on_literal_ratios():
    """Inside the clip the ratio counts; outside it counts only where it makes the objective worse."""
    for i, expected in enumerate([-1.2, -0.5, 1.5, 0.8, -2.2]):
        loss = clipped_surrogate(RATIO_AT_ENDS[i : i + 1], ADVANTAGE_AT_ENDS[i : i + 1], 0.2)
        assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert float(clipped_surrogate(RATIO_AT_ENDS, ADVANTAGE_AT_ENDS, 0.2)) == pytest.approx(-1.6 / 5, rel=1e-5)


def test_the_surrogate_pulls_only_where_the_clip_lets_it():
    grads = pull(RATIO_AT_ENDS, ADVANTAGE_AT_ENDS, 0.2)
    np.testing.assert_allclose(grads, [0.0, -0.5 / 5, 1.5 / 5, 0.0, -2.2 / 5], atol=1e-7)


def test_at_ratio_1_the_gradient_is_that_of_the_policy_gradient():
    grads = pull(np.zeros(5, np.float32), ADVANTAGE.astype(np.float32), 0.2)
    np.testing.assert_allclose(grads, -ADVANTAGE / 5, rtol=1e-6)


def test_the_value_losses_on_literal_values():
    value, old, target = np.array([[1.0, 2.5, 0.0], [0.0, 2.0, 0.5], [2.0, 1.0, 0.0]], np.float32)
    bounded = jax.jit(losses.clipped_value_loss)
    free = jax.jit(losses.value_loss)(value, target)
    assert float(free) == pytest.approx(0.5 * (1.0 + 1.5**2) / 3)
    assert float(bounded(value, old, target, 0.3)) == pytest.approx(0.5 * (1.7**2 + 1.5**2 + 0.2**2) / 3, rel=1e-6)
    np.testing.assert_allclose(bounded(value, old, target, 10.0), free, rtol=1e-6)


def test_every_gradient_equals_finite_differences():
    value, old, target = np.random.default_rng(0).normal(size=(3, 5))
    cases = [
        (lambda x: losses.clipped_surrogate(x, jnp.asarray(ADVANTAGE), 0.2), LOG_RATIO),
        (lambda x: losses.clipped_surrogate(jnp.asarray(LOG_RATIO), x, 0.2), ADVANTAGE),
        (lambda x: losses.value_loss(x, jnp.asarray(target)), value),
        (lambda x: losses.clipped_value_loss(x, jnp.asarray(old), jnp.asarray(target), 0.2), value),
        (losses.approximate_kl, LOG_RATIO),
        (lambda x: jnp.sum(losses.normalize_advantage(x) ** 3), ADVANTAGE),
    ]

    def each(points):
        return jnp.stack([function(x) for (function, _), x in zip(cases, points)])

    step, points = 1e-6, np.stack([at for _, at in cases])
    moves = step * np.eye(5)[:, None]
    with jax.enable_x64(True):
        ends = jax.jit(jax.vmap(jax.vmap(each)))(np.stack([points + moves, points - moves]))
        # the cases are strangers, so that the gradient of their sum is that of each
        grads = jax.jit(jax.grad(lambda points: each(points).sum()))(points)
    assert grads.dtype == np.float64
    differences = (np.asarray(ends[0]) - np.asarray(ends[1])) / (2 * step)
    np.testing.assert_allclose(grads, differences.T, atol=1e-6, rtol=1e-6)


def test_the_kl_estimate_is_unbiased_never_negative_and_zero_at_zero():
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.3, 0.3, 0.4])
    with jax.enable_x64(True):
        each = np.array([approximate_kl(np.log(q[a : a + 1] / p[a : a + 1])) for a in range(3)])
    assert np.all(each >= 0)
    assert float(np.sum(p * each)) == pytest.approx(np.sum(p * np.log(p / q)), rel=1e-12)
    assert float(approximate_kl(np.zeros(4, np.float32))) == 0.0


def test_the_kl_estimate_keeps_its_digits_near_zero():
    near = approximate_kl(np.full(4, 1e-3, np.float32))
    assert float(near) == pytest.approx(np.expm1(1e-3) - 1e-3, rel=1e-3)


def test_normalised_advantages_have_mean_0_and_deviation_1_whatever_the_scale():
    for scale in (1e-3, 1.0, 1e3):
        result = np.asarray(normalize_advantage((ADVANTAGE * scale + 5 * scale).astype(np.float32)), float)
        assert result.mean() == pytest.approx(0.0, abs=1e-5)
        assert result.std() == pytest.approx(1.0, rel=1e-4)
        np.testing.assert_array_equal(np.argsort(result), np.argsort(ADVANTAGE))
    np.testing.assert_array_equal(normalize_advantage(np.full(5, 3.0, np.float32)), 0.0)


def test_weighted_sums_count_each_row_as_often_as_its_weight_says():
    """Whole weights are numbers of copies; none is no copy."""
    x, advantage, weight = np.array([[1.0, -2.0, 5.0, 7.0], [3.0, 1.0, -4.0, 2.0], [1.0, 3.0, 0.0, 2.0]], np.float32)
    many = np.repeat(x, weight.astype(int)).astype(float)
    mean, normalized = jax.jit(losses.weighted_mean), jax.jit(losses.weighted_normalized)
    assert float(mean(x, weight)) == pytest.approx(many.mean(), rel=1e-6)
    np.testing.assert_allclose(normalized(x, weight), (x - many.mean()) / many.std(), rtol=1e-5)
    both = jax.jit(jax.value_and_grad(losses.policy_gradient, (0, 1)))
    loss, (of_log_prob, of_advantage) = both(x, advantage, weight)
    assert float(loss) == pytest.approx(-(weight * x * advantage).sum() / 6, rel=1e-6)
    np.testing.assert_allclose(of_log_prob, -weight * advantage / 6, rtol=1e-6)
    assert not np.any(of_advantage)


def test_weighted_sums_of_nothing_are_zero():
    ones, none = jnp.ones(3), jnp.zeros(3)
    assert float(losses.weighted_mean(ones, none)) == float(losses.policy_gradient(ones, ones, none)) == 0.0
    np.testing.assert_array_equal(losses.weighted_normalized(ones, ones), none)


def test_the_huber_loss_is_half_the_square_with_its_slope_cut():
    error = jnp.array([0.0, 1.0, -1.0, 1.5, 3.0, -4.0])
    np.testing.assert_allclose(losses.huber(error, 1.5), [0.0, 0.5, 0.5, 1.125, 3.375, 4.875])
    slope = jax.jit(jax.grad(lambda error: losses.huber(error, 1.5).sum()))(error)
    np.testing.assert_allclose(slope, np.clip(error, -1.5, 1.5))


def test_batches_that_do_not_match_are_refused():
    ones = jnp.ones(4)
    refused(losses.clipped_surrogate, ones, ones[:3], 0.2)
    refused(losses.clipped_surrogate, ones[:, None], ones[:, None], 0.2)
    refused(losses.value_loss, ones, ones[:, None])
    refused(losses.clipped_value_loss, ones, ones[:3], ones, 0.2)

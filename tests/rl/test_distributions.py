"""Distributions against closed forms, numerical integration and the frequencies of their samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick

from jaxrl_ft.rl.distributions import Categorical, DiagGaussian

LOGITS = np.array([[0.0, 0.0, 0.0], [2.0, -1.0, 0.5], [-3.0, 4.0, 0.0], [10.0, 10.0, -10.0]], np.float32)
OTHERS = np.array([[1.0, 0.0, -1.0], [0.5, 0.5, 0.5], [4.0, -3.0, 0.0], [9.0, 10.0, -8.0]], np.float32)
MEAN, LOG_STD = np.array([[0.3, -1.2], [2.0, 0.0]], np.float32), np.array([-0.5, 0.7], np.float32)
OTHER_MEAN, OTHER_LOG_STD = np.array([[0.0, 1.0], [2.0, 0.5]], np.float32), np.array([0.1, 0.2], np.float32)
GRID = np.linspace(-30.0, 30.0, 60_001)


@quick
def log_prob(distribution, action):
    return distribution.log_prob(action)


@quick
def entropy_and_divergences(ours, other):
    """The entropy, the divergence from the other, and from itself."""
    return ours.entropy(), ours.kl(other), ours.kl(ours)


@quick
def sampled(key, distribution):
    """Noise for each entry of a distribution, and the samples that it gives."""
    noise = distribution.noise(key, distribution[0].shape)
    return noise, distribution.sample(noise)


def probabilities(logits):
    weights = np.exp(logits.astype(float))
    return weights / weights.sum(axis=-1, keepdims=True)


def density(mean, log_std):
    """Of one component over GRID, float64."""
    std = np.exp(float(log_std))
    return np.exp(-0.5 * ((GRID - float(mean)) / std) ** 2) / (std * np.sqrt(2 * np.pi))


def integral(values):
    return np.sum((values[1:] + values[:-1]) / 2) * (GRID[1] - GRID[0])


def test_categorical_probabilities_entropy_and_divergence_are_their_sums():
    p, q = probabilities(LOGITS), probabilities(OTHERS)
    for action in range(3):
        found = log_prob(Categorical(LOGITS), np.full(4, action))
        np.testing.assert_allclose(found, np.log(p[:, action]), rtol=1e-5, atol=1e-6)
    entropy, divergence, itself = entropy_and_divergences(Categorical(LOGITS), Categorical(OTHERS))
    np.testing.assert_allclose(entropy, -(p * np.log(p)).sum(-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(divergence, (p * np.log(p / q)).sum(-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(itself, 0.0)
    assert float(quick(Categorical.entropy)(Categorical(LOGITS[0]))) == pytest.approx(np.log(3), rel=1e-6)


def test_categorical_samples_have_the_probabilities_frequencies():
    num = 200_000
    noise, samples = sampled(jax.random.key(0), Categorical(np.broadcast_to(LOGITS, (num, 4, 3))))
    assert noise.shape == (num, 4, 3)
    samples = np.asarray(samples)
    assert samples.dtype == np.int32
    frequencies = (samples[..., None] == np.arange(3)).mean(axis=0)
    p = probabilities(LOGITS)
    assert np.all(np.abs(frequencies - p) <= 4.5 * np.sqrt(p * (1 - p) / num) + 1e-12)


def test_categorical_samples_are_actions_however_extreme_the_logits():
    many = (3 * np.random.default_rng(0).normal(size=(20_000, 7))).astype(np.float32)
    noise, samples = jax.device_get(sampled(jax.random.key(1), Categorical(many)))
    assert np.isfinite(noise).all()
    assert set(np.unique(samples)) == set(range(7))
    never = Categorical(np.broadcast_to(np.float32([-1e9, 0.0, -1e9]), (20_000, 3)))
    assert set(np.unique(quick(Categorical.sample)(never, noise[:, :3]))) == {1}


def test_without_noise_the_sample_is_the_mode():
    still, mode = quick(lambda ours: (ours.sample(jnp.zeros_like(LOGITS)), ours.mode()))(Categorical(LOGITS))
    np.testing.assert_array_equal(still, mode)


def test_the_modes():
    mode = quick(Categorical.mode)(Categorical(LOGITS))
    assert mode.tolist() == [0, 0, 1, 0]
    assert mode.dtype == np.int32
    np.testing.assert_array_equal(DiagGaussian(jnp.asarray(MEAN), LOG_STD).mode(), MEAN)
    grid = np.linspace(-3, 3, 601, dtype=np.float32)[:, None]
    best = grid[np.argmax(log_prob(DiagGaussian(MEAN[:1, :1], LOG_STD[:1]), grid))]
    assert best == pytest.approx(MEAN[0, 0], abs=0.005)


def test_the_gradient_of_a_categorical_log_prob_is_one_hot_less_probabilities():
    grads = quick(jax.grad(lambda logits: Categorical(logits).log_prob(jnp.array([0, 1, 2, 1])).sum()))(LOGITS)
    np.testing.assert_allclose(grads, np.eye(3)[[0, 1, 2, 1]] - probabilities(LOGITS), atol=1e-6)


def test_huge_and_impossible_logits_stay_finite():
    logits = np.float32([[1e9, -1e9, 0.0], [-1e30, -1e30, 1e30], [88.0, -104.0, 0.0]])

    def everything(logits):
        ours, other = Categorical(logits), Categorical(jnp.zeros_like(logits))
        divergence = ours.kl(other)
        return jnp.stack([ours.log_prob(jnp.array([0, 2, 0])), ours.entropy(), divergence]).sum(), divergence

    (value, divergence), grad = quick(jax.value_and_grad(everything, has_aux=True))(logits)
    assert np.isfinite(value) and np.isfinite(grad).all()
    np.testing.assert_allclose(divergence, np.log(3), rtol=1e-6)


def test_gaussian_density_entropy_and_divergence_are_their_integrals():
    ours, other = DiagGaussian(MEAN, LOG_STD), DiagGaussian(OTHER_MEAN, OTHER_LOG_STD)
    entropies, divergences, itself = jax.device_get(entropy_and_divergences(ours, other))
    for b in range(2):
        entropy = divergence = 0.0
        for a in range(2):
            p, q = density(MEAN[b, a], LOG_STD[a]), density(OTHER_MEAN[b, a], OTHER_LOG_STD[a])
            safe = p > 1e-250
            entropy += integral(np.where(safe, -p * np.log(np.where(safe, p, 1.0)), 0.0))
            divergence += integral(
                np.where(safe, p * (np.log(np.where(safe, p, 1)) - np.log(np.maximum(q, 1e-300))), 0)
            )
            alone = DiagGaussian(MEAN[b, a : a + 1], LOG_STD[a : a + 1])
            weights = np.exp(np.asarray(log_prob(alone, GRID[:, None].astype(np.float32)), float))
            assert integral(weights) == pytest.approx(1.0, abs=1e-5)
            assert integral(weights * GRID) == pytest.approx(MEAN[b, a], abs=1e-5)
            assert integral(weights * (GRID - MEAN[b, a]) ** 2) == pytest.approx(np.exp(2 * LOG_STD[a]), rel=1e-5)
        assert float(entropies[b]) == pytest.approx(entropy, rel=1e-5)
        assert float(divergences[b]) == pytest.approx(divergence, rel=1e-5)
    np.testing.assert_allclose(itself, 0.0, atol=1e-6)


def test_a_gaussian_log_prob_is_the_sum_of_its_components_with_a_linear_gradient():
    action = np.array([[0.0, 1.0], [3.0, -0.5]], np.float32)
    parts = [log_prob(DiagGaussian(MEAN[:, [a]], LOG_STD[[a]]), action[:, [a]]) for a in range(2)]
    joint = DiagGaussian(MEAN, LOG_STD)
    np.testing.assert_allclose(log_prob(joint, action), np.sum(parts, axis=0), rtol=1e-6)
    grads = quick(jax.grad(lambda x: joint.log_prob(x).sum()))(action)
    np.testing.assert_allclose(grads, (MEAN - action) / np.exp(2 * LOG_STD), rtol=1e-5)


def test_gaussian_samples_have_the_mean_and_the_covariance():
    num = 100_000
    _, samples = sampled(jax.random.key(1), DiagGaussian(np.broadcast_to(MEAN[0], (num, 2)), LOG_STD))
    samples = np.asarray(samples, float)
    std = np.exp(LOG_STD.astype(float))
    assert np.all(np.abs(samples.mean(axis=0) - MEAN[0]) < 4.5 * std / np.sqrt(num))
    np.testing.assert_allclose(np.cov(samples.T), np.diag(std**2), atol=4.5 * 4 * np.sqrt(2 / num))


@quick
def log_ratios_and_divergence(key, wide, ours, other):
    """Log ratios of `ours` to the other at samples of itself, as many as `wide` repeats it."""
    action = wide.sample(wide.noise(key, wide[0].shape))
    return wide.log_prob(action) - other.log_prob(action), ours.kl(other)


def test_a_divergence_is_the_mean_of_log_ratios_and_never_negative():
    num = 100_000
    for ours, other in (
        (Categorical(LOGITS[1]), Categorical(OTHERS[1])),
        (DiagGaussian(MEAN[0], LOG_STD), DiagGaussian(OTHER_MEAN[0], OTHER_LOG_STD)),
    ):
        wide = type(ours)(*(np.broadcast_to(part, (num, *part.shape)) for part in ours))
        ratios, divergence = log_ratios_and_divergence(jax.random.key(2), wide, ours, other)
        ratios = np.asarray(ratios, float)
        assert abs(ratios.mean() - float(divergence)) < 4.5 * ratios.std() / np.sqrt(num)
        assert float(divergence) > 0.1


def test_noise_of_another_shape_is_refused():
    with pytest.raises(AssertionError):
        Categorical(LOGITS).sample(jnp.zeros(3))
    with pytest.raises(AssertionError):
        DiagGaussian(MEAN, LOG_STD).sample(jnp.zeros((3, 2)))

"""Distributions against closed forms, numerical integration and the frequencies of their samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_ft.rl.distributions import Categorical, DiagGaussian

LOGITS = np.array([[0.0, 0.0, 0.0], [2.0, -1.0, 0.5], [-3.0, 4.0, 0.0], [10.0, 10.0, -10.0]], np.float32)
OTHERS = np.array([[1.0, 0.0, -1.0], [0.5, 0.5, 0.5], [4.0, -3.0, 0.0], [9.0, 10.0, -8.0]], np.float32)
MEAN, LOG_STD = np.array([[0.3, -1.2], [2.0, 0.0]], np.float32), np.array([-0.5, 0.7], np.float32)
OTHER_MEAN, OTHER_LOG_STD = np.array([[0.0, 1.0], [2.0, 0.5]], np.float32), np.array([0.1, 0.2], np.float32)
GRID = np.linspace(-30.0, 30.0, 60_001)


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
    ours, other = Categorical(LOGITS), Categorical(OTHERS)
    for action in range(3):
        log_prob = ours.log_prob(np.full(4, action))
        np.testing.assert_allclose(log_prob, np.log(p[:, action]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.entropy(), -(p * np.log(p)).sum(-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.kl(other), (p * np.log(p / q)).sum(-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ours.kl(ours), 0.0)
    assert float(Categorical(LOGITS[0]).entropy()) == pytest.approx(np.log(3), rel=1e-6)


def test_categorical_samples_have_the_probabilities_frequencies():
    num = 200_000
    noise = Categorical.noise(jax.random.key(0), (num, 4, 3))
    assert noise.shape == (num, 4, 3)
    samples = np.asarray(Categorical(jnp.broadcast_to(LOGITS, (num, 4, 3))).sample(noise))
    assert samples.dtype == np.int32
    frequencies = (samples[..., None] == np.arange(3)).mean(axis=0)
    p = probabilities(LOGITS)
    assert np.all(np.abs(frequencies - p) <= 4.5 * np.sqrt(p * (1 - p) / num) + 1e-12)


def test_categorical_samples_are_actions_however_extreme_the_logits():
    noise = Categorical.noise(jax.random.key(1), (20_000, 7))
    assert np.isfinite(noise).all()
    many = jax.random.normal(jax.random.key(0), (20_000, 7)) * 3.0
    assert set(np.unique(Categorical(many).sample(noise))) == set(range(7))
    never = Categorical(jnp.broadcast_to(jnp.array([-1e9, 0.0, -1e9]), (20_000, 3)))
    assert set(np.unique(never.sample(noise[:, :3]))) == {1}


def test_without_noise_the_sample_is_the_mode():
    np.testing.assert_array_equal(Categorical(LOGITS).sample(jnp.zeros_like(LOGITS)), Categorical(LOGITS).mode())


def test_the_modes():
    assert Categorical(LOGITS).mode().tolist() == [0, 0, 1, 0]
    assert Categorical(LOGITS).mode().dtype == jnp.int32
    np.testing.assert_array_equal(DiagGaussian(MEAN, LOG_STD).mode(), MEAN)
    grid = np.linspace(-3, 3, 601, dtype=np.float32)[:, None]
    best = grid[np.argmax(DiagGaussian(MEAN[:1, :1], LOG_STD[:1]).log_prob(grid))]
    assert best == pytest.approx(MEAN[0, 0], abs=0.005)


def test_the_gradient_of_a_categorical_log_prob_is_one_hot_less_probabilities():
    grads = jax.grad(lambda logits: Categorical(logits).log_prob(jnp.array([0, 1, 2, 1])).sum())(jnp.asarray(LOGITS))
    np.testing.assert_allclose(grads, np.eye(3)[[0, 1, 2, 1]] - probabilities(LOGITS), atol=1e-6)


def test_huge_and_impossible_logits_stay_finite():
    logits = jnp.array([[1e9, -1e9, 0.0], [-1e30, -1e30, 1e30], [88.0, -104.0, 0.0]])

    def everything(logits):
        ours, other = Categorical(logits), Categorical(jnp.zeros_like(logits))
        return jnp.stack([ours.log_prob(jnp.array([0, 2, 0])), ours.entropy(), ours.kl(other)]).sum()

    value, grad = jax.value_and_grad(everything)(logits)
    assert np.isfinite(value) and np.isfinite(grad).all()
    np.testing.assert_allclose(Categorical(logits).kl(Categorical(jnp.zeros((3, 3)))), np.log(3), rtol=1e-6)


def test_gaussian_density_entropy_and_divergence_are_their_integrals():
    ours, other = DiagGaussian(MEAN, LOG_STD), DiagGaussian(OTHER_MEAN, OTHER_LOG_STD)
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
            weights = np.exp(np.asarray(alone.log_prob(GRID[:, None].astype(np.float32)), float))
            assert integral(weights) == pytest.approx(1.0, abs=1e-5)
            assert integral(weights * GRID) == pytest.approx(MEAN[b, a], abs=1e-5)
            assert integral(weights * (GRID - MEAN[b, a]) ** 2) == pytest.approx(np.exp(2 * LOG_STD[a]), rel=1e-5)
        assert float(ours.entropy()[b]) == pytest.approx(entropy, rel=1e-5)
        assert float(ours.kl(other)[b]) == pytest.approx(divergence, rel=1e-5)
    np.testing.assert_allclose(ours.kl(ours), 0.0, atol=1e-6)


def test_a_gaussian_log_prob_is_the_sum_of_its_components_with_a_linear_gradient():
    action = np.array([[0.0, 1.0], [3.0, -0.5]], np.float32)
    parts = [DiagGaussian(MEAN[:, a : a + 1], LOG_STD[a : a + 1]).log_prob(action[:, a : a + 1]) for a in range(2)]
    joint = DiagGaussian(MEAN, LOG_STD)
    np.testing.assert_allclose(joint.log_prob(action), sum(parts), rtol=1e-6)
    grads = jax.grad(lambda x: joint.log_prob(x).sum())(action)
    np.testing.assert_allclose(grads, (MEAN - action) / np.exp(2 * LOG_STD), rtol=1e-5)


def test_gaussian_samples_have_the_mean_and_the_covariance():
    num = 100_000
    noise = DiagGaussian.noise(jax.random.key(1), (num, 2))
    samples = np.asarray(DiagGaussian(jnp.broadcast_to(MEAN[0], (num, 2)), LOG_STD).sample(noise), float)
    std = np.exp(LOG_STD.astype(float))
    assert np.all(np.abs(samples.mean(axis=0) - MEAN[0]) < 4.5 * std / np.sqrt(num))
    np.testing.assert_allclose(np.cov(samples.T), np.diag(std**2), atol=4.5 * 4 * np.sqrt(2 / num))


def test_a_divergence_is_the_mean_of_log_ratios_and_never_negative():
    num = 100_000
    for ours, other, shape in (
        (Categorical(LOGITS[1]), Categorical(OTHERS[1]), (3,)),
        (DiagGaussian(MEAN[0], LOG_STD), DiagGaussian(OTHER_MEAN[0], OTHER_LOG_STD), (2,)),
    ):
        wide = type(ours)(*(jnp.broadcast_to(part, (num, *part.shape)) for part in ours))
        action = wide.sample(wide.noise(jax.random.key(2), (num, *shape)))
        ratios = np.asarray(wide.log_prob(action) - other.log_prob(action), float)
        assert abs(ratios.mean() - float(ours.kl(other))) < 4.5 * ratios.std() / np.sqrt(num)
        assert float(ours.kl(other)) > 0.1


def test_noise_of_another_shape_is_refused():
    with pytest.raises(AssertionError):
        Categorical(LOGITS).sample(np.zeros(3, np.float32))
    with pytest.raises(AssertionError):
        DiagGaussian(MEAN, LOG_STD).sample(np.zeros((3, 2), np.float32))

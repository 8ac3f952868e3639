"""Units of sensors: the posterior is that of closed forms, and only what is told is claimed."""

import numpy as np
import pytest
from helpers.target_worlds import linear

from jaxrl_ft.methods.alignment.reading import estimate
from jaxrl_ft.methods.alignment.units import VAGUE, Posterior, claimed, log_prior, sample


def test_samples_of_a_gaussian_have_its_moments():
    mean, covariance = np.array([0.3, -1.0, 0.5]), np.array([[0.04, 0.03, 0], [0.03, 0.04, 0], [0, 0, 0.0004]])
    precision = np.linalg.inv(covariance)

    def log_density(points):
        return -0.5 * np.einsum("ni,ij,nj->n", points - mean, precision, points - mean)

    found = sample(log_density, np.array([[0.0, -1.0, 0.0], [0.5, -0.5, 0.5]]), np.array([0.1, 0.5]))
    np.testing.assert_allclose(found.weights.sum(), 1.0)
    np.testing.assert_allclose(found.mean, mean, atol=0.03)
    np.testing.assert_allclose(found.error, np.sqrt(np.diag(covariance)), rtol=0.15)
    apart = found.samples - found.mean
    np.testing.assert_allclose((found.weights[:, None] * apart).T @ apart, covariance, atol=0.008)


def test_samples_tell_the_shares_of_two_modes():
    def log_density(points):
        modes = [np.log(share) - 0.5 * np.square((points - at) / 0.05).sum(axis=1) for share, at in ((3, 0), (1, 1.0))]
        return np.logaddexp(*modes)

    found = sample(log_density, np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0.1]))
    np.testing.assert_allclose(found.weights @ (found.samples[:, 0] > 0.5), 0.25, atol=0.03)


def test_the_prior_is_a_density():
    line = np.arange(-6, 6, 0.004)
    np.testing.assert_allclose(np.exp(log_prior(line[:, None])).sum() * 0.004, 1.0, rtol=1e-3)
    wide = np.linspace(-5, 5, 1251)
    plane = np.stack(np.meshgrid(wide, wide), axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(np.exp(log_prior(plane)).sum() * 0.008**2, 1.0, rtol=1e-2)


def even(*columns):
    samples = np.array(columns, float).T
    return Posterior(samples, np.full(len(samples), 1 / len(samples)))


@pytest.mark.parametrize(
    "log_scales, claim, told",
    [
        # sure, not changed, changed by less than is worth a claim
        ([1.0, 1.0, 1.0, 1.0], 1.0, True),
        ([0.0, 0.0, 0.0, 0.0], 0.0, True),
        ([0.02, 0.02, 0.02, 0.02], 0.0, True),
        # the mean of 1.0 undoes half of 0.7 and of 1.3, but not of 0.4
        ([0.7, 1.3, 1.0, 1.0], 1.0, True),
        ([0.4, 1.6, 1.0, 1.0], 0.0, False),
        # right within 25%, yet for one of them no claim is nearer
        ([0.0, 0.2, 0.2, 0.2], 0.0, True),
        # or of the other sign
        ([-1.0, 1.0, 1.0, 1.0], 0.0, False),
    ],
)
def test_a_scale_is_claimed_only_where_it_surely_comes_nearer(log_scales, claim, told):
    found = even(log_scales, [1.0] * 4)
    log_scale, reason = claimed(found, found.mean)
    np.testing.assert_allclose(log_scale, [claim, 1.0])
    assert reason == ("" if told else VAGUE)


def test_what_solves_the_dynamics_is_claimed_only_within_the_posterior():
    found = even([0.9, 1.1, 0.9, 1.1])
    assert claimed(found, np.array([1.05]))[0] == 1.05
    np.testing.assert_allclose(claimed(found, np.array([1.2]))[0], 1.0)


def seen(made, scale, num_starts):
    """What is read of a linear world whose sensors are rescaled."""
    rng = np.random.default_rng(0)
    source, target = (linear(rng, num, 4, 2, rng.uniform(-1, 1, (num_starts, 4)), **made) for num in (400, 200))
    rows = {name: np.array(scale) * getattr(target, name) for name in ("obs", "next_obs", "starts")}
    return estimate(source, target._replace(**rows), 2, False)


def test_errors_are_small_where_dynamics_tell_and_large_where_nothing_does():
    rng, scale = np.random.default_rng(1), [3.0, 0.2, 1.0, 10.0]
    told = seen({"slopes": rng.normal(size=(4, 4)) / 5, "pushes": rng.normal(size=(2, 4))}, scale, 40)
    np.testing.assert_allclose(told.scale, scale, rtol=0.1)
    assert told.scale_error.shape == (4,) and told.scale_error.max() < 0.05
    found = seen({"slopes": np.zeros((4, 4)), "pushes": np.zeros((2, 4))}, [1.0, 1.7, 1.0, 0.6], 8)
    assert not found.changes and found.left_alone == VAGUE and found.scale_error.max() > 0.2

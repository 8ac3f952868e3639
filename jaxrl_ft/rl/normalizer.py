"""Running mean and variance of a stream of batches, for normalising observations and scaling rewards."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

# Observations beyond ten standard deviations carry no more information, only large gradients.
_CLIP = 10.0
_EPS = 1e-8


class Moments(NamedTuple):
    """Mean [D...], variance [D...] and number (scalar) of everything seen."""

    mean: Any
    variance: Any
    num: Any


def init(shape: tuple[int, ...] = ()) -> Moments:
    """Moments of nothing yet: mean 0, variance 1, number 0."""
    return Moments(jnp.zeros(shape), jnp.ones(shape), jnp.zeros(()))


def update(moments: Moments, batch: jax.Array) -> Moments:
    """The moments of all seen before and of `batch` [B, D...] together.

        δ = μ_B - μ,   μ' = μ + δ n_B / (n + n_B),   M' = n σ² + n_B σ_B² + δ² n n_B / (n + n_B)

    Reference: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance".
    """
    chex.assert_shape(batch, (None, *moments.mean.shape))
    num = batch.shape[0]
    mean, variance = batch.mean(axis=0), batch.var(axis=0)
    total = moments.num + num
    delta = mean - moments.mean
    squares = moments.num * moments.variance + num * variance + delta**2 * moments.num * num / total
    return Moments(moments.mean + delta * num / total, squares / total, total)


def normalize(moments: Moments, x: jax.Array) -> jax.Array:
    """x [..., D...] less the mean, over the standard deviation, clipped to ten of them."""
    return jnp.clip((x - moments.mean) * jax.lax.rsqrt(moments.variance + _EPS), -_CLIP, _CLIP)


def scale(moments: Moments, x: jax.Array) -> jax.Array:
    """x over the standard deviation, clipped to ten of them; the mean stays, so that the sign of a reward does."""
    return jnp.clip(x * jax.lax.rsqrt(moments.variance + _EPS), -_CLIP, _CLIP)

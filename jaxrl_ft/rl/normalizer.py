"""Running mean and variance of a stream of batches, for normalising observations and scaling rewards."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_ft.core import tree
from jaxrl_ft.core.types import Scalar

# Observations beyond ten standard deviations carry no more information, only large gradients.
CLIP = 10.0
EPSILON = 1e-8


class Moments(NamedTuple):
    """Mean [D...] and variance [D...] of everything seen, and how they normalise; the other fields are scalars."""

    mean: Float[Array, "*D"]
    variance: Float[Array, "*D"]
    num: Float[Array, ""]
    """how many entries were seen"""
    epsilon: Scalar = EPSILON
    """added to the variance"""
    clip: Scalar = CLIP
    """largest absolute value of what is normalised"""


def init(shape: tuple[int, ...] = (), epsilon: Scalar = EPSILON, clip: Scalar = CLIP) -> Moments:
    """Return empty moments: mean 0, variance 1, number 0."""
    epsilon, clip = (jnp.asarray(number, jnp.float32) for number in (epsilon, clip))
    return Moments(
        jnp.zeros(shape, jnp.float32), jnp.ones(shape, jnp.float32), jnp.zeros((), jnp.float32), epsilon, clip
    )


def update(moments: Moments, batch: Float[Array, " B *D"]) -> Moments:
    """Return the moments of all batches so far and of `batch` [B, D...].

        δ = μ_B - μ,   μ' = μ + δ n_B / (n + n_B),   M' = n σ² + n_B σ_B² + δ² n n_B / (n + n_B)

    A row that is not finite does not enter: `tree.finite_rows` puts another in its place. Where no row is finite, or
    the squares overflow, the moments stay as they were.

    Reference: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance".
    """
    chex.assert_shape(batch, (None, *moments.mean.shape))
    after, rest = _merged(moments, batch), _merged(moments, tree.finite_rows(batch))
    return tree.where(tree.finite(after), after, tree.where(tree.finite(rest), rest, moments))


def _merged(moments: Moments, batch: Float[Array, " B *D"]) -> Moments:
    num = batch.shape[0]
    mean, variance = batch.mean(axis=0), batch.var(axis=0)
    total = moments.num + num
    delta = mean - moments.mean
    squares = moments.num * moments.variance + num * variance + delta**2 * moments.num * num / total
    return moments._replace(mean=moments.mean + delta * num / total, variance=squares / total, num=total)


def normalize(moments: Moments, x: Float[Array, "*BD"]) -> Float[Array, "*BD"]:
    """clip((x - mean) / √(variance + epsilon), -clip, clip) for x [..., D...]."""
    return _clipped(moments, x - jax.lax.broadcast_to_rank(moments.mean, x.ndim))


def scale(moments: Moments, x: Float[Array, "*BD"]) -> Float[Array, "*BD"]:
    """clip(x / √(variance + epsilon), -clip, clip); the mean stays, so that the sign of a reward does."""
    return _clipped(moments, x)


def _clipped(moments: Moments, x: Float[Array, "*BD"]) -> Float[Array, "*BD"]:
    variance = jax.lax.broadcast_to_rank(moments.variance, x.ndim)
    return jnp.clip(x * jax.lax.rsqrt(variance + moments.epsilon), -moments.clip, moments.clip)

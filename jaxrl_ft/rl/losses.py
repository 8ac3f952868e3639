"""The terms of the PPO loss as functions of flat batches."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_ft.core.types import Scalar


def clipped_surrogate(
    log_ratio: Float[Array, " B"], advantage: Float[Array, " B"], clip_eps: Scalar
) -> Float[Array, ""]:
    """The negated clipped surrogate objective, a scalar.

        L = -mean(min(ρ A, clip(ρ, 1 - ε, 1 + ε) A)),   ρ = exp(log π(a|s) - log π_old(a|s))

    Args:
        log_ratio: log ρ, [B].
        advantage: A, [B].
        clip_eps: half-width ε of the clip.

    Reference: Schulman et al. 2017, arXiv:1707.06347, eq. 7.
    """
    chex.assert_rank([log_ratio, advantage], 1)
    chex.assert_equal_shape([log_ratio, advantage])
    ratio = jnp.exp(log_ratio)
    clipped = jax.lax.stop_gradient(jnp.clip(ratio, 1 - clip_eps, 1 + clip_eps))
    # The smaller of the two by selection: where it is the clipped one its gradient is zero anyway, and the gradients of
    # minimum and clip, which share ties out, are a dozen needless kernels.
    return -jnp.mean(jnp.where(ratio * advantage <= clipped * advantage, ratio * advantage, clipped * advantage))


def value_loss(value: Float[Array, " B"], target_value: Float[Array, " B"]) -> Float[Array, ""]:
    """Half the mean squared error between `value` [B] and `target_value` [B], a scalar."""
    chex.assert_equal_shape([value, target_value])
    return 0.5 * jnp.mean((value - target_value) ** 2)


def clipped_value_loss(
    value: Float[Array, " B"], old_value: Float[Array, " B"], target_value: Float[Array, " B"], clip_eps: Scalar
) -> Float[Array, ""]:
    """Half the mean of the larger squared error of `value` and of `value` clipped around `old_value`, a scalar.

        L = 1/2 mean(max((V - V*)², (V_old + clip(V - V_old, -ε, ε) - V*)²))

    Args:
        value: V, [B].
        old_value: V_old at collection, [B].
        target_value: V*, [B].
        clip_eps: half-width ε.

    Reference: the PPO implementation described by Engstrom et al. 2020, arXiv:2005.12729, section 3.
    """
    chex.assert_equal_shape([value, old_value, target_value])
    clipped = old_value + jnp.clip(value - old_value, -clip_eps, clip_eps)
    return 0.5 * jnp.mean(jnp.maximum((value - target_value) ** 2, (clipped - target_value) ** 2))


def approximate_kl(log_ratio: Float[Array, " B"]) -> Float[Array, ""]:
    """A non-negative, unbiased estimate of KL(π_old ‖ π) from samples of π_old, a scalar.

        mean(ρ - 1 - log ρ)

    Reference: Schulman 2020, "Approximating KL divergence" (joschu.net/blog/kl-approx.html).
    """
    return jnp.mean(jnp.expm1(log_ratio) - log_ratio)


def normalize_advantage(advantage: Float[Array, " B"]) -> Float[Array, " B"]:
    """The advantages [B] with mean 0 and standard deviation 1 over the batch."""
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)

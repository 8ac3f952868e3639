"""The terms of losses as functions of flat batches."""

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


def policy_gradient(
    log_prob: Float[Array, " B"], advantage: Float[Array, " B"], weight: Float[Array, " B"]
) -> Float[Array, ""]:
    """The loss whose gradient is the negated policy gradient, a scalar; none flows through the advantage.

        L = -Σ w log π(a|s) A / Σ w

    Args:
        log_prob: log π(a|s), [B].
        advantage: A, [B].
        weight: w >= 0 of each row, [B]; the loss is 0 where all are 0.

    Reference: Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement
    learning", doi:10.1007/BF00992696.
    """
    chex.assert_equal_shape([log_prob, advantage, weight])
    return -weighted_mean(log_prob * jax.lax.stop_gradient(advantage), weight)


def weighted_mean(x: Float[Array, " B"], weight: Float[Array, " B"]) -> Float[Array, ""]:
    """Σ w x / Σ w, a scalar; 0 where all weights [B] are 0."""
    return jnp.sum(weight * x) / jnp.maximum(jnp.sum(weight), 1e-8)


def weighted_normalized(x: Float[Array, " B"], weight: Float[Array, " B"]) -> Float[Array, " B"]:
    """The numbers [B] with weighted mean 0 and weighted standard deviation 1."""
    centred = x - weighted_mean(x, weight)
    return centred / (jnp.sqrt(weighted_mean(centred**2, weight)) + 1e-8)


def huber(error: Float[Array, " B"], width: Scalar) -> Float[Array, " B"]:
    """Half the squared error where it is at most `width`, beyond it linear with the same slope (Huber 1964), [B].

    L = e² / 2 for |e| <= w,   w (|e| - w / 2) beyond
    """
    size = jnp.abs(error)
    return jnp.where(size <= width, 0.5 * error**2, width * (size - 0.5 * width))

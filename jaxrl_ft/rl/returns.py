"""Returns and advantages as functions of arrays with time first."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_ft.core.types import Scalar


def gae(
    reward: Float[Array, " T *N"],
    value: Float[Array, " T *N"],
    next_value: Float[Array, " T *N"],
    terminated: Bool[Array, " T *N"],
    done: Bool[Array, " T *N"],
    gamma: Scalar,
    gae_lambda: Scalar,
) -> Float[Array, " T *N"]:
    """Generalised advantage estimates, [T, ...].

        δₜ = rₜ + γ (1 - terminatedₜ) V(sₜ₊₁) - V(sₜ)
        Aₜ = δₜ + γ λ (1 - doneₜ) Aₜ₊₁

    Termination removes the bootstrap; a time limit keeps it and only cuts the sum.

    Args:
        reward: rewards rₜ, [T, ...].
        value: V(sₜ), [T, ...].
        next_value: V at the successor before any reset, [T, ...].
        terminated: the episode came to its natural end at t, [T, ...].
        done: terminated or cut by the time limit at t, [T, ...].
        gamma: discount per step, in [0, 1].
        gae_lambda: λ in [0, 1]; 0 gives the TD error, 1 the Monte-Carlo return minus the value.

    Reference: Schulman et al. 2016, arXiv:1506.02438.
    """
    chex.assert_equal_shape([reward, value, next_value, terminated, done])
    chex.assert_type([reward, value, next_value], float)
    delta = reward + gamma * jnp.where(terminated, 0.0, next_value) - value
    decay = gamma * gae_lambda * (1.0 - done.astype(reward.dtype))

    def step(advantage: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        # By selection, for 0 times what is not finite would reach into the episode before.
        advantage = inputs[0] + inputs[1] * jnp.where(inputs[1] > 0, advantage, 0.0)
        return advantage, advantage

    return jax.lax.scan(step, jnp.zeros_like(delta[0]), (delta, decay), reverse=True, unroll=8)[1]

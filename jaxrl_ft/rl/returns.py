"""Returns and advantages as functions of arrays with time first."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

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


def monte_carlo(
    reward: Float[Array, " T *N"], done: Bool[Array, " T *N"], gamma: Scalar
) -> tuple[Float[Array, " T *N"], Bool[Array, " T *N"]]:
    """Discounted returns to the end of each episode, and whether that end is among the steps; [T, ...] each.

        Gₜ = rₜ + γ (1 - doneₜ) Gₜ₊₁

    A time limit ends the sum as a natural end does, since nothing estimates what would follow.

    Args:
        reward: rewards rₜ, [T, ...].
        done: the episode ended at t, [T, ...].
        gamma: discount per step, in [0, 1].
    """
    chex.assert_equal_shape([reward, done])

    def step(
        after: tuple[Array, Array], inputs: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        total, ended = after
        # By selection, for 0 times what is not finite would reach into the episode before.
        now = inputs[0] + jnp.where(inputs[1], 0.0, gamma * total), ended | inputs[1]
        return now, now

    start = jnp.zeros_like(reward[0]), jnp.zeros_like(done[0])
    total, ended = jax.lax.scan(step, start, (reward, done), reverse=True, unroll=8)[1]
    return total, ended


def n_step(
    reward: Float[Array, " T *N"], terminated: Bool[Array, " T *N"], done: Bool[Array, " T *N"], gamma: Scalar, num: int
) -> tuple[Float[Array, " T *N"], Float[Array, " T *N"], Int[Array, " T *N"]]:
    """Rewards of up to n steps, the factor of what follows them, and the step that is the last of them; [T, ...] each.

        Rₜ = Σ_{i<k} γⁱ rₜ₊ᵢ,   Dₜ = γᵏ (1 - terminated at the last step),   last = t + k - 1

    k is n, or less where the episode or the arrays end before. The target of Q(sₜ, aₜ) is Rₜ + Dₜ max Q(s_{last+1}),
    with s_{last+1} the successor of the last step before any reset.

    Args:
        reward: rewards rₜ, [T, ...].
        terminated: the episode came to its natural end at t, [T, ...].
        done: terminated or cut by the time limit at t, [T, ...].
        gamma: discount per step, in [0, 1].
        num: n, at least 1.

    Reference: Sutton & Barto 2018, "Reinforcement Learning", section 7.1; for DQN Hessel et al. 2018, arXiv:1710.02298.
    """
    chex.assert_equal_shape([reward, terminated, done])
    steps = jnp.arange(reward.shape[0], dtype=jnp.int32).reshape((-1,) + (1,) * (reward.ndim - 1))
    alone = reward, gamma * (1.0 - terminated.astype(reward.dtype)), jnp.broadcast_to(steps, reward.shape)
    total, discount, last = alone
    ends = done | (steps == reward.shape[0] - 1)
    for _ in range(num - 1):
        later = (jnp.roll(part, -1, axis=0) for part in (total, discount, last))
        longer = (reward + gamma * next(later), gamma * next(later), next(later))
        total, discount, last = (jnp.where(ends, one, more) for one, more in zip(alone, longer))
    return total, discount, last


def q_lambda(
    reward: Float[Array, " T *N"],
    next_value: Float[Array, " T *N"],
    terminated: Bool[Array, " T *N"],
    done: Bool[Array, " T *N"],
    gamma: Scalar,
    q_lambda: Scalar,
) -> Float[Array, " T *N"]:
    """λ-returns of greedy values, [T, ...].

        Gₜ = rₜ + γ (1 - terminatedₜ) [(1 - λₜ) max Q(sₜ₊₁) + λₜ Gₜ₊₁],   λₜ = λ (1 - doneₜ), and 0 at the last step

    It is Peng's Q(λ): actions that explore do not cut the sum. Termination removes the bootstrap; a time limit keeps it
    and only cuts the sum.

    Args:
        reward: rewards rₜ, [T, ...].
        next_value: max Q at the successor before any reset, [T, ...].
        terminated: the episode came to its natural end at t, [T, ...].
        done: terminated or cut by the time limit at t, [T, ...].
        gamma: discount per step, in [0, 1].
        q_lambda: λ in [0, 1]; 0 gives one-step targets.

    Reference: Gallici et al. 2024, arXiv:2407.04811, section 4; Peng & Williams 1996, "Incremental multi-step
    Q-learning".
    """
    chex.assert_equal_shape([reward, next_value, terminated, done])
    follows = gamma * jnp.where(terminated, 0.0, 1.0)

    def step(after: Array, inputs: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, value, factor, decay = inputs
        # By selection, for 0 times what is not finite would reach into the episode before.
        mixed = jnp.where(decay > 0, (1.0 - decay) * value + decay * after, value)
        after = reward + jnp.where(factor > 0, factor * mixed, 0.0)
        return after, after

    decay = q_lambda * (1.0 - done.astype(reward.dtype))
    decay = decay.at[-1].set(0.0)
    start = jnp.zeros_like(reward[0])
    return jax.lax.scan(step, start, (reward, next_value, follows, decay), reverse=True, unroll=8)[1]

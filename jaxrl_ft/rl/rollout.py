"""Experience from a batch of environments: a scan whose random numbers were all drawn before it."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt32

from jaxrl_ft.core import tree
from jaxrl_ft.core.tree import map_leaves
from jaxrl_ft.core.types import Draws, EnvState, Key
from jaxrl_ft.envs.task import Task

Rows = TypeVar("Rows")
Age: TypeAlias = Float[Array, " N"] | None
Act: TypeAlias = Callable[[Float[Array, "N O"], Float[Array, "N ..."], Age], Shaped[Array, "N ..."]]
"""Actions [N, ...] from observations [N, O], noise [N, ...] and ages [N]."""
LogProb: TypeAlias = Callable[[Float[Array, "N O"], Shaped[Array, "N ..."], Age], Float[Array, " N"]]
"""Log-probabilities [N] of actions [N, ...] from observations [N, O] and ages [N]."""
_Running: TypeAlias = tuple[Float[Array, "N O"], EnvState, Age]


SEEN = ("observation", "action", "reward")
"""What a rollout sees and does, in the order in which `first_not_finite` numbers it."""
NOT_FINITE = "rollout/not_finite"
"""The name that `first_not_finite` has among the metrics of a rollout."""

_PACKED = 512
"""Rows at most whose numbers leave enough random bits beside them in 32."""


Keys: TypeAlias = tuple[Key, ...]


class Behaviour(NamedTuple):
    """How one rollout acts."""

    act: Act
    noise: Float[Array, "T N _"]
    """random numbers for its actions"""
    key: Key
    """for the environments"""
    log_prob: LogProb | None = None
    """how probable its actions were, where something is learned from that"""


class Transition(NamedTuple):
    """One step of every environment; the leaves of a rollout are [T, N, ...]."""

    obs: Float[Array, "T N O"]
    action: Shaped[Array, "T N *A"]
    reward: Float[Array, "T N"]
    terminated: Bool[Array, "T N"]
    truncated: Bool[Array, "T N"]
    next_obs: Float[Array, "T N O"]
    """the successor before any reset"""
    age: Float[Array, "T N"] | None = None
    """steps since the reset before this one, where the rollout counts them"""
    log_prob: Float[Array, "T N"] | None = None
    """of the action when it was taken, where the behaviour tells it"""


class Episodes(NamedTuple):
    """Return and length so far of each environment's current episode, [N] each."""

    episode_return: Float[Array, " N"]
    episode_length: Float[Array, " N"]


def start(key: Key, tasks: Task, num_envs: int) -> tuple[Float[Array, "{num_envs} O"], EnvState]:
    """First observations [N, O] and simulator states of N environments.

    Args:
        key: PRNG key.
        tasks: a task whose physics have a leading axis [N].
        num_envs: N.
    """
    draws = tasks.draw(key, (num_envs,))
    return jax.vmap(Task.initial)(tasks, draws)


def rollout(
    tasks: Task,
    act: Act,
    draws: Draws,
    noise: Float[Array, "T N ..."],
    obs: Float[Array, "N O"],
    env_state: EnvState,
    age: Age = None,
    log_prob: LogProb | None = None,
) -> tuple[Float[Array, "N O"], EnvState, Transition]:
    """The observations and states after T steps of N environments, and the transitions [T, N, ...].

    Args:
        tasks: a task whose physics have a leading axis [N].
        act: actions [N, ...] from observations [N, O], noise [N, ...] and ages [N].
        draws: the simulators' random numbers, leaves [T, N, ...].
        noise: the policy's random numbers, [T, N, ...].
        obs: observations to start from, [N, O].
        env_state: simulator states to start from, leaves [N, ...].
        age: steps since the reset to count on from, [N]; None when nothing depends on them, and nothing is counted.
        log_prob: log-probabilities [N] of actions [N, ...], from observations and ages; None where nobody asks.
    """

    def step(carry: _Running, inputs: tuple[Draws, Array]) -> tuple[_Running, Transition]:
        obs, env_state, age = carry
        action = act(obs, inputs[1], age)
        after = jax.vmap(Task.transition)(tasks, inputs[0], env_state, action)
        next_obs, env_state, reward, terminated, truncated, final_obs = after
        older = None if age is None else jnp.where(terminated | truncated, 0.0, age + 1.0)
        told = None if log_prob is None else log_prob(obs, action, age)
        transition = Transition(obs, action, reward, terminated, truncated, final_obs, age, told)
        return (next_obs, env_state, older), transition

    (obs, env_state, _), transitions = jax.lax.scan(step, (obs, env_state, age), (draws, noise))
    return obs, env_state, transitions


def count_episodes(episodes: Episodes, transitions: Transition) -> tuple[Episodes, dict[str, jax.Array]]:
    """The unfinished episodes after a rollout, and sums over the finished ones.

    Returns:
        episodes: return and length so far of each environment's episode, [N].
        sums: `num`, `episode_return` and `episode_length`, scalars; divide by `num` for means. An episode whose return
            is not finite is left out of all three.
    """
    done = transitions.terminated | transitions.truncated

    def step(carry: Episodes, inputs: tuple[jax.Array, jax.Array]) -> tuple[Episodes, tuple[jax.Array, ...]]:
        reward, done = inputs
        total, length = carry.episode_return + reward, carry.episode_length + 1.0
        after = Episodes(jnp.where(done, 0.0, total), jnp.where(done, 0.0, length))
        counts = done & jnp.isfinite(total)
        return after, (counts, jnp.where(counts, total, 0.0), jnp.where(counts, length, 0.0))

    episodes, (ended, returns, lengths) = jax.lax.scan(step, episodes, (transitions.reward, done))
    sums = {"num": ended.sum(dtype=jnp.float32), "episode_return": returns.sum(), "episode_length": lengths.sum()}
    return episodes, sums


def first_not_finite(steps: Transition) -> Int[Array, ""]:
    """1 + the place in `SEEN` of what was the first in time that is not finite, 0 where all is; [T, N, ...] leaves."""

    def broken(leaf: Array) -> Array:
        return ~jnp.isfinite(leaf).reshape((leaf.shape[0], -1)).all(axis=1)

    # What follows from a state that is not finite, such as its reward, is not the first.
    moments = jnp.stack([broken(leaf) for leaf in (steps.obs, steps.action, steps.next_obs, steps.reward)], axis=1)
    places = jnp.asarray([1, 2, 1, 3], jnp.int32)
    return jnp.where(moments.any(), places[jnp.argmax(moments.reshape(-1)) % 4], 0)


def flat_rows(data: Rows) -> tuple[Rows, Float[Array, ""]]:
    """The rows [T * N, ...] of data [T, N, ...], those that are not finite replaced, and how many these are."""
    flat = map_leaves(lambda leaf: leaf.reshape((-1, *leaf.shape[2:])), data)
    return tree.finite_rows(flat), (~tree.finite_entries(flat)).sum(dtype=jnp.float32)


def minibatches(key: Key, num: int, num_epochs: int, num_minibatches: int) -> Int[Array, "G B"]:
    """Rows of the minibatches of several passes over `num` rows, each pass in an order of its own."""
    bits = jax.random.bits(key, (num_epochs, num), jnp.uint32)
    # Fused with what gathers by it, the sums over a batch would be taken in another order: other bits.
    ordered: Array = jax.lax.optimization_barrier(order(bits).astype(jnp.int32))
    return ordered.reshape((num_epochs * num_minibatches, -1))


def order(bits: UInt32[Array, "*B M"]) -> UInt32[Array, "*B M"]:
    """The order of the M rows by their random bits: a random permutation along the last axis.

    Of few rows each number is put into the low bits of what it is sorted by, and sorting one array is five times as
    fast on a CPU as sorting two. Pairs that tie in the remaining bits are put in order afterwards; of three rows that
    tie, which have a chance below 1e-7, two may stay out of order.

    Args:
        bits: uniform random, [..., M].
    """
    num = bits.shape[-1]
    if num > _PACKED:
        return jnp.argsort(bits, axis=-1).astype(jnp.uint32)
    low = jnp.uint32((1 << (num - 1).bit_length()) - 1)
    numbers = jax.lax.sort((bits & ~low) | jax.lax.broadcasted_iota(jnp.uint32, bits.shape, bits.ndim - 1)) & low
    found = jnp.take_along_axis(bits, numbers, axis=-1)
    above = jnp.zeros_like(found[..., :1], bool)
    wrong = jnp.concatenate([found[..., :-1] > found[..., 1:], above], axis=-1)
    first = wrong & ~jnp.concatenate([above, wrong[..., :-1]], axis=-1)
    second = jnp.concatenate([above, first[..., :-1]], axis=-1)
    swapped: Array = jnp.where(first, jnp.roll(numbers, -1, -1), jnp.where(second, jnp.roll(numbers, 1, -1), numbers))
    return swapped

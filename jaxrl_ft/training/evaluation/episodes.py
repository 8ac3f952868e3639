"""Whole episodes of one run's policy, side by side until the last one ends."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import EnvState, Leaf, PyTree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl.algorithm import Actor

# Steps whose random numbers are drawn in one call: a call a step costs several times what the step does.
_BLOCK = 50


class Options(NamedTuple):
    """Settings of an evaluation, as traced scalars."""

    greedy: jax.Array
    """take the mode of the distribution instead of a sample, bool"""
    stream: jax.Array
    """number of the evaluation, uint32; equal numbers meet equal starts and equal noise"""
    first: jax.Array
    """number of the first episode, uint32"""
    last: jax.Array
    """number of the episode to stop before, uint32"""
    max_steps: jax.Array
    """cut of every episode on top of the task's own limit, int32"""


class Outcome(NamedTuple):
    """What happened in each episode, [E]; arrays of JAX inside programs, of NumPy on the host."""

    episode_return: Leaf
    """undiscounted; NaN of a policy whose parameters or statistics are not finite"""
    episode_length: Leaf
    terminated: Leaf
    """whether it came to a natural end"""


class Recording(NamedTuple):
    """The steps of one episode; arrays of JAX inside programs, of NumPy on the host."""

    start: Leaf
    """state of the simulator before the first step"""
    after: Leaf
    """state after each step and before any reset, leaves [T, ...]"""
    action: Leaf
    """what the policy did, [T, ...]"""
    alive: Leaf
    """whether the step belongs to the episode, [T]"""
    returns: Leaf
    """undiscounted return up to each step and its reward, [T]"""
    outcome: Outcome
    """what happened in it, scalars"""


class _Playing(NamedTuple):
    time: jax.Array
    obs: jax.Array
    env_state: EnvState
    alive: jax.Array
    outcome: Outcome


def play(
    actor: Actor,
    num_episodes: int,
    policy: Policy,
    task: Task,
    key: jax.Array,
    options: Options,
    axis: int | None = None,
) -> Outcome:
    """The outcomes of episodes first, ..., first + E - 1; those from `last` on are not played.

    Random numbers depend on the key, the stream, the episode's number and the time within it alone:
    all methods and tasks meet the same starts and the same noise.

    Args:
        actor: the algorithm's; gives the distribution and its noise.
        num_episodes: E.
        policy: the policy that acts.
        task: the task.
        key: key of the run's evaluations.
        options: see `Options`.
        axis: None, or 0 where the task's leaves are [E, ...], and every episode is played on a task of its own.
    """
    keys, start = _start(num_episodes, policy, task, axis, key, options)

    def block(now: _Playing) -> _Playing:
        return _block(actor, task, axis, partial(_step, actor, policy, task, axis, options), keys, now)[0]

    return jax.lax.while_loop(lambda now: now.alive.any(), block, start).outcome


def record(actor: Actor, num_steps: int, policy: Policy, task: Task, key: jax.Array, options: Options) -> Recording:
    """The first T steps of episode `first`, as `play` plays it; T is `num_steps` rounded up to whole blocks."""
    keys, start = _start(1, policy, task, None, key, options)

    def block(now: _Playing, _: None) -> tuple[_Playing, PyTree]:
        return _block(actor, task, None, partial(_recorded_step, actor, policy, task, options), keys, now)

    end, steps = jax.lax.scan(block, start, None, length=-(-num_steps // _BLOCK))
    after, action, alive, returns = jax.tree.map(lambda leaf: leaf.reshape((-1, *leaf.shape[3:])), steps)
    first, outcome = jax.tree.map(lambda leaf: leaf[0], (start.env_state, end.outcome))
    return Recording(first, after, action, alive, returns, outcome)


def _start(
    num_episodes: int, policy: Policy, task: Task, axis: int | None, key: jax.Array, options: Options
) -> tuple[jax.Array, _Playing]:
    """The keys of the episodes, and their state before the first step."""
    numbers = options.first + jnp.arange(num_episodes, dtype=jnp.uint32)
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.fold_in(key, options.stream)))(numbers)
    obs, env_state = jax.vmap(_first, in_axes=(axis, 0))(task, keys)
    # A policy of numbers that are none acts all the same, and must not have a score.
    nothing = jnp.where(tree.finite((policy.params, policy.statistics)), jnp.zeros(num_episodes, jnp.float32), jnp.nan)
    outcome = Outcome(nothing, jnp.zeros(num_episodes, jnp.int32), jnp.zeros(num_episodes, bool))
    return keys, _Playing(jnp.int32(0), obs, env_state, numbers < options.last, outcome)


def _first(task: Task, key: jax.Array) -> tuple[jax.Array, PyTree]:
    return task.initial(task.draw(jax.random.fold_in(key, 0), ()))


def _block(
    actor: Actor, task: Task, axis: int | None, step: PyTree, keys: jax.Array, now: _Playing
) -> tuple[_Playing, PyTree]:
    """The episodes after a block of steps, and what the steps put out."""
    random = jax.vmap(partial(_draw, actor), in_axes=(axis, 0, None), out_axes=1)(task, keys, now.time)
    return jax.lax.scan(step, now, random)


def _act(actor: Actor, policy: Policy, options: Options, obs: jax.Array, noise: jax.Array) -> jax.Array:
    distribution = actor.distribution(policy, obs)
    return jnp.where(options.greedy, distribution.mode(), distribution.sample(noise))


def _recorded_step(
    actor: Actor, policy: Policy, task: Task, options: Options, now: _Playing, random: tuple[PyTree, jax.Array]
) -> tuple[_Playing, PyTree]:
    action = _act(actor, policy, options, now.obs, random[1])
    after = jax.vmap(task.after)(random[0], now.env_state, action)
    later = _step(actor, policy, task, None, options, now, random)[0]
    return later, (after, action, now.alive, later.outcome.episode_return)


def _step(
    actor: Actor,
    policy: Policy,
    task: Task,
    axis: int | None,
    options: Options,
    now: _Playing,
    random: tuple[PyTree, jax.Array],
) -> tuple[_Playing, None]:
    draws, noise = random
    action = _act(actor, policy, options, now.obs, noise)
    transition = jax.vmap(Task.transition, in_axes=(axis, 0, 0, 0))
    obs, env_state, reward, terminated, truncated, _ = transition(task, draws, now.env_state, action)
    outcome = Outcome(
        now.outcome.episode_return + jnp.where(now.alive, reward, 0.0),
        now.outcome.episode_length + now.alive.astype(jnp.int32),
        now.outcome.terminated | (now.alive & terminated),
    )
    alive = now.alive & ~(terminated | truncated) & (now.time + 1 < options.max_steps)
    return _Playing(now.time + 1, obs, env_state, alive, outcome), None


def _draw(actor: Actor, task: Task, key: jax.Array, time: jax.Array) -> tuple[PyTree, jax.Array]:
    draw_key, noise_key = jax.random.split(jax.random.fold_in(key, time + 1))
    return task.draw(draw_key, (_BLOCK,)), actor.noise(task, noise_key, (_BLOCK,))


def expected_return(outcome: Outcome, task: Task) -> np.ndarray:
    """The return that episodes cut short would have reached, [R].

    It is estimated as the mean reward times the expected length 1 / h of an episode, at most the task's limit, where
    h is the rate of natural ends: ends per step. Episodes whose return is not finite are left out; NaN where all are.

    Args:
        outcome: episodes [R, E].
        task: gives the limit.
    """
    finite = np.isfinite(outcome.episode_return)
    total, steps, ends = (np.where(finite, column, 0).sum(axis=1) for column in outcome)
    length = np.minimum(steps / np.maximum(ends, 1e-9), task.episode_limit)
    expected: np.ndarray = np.where(finite.any(axis=1), total / np.maximum(steps, 1) * length, np.nan)
    return expected


def possible_share(returns: np.ndarray, lowest: PyTree, highest: PyTree) -> np.ndarray:
    """Returns [R] as a share of the way from the lowest to the highest, 0 to 1; 1 where there is no way to go.

    A return that is not finite is the lowest, and so is every one where the range is not known.

    With a random policy's return as the lowest it is the normalised score of Mnih et al. (2015,
    doi:10.1038/nature14236), with the best possible return in the place of a human's.
    """
    way = np.asarray(highest - lowest)
    known, lowest = np.isfinite(way), np.nan_to_num(lowest, neginf=0.0)
    share = np.clip((returns - lowest) / np.where((way > 0) & known, way, 1.0), 0.0, 1.0)
    return np.where(way > 0, np.where(known, np.nan_to_num(share), 0.0), 1.0)


def tells_apart(*outcomes: Outcome) -> np.ndarray:
    """Whether a return can be learned from the episodes of each run: one ended, or their rewards differ, [R]."""
    ended = [outcome.terminated.any(axis=1) for outcome in outcomes]
    rewards = np.concatenate([outcome.episode_return / outcome.episode_length for outcome in outcomes], axis=1)
    return np.asarray(np.any(ended, axis=0) | (rewards.max(axis=1) > rewards.min(axis=1)))

"""What a report shows beside returns: divergence from the base, returns over physics, an episode step by step."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import ActionDistribution, Policy
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl.algorithm import Actor
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.compatibility import check_sizes
from jaxrl_ft.training.evaluation.episodes import Options, Recording
from jaxrl_ft.training.evaluation.episodes import record as record_episode
from jaxrl_ft.training.evaluation.evaluate import episode_returns
from jaxrl_ft.training.evaluation.outcomes import NO_LIMIT
from jaxrl_ft.training.keys import DIVERGENCE, EVALUATION, FINAL_STREAM, Seeds, seeds_of
from jaxrl_ft.training.per_run import per_run
from jaxrl_ft.training.preparation.experience import rollout_of

NUM_ENVS, NUM_STEPS = 8, 512
"""Environments and steps of each run whose states the divergence is a mean over."""


@per_run(static=("num_envs", "num_steps"))
def diverge(
    num_envs: int, num_steps: int, actor: Actor, tuned: Policy, base: Policy, task: Task, seeds: Seeds
) -> jax.Array:
    """Mean of KL(base ‖ tuned), in nats, over the T N states in which the tuned policy chooses its actions, a scalar.

    It acts by samples in N environments that start anew where episodes end.

    Args:
        num_envs: N.
        num_steps: T.
        actor: the algorithm's; gives the distribution and its noise.
        tuned: the policy that acts.
        base: what it is compared with, in the same states.
        task: where.
        seeds: of the run.
    """
    _, steps = rollout_of(actor, num_envs, num_steps, tuned, task, seeds.key(DIVERGENCE), jnp.zeros(num_envs, bool))
    there: ActionDistribution = actor.distribution(base, steps.obs)
    return there.kl(actor.distribution(tuned, steps.obs)).mean()


@per_run(static=("num_steps",), shared=("options",), brief=True)
def record_episodes(
    num_steps: int, actor: Actor, policy: Policy, task: Task, seeds: Seeds, options: Options
) -> Recording:
    """One episode of a policy on its task, step by step; `evaluate_episodes` gives its outcome."""
    return record_episode(actor, num_steps, policy, task, seeds.key(EVALUATION), options)


def divergence(tuned: Agents, base: Agents, task: Task, *, seed: int = 2) -> np.ndarray:
    """KL(base ‖ tuned) of every run in nats, [S]: how far fine-tuning moved the policy where it now acts.

    A mean over the states in which the tuned policy chooses its actions on a task, when it samples them: 512 steps of
    8 environments that start anew where episodes end. The expectation in the divergence is over the base's actions
    and exact (Categorical and diagonal Gaussian in closed form). NaN for a run that is not finite.

    Args:
        tuned: S agents after fine-tuning.
        base: the S agents they started from, in the same order.
        task: observations and actions must have the agents' sizes.
        seed: of the starts, the noise and the actions; 0 <= seed < 2^32.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    for agents in (tuned, base):
        check_sizes(agents, task)
    if tuned.num_seeds != base.num_seeds:
        raise ValueError(f"base: {base.num_seeds} agents are not allowed; there are {tuned.num_seeds} to compare")
    checks.seed(seed)
    num = tuned.num_seeds
    found = diverge(NUM_ENVS, NUM_STEPS, _actors(tuned), tuned.policies, base.policies, *_on(task, seed, num))
    values = np.asarray(found, np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def returns_over(agents: Agents, tasks: Sequence[Sequence[Task]], *, episodes: int = 16, seed: int = 2) -> np.ndarray:
    """Mean greedy returns of every agent on a grid of tasks, [S, A, B]; one compiled program for all of them.

    Args:
        agents: S agents.
        tasks: A rows of B tasks, as `physics_grid` makes them.
        episodes: greedy episodes on each; the same starts everywhere.
        seed: of the starts and the noise; 0 <= seed < 2^32.

    Raises:
        ValueError: an argument is not allowed.
    """
    rows = [[episode_returns(agents, task, episodes=episodes, seed=seed).mean(axis=1) for task in row] for row in tasks]
    return np.moveaxis(np.array(rows), -1, 0)


def record(agents: Agents, task: Task, *, episode: int = 0, max_steps: int = 500, seed: int = 2) -> Recording:
    """One greedy episode of every agent, step by step: leaves [S, T, ...] of NumPy.

    It is episode `episode` of `evaluate(agents, task, seed=seed)`, to the bit of its return; an episode of more than T
    steps is cut.

    Args:
        agents: S agents.
        task: observations and actions must have the agents' sizes.
        episode: number of the episode.
        max_steps: T, rounded up to a multiple of 50, and no more than the task's limit needs.
        seed: of the start and the noise; 0 <= seed < 2^32.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    check_sizes(agents, task)
    checks.count("episode", episode, 0)
    checks.count("max_steps", max_steps)
    checks.seed(seed)
    num, limit = agents.num_seeds, min(max_steps, int(task.episode_limit))
    window = (np.uint32(FINAL_STREAM), np.uint32(episode), np.uint32(episode + 1))
    options = Options._make((np.bool_(True), *window, np.int32(NO_LIMIT)))
    recording: Recording = record_episodes(limit, _actors(agents), agents.policies, *_on(task, seed, num), options)
    return recording


def _actors(agents: Agents) -> PyTree:
    """The actor of every run."""
    return tree.repeat(as_arrays(agents.algo.actor), agents.num_seeds)


def _on(task: Task, seed: int, num: int) -> tuple[PyTree, ...]:
    """A task and its random numbers for every run."""
    return tree.repeat(task, num), seeds_of(seed, num)

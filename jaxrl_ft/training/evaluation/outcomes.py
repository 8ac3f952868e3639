"""What episodes of many policies come to, in blocks whose size never changes, so that one program serves all."""

from collections.abc import Callable

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl.algorithm import Actor, AnyAlgorithm
from jaxrl_ft.training import devices
from jaxrl_ft.training.evaluation.episodes import Options, Outcome, play
from jaxrl_ft.training.keys import EVALUATION, Seeds
from jaxrl_ft.training.per_run import per_run

EVAL_BLOCK, EACH_BLOCK = 16, 64
"""Episodes that one call of the evaluation programs plays, on one task and on one each; any number is a whole number
of blocks, cut to size."""

NO_LIMIT = 2**31 - 1
"""A cut of episodes that cuts none."""


@per_run(static=("num_episodes",), shared=("options",))
def evaluate_episodes(
    num_episodes: int, actor: Actor, policy: Policy, task: Task, seeds: Seeds, options: Options
) -> Outcome:
    """The outcomes [E] of episodes of a policy on its task.

    Args:
        num_episodes: E, fixed for all calls that are to share the program.
        actor: the algorithm's; gives the distribution.
        policy: the policy.
        task: the task.
        seeds: of the run.
        options: shared by all runs.
    """
    return play(actor, num_episodes, policy, task, seeds.key(EVALUATION), options)


@per_run(shared=("tasks", "options"))
def evaluate_on_each(actor: Actor, policy: Policy, seeds: Seeds, tasks: Task, options: Options) -> Outcome:
    """The outcomes [E] of one episode of a policy on each of E tasks.

    Args:
        actor: the algorithm's; gives the distribution.
        policy: the policy.
        seeds: of the run.
        tasks: [E], shared by all runs.
        options: shared by all runs.
    """
    return play(actor, len(jax.tree.leaves(tasks)[0]), policy, tasks, seeds.key(EVALUATION), options, axis=0)


def evaluate_runs(
    algo: AnyAlgorithm,
    policies: Policy,
    tasks: Task,
    seeds: Seeds,
    episodes: int,
    greedy: bool = True,
    stream: int = 0,
    max_steps: int = NO_LIMIT,
    done: Callable[[int], None] | None = None,
) -> Outcome:
    """The outcomes of every run's episodes, [R, E].

    Args:
        algo: the algorithm; its actor gives the distribution.
        policies: leaves [R, ...].
        tasks: one task a run, leaves [R, ...].
        seeds: of every run.
        episodes: E.
        greedy: take the mode of the distribution instead of a sample.
        stream: number of the evaluation; equal numbers meet equal starts and equal noise.
        max_steps: cut of every episode, on top of the task's own limit.
        done: called with the number of episodes of each run that have ended, once a block has.
    """
    num_runs = len(seeds.seeds)
    actors = tree.repeat(as_arrays(algo.actor), num_runs)
    arguments = devices.put((actors, policies, tasks, seeds), num_runs)
    blocks = []
    for first in range(0, episodes, EVAL_BLOCK):
        options = _options(greedy, stream, first, episodes, max_steps)
        blocks.append(evaluate_episodes.placed(EVAL_BLOCK, *arguments, options))
        _report(done, blocks[-1], min(first + EVAL_BLOCK, episodes))
    return _joined(blocks, num_runs, episodes)


def evaluate_each(
    algo: AnyAlgorithm,
    policies: Policy,
    tasks: Task,
    seeds: Seeds,
    greedy: bool = True,
    stream: int = 0,
    done: Callable[[int], None] | None = None,
) -> Outcome:
    """The outcomes [R, E] of every run's episode e on task e of E, which meets what it would with E of that task.

    Args:
        algo: the algorithm; its actor gives the distribution.
        policies: leaves [R, ...].
        tasks: leaves [E, ...], shared by all runs.
        seeds: of every run.
        greedy: take the mode of the distribution instead of a sample.
        stream: number of the evaluation; equal numbers meet equal starts and equal noise.
        done: as in `evaluate_runs`.
    """
    num_runs, episodes = len(seeds.seeds), len(jax.tree.leaves(tasks)[0])
    actors = tree.repeat(as_arrays(algo.actor), num_runs)
    arguments = devices.put((actors, policies, seeds), num_runs)
    blocks = []
    for first in range(0, episodes, EACH_BLOCK):
        block = devices.pad(tree.take(tasks, slice(first, first + EACH_BLOCK)), EACH_BLOCK)
        options = _options(greedy, stream, first, episodes, NO_LIMIT)
        blocks.append(evaluate_on_each.placed(*arguments, block, options))
        _report(done, blocks[-1], min(first + EACH_BLOCK, episodes))
    return _joined(blocks, num_runs, episodes)


def _report(done: Callable[[int], None] | None, block: Outcome, episodes: int) -> None:
    if done is not None:
        jax.block_until_ready(block)
        done(episodes)


def _options(greedy: bool, stream: int, first: int, last: int, max_steps: int) -> Options:
    return Options._make((np.bool_(greedy), np.uint32(stream), np.uint32(first), np.uint32(last), np.int32(max_steps)))


def _joined(blocks: list[Outcome], num_runs: int, episodes: int) -> Outcome:
    parts = [devices.trim(block, num_runs) for block in blocks]
    return Outcome(*(np.concatenate(columns, axis=1)[:, :episodes] for columns in zip(*parts)))

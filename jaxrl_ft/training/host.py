"""The host's side of the programs: seeds of runs, fresh networks, source experience, evaluations."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.training import devices, keys, programs
from jaxrl_ft.training.evaluation.episodes import Options, Outcome

EVAL_BLOCK, EACH_BLOCK = 16, 64
"""Episodes that one call of the evaluation programs plays, on one task and on one each; any number is a whole number
of blocks, cut to size."""

NO_LIMIT = 2**31 - 1

PROBE_STREAM = 2**32 - 1
FINAL_STREAM = 2**32 - 2
VALIDATION_STREAM = 2**31
"""Evaluation streams of probes, of `evaluate` and of a control's validations, which count on from theirs; evaluations
on the way use the number of updates done."""


class Seeds(NamedTuple):
    """Seed and number of every run, uint32 [R]."""

    seeds: np.ndarray
    indices: np.ndarray


def seeds_of(seed: int, num_runs: int, population: int = 1, numbers: Any = None) -> Seeds:
    """Runs 0, ..., n - 1 of a call with this seed, or those of the n numbers; member m of the r-th is at m n + r."""
    numbers = np.arange(num_runs) if numbers is None else np.asarray(numbers)
    indices = (numbers + keys.MEMBER * np.arange(population)[:, None]).reshape(-1)
    return Seeds(np.full(len(indices), seed, np.uint32), indices.astype(np.uint32))


def fresh_params(algo: Any, network: Any, task: Task, seeds: Seeds) -> tuple[Tree, Tree]:
    """Freshly initialised parameters and statistics of every run, [R, ...] on the host."""
    num_runs = len(seeds.seeds)
    each = tree.repeat((as_arrays(algo), as_arrays(network), task), num_runs)
    arguments = devices.put((*each, *seeds), num_runs)
    return devices.trim(programs.fresh(devices.layout(), *arguments), num_runs)


def gather(algo: Any, policies: Policy, task: Task, seeds: Seeds, steps: int) -> Any:
    """Experience of every run's policy on a task: the algorithm's flat data of at least `steps` rows, [R, M, ...]."""
    num_runs = len(seeds.seeds)
    each = tree.repeat(as_arrays(algo), num_runs), policies, tree.repeat(task, num_runs)
    arguments = devices.put((*each, *seeds), num_runs)
    rollouts = programs.gather(devices.layout(), num_rollouts(algo, steps), *arguments)
    return devices.trim(rollouts, num_runs)


def num_rollouts(algo: Any, steps: int) -> int:
    """Rollouts of the algorithm that take at least so many environment steps."""
    return -(-steps // int(algo.steps_per_update()))


def evaluate_runs(
    algo: Any,
    policies: Policy,
    tasks: Task,
    seeds: Seeds,
    episodes: int,
    greedy: bool = True,
    stream: int = 0,
    max_steps: int = NO_LIMIT,
) -> Outcome:
    """The outcomes of every run's episodes, [R, E].

    Args:
        algo: the algorithm; its class gives the distribution.
        policies: leaves [R, ...].
        tasks: one task a run, leaves [R, ...].
        seeds: of every run.
        episodes: E.
        greedy: take the mode of the distribution instead of a sample.
        stream: number of the evaluation; equal numbers meet equal starts and equal noise.
        max_steps: cut of every episode, on top of the task's own limit.
    """
    num_runs = len(seeds.seeds)
    arguments = devices.put((policies, tasks, *seeds), num_runs)
    blocks = []
    for first in range(0, episodes, EVAL_BLOCK):
        options = _options(greedy, stream, first, episodes, max_steps)
        blocks.append(programs.evaluate(devices.layout(), type(algo), EVAL_BLOCK, *arguments, options))
    return _joined(blocks, num_runs, episodes)


def evaluate_each(
    algo: Any, policies: Policy, tasks: Task, seeds: Seeds, greedy: bool = True, stream: int = 0
) -> Outcome:
    """The outcomes [R, E] of every run's episode e on task e of E, which meets what it would with E of that task.

    Args:
        algo: the algorithm; its class gives the distribution.
        policies: leaves [R, ...].
        tasks: leaves [E, ...], shared by all runs.
        seeds: of every run.
        greedy: take the mode of the distribution instead of a sample.
        stream: number of the evaluation; equal numbers meet equal starts and equal noise.
    """
    num_runs, episodes = len(seeds.seeds), len(jax.tree.leaves(tasks)[0])
    arguments = devices.put((policies, *seeds), num_runs)
    blocks = []
    for first in range(0, episodes, EACH_BLOCK):
        block = devices.pad(tree.take(tasks, slice(first, first + EACH_BLOCK)), EACH_BLOCK)
        options = _options(greedy, stream, first, episodes, NO_LIMIT)
        blocks.append(programs.evaluate_each(devices.layout(), type(algo), *arguments, block, options))
    return _joined(blocks, num_runs, episodes)


def _options(greedy: bool, stream: int, first: int, last: int, max_steps: int) -> Options:
    return Options(np.bool_(greedy), np.uint32(stream), np.uint32(first), np.uint32(last), np.int32(max_steps))


def _joined(blocks: list[Outcome], num_runs: int, episodes: int) -> Outcome:
    parts = [devices.trim(block, num_runs) for block in blocks]
    return Outcome(*(np.concatenate(columns, axis=1)[:, :episodes] for columns in zip(*parts)))

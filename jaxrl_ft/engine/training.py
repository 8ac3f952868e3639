"""The host's side of training: placing runs, driving chunks of updates, evaluating between them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.engine import placement, programs
from jaxrl_ft.engine.episodes import Options, Outcome
from jaxrl_ft.engine.update import Run
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.penalties import Source

EVAL_BLOCK = 16
"""Episodes that one call of the evaluation program plays; any number is a whole number of blocks, cut to size."""

NO_LIMIT = 2**31 - 1

PROBE_STREAM = 2**32 - 1
FINAL_STREAM = 2**32 - 2
"""Evaluation streams of probes and of `evaluate`; evaluations on the way use the number of updates done."""


class Progress(NamedTuple):
    """A moment of a long call, for whoever watches."""

    phase: str
    """`compiling` or `training`"""
    updates: int
    """updates done"""
    num_updates: int
    """updates in all"""
    env_steps: int
    """environment steps done, all runs together"""
    metrics: dict[str, np.ndarray]
    """means over the updates since the last moment, by run, [R]; sums of episodes under `rollout/`"""


Watcher = Callable[[Progress], None]


@dataclass(frozen=True)
class Spec:
    """A group of runs to train side by side: what `pretrain` and `finetune` differ in."""

    algo: Any
    network: Any
    method: Method
    task: Task
    seed: int
    num_runs: int
    num_updates: int
    num_evals: int
    eval_episodes: int
    spent: int
    """environment steps of the target spent before the first update"""


class Result(NamedTuple):
    """What training leaves, on the host; leaves [R, ...]."""

    policy: Policy
    opt_state: Any
    init_params: Tree
    curve: np.ndarray
    curve_steps: np.ndarray
    delta_size: int


class Seeds(NamedTuple):
    """Seed and number of every run, uint32 [R]."""

    seeds: np.ndarray
    indices: np.ndarray


def seeds_of(seed: int, num_runs: int) -> Seeds:
    """Runs 0, ..., num_runs - 1 of a call with this seed."""
    return Seeds(np.full(num_runs, seed, np.uint32), np.arange(num_runs, dtype=np.uint32))


def fresh_params(algo: Any, network: Any, task: Task, seed: int, num_runs: int) -> tuple[Tree, Tree]:
    """Freshly initialised parameters and statistics of every run, [R, ...] on the host."""
    each = tree.repeat((as_arrays(algo), as_arrays(network), task), num_runs)
    arguments = placement.put((*each, *seeds_of(seed, num_runs)), num_runs)
    return placement.trim(programs.fresh(placement.mesh(), *arguments), num_runs)


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
    arguments = placement.put((policies, tasks, *seeds), num_runs)
    blocks = []
    for first in range(0, episodes, EVAL_BLOCK):
        options = Options(
            np.bool_(greedy), np.uint32(stream), np.uint32(first), np.uint32(episodes), np.int32(max_steps)
        )
        blocks.append(programs.evaluate(placement.mesh(), type(algo), EVAL_BLOCK, *arguments, options))
    parts = [placement.trim(block, num_runs) for block in blocks]
    return Outcome(*(np.concatenate(columns, axis=1)[:, :episodes] for columns in zip(*parts)))


def evaluation_updates(num_updates: int, num_evals: int) -> np.ndarray:
    """The update counts after which to evaluate: round(linspace(0, U, min(num_evals, U + 1)))."""
    return np.round(np.linspace(0, num_updates, min(num_evals, num_updates + 1))).astype(int)


def train(spec: Spec, base: Policy, init_params: Tree, source: Source, watch: Watcher | None = None) -> Result:
    """Trains every run of a group from its base, and evaluates on the way.

    Args:
        spec: what the runs share.
        base: policy that training starts from, leaves [R, ...].
        init_params: parameters before any training, leaves [R, ...].
        source: what penalties may remember, leaves [R, ...].
        watch: called after compilation and after every chunk.
    """
    mesh, num = placement.mesh(), spec.num_runs
    seeds = seeds_of(spec.seed, num)
    algo, method, task = tree.repeat((as_arrays(spec.algo), as_arrays(spec.method), spec.task), num)
    run = Run(
        algo=algo,
        adapter=method.adapter,
        penalty=method.penalty,
        optimizer=method.optimizer,
        network=spec.network,
        task=task,
        base=base.params,
        statistics=base.statistics,
        seed=seeds.seeds,
        index=seeds.indices,
        num_updates=np.full(num, max(spec.num_updates, 1), np.int32),
    )
    run, source = placement.put(run, num), placement.put(source, num)
    _tell(watch, spec, "compiling", 0)
    state = programs.begin(mesh, run, source)
    points = evaluation_updates(spec.num_updates, spec.num_evals)
    curve, before = [], 0
    for point in points:
        state, policy, sums = programs.chunk(mesh, run, state, np.int32(before), np.int32(point))
        curve.append(_mean_return(spec, policy, seeds, int(point)))
        _tell(watch, spec, "training", int(point), int(point) - before, sums)
        before = point
    delta_size = tree.size(state.delta) // len(run.seed)
    policy, opt_state = placement.trim((policy, state.opt_state), num)
    steps = spec.spent + points * spec.algo.steps_per_update()
    curve_steps = np.broadcast_to(steps, (num, len(points))).copy()
    return Result(policy, opt_state, init_params, np.stack(curve, axis=1), curve_steps, delta_size)


def _mean_return(spec: Spec, policy: Policy, seeds: Seeds, point: int) -> np.ndarray:
    num = spec.num_runs
    padded = placement.put((tree.repeat(spec.task, num), tuple(seeds)), num)
    tasks, seeds = padded[0], Seeds(*padded[1])
    outcome = evaluate_runs(spec.algo, policy, tasks, seeds, episodes=spec.eval_episodes, stream=point)
    return outcome.episode_return[:num].mean(axis=1)


def _tell(watch: Watcher | None, spec: Spec, phase: str, updates: int, since: int = 0, sums: Any = None) -> None:
    if watch is not None:
        means = (
            placement.trim(jax.tree.map(lambda leaf: np.asarray(leaf) / since, sums), spec.num_runs) if since else {}
        )
        env_steps = updates * spec.algo.steps_per_update() * spec.num_runs
        watch(Progress(phase, updates, spec.num_updates, env_steps, means))

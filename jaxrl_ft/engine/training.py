"""The host's side of training: placing runs, driving chunks of updates, evaluating between them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.engine import placement, programs
from jaxrl_ft.engine.update import Run
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.methods.warm_starts import Probe

EVAL_BLOCK = 16
"""Episodes that one call of the evaluation program plays; any number is a whole number of blocks, cut to size."""

NO_LIMIT = 2**31 - 1


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
    metrics: list[dict[str, np.ndarray]]


class Seeds(NamedTuple):
    """Seed and number of every run, uint32 [R]."""

    seeds: np.ndarray
    indices: np.ndarray


def seeds_of(seed: int, num_runs: int) -> Seeds:
    """Runs 0, ..., num_runs - 1 of a call with this seed."""
    return Seeds(np.full(num_runs, seed, np.uint32), np.arange(num_runs, dtype=np.uint32))


def placed(runs: Any, num_runs: int) -> Any:
    """The runs padded to a width that the devices divide."""
    return placement.pad(runs, placement.width(num_runs, placement.mesh().size))


def fresh_params(algo: Any, network: Any, task: Task, seed: int, num_runs: int) -> tuple[Tree, Tree]:
    """Freshly initialised parameters and statistics of every run, [R, ...] on the host."""
    each = tree.repeat((as_arrays(algo), as_arrays(network), task), num_runs)
    arguments = placed((*each, *seeds_of(seed, num_runs)), num_runs)
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
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Undiscounted returns, lengths and natural ends of every run's episodes, [R, E] each.

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
    arguments = placed((policies, tasks, *seeds), num_runs)
    blocks = []
    for first in range(0, episodes, EVAL_BLOCK):
        options = {
            "greedy": np.bool_(greedy),
            "stream": np.uint32(stream),
            "first": np.uint32(first),
            "last": np.uint32(episodes),
            "max_steps": np.int32(max_steps),
        }
        blocks.append(programs.evaluate(placement.mesh(), type(algo), EVAL_BLOCK, *arguments, options))
    parts = [placement.trim(block, num_runs) for block in blocks]
    columns = [np.concatenate([part[i] for part in parts], axis=1)[:, :episodes] for i in range(3)]
    return columns[0], columns[1], columns[2]


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
        method=method,
        network=spec.network,
        task=task,
        base=base.params,
        statistics=base.statistics,
        seed=seeds.seeds,
        index=seeds.indices,
        num_updates=np.full(num, max(spec.num_updates, 1), np.int32),
    )
    run, source = placed(run, num), placed(source, num)
    _tell(watch, spec, "compiling", 0)
    state = programs.begin(mesh, run, source)
    points = evaluation_updates(spec.num_updates, spec.num_evals)
    curve, metrics, before = [], [], 0
    for point in points:
        state, policy, sums = programs.chunk(mesh, run, state, np.int32(before), np.int32(point))
        _tell(watch, spec, "training", int(point))
        curve.append(_mean_return(spec, policy, seeds, int(point)))
        if point > before:
            metrics.append(placement.trim(sums, num) | {"num_updates": np.full(num, point - before)})
        before = point
    delta_size = tree.size(tree.take(state.delta, 0))
    policy, opt_state = placement.trim((policy, state.opt_state), num)
    steps = spec.spent + points * spec.algo.steps_per_update()
    curve_steps = np.broadcast_to(steps, (num, len(points))).copy()
    return Result(policy, opt_state, init_params, np.stack(curve, axis=1), curve_steps, delta_size, metrics)


def probe(spec: Spec, base: Policy) -> Probe:
    """What the base's first episodes on the target say of its zero-shot return; leaves [R].

    Sampled episodes are cut after `probe_steps`; the return is then estimated as the mean reward times the expected
    length at the observed rate of natural ends, at most the task's limit.
    """
    warm, num = spec.method.warm_start, spec.num_runs
    if not warm.probe_episodes:
        return Probe(np.ones(num, np.float32))
    seeds = Seeds(np.full(num, spec.seed, np.uint32), np.arange(num, dtype=np.uint32))
    tasks = tree.repeat(spec.task, num)
    returns, lengths, ended = evaluate_runs(
        spec.algo,
        base,
        tasks,
        seeds,
        warm.probe_episodes,
        greedy=False,
        stream=PROBE_STREAM,
        max_steps=warm.probe_steps,
    )
    steps = lengths.sum(axis=1)
    expected = np.minimum(steps / np.maximum(ended.sum(axis=1), 1e-9), spec.task.episode_limit)
    low, high = spec.task.return_range
    share = (returns.sum(axis=1) / steps * expected - low) / (high - low)
    return Probe(np.clip(share, 0.0, 1.0).astype(np.float32))


PROBE_STREAM = 2**32 - 1
"""The evaluation stream of probes; evaluations on the way use the number of updates done, `evaluate` uses 0."""


def _mean_return(spec: Spec, policy: Policy, seeds: Seeds, point: int) -> np.ndarray:
    tasks = tree.repeat(spec.task, spec.num_runs)
    width = placement.width(spec.num_runs, placement.mesh().size)
    padded = Seeds(*placement.pad(tuple(seeds), width))
    arguments = (policy, placement.pad(tasks, width), padded)
    returns, _, _ = evaluate_runs(spec.algo, *arguments, episodes=spec.eval_episodes, stream=point)
    return returns[: spec.num_runs].mean(axis=1)


def _tell(watch: Watcher | None, spec: Spec, phase: str, updates: int) -> None:
    if watch is not None:
        env_steps = updates * spec.algo.steps_per_update() * spec.num_runs
        watch(Progress(phase, updates, spec.num_updates, env_steps))

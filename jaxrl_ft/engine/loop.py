"""The loop that drives chunks of updates, evaluates between them, and lets a control act."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.engine import placement, programs, steering, training
from jaxrl_ft.engine.update import Run, State
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.control import Control, Numbers
from jaxrl_ft.methods.finish import Finish
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.penalties import Source


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
    source: Task
    task: Task
    seed: int
    num_runs: int
    num_updates: int
    """of each member of a population"""
    num_evals: int
    eval_episodes: int
    last: Task | None = None
    """the task that the agents were trained on last, whose sensors they read; the source without it"""

    @property
    def before(self) -> Task:
        """The task that the agents were trained on last."""
        return self.source if self.last is None else self.last

    @property
    def num_members(self) -> int:
        """Runs of the program: every member of every run's population."""
        return self.num_runs * self.method.population

    @property
    def env_steps_per_update(self) -> int:
        """Environment steps of one update of all members of one run."""
        return int(self.algo.steps_per_update()) * self.method.population


class Start(NamedTuple):
    """What training starts from, on the host; leaves [R, ...]."""

    policy: Policy
    """where training starts, after the warm start"""
    init_params: Tree
    """parameters before any training"""
    source: Source
    """what may be remembered of the agents"""
    share: np.ndarray
    """probed zero-shot share of the possible return; 0 without a probe"""
    probe_steps: int = 0
    """environment steps of each run that the probe took"""
    old: Any = None
    """state of the optimizer that trained the agents, where something of it is kept"""
    base: Policy | None = None
    """the agents' own policy, untouched; it is what acts while the probe is paid for"""
    rate: np.ndarray | None = None
    """factor of the learning rate of each run, [R]; 1 without"""
    tasks: Task | None = None
    """a task for each run, leaves [R], in the place of the one that all share"""
    sources: Task | None = None
    """likewise the source of each run"""
    numbers: np.ndarray | None = None
    """number of each run, [R], which gives its random numbers; 0, 1, ... without"""


class Result(NamedTuple):
    """What training leaves, on the host; leaves [R, ...]."""

    policy: Policy
    opt_state: Any
    """None when the parameters are no longer those that the optimizer moved"""
    curve: np.ndarray
    curve_steps: np.ndarray
    delta: tuple[str, ...]
    """paths of the leaves that trained"""
    delta_size: int
    skipped: int
    """gradient steps skipped as non-finite, all runs together"""


def evaluation_updates(num_updates: int, num_evals: int) -> np.ndarray:
    """The update counts after which to evaluate: round(linspace(0, U, min(num_evals, U + 1)))."""
    return np.round(np.linspace(0, num_updates, min(num_evals, num_updates + 1))).astype(int)


def train(spec: Spec, start: Start, watch: Watcher | None = None) -> Result:
    """Trains every run of a group from its base, and evaluates on the way.

    Args:
        spec: what the runs share.
        start: where they start.
        watch: called after compilation and after every chunk.
    """
    mesh = placement.mesh()
    _tell(watch, spec, "compiling", 0)
    run, state = _begin(spec, start)
    evaluations = evaluation_updates(spec.num_updates, spec.num_evals)
    steersman = steering.Steering(spec.method, spec.num_updates)
    curve, curve_steps, before, paid = [], [], 0, start.probe_steps
    if paid and start.base is not None:
        curve.append(mean_return(spec, start, start.base, 0))
        curve_steps.append(0)
    for point in sorted({*evaluations.tolist(), *steersman.points, spec.num_updates}):
        state, policy, sums = programs.chunk(mesh, run, state, np.int32(before), np.int32(point))
        steersman.note(sums)
        if point in evaluations:
            answer = _answer(spec, start, policy, steersman.scores)
            curve.append(mean_return(spec, start, answer, point))
            curve_steps.append(paid + point * spec.env_steps_per_update)
        _tell(watch, spec, "training", point, point - before, sums)
        if point in steersman.points:
            run, state = _steer(spec, start, steersman, run, state, policy)
            paid += spec.method.control.spent() // (spec.method.control.stretches - 1)
        before = point
    delta_paths = tuple(tree.flatten(state.delta))
    answer, opt_state = placement.trim((_answer(spec, start, policy, steersman.scores), state.opt_state), spec.num_runs)
    skipped = int(np.sum(placement.trim(state.opt_state.skipped, spec.num_members)))
    plain = spec.method.adapter.plain and spec.method.population == 1 and type(spec.method.finish) is Finish
    steps = np.broadcast_to(np.array(curve_steps), (spec.num_runs, len(curve_steps))).copy()
    size = tree.size(state.delta) // len(run.seed)
    return Result(
        answer, opt_state if plain else None, _columns(curve, spec.num_runs), steps, delta_paths, size, skipped
    )


def _columns(curve: list[np.ndarray], num_runs: int) -> np.ndarray:
    return np.stack(curve, axis=1) if curve else np.zeros((num_runs, 0))


def _begin(spec: Spec, start: Start) -> tuple[Run, State]:
    """The run and its state on the devices, for every member of every population."""
    num, method = spec.num_members, spec.method
    seeds = _seeds(spec, start)
    tasks = _tasks(spec, start)
    sources = tree.repeat(spec.source, spec.num_runs) if start.sources is None else start.sources
    rate = np.ones(spec.num_runs, np.float32) if start.rate is None else start.rate
    policy, source, old, share, rate, tasks, sources = (
        jax.tree.map(lambda leaf: np.concatenate([np.asarray(leaf)] * method.population), part)
        for part in (start.policy, start.source, start.old, start.share, rate, tasks, sources)
    )
    algo = spec.algo if method.ent_coef is None else replace(spec.algo, ent_coef=method.ent_coef)
    each = (algo, method.adapter, method.penalty, method.training_optimizer(), method.intervention, method.data)
    algo, adapter, penalty, optimizer, intervention, data = tree.repeat(as_arrays(each), num)
    optimizer = replace(optimizer, learning_rate=optimizer.learning_rate * rate)
    if type(method.control) is not Control:
        optimizer, penalty = steering.begin(method.control, optimizer, penalty, share, seeds)
    run = Run(
        algo=algo,
        adapter=adapter,
        penalty=penalty.term(),
        optimizer=optimizer,
        intervention=intervention,
        data=data,
        network=spec.network,
        source=sources,
        task=tasks,
        base=policy.params,
        statistics=policy.statistics,
        seed=seeds.seeds,
        index=seeds.indices,
        num_updates=np.full(num, max(spec.num_updates, 1), np.int32),
    )
    keep = None if old is None else tree.repeat(as_arrays(method.keep), num)
    run, *others = placement.put((run, penalty, source, old, keep), num)
    frozen, state = programs.begin(placement.mesh(), run, *others)
    return replace(run, base=frozen), state


def _tasks(spec: Spec, start: Start) -> Task:
    return tree.repeat(spec.task, spec.num_runs) if start.tasks is None else start.tasks


def _seeds(spec: Spec, start: Start) -> training.Seeds:
    return training.seeds_of(spec.seed, spec.num_runs, spec.method.population, start.numbers)


def _answer(spec: Spec, start: Start, policy: Policy, scores: np.ndarray) -> Policy:
    """The policy that each run would end with now: the best of a population, or what the finish makes."""
    method, num = spec.method, spec.num_runs
    if method.control.population > 1:
        members = scores[: spec.num_members].reshape(method.population, num)
        best = np.argmax(members, axis=0) * num + np.arange(num)
        return tree.take(placement.trim(policy, spec.num_members), best)
    if type(method.finish) is Finish:
        return policy
    members = jax.tree.map(
        lambda leaf: np.moveaxis(leaf.reshape(method.population, num, *leaf.shape[1:]), 0, 1),
        placement.trim(policy, spec.num_members),
    )
    finish = tree.repeat(as_arrays(method.finish), num)
    arguments = placement.put((finish, start.source.policy.params, members.params), num)
    params = placement.trim(programs.finish(placement.mesh(), *arguments), num)
    return Policy(params, jax.tree.map(lambda leaf: leaf[:, 0], members.statistics), spec.network)


def _steer(
    spec: Spec, start: Start, steersman: steering.Steering, run: Run, state: State, policy: Policy
) -> tuple[Run, State]:
    """The run with the numbers, and the states, that the control goes on with."""
    num = spec.num_members
    numbers = Numbers(*placement.trim((run.optimizer, run.penalty), num))
    (optimizer, penalty), parents = steersman.adjust(spec.algo, policy, run, numbers, _seeds(spec, start), spec.task)
    optimizer, penalty = placement.put((optimizer, penalty), num)
    if not np.array_equal(parents, np.arange(num)):
        state = placement.put(tree.take(placement.trim(state, num), parents), num)
    return replace(run, optimizer=optimizer, penalty=penalty), state


def mean_return(spec: Spec, start: Start, policy: Policy, point: int) -> np.ndarray:
    """Mean greedy return of every run's policy on its task, [R]; equal points meet equal episodes."""
    num = spec.num_runs
    tasks, seeds = _tasks(spec, start), training.seeds_of(spec.seed, num, numbers=start.numbers)
    padded = placement.put((policy, tasks, tuple(seeds)), num)
    policy, tasks, seeds = padded[0], padded[1], training.Seeds(*padded[2])
    outcome = training.evaluate_runs(spec.algo, policy, tasks, seeds, episodes=spec.eval_episodes, stream=point)
    return outcome.episode_return[:num].mean(axis=1)


def _tell(watch: Watcher | None, spec: Spec, phase: str, updates: int, since: int = 0, sums: Any = None) -> None:
    if watch is not None:
        means = (
            placement.trim(jax.tree.map(lambda leaf: np.asarray(leaf) / since, sums), spec.num_members) if since else {}
        )
        env_steps = updates * spec.env_steps_per_update * spec.num_runs
        watch(Progress(phase, updates, spec.num_updates, env_steps, means))

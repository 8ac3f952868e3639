"""A group of runs that train side by side: what they share, where they start, and where they stand on the devices."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.training import control, devices, host, programs
from jaxrl_ft.training.collect import World
from jaxrl_ft.training.update import Run, State


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
    first: int = 0
    """number of the first run, from which all have their random numbers"""
    paid: int = 0
    """environment steps on the target that each run's budget has paid for before the method begins"""

    @property
    def seeds(self) -> host.Seeds:
        """Seed and number of every run, [R]."""
        return host.seeds_of(self.seed, self.num_runs, numbers=self.first + np.arange(self.num_runs))

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

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of all members of one run over the whole budget."""
        return self.num_updates * int(self.algo.gradient_steps_per_update()) * self.method.population


class Start(NamedTuple):
    """What training starts from, on the host; leaves [R, ...]."""

    policy: Policy
    """where training starts, after the warm start"""
    init_params: Tree
    """parameters before any training"""
    source: Source
    """what may be remembered of the agents"""
    share: np.ndarray
    """as `Probe.share`, [R]; 0 without a probe"""
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
    """number of each run, [R], in the place of the spec's"""


class Given(NamedTuple):
    """All that runs are given, on the host, leaves [R, ...]: runs of one structure can train side by side."""

    world: World
    run: Run
    policy: Policy
    penalty: Any
    source: Source
    old: Any
    keep: Any


class Position(NamedTuple):
    """Where runs stand between two updates, on the devices."""

    state: State
    memory: Tree
    """what the data axis remembers"""
    policy: Policy
    """who collects next"""
    answer: Policy
    """the policy to evaluate"""


def given(spec: Spec, start: Start) -> Given:
    """What every member of every run's population is given."""
    num, method = spec.num_members, spec.method
    seeds = seeds_of(spec, start)
    tasks = tasks_of(spec, start)
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
    if method.control.acts:
        optimizer, penalty = control.begin(method.control, optimizer, penalty, share, seeds)
    shared = {
        "algo": algo,
        "network": spec.network,
        "seed": seeds.seeds,
        "index": seeds.indices,
        "num_updates": np.full(num, max(spec.num_updates, 1), np.int32),
    }
    guide = source.policy if method.data.guided else None
    world = World(**shared, data=data, source=sources, task=tasks, guide=guide)
    run = Run(
        **shared,
        adapter=adapter,
        penalty=penalty.term(),
        optimizer=optimizer,
        intervention=intervention,
        base=policy.params,
        statistics=policy.statistics,
    )
    keep = None if old is None else tree.repeat(as_arrays(method.keep), num)
    return Given(world, run, policy, penalty, source, old, keep)


def begin(runs: Given) -> tuple[World, Run, Position]:
    """What the runs go on with and where they stand, on the devices."""
    world, run, policy, penalty, source, old, keep = devices.put(runs, len(runs.run.seed))
    carry, memory = programs.enter(devices.layout(), world, policy, source)
    frozen, state, *policies = programs.begin(devices.layout(), run, carry, penalty, source, old, keep)
    return world, replace(run, base=frozen), Position(state, memory, *policies)


def tasks_of(spec: Spec, start: Start) -> Task:
    """The task of every run, leaves [R]."""
    return tree.repeat(spec.task, spec.num_runs) if start.tasks is None else start.tasks


def seeds_of(spec: Spec, start: Start) -> host.Seeds:
    """The seed and number of every member of every run's population."""
    numbers = spec.seeds.indices if start.numbers is None else start.numbers
    return host.seeds_of(spec.seed, spec.num_runs, spec.method.population, numbers)

"""What one call trains: every check of its arguments, before anything compiles, and the spec that comes of them."""

from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.envs.task import Task, check_is_task
from jaxrl_ft.methods.data import Between, Data
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.optimizers import Optimizer
from jaxrl_ft.methods.warm_starts import Scratch
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.training.agents import Agents, check_is_agents
from jaxrl_ft.training.compatibility import (
    check_first,
    check_fits,
    check_keep,
    check_needs,
    check_role,
    check_source,
    check_task,
    fresh_shapes,
    named_part,
    reading,
    same_sizes,
    sizes,
)
from jaxrl_ft.training.evaluation.stopping import PATIENCE, check_kept, check_stop_at
from jaxrl_ft.training.keys import Seeds, seeds_of

MAX_COUNT = 2**31 - 1
"""The largest number of updates, of gradient steps, and of env steps of an update, which programs count in int32."""
MAX_RUNS = 2**20
"""Runs that train side by side at most."""


class Budget(NamedTuple):
    """The numbers of a training, as `finetune` explains them."""

    steps: int = 20_480
    seed: int = 1
    num_evals: int = 21
    eval_episodes: int = 16
    stop_at: float | None = None
    keep: str = "last"
    patience: int = PATIENCE


@dataclass(frozen=True)
class Spec:
    """Runs that train side by side, checked: all that `pretrain`, `finetune` and a cell of a comparison differ in."""

    algo: AnyAlgorithm
    network: Network
    method: Method
    source: Task
    task: Task
    seed: int
    num_runs: int
    num_updates: int
    """of each member of a population"""
    num_evals: int
    eval_episodes: int
    stop_at: float | None = None
    keep: str = "last"
    """which of its evaluated policies a run returns"""
    patience: int = PATIENCE
    """evaluations in a row; when a run stops and which policy it returns are as `finetune` explains them"""
    agents: Agents | None = None
    """those that are fine-tuned, one for each run; None for runs that begin with random parameters"""
    first: int = 0
    """number of the first run, from which all have their random numbers"""
    paid: int = 0
    """environment steps on the target that each run's budget has paid for before the method begins"""

    @property
    def seeds(self) -> Seeds:
        """Seed and number of every run, [R]."""
        return seeds_of(self.seed, self.num_runs, numbers=self.first + np.arange(self.num_runs))

    @property
    def base_agents(self) -> Agents:
        """The agents that are fine-tuned.

        Raises:
            ValueError: the runs begin with random parameters.
        """
        if self.agents is None:
            raise ValueError("agents: None is not allowed; these runs begin with random parameters")
        return self.agents

    @property
    def before(self) -> Task:
        """The task that the agents were trained on last."""
        return self.source if self.agents is None else self.agents.task

    @property
    def num_members(self) -> int:
        """Runs of the program: every member of every run's population."""
        return self.num_runs * self.method.population

    @property
    def training_algo(self) -> AnyAlgorithm:
        """The algorithm as these runs train: with its numbers for fine-tuning, and the method's entropy bonus."""
        algo = self.algo if self.method.warm_start.from_scratch else self.algo.finetuned()
        if self.method.ent_coef is None:
            return algo
        return cast(AnyAlgorithm, replace(cast(PyTree, algo), ent_coef=self.method.ent_coef))

    @property
    def stored_bytes(self) -> int:
        """Bytes of experience that all members of one run keep from update to update."""
        return self.algo.stored_bytes(self.task) * self.method.population if self.trains else 0

    @property
    def warm_up_steps(self) -> int:
        """Environment steps of all members of one run that the algorithm takes before the first update."""
        return self.training_algo.steps_before() * self.method.population

    @property
    def steps_before(self) -> int:
        """Environment steps on the task of one run before its first update."""
        return self.paid + self.method.spent_before() + self.warm_up_steps

    @property
    def env_steps_per_update(self) -> int:
        """Environment steps of one update of all members of one run."""
        return int(self.algo.steps_per_update()) * self.method.population

    @property
    def trained_steps(self) -> int:
        """Environment steps of training, all runs together; 0 where nothing trains."""
        return self.num_updates * self.env_steps_per_update * self.num_runs if self.trains else 0

    @property
    def env_steps(self) -> int:
        """Environment steps on the task of one run, what is paid for before the first update included."""
        before = self.paid + self.method.spent() + self.warm_up_steps
        return before + self.num_updates * self.env_steps_per_update if self.trains else 0

    @property
    def trains(self) -> bool:
        """Whether any update is taken."""
        return self.method.trains

    def part(self, first: int, num: int) -> "Spec":
        """The spec of `num` of the runs from `first` on, whose random numbers are those that they have among all."""
        if num == self.num_runs:
            return self
        agents = None if self.agents is None else self.agents.select(np.arange(first, first + num))
        return replace(self, agents=agents, num_runs=num, first=self.first + first)


def pretraining_spec(
    source: Task,
    algo: AnyAlgorithm,
    network: Network,
    optimizer: Optimizer,
    seeds: int,
    budget: Budget,
    until: Task | None = None,
) -> Spec:
    """The spec of training from random parameters; the arguments are those of `pretrain`.

    Raises:
        ValueError: an argument is not allowed.
    """
    data = Data() if until is None else Between(spread=1.0)
    method = Method(warm_start=Scratch(), optimizer=optimizer, data=data)
    spec = training_spec(algo, network, method, source if until is None else until, source, seeds, budget)
    if until is not None:
        if not same_sizes(source, until):
            raise ValueError(f"until: {sizes(until)} do not fit the source's {sizes(source)}")
        data.check_tasks(*until.alike(source))
    return spec


def finetune_spec(agents: Agents, target: Task, method: Method, budget: Budget, paid: int = 0) -> Spec:
    """The spec of fine-tuning agents to a target.

    Args:
        agents: one for each run.
        target: the task to adapt to.
        method: how.
        budget: of each run.
        paid: environment steps on the target that went into choosing the method; the budget pays for them in whole
            updates.

    Raises:
        ValueError: an argument is not allowed.
    """
    check_is_agents(agents)
    check_is_task("target", target)
    check_budget(budget)
    paid = charged(paid, agents.algo, method)
    configs = (agents.algo, agents.network, method)
    budget = budget._replace(steps=budget.steps - paid)
    spec = training_spec(*configs, agents.source, target, agents.num_seeds, budget)
    check_source(agents, target, method)
    check_first(agents, method.penalty)
    check_keep(agents, target, method)
    shapes, _ = fresh_shapes(agents.algo, spec.network, target)
    check_fits(method, tree.take(agents.params, 0) if same_sizes(agents.task, target) else shapes, shapes)
    return replace(spec, agents=agents, paid=paid)


def training_spec(
    algo: AnyAlgorithm,
    network: Network,
    method: Method,
    source: Task,
    task: Task,
    seeds: int,
    budget: Budget,
) -> Spec:
    """The spec of training with these configs, after every check of the arguments.

    Raises:
        ValueError: an argument is not allowed.
    """
    for name, config in (("algo", algo), ("network", network)):
        check_role(name, config)
    check_config(method, "method")
    named_part("warm_start", method.warm_start.network, network)
    for name, given in (("source", source), ("task", task)):
        check_is_task(name, given)
        check_task(algo, given)
    network = reading(network, task)
    check_needs(algo, network, method, task)
    checks.count("seeds", seeds, 1, MAX_RUNS)
    check_budget(budget)
    check_stop_at(budget.stop_at, task)
    source, task = source.alike(task) if method.data.uses_source else (source, task)
    steps, spec = budget.steps, Spec(algo, network, method, source, task, budget.seed, seeds, 0, *budget[2:])
    spent = method.spent() + spec.warm_up_steps
    if spent >= steps:
        pays = "the method probes" if not spec.warm_up_steps else "the method probes and the algorithm warms up"
        raise ValueError(f"steps: {steps} is not allowed; it must exceed the {spent} steps that {pays}")
    each = algo.steps_per_update()
    if each > MAX_COUNT:
        raise ValueError(f"algo: {each} env steps of one update are not allowed; at most {MAX_COUNT}")
    updates = -(-(steps - spent) // (each * method.population))
    if updates * algo.gradient_steps_per_update() > MAX_COUNT:
        raise ValueError(
            f"steps: {checks.shown(steps)} is not allowed; it makes more than {MAX_COUNT} gradient steps, which are "
            "counted in 32 bits"
        )
    stretches = method.control.stretches
    if method.trains and stretches > updates:
        raise ValueError(
            f"steps: {steps} is not allowed; it makes {updates} updates of each member, and the control acts between "
            f"{stretches} stretches of them"
        )
    return replace(spec, num_updates=updates)


def charged(paid: int, algo: AnyAlgorithm, method: Method) -> int:
    """Environment steps that a budget pays for what was spent before it, in whole updates of the method.

    What is left of the budget is then whole updates too, and no method has more steps than another for having paid.
    """
    update = algo.steps_per_update() * method.population
    return -(-paid // update) * update


def check_budget(budget: Budget) -> None:
    """Refuse numbers of a training that are out of range for every method.

    Raises:
        ValueError: one of them is.
    """
    checks.count("steps", budget.steps)
    checks.seed(budget.seed)
    checks.count("num_evals", budget.num_evals, 2)
    checks.count("eval_episodes", budget.eval_episodes)
    check_kept(budget.keep)
    checks.count("patience", budget.patience)

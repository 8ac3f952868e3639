"""Pretraining and fine-tuning: the same call with other arguments."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.data import Between, Data
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.optimizers import Adam, Optimizer
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.methods.warm_starts import Scratch
from jaxrl_ft.nets.mlp import MLP
from jaxrl_ft.rl.ppo import PPO
from jaxrl_ft.training import host, loop, status
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.loop import Result, Watcher
from jaxrl_ft.training.preparation import carry
from jaxrl_ft.training.preparation.prepare import prepare
from jaxrl_ft.training.report import pretraining, transfer, untouched
from jaxrl_ft.training.runs import Spec, Start
from jaxrl_ft.training.spec import (
    charged,
    finetune_spec,
    fresh_shapes,
    resolve_method,
    same_sizes,
    sizes,
    training_spec,
)


def pretrain(
    source: Task,
    *,
    until: Task | None = None,
    algo: Any = PPO(),
    network: Any = MLP(),
    optimizer: Optimizer = Adam(),
    seeds: int = 16,
    steps: int = 40_960,
    seed: int = 0,
    num_evals: int = 21,
    eval_episodes: int = 16,
    watch: Watcher | None = None,
) -> Agents:
    """Agents trained from nothing on a task, one for each of `seeds` seeds.

    Args:
        source: the task.
        until: for domain randomisation (Tobin et al. 2017, arXiv:1703.06907): every environment's physics are drawn
            anew in each update, uniformly in the box between `source` and this task; evaluated on `source`.
        algo: the algorithm, such as `ft.PPO(gamma=0.99)`.
        network: the network, such as `ft.MLP(width=128)`, or `ft.MLP(policy=(64, 64), value=(256, 256))`.
        optimizer: the optimizer, such as `ft.Adam(learning_rate=1e-3)` or a row of `ft.OPTIMIZERS`.
        seeds: number of agents S, trained side by side.
        steps: environment steps of each agent, rounded up to whole updates.
        seed: seed i uses `fold_in(key(seed), i)`; 0 <= seed < 2^32.
        num_evals: evaluations over the budget, the first before training and the last after it.
        eval_episodes: greedy episodes of each evaluation.
        watch: called with a `Progress` after compilation and after every chunk of updates.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    data = Data() if until is None else Between(spread=1.0)
    method = Method(warm_start=Scratch(), optimizer=optimizer, data=data)
    other = source if until is None else until
    spec = training_spec(algo, network, method, other, source, seeds, steps, seed, num_evals, eval_episodes)
    if until is not None and not same_sizes(source, until):
        raise ValueError(f"until: {sizes(until)} do not fit the source's {sizes(source)}")
    if until is not None:
        data.check_tasks(until, source)
    start = _fresh(spec, source)
    result = loop.train(spec, start, watch)
    earlier = np.zeros(seeds, np.int64)
    return _agents(spec, start, result, source, earlier, 0, pretraining(spec, result, until))


def untrained(source: Task, algo: Any, network: Any, optimizer: Optimizer, seeds: int) -> Agents:
    """Agents of the shapes that `pretrain` returns, in zeros: to check and to plan with, since nothing runs."""
    method = Method(warm_start=Scratch(), optimizer=optimizer)
    shapes = fresh_shapes(algo, network, source)
    opt_state = jax.eval_shape(method.training_optimizer().build().init, shapes[0])
    params, statistics, opt_state = tree.zeros((*shapes, opt_state), seeds)
    return Agents(
        params=params,
        statistics=statistics,
        init_params=params,
        opt_state=opt_state,
        algo=algo,
        network=network,
        method=method,
        source=source,
        task=source,
        env_steps=np.zeros(seeds, np.int64),
        curve=np.zeros((seeds, 1)),
        curve_steps=np.zeros((seeds, 1), np.int64),
        trainable=tree.size(shapes[0]),
        status=("ok",) * seeds,
        report=("untrained",),
    )


def _fresh(spec: Spec, source: Task) -> Start:
    """Where runs start that nothing has been trained for."""
    params, statistics = host.fresh_params(spec.algo, spec.network, source, spec.seeds)
    policy = Policy(params, statistics, spec.network)
    return Start(policy, params, Source(policy, params), np.ones(spec.num_runs, np.float32))


def finetune(
    agents: Agents,
    target: Task,
    method: str | Method | None = None,
    *,
    steps: int = 20_480,
    seed: int = 1,
    num_evals: int = 21,
    eval_episodes: int = 16,
    watch: Watcher | None = None,
) -> Agents:
    """The agents after fine-tuning on a target task; the given agents are untouched.

    Args:
        agents: S agents to start from.
        target: the task to adapt to. Where its observations or actions differ in size from the agents', parameters of
            equal shape are carried over, the others are fresh, and the report names them.
        method: a name in `ft.METHODS`, a `ft.Method(...)`, or None for the recommended one.
        steps: environment steps of each agent on the target, what the method probes and validates included and the
            members of a population together, rounded up to whole updates.
        seed: as in `pretrain`; one that differs from pretraining's, or the same random numbers come again.
        num_evals: as in `pretrain`.
        eval_episodes: as in `pretrain`.
        watch: as in `pretrain`.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    cell = Cell(agents, target, resolve_method(method))
    budget = Budget(steps, seed, num_evals, eval_episodes)
    return finetune_together([cell], budget, watch=watch)[0]


class Cell(NamedTuple):
    """Agents, a target and a method."""

    agents: Agents
    target: Task
    method: Method
    first: int = 0
    """number of the first run; the agents of a part of a larger cell go on counting"""
    paid: int = 0
    """environment steps on the target that went into choosing the method; its budget pays for them in whole updates"""


class Budget(NamedTuple):
    """The numbers of a fine-tune, as `finetune` explains them."""

    steps: int = 20_480
    seed: int = 1
    num_evals: int = 21
    eval_episodes: int = 16


def spec_of(cell: Cell, budget: Budget) -> Spec:
    """What the fine-tune of a cell runs.

    Raises:
        ValueError: an argument is not allowed.
    """
    paid = charged(cell.paid, cell.agents.algo, cell.method)
    rest = budget._replace(steps=budget.steps - paid)
    spec = finetune_spec(cell.agents, cell.target, cell.method, *rest)
    return replace(spec, first=cell.first, paid=paid)


def finetune_together(
    cells: Sequence[Cell], budget: Budget, width: int = 0, watch: Watcher | None = None
) -> list[Agents]:
    """The agents of every cell after fine-tuning, as `finetune` would, trained side by side.

    Args:
        cells: of one `sweeps.structure`, or one cell by itself.
        budget: of every run.
        width: the program's number of runs, if it is to be larger than theirs.
        watch: as in `finetune`, of all cells together.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    ready = [make_ready(cell, budget) for cell in cells]
    if not cells[0].method.trains:
        return [_untouched(cell.agents, spec, base) for cell, (spec, base, _, _) in zip(cells, ready)]
    results = loop.train_together([(spec, prepared.start) for spec, _, _, prepared in ready], width, watch)
    tuned = []
    for cell, (spec, _, fresh, prepared), result in zip(cells, ready, results):
        report = transfer(spec, cell.agents, fresh, prepared, result)
        spent = cell.agents.env_steps, prepared.source_steps
        tuned.append(_agents(spec, prepared.start, result, cell.agents.source, *spent, report))
    return tuned


class Ready(NamedTuple):
    """A cell that can train."""

    spec: Spec
    base: Policy
    """the agents' policy as it fits the target"""
    fresh: Policy
    """a network just initialised"""
    prepared: Any
    """where training starts; None where nothing trains"""


def make_ready(cell: Cell, budget: Budget) -> Ready:
    """A cell with all that is done before its first update."""
    agents, target = cell.agents, cell.target
    spec = spec_of(cell, budget)
    old = agents.opt_state if cell.method.keeps else None
    fresh = Policy(*host.fresh_params(agents.algo, agents.network, target, spec.seeds), agents.network)
    base = carry.carry(agents, target, fresh)
    if not cell.method.trains:
        return Ready(spec, base, fresh, None)
    init_params = carry.carry(replace(agents, params=agents.init_params), target, fresh).params
    return Ready(spec, base, fresh, prepare(spec, base, fresh, init_params, old))


def _untouched(agents: Agents, spec: Spec, base: Policy) -> Agents:
    points = loop.evaluation_updates(spec.num_updates, spec.num_evals)
    tasks = tree.repeat(spec.task, spec.num_runs)
    returns = host.evaluate_runs(spec.algo, base, tasks, spec.seeds, spec.eval_episodes).episode_return
    curve = np.repeat(returns.mean(axis=1, keepdims=True), len(points), axis=1)
    steps = np.broadcast_to(points * spec.algo.steps_per_update(), curve.shape).copy()
    return replace(
        agents,
        params=base.params,
        statistics=base.statistics,
        method=spec.method,
        task=spec.task,
        curve=curve,
        curve_steps=steps,
        trainable=0,
        source_steps=0,
        status=status.of_policies(base, curve),
        report=untouched(spec, agents, base),
    )


def _agents(
    spec: Spec,
    start: Start,
    result: Result,
    source: Task,
    spent_before: np.ndarray,
    source_steps: int,
    report: tuple[str, ...],
) -> Agents:
    return Agents(
        params=result.policy.params,
        statistics=result.policy.statistics,
        init_params=start.init_params,
        opt_state=result.opt_state,
        algo=spec.algo,
        network=spec.method.warm_start.network(spec.network),
        method=spec.method,
        source=source,
        task=spec.task,
        env_steps=spent_before + result.curve_steps[:, -1],
        curve=result.curve,
        curve_steps=result.curve_steps,
        trainable=result.delta_size,
        source_steps=source_steps,
        status=status.of_training(spec, result),
        report=report,
    )

"""Pretraining and fine-tuning: the same call with other arguments."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.engine import placement, probing, programs, training
from jaxrl_ft.engine.agents import Agents
from jaxrl_ft.engine.training import Result, Spec, Watcher
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.adapters import ADAPTERS
from jaxrl_ft.methods.method import METHODS, RECOMMENDED, Method
from jaxrl_ft.methods.optimizers import OPTIMIZERS, Adam, Optimizer
from jaxrl_ft.methods.penalties import PENALTIES, Source
from jaxrl_ft.methods.warm_starts import WARM_STARTS, Probe, Scratch
from jaxrl_ft.nets.mlp import MLP
from jaxrl_ft.rl.ppo import PPO


def pretrain(
    source: Task,
    *,
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
        algo: the algorithm, such as `ft.PPO(gamma=0.99)`.
        network: the network, such as `ft.MLP(width=128)`.
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
    method = Method(warm_start=Scratch(), optimizer=optimizer)
    spec = training_spec(algo, network, method, source, seeds, steps, seed, num_evals, eval_episodes)
    params, statistics = training.fresh_params(algo, network, source, seed, seeds)
    policy = Policy(params, statistics, network)
    result = training.train(spec, policy, params, Source(policy, params), watch)
    return _agents(spec, result, source, np.zeros(seeds, np.int64), _report(spec, result, None))


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
        target: the task to adapt to; observations and actions must have the source's sizes.
        method: a name in `ft.METHODS`, a `ft.Method(...)`, or None for the recommended one.
        steps: environment steps of each agent on the target, what the method probes included, rounded up to whole
            updates.
        seed: as in `pretrain`; one that differs from pretraining's, or the same random numbers come again.
        num_evals: as in `pretrain`.
        eval_episodes: as in `pretrain`.
        watch: as in `pretrain`.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    chosen = resolve_method(method)
    num = agents.num_seeds
    spec = finetune_spec(agents, target, chosen, steps, seed, num_evals, eval_episodes)
    base = Policy(agents.params, agents.statistics, agents.network)
    if not chosen.trains:
        return _untouched(agents, spec, base)
    fresh = Policy(*training.fresh_params(agents.algo, agents.network, target, seed, num), agents.network)
    probe = probing.probe(spec, base)
    start = _warm_start(spec, base, fresh, probe)
    init_params = fresh.params if isinstance(chosen.warm_start, Scratch) else agents.init_params
    result = training.train(spec, start, init_params, Source(base, agents.init_params), watch)
    return _agents(spec, result, agents.source, agents.env_steps, _report(spec, result, probe))


def finetune_spec(
    agents: Agents, target: Task, method: Method, steps: int, seed: int, num_evals: int, eval_episodes: int
) -> Spec:
    """What a call of `finetune` with these arguments runs.

    Raises:
        ValueError: an argument is not allowed.
    """
    check_sizes(agents, target)
    configs = (agents.algo, agents.network, method)
    spec = training_spec(*configs, target, agents.num_seeds, steps, seed, num_evals, eval_episodes)
    _check_fits(method, tree.take(agents.params, 0))
    return spec


def resolve_method(method: str | Method | None) -> Method:
    """The method of a name, the method itself, or the recommended one for None.

    Raises:
        ValueError: no method of this name, or a field of the method is not allowed.
    """
    chosen = METHODS[RECOMMENDED if method is None else method] if not isinstance(method, Method) else method
    check_config(chosen, "method")
    return chosen


def training_spec(
    algo: Any, network: Any, method: Method, task: Task, seeds: int, steps: int, seed: int, evals: int, episodes: int
) -> Spec:
    """What a call of `pretrain` or `finetune` with these configs runs, after every check of the arguments.

    Raises:
        ValueError: an argument is not allowed.
    """
    for name, config in (("algo", algo), ("network", network), ("method", method)):
        check_config(config, name)
    if not isinstance(task, Task):
        raise ValueError(f"task: {task!r} is not allowed; it must be a Task, as ft.make_task returns")
    checks.seed(seed)
    checks.count("seeds", seeds)
    checks.count("steps", steps)
    checks.count("num_evals", evals, 2)
    checks.count("eval_episodes", episodes)
    spent = method.warm_start.probe_episodes * method.warm_start.probe_steps if method.trains else 0
    if spent >= steps:
        raise ValueError(f"steps: {steps} is not allowed; it must exceed the {spent} steps that the method probes")
    updates = -(-(steps - spent) // algo.steps_per_update())
    return Spec(algo, network, method, task, seed, seeds, updates, evals, episodes, spent)


def check_adapter(algo: Any, network: Any, method: Method, task: Task) -> None:
    """Refuses an adapter that cannot adapt this network, such as a pattern that matches no parameter.

    Only shapes are traced: nothing compiles.

    Raises:
        ValueError: it cannot.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    _check_fits(method, jax.eval_shape(lambda key: algo.init_params(key, task, network), key))


def _check_fits(method: Method, params: tree.Tree) -> None:
    try:
        jax.eval_shape(lambda params: method.adapter.init(jax.random.key(0), params), params)
    except ValueError as error:
        raise ValueError(f"method.adapter.{error}") from None


def check_sizes(agents: Agents, target: Task) -> None:
    """Refuses a target whose observations or actions differ in size from the agents'.

    Raises:
        ValueError: they differ.
    """
    if not isinstance(target, Task):
        raise ValueError(f"target: {target!r} is not allowed; it must be a Task, as ft.make_task returns")
    if agents.task.obs_size != target.obs_size:
        raise ValueError(
            f"target: observations of size {target.obs_size} do not fit agents trained on size {agents.task.obs_size}"
        )
    ours, theirs = agents.task.action_space, target.action_space
    if type(ours) is not type(theirs) or vars(ours) != vars(theirs):
        raise ValueError(f"target: actions {theirs} do not fit agents trained on actions {ours}")


def _warm_start(spec: Spec, base: Policy, fresh: Policy, probe: Probe) -> Policy:
    num = spec.num_runs
    warm = tree.repeat(as_arrays(spec.method.warm_start), num)
    seeds = training.seeds_of(spec.seed, num)
    arguments = placement.put((warm, *seeds, base, fresh, probe), num)
    params, statistics = placement.trim(programs.warm_start(placement.mesh(), *arguments), num)
    return Policy(params, statistics, spec.network)


def _untouched(agents: Agents, spec: Spec, base: Policy) -> Agents:
    points = training.evaluation_updates(spec.num_updates, spec.num_evals)
    tasks = tree.repeat(spec.task, spec.num_runs)
    seeds = training.seeds_of(spec.seed, spec.num_runs)
    returns = training.evaluate_runs(spec.algo, base, tasks, seeds, spec.eval_episodes).episode_return
    curve = np.repeat(returns.mean(axis=1, keepdims=True), len(points), axis=1)
    steps = np.broadcast_to(points * spec.algo.steps_per_update(), curve.shape).copy()
    report = ("policy and critic: the agent's own, untouched", f"evaluated on {spec.task.describe()} without training")
    return replace(
        agents, method=spec.method, task=spec.task, curve=curve, curve_steps=steps, trainable=0, report=report
    )


def _agents(spec: Spec, result: Result, source: Task, spent_before: np.ndarray, report: tuple[str, ...]) -> Agents:
    finite = np.all([np.isfinite(leaf).all(axis=tuple(range(1, leaf.ndim))) for leaf in _leaves(result)], axis=0)
    return Agents(
        params=result.policy.params,
        statistics=result.policy.statistics,
        init_params=result.init_params,
        opt_state=result.opt_state,
        algo=spec.algo,
        network=spec.network,
        method=spec.method,
        source=source,
        task=spec.task,
        env_steps=spent_before + result.curve_steps[:, -1],
        curve=result.curve,
        curve_steps=result.curve_steps,
        trainable=result.delta_size,
        status=tuple("ok" if good else "non-finite" for good in finite),
        report=report,
    )


def _leaves(result: Result) -> list[np.ndarray]:
    return [*tree.flatten(result.policy.params).values(), result.curve]


_AXES: tuple[tuple[str, str, Table[Any]], ...] = (
    ("start", "warm_start", WARM_STARTS),
    ("adapter", "adapter", ADAPTERS),
    ("penalty", "penalty", PENALTIES),
    ("optimizer", "optimizer", OPTIMIZERS),
)


def _known(table: Table[Any], part: Any) -> str:
    """The name of the first row of this type; the type's own for one that is not in the table."""
    return next((name for name in table if type(table[name]) is type(part)), type(part).__name__)


def _report(spec: Spec, result: Result, probe: Probe | None) -> tuple[str, ...]:
    total = tree.size(tree.take(result.policy.params, 0))
    skipped = int(np.sum(result.opt_state.skipped))
    lines = [
        "; ".join(f"{axis}: {_known(table, getattr(spec.method, field))}" for axis, field, table in _AXES)
        + ", fresh state",
        f"trains {result.delta_size:,} numbers for {total:,} parameters ({result.delta_size / total:.1%})",
        f"normaliser: {', '.join(sorted(result.policy.statistics)) or 'none'}",
        f"env steps: {spec.spent:,} probed, {int(result.curve_steps[0, -1]):,} in all for each seed",
        f"gradient steps skipped as non-finite: {skipped:,} over {spec.num_runs} seeds",
    ]
    if probe is not None and spec.spent:
        low, middle, high = np.quantile(np.asarray(probe.share), [0.0, 0.5, 1.0])
        lines.append(f"probed zero-shot share of the possible return: median {middle:.2f}, {low:.2f} to {high:.2f}")
    return tuple(lines)

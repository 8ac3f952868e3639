"""Pretraining and fine-tuning: the same call with other arguments."""

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import jax
import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.policy import Network
from jaxrl_ft.defaults.pretraining import pretraining
from jaxrl_ft.envs.task import Task, check_is_task
from jaxrl_ft.methods.catalogue import resolve_method
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.optimizers import Optimizer
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.training import devices, loop
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.compatibility import check_role, fresh_shapes
from jaxrl_ft.training.engines.base import Engine
from jaxrl_ft.training.engines.compiled import COMPILED
from jaxrl_ft.training.evaluation import status
from jaxrl_ft.training.evaluation.stopping import PATIENCE
from jaxrl_ft.training.evaluation.untouched import evaluated
from jaxrl_ft.training.initial_state import Start, fresh_policy, fresh_start
from jaxrl_ft.training.loop import Result
from jaxrl_ft.training.preparation.prepare import Prepared, prepare
from jaxrl_ft.training.progress.bars import one_bar
from jaxrl_ft.training.progress.moments import Callback
from jaxrl_ft.training.report import pretrained, transfer
from jaxrl_ft.training.resume import checkpoint as resume
from jaxrl_ft.training.resume.checkpoint import EVERY, Checkpoint
from jaxrl_ft.training.resume.held import identity
from jaxrl_ft.training.spec import Budget, Spec, finetune_spec, pretraining_spec


def pretrain(
    source: Task,
    *,
    until: Task | None = None,
    algo: AnyAlgorithm | str | None = None,
    network: Network | None = None,
    optimizer: Optimizer | None = None,
    seeds: int = 16,
    steps: int | None = None,
    seed: int = 0,
    num_evals: int = 21,
    eval_episodes: int = 16,
    stop_at: float | None = None,
    keep: str = "last",
    patience: int = PATIENCE,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = EVERY,
    callback: Callback | None = None,
    progress: bool = True,
) -> Agents:
    """Train agents from random parameters on a task, one for each of `seeds` seeds.

    What is not given comes from `ft.DEFAULTS`, the tuned defaults of the task's environment, which depend on the
    algorithm. A config of an algorithm is taken as it is, with `ft.Adam()` and 40,960 steps.

    Args:
        source: the task.
        until: for domain randomisation (Tobin et al. 2017, arXiv:1703.06907): every environment's physics are drawn
            anew in each update, uniformly in the box between `source` and this task; evaluated on `source`.
        algo: the algorithm: None for the environment's default (PPO where it has none), the name of a row of `ft.ALGOS`
            with its tuned numbers there, or a config such as `ft.PPO(gamma=0.99)`.
        network: the network, such as `ft.MLP(width=128)` or `ft.MLP(policy=(64, 64), value=(256, 256))`, or `ft.CNN()`
            for images; that of the defaults, or the algorithm's usual one, which has convolutions for images.
        optimizer: the optimizer, such as `ft.Adam(learning_rate=1e-3)` or a row of `ft.OPTIMIZERS`.
        seeds: number of agents S, trained side by side.
        steps: environment steps of each agent, rounded up to whole updates.
        seed: seed i uses `fold_in(key(seed), i)`; 0 <= seed < 2^32.
        num_evals: evaluations over the budget, the first before training and the last after it.
        eval_episodes: greedy episodes of each evaluation.
        stop_at: a mean greedy return at which an agent is done: it learns no more from the last of `patience`
            evaluations in a row that reach it, and training ends once all agents have stopped. Evaluations after every
            update find the moment best; without it all steps are taken.
        keep: `last`, or `best` for the evaluated policy with the highest mean greedy return, the first of equals. That
            return is then too high on average, as the best of several; `ft.evaluate` plays fresh episodes.
        patience: evaluations in a row that must reach `stop_at`.
        checkpoint: a directory to write checkpoints to. A call with equal arguments goes on from the newest one there,
            and ends with the bits of a call that was never interrupted; another call, other versions and other devices
            are refused.
        checkpoint_every: seconds between two checkpoints.
        callback: called with a `Progress` after compilation and after every chunk of updates.
        progress: show a bar on stderr where that is a terminal, and in a notebook.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    checks.callback(callback)
    checks.switch("progress", progress)
    check_is_task("source", source)
    if until is not None:
        check_is_task("until", until)
    if algo is not None and not isinstance(algo, str):
        check_role("algo", algo)
    resume.check(checkpoint, checkpoint_every)
    usual = pretraining(source.id, algo)
    budget = Budget(usual.steps if steps is None else steps, seed, num_evals, eval_episodes, stop_at, keep, patience)
    chosen = usual.usual_network(source) if network is None else network
    spec = pretraining_spec(
        source, usual.algo, chosen, usual.optimizer if optimizer is None else optimizer, seeds, budget, until
    )
    devices.check_memory(spec.num_runs, spec.stored_bytes)
    with _opened(checkpoint, checkpoint_every, spec) as saved, _shown(progress, "pretraining", spec, callback) as told:
        agents = pretrained_agents(spec, source, until, callback=told, checkpoint=saved)
    return named(agents, callback)


def pretrained_agents(
    spec: Spec,
    source: Task,
    until: Task | None = None,
    width: int = 0,
    callback: Callback | None = None,
    checkpoint: Checkpoint | None = None,
) -> Agents:
    """Return the agents of a spec of pretraining, or of a part of one.

    Args:
        spec: as `pretraining_spec` makes it of these tasks.
        source: as in `pretrain`.
        until: as in `pretrain`.
        width: as in `finetune_together`.
        callback: as in `pretrain`.
        checkpoint: as in `finetune_together`.
    """
    start = fresh_start(spec, fresh_policy(spec.algo, spec.network, source, spec.seeds))
    (result,) = loop.train_together([(spec, start)], width, callback, checkpoint)
    earlier = np.zeros(spec.num_runs, np.int64)
    return _agents(spec, start, result, source, earlier, 0, pretrained(spec, result, until))


def _opened(path: str | Path | None, every: float, spec: Spec) -> AbstractContextManager[Checkpoint | None]:
    """The checkpoint of a call, if it has one."""
    return nullcontext() if path is None else resume.opened(path, every, identity(spec))


def _shown(
    progress: bool, stage: str, spec: Spec, callback: Callback | None
) -> AbstractContextManager[Callback | None]:
    """The callback of a call, with a bar if one is wanted and the runs train."""
    return one_bar(progress and spec.trains, stage, spec.trained_steps, callback)


def untrained(spec: Spec) -> Agents:
    """Return agents of the shapes that pretraining leaves, in zeros, to check and to plan with: no program runs.

    Args:
        spec: as `pretraining_spec` makes it.
    """
    seeds = spec.num_runs
    shapes = fresh_shapes(spec.algo, spec.network, spec.task)
    opt_state = jax.eval_shape(spec.method.training_optimizer().build().init, shapes[0])
    params, statistics, opt_state = tree.zeros((*shapes, opt_state), seeds)
    return Agents(
        params=params,
        statistics=statistics,
        init_params=params,
        opt_state=opt_state,
        algo=spec.algo,
        network=spec.network,
        method=spec.method,
        source=spec.task,
        task=spec.task,
        env_steps=np.zeros(seeds, np.int64),
        curve=np.zeros((seeds, 1)),
        curve_steps=np.zeros((seeds, 1), np.int64),
        kept_steps=np.zeros(seeds, np.int64),
        trainable=tree.size(shapes[0]),
        status=("ok",) * seeds,
        report=("untrained",),
    )


def finetune(
    agents: Agents,
    target: Task,
    method: str | Method | None = None,
    *,
    steps: int = 20_480,
    seed: int = 1,
    num_evals: int = 21,
    eval_episodes: int = 16,
    stop_at: float | None = None,
    keep: str = "last",
    patience: int = PATIENCE,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = EVERY,
    callback: Callback | None = None,
    progress: bool = True,
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
        stop_at: as in `pretrain`, on the target.
        keep: as in `pretrain`; the untouched agents that act while a method looks cannot be kept.
        patience: as in `pretrain`.
        checkpoint: as in `pretrain`. What a method does before the first update, such as looking and training in a
            model, is done again.
        checkpoint_every: as in `pretrain`.
        callback: as in `pretrain`.
        progress: as in `pretrain`.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    checks.callback(callback)
    checks.switch("progress", progress)
    resume.check(checkpoint, checkpoint_every)
    budget = Budget(steps, seed, num_evals, eval_episodes, stop_at, keep, patience)
    spec = finetune_spec(agents, target, resolve_method(method), budget)
    devices.check_memory(spec.num_runs, spec.stored_bytes)
    with _opened(checkpoint, checkpoint_every, spec) as saved, _shown(progress, "fine-tuning", spec, callback) as told:
        tuned = finetune_together([spec], callback=told, checkpoint=saved)[0]
    return named(tuned, callback)


def named(agents: Agents, callback: Callback | None) -> Agents:
    """The agents; a warning names those that are not ok where no callback of the user's was told."""
    broken = [f"{number} ({found})" for number, found in enumerate(agents.status) if found != status.OK]
    if broken and callback is None:
        warnings.warn(f"agents: not ok: {', '.join(broken)} of {agents.num_seeds}", stacklevel=3)
    return agents


def finetune_together(
    specs: Sequence[Spec],
    width: int = 0,
    callback: Callback | None = None,
    checkpoint: Checkpoint | None = None,
    engine: Engine = COMPILED,
) -> list[Agents]:
    """Return the agents of every fine-tune, as `finetune` would, trained side by side.

    Args:
        specs: of one `sweeps.structure`, or one by itself.
        width: the program's number of runs, if it is to be larger than theirs.
        callback: as in `finetune`, of all together.
        checkpoint: of this training, to go on from and to write.
        engine: what steps the environments and learns.
    """
    if not specs[0].trains:
        return [evaluated(spec) for spec in specs]
    prepared = [prepare(spec) for spec in specs]
    results = loop.train_together([(one.spec, one.start) for one in prepared], width, callback, checkpoint, engine)
    return [_tuned(one, result) for one, result in zip(prepared, results)]


def _tuned(prepared: Prepared, result: Result) -> Agents:
    """The agents after training, with their transfer report."""
    spec, agents = prepared.spec, prepared.spec.base_agents
    spent = agents.env_steps, prepared.source_steps
    return _agents(spec, prepared.start, result, agents.source, *spent, transfer(prepared, result))


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
        kept_steps=result.kept_steps,
        trainable=result.delta_size,
        source_steps=source_steps,
        status=status.of_training(result),
        report=report,
    )

"""Agents that no method trains, evaluated on a target."""

from dataclasses import replace

import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.training import loop
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.evaluation import status
from jaxrl_ft.training.evaluation.outcomes import evaluate_runs
from jaxrl_ft.training.preparation.prepare import networks
from jaxrl_ft.training.report import untouched
from jaxrl_ft.training.spec import Spec


def evaluated(spec: Spec) -> Agents:
    """The agents evaluated on the target as they are.

    Args:
        spec: of a method that trains nothing.
    """
    base, _, _ = networks(spec)
    points = loop.evaluation_updates(spec.num_updates, spec.num_evals)
    tasks = tree.repeat(spec.task, spec.num_runs)
    returns = evaluate_runs(spec.algo, base, tasks, spec.seeds, spec.eval_episodes).episode_return
    curve = np.repeat(returns.mean(axis=1, keepdims=True), len(points), axis=1)
    steps = np.broadcast_to(points * spec.algo.steps_per_update(), curve.shape).copy()
    return replace(
        spec.base_agents,
        params=base.params,
        statistics=base.statistics,
        method=spec.method,
        task=spec.task,
        curve=curve,
        curve_steps=steps,
        kept_steps=np.zeros_like(steps[:, 0]),
        trainable=0,
        source_steps=0,
        status=status.of_policies(base, curve),
        report=untouched(spec),
    )

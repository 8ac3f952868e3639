"""Imagined training: a look at the target, a model of it, and a policy that has trained in the model."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.engine import loop
from jaxrl_ft.engine.loop import Result, Spec, Start
from jaxrl_ft.envs.imagined import ImaginedParams, imagined_simulator
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.data import Mixture
from jaxrl_ft.methods.imagination import Model, fit
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.realignment import Experience

_OFFSET = 2**30
"""How far the numbers of imagined runs are from those of real ones, so that their keys differ."""
_ROUND = 2**22
"""How far those of one round are from those of the round before."""


class Imagined(NamedTuple):
    """What came of it, for every run [R]."""

    policy: Policy
    """after imagined training, where the model was good enough; else as it was"""
    accuracy: np.ndarray
    """share of the held-out change that the model explains"""
    used: np.ndarray
    """whether the model was used, bool"""
    reached: np.ndarray
    """greedy return in the model in the end; NaN where it was not used"""
    rate: np.ndarray
    """factor of the learning rate in the target"""


def imagine(spec: Spec, start: Start, look: list[Experience], source_look: list[Experience]) -> Imagined:
    """Every run's policy after training in a model of the target: the best in the model of every round and the start.

    Args:
        spec: the fine-tune.
        start: where it would start without imagination.
        look: experience of the target, of every run.
        source_look: experience of the source, of every run; empty unless imagination has a source share.
    """
    imagination, space = spec.method.imagination, spec.task.action_space
    num_actions = None if isinstance(space, Box) else space.num_actions
    models, sources = ([fit(experience, num_actions) for experience in rows] for rows in (look, source_look))
    accuracy = np.array([model.accuracy for model in models])
    if sources:
        accuracy = np.minimum(accuracy, [model.accuracy for model in sources])
    used = np.isfinite(accuracy) & (accuracy >= imagination.accuracy)
    if not used.any():
        return Imagined(start.policy, accuracy, used, np.full(len(models), np.nan), np.ones(len(models), np.float32))
    tasks = tree.stack([_task(spec.task, model, good) for model, good in zip(models, used)])
    if sources:
        start = start._replace(sources=tree.stack([_task(spec.source, *pair) for pair in zip(sources, used)]))
    else:
        start = start._replace(sources=tasks)
    low, high = spec.task.return_range
    goal, latest, best = low + imagination.goal * (high - low), start.policy, start.policy
    reached = np.full(len(models), np.nan)
    for number in range(imagination.rounds):
        result = _round(spec, start._replace(policy=latest, base=None, old=None, tasks=tasks), number)
        reached = result.curve[:, 0] if number == 0 else reached
        latest = result.policy
        better = used & (reached < goal) & (result.curve[:, -1] > reached)
        params = tree.choose_rows(better, latest.params, best.params)
        statistics = tree.choose_rows(better, latest.statistics, best.statistics)
        best = Policy(params, statistics, latest.network)
        reached = np.where(better, result.curve[:, -1], reached)
        if (reached >= goal)[used].all():
            break
    share = np.clip((reached - low) / (high - low), 0.0, 1.0)
    rate = np.where(used, imagination.rate**share, 1.0).astype(np.float32)
    return Imagined(best, accuracy, used, np.where(used, reached, np.nan), rate)


def _round(spec: Spec, start: Start, number: int) -> Result:
    """Plain training of every run in its imagined task."""
    mixture = Mixture(share=spec.method.imagination.source_share)
    method = Method(optimizer=spec.method.optimizer, ent_coef=spec.method.ent_coef, data=mixture)
    updates = -(-spec.method.imagination.steps // spec.algo.steps_per_update())
    alone = replace(
        spec,
        method=method,
        # Any task of the kind serves where all runs share one: each has its own in `start`.
        source=tree.take(start.tasks, 0),
        task=tree.take(start.tasks, 0),
        num_updates=updates,
        num_evals=2,
        offset=_OFFSET + number * _ROUND,
    )
    return loop.train(alone, start)


def _task(target: Task, model: Model, good: bool) -> Task:
    """The imagined task; a model that is not good is replaced by a still world, for its numbers may not be finite."""
    low, high = target.return_range
    space = target.action_space
    bounds = (space.low, space.high) if isinstance(space, Box) else (0.0, 0.0)
    arrays = {name: value if good else np.zeros_like(value) for name, value in model._asdict().items()}
    arrays.pop("accuracy")
    scalars: dict[str, Any] = {
        "lowest_return": low,
        "highest_return": high,
        "action_low": bounds[0],
        "action_high": bounds[1],
    }
    params = ImaginedParams(
        **arrays,
        episode_limit=np.asarray(target.episode_limit, np.int32),
        **{name: np.asarray(value, np.float32) for name, value in scalars.items()},
    )
    return Task(simulator=imagined_simulator(target.obs_size, space), env_params=params)

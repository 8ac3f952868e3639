"""Imagined training: a look at the target, a model of it, and a policy that has trained in the model."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.imagined import ImaginedParams, imagined_simulator
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.alignment import Experience
from jaxrl_ft.methods.data import Mixture
from jaxrl_ft.methods.imagination import Model
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.methods.warm_starts import Scratch, WarmStart
from jaxrl_ft.training import devices, loop
from jaxrl_ft.training.evaluation import faults
from jaxrl_ft.training.evaluation.episodes import possible_share
from jaxrl_ft.training.initial_state import Start
from jaxrl_ft.training.preparation.look import Look
from jaxrl_ft.training.spec import Spec

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
    teaches: np.ndarray
    """whether the looks saw an episode end or rewards that differ, without which no model is used, bool"""
    reached: np.ndarray
    """greedy return in the model in the end; NaN where it was not used"""
    rate: np.ndarray
    """factor of the learning rate in the target"""
    broken: dict[int, str]
    """what was not finite in the model, and when, by the number of the run"""


class Round(NamedTuple):
    """What came of some runs in a round of imagined training."""

    policy: Policy
    returns: np.ndarray
    """greedy return in the model; NaN where a number was not finite"""
    broken: dict[int, str]
    """as in `Imagined`, by place among these runs"""


def imagine(spec: Spec, start: Start, look: Look, source_look: list[Experience]) -> Imagined:
    """Every run's policy after training in a model of the target: the best in the model of every round and the start.

    Args:
        spec: the fine-tune.
        start: where it would start without imagination.
        look: what was seen of the target.
        source_look: experience of the source, of every run; empty unless imagination has a source share.
    """
    imagination, space = spec.method.imagination, spec.task.action_space
    num_actions = None if isinstance(space, Box) else space.num_actions
    looks = look.experiences, source_look
    models, sources = ([imagination.fit(experience, num_actions) for experience in rows] for rows in looks)
    accuracy = np.array([model.accuracy for model in models])
    teaches = np.array([model.teaches for model in models])
    if sources:
        accuracy = np.minimum(accuracy, [model.accuracy for model in sources])
        teaches &= [model.teaches for model in sources]
    used = np.all([[imagination.accepts(model) for model in rows] for rows in (models, sources) if rows], axis=0)
    if not used.any():
        nothing, rate = np.full(len(models), np.nan), np.ones(len(models), np.float32)
        return Imagined(start.policy, accuracy, used, teaches, nothing, rate, {})
    tasks = tree.stack([imagined_task(spec.task, *pair) for pair in zip(models, used)])
    origins = tree.stack([imagined_task(spec.source, *pair) for pair in zip(sources, used)]) if sources else tasks
    start, alone = start._replace(tasks=tasks, sources=origins), _alone(spec, tasks, origins)
    low, high = look.chance(spec.task), spec.task.return_range[1]
    best, reached, broken = in_rounds(alone, start, used, imagination.rounds, low + imagination.goal * (high - low))
    rate = np.where(used, imagination.rate ** possible_share(reached, low, high), 1.0).astype(np.float32)
    return Imagined(best, accuracy, used, teaches, reached, rate, broken)


def in_rounds(
    alone: Spec, start: Start, used: np.ndarray, rounds: int, goal: np.ndarray
) -> tuple[Policy, np.ndarray, dict[int, str]]:
    """The best policy of every run and its return in the model, [R]; those that reach the goal [R] train no further.

    A return that is not finite is below every other, and the policy that it is of is forgotten. What was not finite
    comes third, as in `Imagined`.
    """
    broken: dict[int, str] = {}
    latest, best = start.policy, start.policy
    reached = np.full(len(used), np.nan)
    reached[used] = reached_by(alone, start, latest, np.flatnonzero(used))
    for number in range(rounds):
        pending = np.flatnonzero(used & ~(reached >= goal))
        if not pending.size:
            break
        trained, returns, found = train_alone(alone, start, latest, pending, number)
        broken |= {int(pending[place]): text for place, text in found.items() if int(pending[place]) not in broken}
        sound = np.isfinite(returns)
        better = sound & ~(returns <= reached[pending])
        latest = _with_rows(latest, pending[sound], tree.take(trained, sound))
        best = _with_rows(best, pending[better], tree.take(trained, better))
        reached[pending] = np.fmax(returns, reached[pending])
    return best, reached, broken


def _alone(spec: Spec, tasks: Task, sources: Task) -> Spec:
    """Plain training of as many runs as go well side by side; the tasks of the runs themselves are in their `Start`."""
    mixture = Mixture(share=spec.method.imagination.source_share)
    return replace(
        spec,
        method=Method(
            # Where training begins with fresh parameters, exploration begins as in pretraining.
            warm_start=Scratch() if spec.method.warm_start.from_scratch else WarmStart(),
            optimizer=spec.method.optimizer,
            ent_coef=spec.method.ent_coef,
            data=mixture,
        ),
        source=tree.take(sources, 0),
        task=tree.take(tasks, 0),
        num_runs=devices.batch(spec.num_runs),
        num_updates=-(-spec.method.imagination.steps // spec.algo.steps_per_update()),
        num_evals=2,
        stop_at=None,
        keep="last",
        agents=None,
    )


def reached_by(alone: Spec, start: Start, policy: Policy, rows: np.ndarray) -> np.ndarray:
    """Greedy returns of some runs in their imagined tasks."""
    parts = _parts(alone, start, policy, rows, 0)
    return np.concatenate([loop.mean_return(alone, part, part.policy, 0)[:num] for num, part in parts])


def train_alone(alone: Spec, start: Start, policy: Policy, rows: np.ndarray, number: int) -> Round:
    """The policies of some runs after a round in their imagined tasks."""
    parts = _parts(alone, start, policy, rows, number)
    results = [(num, loop.train(alone, part)) for num, part in parts]
    policies = [tree.take(result.policy, slice(num)) for num, result in results]
    trained = jax.tree.map(lambda *leaves: np.concatenate(leaves), *policies)
    # In a model whose numbers are not all finite no return means anything.
    fault = tree.concatenate([tree.take(result.fault, slice(num)) for num, result in results])
    returns = np.concatenate([result.curve[:num, -1] for num, result in results])
    return Round(trained, np.where(fault.quantity > 0, np.nan, returns), faults.texts(fault))


def _parts(alone: Spec, start: Start, policy: Policy, rows: np.ndarray, number: int) -> Iterator[tuple[int, Start]]:
    """Where every batch of runs starts, and how many of its runs are wanted: those that fill it up are not.

    Args:
        alone: how they train; a batch has as many runs.
        start: tasks and all, of all runs.
        policy: of all runs.
        rows: which runs.
        number: of the round.
    """
    width = alone.num_runs
    for first in range(0, len(rows), width):
        chosen = rows[first : first + width]
        batch = chosen[np.arange(width) % len(chosen)]
        each = (policy, start.init_params, start.share, start.tasks, start.sources)
        own, init_params, share, tasks, sources = tree.take(each, batch)
        yield (
            len(chosen),
            Start(
                policy=own,
                init_params=init_params,
                source=Source(own, init_params),
                share=share,
                tasks=tasks,
                sources=sources,
                numbers=alone.first + _OFFSET + number * _ROUND + batch,
            ),
        )


def _with_rows(policy: Policy, rows: np.ndarray, others: Policy) -> Policy:
    """The policies with some of them replaced."""

    def put(leaf: np.ndarray, other: np.ndarray) -> np.ndarray:
        changed = np.array(leaf)
        changed[rows] = other
        return changed

    return tree.map_leaves(put, policy, others)


def imagined_task(target: Task, model: Model, good: bool) -> Task:
    """The imagined task; a model that is not good is replaced by a still world, for its numbers may not be finite."""
    low, high = target.return_range
    space = target.action_space
    bounds = (space.low, space.high) if isinstance(space, Box) else (0.0, 0.0)
    arrays = {name: value if good else np.zeros_like(value) for name, value in model._asdict().items()}
    del arrays["accuracy"], arrays["teaches"]
    scalars: dict[str, PyTree] = {
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

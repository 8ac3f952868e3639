"""Realignment of a base policy: experience on source and target, paid for, and what follows from it."""

from typing import Any

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.engine import placement, programs, training
from jaxrl_ft.engine.loop import Spec
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.realignment import Experience, Realignment, estimate, realigned
from jaxrl_ft.methods.warm_starts import WarmStart

SOURCE_STEPS = 128
"""Steps of each environment on the source, which the model of its dynamics is fitted to."""


def realign(spec: Spec, base: Policy) -> tuple[Policy, list[Realignment]]:
    """The base policy in terms of the target's sensors and actions, and what was changed, for every run.

    Args:
        spec: the fine-tune; its warm start says how long to watch on the target.
        base: leaves [R, ...].
    """
    source = _watch(spec, base, spec.source, SOURCE_STEPS, 0)
    target = _watch(spec, base, spec.task, spec.method.warm_start.align_steps, 1)
    space = spec.task.action_space
    continuous = isinstance(space, Box)
    num_actions = space.size if isinstance(space, Box) else space.num_actions
    changes = [estimate(ours, theirs, num_actions, continuous) for ours, theirs in zip(source, target)]
    params: list[Any] = []
    statistics: list[Any] = []
    for i, change in enumerate(changes):
        one = tree.take(base, i)
        after = realigned(one.params, one.statistics, change) if change.changes else (one.params, one.statistics)
        params.append(after[0])
        statistics.append(after[1])
    return Policy(tree.stack(params), tree.stack(statistics), base.network), changes


def _watch(spec: Spec, base: Policy, task: Task, num_steps: int, stream: int) -> list[Experience]:
    num = spec.num_runs
    each = tree.repeat(as_arrays(spec.algo), num), base, tree.repeat(task, num)
    streams = np.full(num, stream, np.uint32)
    arguments = placement.put((*each, *training.seeds_of(spec.seed, num), streams), num)
    program = programs.transitions(placement.mesh(), WarmStart.ALIGN_ENVS, num_steps, *arguments)
    first, steps = placement.trim(program, num)
    return [_experience(first[i], tree.take(steps, i)) for i in range(num)]


def _experience(first: Any, steps: Any) -> Experience:
    ended = (steps.terminated | steps.truncated)[:-1]
    starts = np.concatenate([first, steps.obs[1:][ended]])
    obs, action, next_obs = jax.tree.map(
        lambda leaf: leaf.reshape((-1, *leaf.shape[2:])), (steps.obs, steps.action, steps.next_obs)
    )
    return Experience(obs, action, next_obs, starts)

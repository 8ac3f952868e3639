"""A paid look at a task: transitions of a policy that acts by samples, and at random in half of the environments."""

from typing import Any

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.engine import placement, programs
from jaxrl_ft.engine.episodes import Outcome
from jaxrl_ft.engine.group import Spec
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.realignment import Experience

ON_SOURCE, ON_TARGET, BEFORE = range(3)
"""Streams of random numbers."""


def watch(spec: Spec, policy: Policy, task: Task, stream: int) -> tuple[list[Experience], Outcome]:
    """The experience of every run, `look_steps` long, and what the policy's own episodes came to, [R, N / 2].

    Args:
        spec: the runs.
        policy: leaves [R, ...].
        task: where it acts.
        stream: number of the look.
    """
    num, num_envs, num_steps = spec.num_runs, spec.method.LOOK_ENVS, spec.method.look_steps
    each = tree.repeat(as_arrays(spec.algo), num), policy, tree.repeat(task, num)
    streams = np.full(num, stream, np.uint32)
    arguments = placement.put((*each, *spec.seeds, streams), num)
    first, steps = placement.trim(programs.transitions(placement.layout(), num_envs, num_steps, *arguments), num)
    if isinstance(task.action_space, Box):
        # What the task makes of an action beyond its bounds is what the bound does.
        steps = steps._replace(action=np.clip(steps.action, task.action_space.low, task.action_space.high))
    own = jax.tree.map(lambda leaf: leaf[:, :, num_envs // 2 :], (steps.reward, steps.terminated))
    outcome = Outcome(own[0].sum(axis=1), np.full(own[0].shape[::2], num_steps), own[1].sum(axis=1))
    return [_experience(first[i], tree.take(steps, i)) for i in range(num)], outcome


def _experience(first: Any, steps: Any) -> Experience:
    ended = (steps.terminated | steps.truncated)[:-1]
    starts = np.concatenate([first, steps.obs[1:][ended]])
    names = ("obs", "action", "next_obs", "reward", "terminated")
    rows = {name: getattr(steps, name) for name in names}
    flat = {name: leaf.reshape((-1, *leaf.shape[2:])) for name, leaf in rows.items()}
    return Experience(**flat, starts=starts)

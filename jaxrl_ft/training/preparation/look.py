"""A paid look at a task: transitions of a policy that acts by samples, and at random in half of the environments."""

from typing import NamedTuple

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.alignment import Experience
from jaxrl_ft.training.evaluation.episodes import Outcome, expected_return, possible_share, tells_apart
from jaxrl_ft.training.preparation.experience import starts, transitions
from jaxrl_ft.training.spec import Spec

ON_SOURCE, ON_TARGET, BEFORE, BEGINNINGS = range(4)
"""Streams of random numbers."""
_BEGINNINGS = 128


class Look(NamedTuple):
    """What a look has shown of every run's task."""

    experiences: list[Experience]
    """of every run"""
    own: Outcome
    """what the policy's episodes came to, [R, N / 2]"""
    random: Outcome
    """what those with random actions came to, [R, N / 2]"""

    def chance(self, task: Task) -> np.ndarray:
        """Return of random actions, [R]."""
        return expected_return(self.random, task)

    def share(self, task: Task) -> np.ndarray:
        """How far the policy is from random actions towards the best return, [R]; NaN where it cannot be learned."""
        share = possible_share(expected_return(self.own, task), self.chance(task), task.return_range[1])
        return np.where(tells_apart(self.own, self.random), share, np.nan)


def look_at(spec: Spec, policy: Policy, task: Task, stream: int) -> Look:
    """A look of every run at a task, `look.steps` long.

    Args:
        spec: the runs.
        policy: leaves [R, ...].
        task: where it acts.
        stream: number of the look.
    """
    num, num_envs, num_steps = spec.num_runs, spec.method.look.NUM_ENVS, spec.method.look.steps
    each = tree.repeat(as_arrays(spec.algo.actor), num), policy, tree.repeat(task, num)
    streams = np.full(num, stream, np.uint32)
    first, steps = transitions(num_envs, num_steps, *each, spec.seeds, streams)
    if isinstance(task.action_space, Box):
        # What the task makes of an action beyond its bounds is what the bound does.
        steps = steps._replace(action=np.clip(steps.action, task.action_space.low, task.action_space.high))
    random, own = (
        jax.tree.map(lambda leaf, half=half: leaf[:, :, half], (steps.reward, steps.terminated))
        for half in (slice(num_envs // 2), slice(num_envs // 2, None))
    )
    experiences = [_experience(first[i], tree.take(steps, i)) for i in range(num)]
    return Look(experiences, _outcome(*own), _outcome(*random))


def beginnings(spec: Spec, task: Task) -> np.ndarray:
    """How 128 more episodes of the source begin, [R, 128, O]; a reset is no step, and of the source it is free."""
    num = spec.num_runs
    return np.asarray(starts(_BEGINNINGS, tree.repeat(task, num), spec.seeds, np.full(num, BEGINNINGS, np.uint32)))


def experience_before(spec: Spec, policy: Policy) -> list[Experience]:
    """Experience of what the agents knew, of every run, with more starts than the look has; see `look_at`."""
    seen, more = look_at(spec, policy, spec.before, BEFORE).experiences, beginnings(spec, spec.before)
    return [one._replace(starts=np.concatenate([one.starts, more[i]])) for i, one in enumerate(seen)]


def _outcome(reward: np.ndarray, terminated: np.ndarray) -> Outcome:
    """Of rewards and ends [R, T, N]."""
    return Outcome(reward.sum(axis=1), np.full(reward.shape[::2], reward.shape[1]), terminated.sum(axis=1))


def _experience(first: PyTree, steps: PyTree) -> Experience:
    ended = (steps.terminated | steps.truncated)[:-1]
    begun = np.concatenate([first, steps.obs[1:][ended]])
    names = ("obs", "action", "next_obs", "reward", "terminated")
    rows = {name: getattr(steps, name) for name in names}
    flat = {name: leaf.reshape((-1, *leaf.shape[2:])) for name, leaf in rows.items()}
    return Experience(**flat, starts=begun, num_envs=first.shape[0])

"""Realignment of a base policy: experience on source and target, paid for, and what follows from it."""

from typing import Any

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.engine.loop import Spec
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.methods.realignment import Experience, Realignment, estimate, realigned


def realign(
    spec: Spec, base: Policy, source: list[Experience], look: list[Experience]
) -> tuple[Policy, list[Realignment]]:
    """The base policy in terms of the target's sensors and actions, and what was changed, for every run.

    Args:
        spec: the fine-tune.
        base: leaves [R, ...].
        source: experience of the source, of every run.
        look: experience of the target.
    """
    space = spec.task.action_space
    continuous = isinstance(space, Box)
    num_actions = space.size if isinstance(space, Box) else space.num_actions
    changes = [estimate(ours, theirs, num_actions, continuous) for ours, theirs in zip(source, look)]
    params: list[Any] = []
    statistics: list[Any] = []
    for i, change in enumerate(changes):
        one = tree.take(base, i)
        after = realigned(one.params, one.statistics, change) if change.changes else (one.params, one.statistics)
        params.append(after[0])
        statistics.append(after[1])
    return Policy(tree.stack(params), tree.stack(statistics), base.network), changes

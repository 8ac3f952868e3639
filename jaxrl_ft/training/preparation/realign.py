"""Realignment of a base policy: experience on source and target, paid for, and what follows from it."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.methods.alignment import Experience, Realignment
from jaxrl_ft.methods.alignment.realignment import realigned
from jaxrl_ft.training import devices
from jaxrl_ft.training.spec import Spec


def estimates(spec: Spec, source: list[Experience], look: list[Experience]) -> list[Realignment]:
    """What the target's sensors and actions mean in the source's terms, of every run.

    Args:
        spec: the fine-tune.
        source: experience of the source, of every run.
        look: experience of the target.
    """
    space = spec.task.action_space
    continuous = isinstance(space, Box)
    num_actions = space.size if isinstance(space, Box) else space.num_actions
    read = partial(spec.method.alignment.estimate, num_actions=num_actions, continuous=continuous)
    # NumPy computes outside of Python's lock, and runs are read apart.
    with ThreadPoolExecutor(devices.cores()) as threads:
        return list(threads.map(read, source, look))


def realign(policy: Policy, changes: list[Realignment]) -> Policy:
    """Policies of the source, leaves [R, ...], as they read the target's sensors and act on it."""
    params: list[PyTree] = []
    statistics: list[PyTree] = []
    for i, change in enumerate(changes):
        one = tree.take(policy, i)
        after = realigned(one.params, one.statistics, change) if change.changes else (one.params, one.statistics)
        params.append(after[0])
        statistics.append(after[1])
    return Policy(tree.stack(params), tree.stack(statistics), policy.network)

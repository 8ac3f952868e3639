"""What of an agent's parameters fits a target with other observations or actions."""

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.envs.task import Task
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.compatibility import same_sizes


def carry(agents: Agents, target: Task, fresh: Policy) -> Policy:
    """The agents' policy for a target: theirs, or the fresh one with theirs wherever paths and shapes agree."""
    if same_sizes(agents.task, target):
        return agents.policies
    params, statistics = (
        _matching(ours, theirs)
        for ours, theirs in ((agents.params, fresh.params), (agents.statistics, fresh.statistics))
    )
    return Policy(params, statistics, fresh.network)


def _matching(ours: tree.Tree, fresh: tree.Tree) -> tree.Tree:
    # Statistics of one normaliser belong together, and are a node here, not a dict: they are carried as a whole.
    found = tree.flatten(ours)
    chosen = {
        path: found[path] if _alike(found.get(path), leaf) else leaf for path, leaf in tree.flatten(fresh).items()
    }
    return tree.unflatten(chosen)


def _alike(one: object, other: object) -> bool:
    shapes = [[np.shape(leaf) for leaf in jax.tree.leaves(node)] for node in (one, other)]
    return one is not None and shapes[0] == shapes[1]

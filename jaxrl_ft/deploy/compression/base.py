"""What a compression is: how it changes a policy, and how it stores every parameter of it."""

from typing import ClassVar, NamedTuple

import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Leaf
from jaxrl_ft.deploy.compression import packing
from jaxrl_ft.deploy.compression.packing import Packed
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.adapters import Adapter
from jaxrl_ft.methods.method import Method
from jaxrl_ft.nets.mlp import MLP
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.finetune import finetune

EVALS = 11
"""Evaluations of a fine-tuning, the best of which is kept."""
POLICY = "policy"
"""The group of parameters that acts, which alone is compressed."""


class Given(NamedTuple):
    """What a compression works on."""

    agents: Agents
    """the agents as they are"""
    task: Task
    """where they train, if they do"""
    steps: int
    """env steps of each agent for that"""
    seed: int
    """of the random numbers"""
    base: Agents | None = None
    """the agents that these were fine-tuned from"""
    progress: bool = False
    """whether training shows a bar"""


@config
class Compression:
    """The interface; this member stores 32-bit floats."""

    needs_base: ClassVar[bool] = False
    """whether it stores what differs from other agents"""

    @property
    def trains(self) -> bool:
        """Whether it takes env steps."""
        return False

    def refuse(self, given: Given) -> None:
        """Refuse agents that it cannot compress, before anything compiles.

        Raises:
            ValueError: says why.
        """

    def prepare(self, given: Given) -> Agents:
        """The agents whose policies are stored, perhaps pruned, trained or smaller; critics are left alone."""
        return given.agents

    def pack(self, path: str, leaf: Leaf, given: Given) -> Packed:
        """How a parameter of the prepared policies is stored.

        Args:
            path: such as `policy/dense_0/kernel`.
            leaf: of all seeds, [S, ...].
            given: what `prepare` was given.
        """
        return packing.floats(leaf)


def policy_of(agents: Agents) -> dict[str, np.ndarray]:
    """The parameters of the policies by path, [S, ...]."""
    return {path: np.asarray(leaf) for path, leaf in tree.flatten({POLICY: agents.params[POLICY]}).items()}


def with_policy(params: Tree, policy: dict[str, np.ndarray]) -> Tree:
    """All parameters, those of the policies replaced by others by path."""
    return {**params, **tree.unflatten(policy)}


def trained(given: Given, agents: Agents, adapter: Adapter, steps: int, number: int = 0) -> Agents:
    """The agents after fine-tuning through an adapter; of the evaluated policies the best is kept.

    Args:
        given: where, and the seed.
        agents: to start from.
        adapter: what trains, and how it is merged.
        steps: env steps of each agent.
        number: of the training, where there are several.
    """
    seed = (given.seed + number) % 2**32
    method = Method(adapter=adapter)
    return finetune(
        agents, given.task, method, steps=steps, seed=seed, num_evals=EVALS, keep="best", progress=given.progress
    )


def dense(agents: Agents, what: str) -> MLP:
    """The network of agents whose layers can be replaced by narrower ones.

    Raises:
        ValueError: they are not dense, share a trunk with the critic, or have parts that an adapter added.
    """
    network = agents.network
    if not isinstance(network, MLP):
        raise ValueError(
            f"agents: {what} takes dense networks (MLP), not {type(network).__name__}; quantisation, pruning of "
            "weights, low rank and delta take any"
        )
    if network.shared_trunk:
        raise ValueError(f"agents: {what} takes no shared_trunk: the critic reads the policy's hidden layers")
    plain = {*(f"dense_{i}" for i in range(64)), *(f"norm_{i}" for i in range(64)), "head", "log_std"}
    added = sorted(set(agents.params[POLICY]) - plain)
    if added:
        raise ValueError(f"agents: {what} takes no networks with parts that an adapter added ({', '.join(added)})")
    return network

"""Agents: what training returns, S seeds with a leading axis [S], on the host."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.bundle import arrays_digest
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Leaf, Params, PyTree, Statistics
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.catalogue import METHODS
from jaxrl_ft.methods.method import Method
from jaxrl_ft.rl.algorithm import AnyAlgorithm

_BY_SEED = ("params", "statistics", "init_params", "opt_state", "env_steps", "curve", "curve_steps", "kept_steps")
"""Fields whose arrays have a leading axis of seeds."""


@dataclass(frozen=True, eq=False, repr=False)
class Agents:
    """Trained policies of S seeds with all that fine-tuning them needs; array leaves are NumPy, [S, ...].

    Agents are equal where all their arrays have equal bits and all else is equal.
    """

    params: Tree
    """parameters by group, adapters merged"""
    statistics: Tree
    """statistics of the normaliser; empty without one"""
    init_params: Tree
    """parameters before any training"""
    opt_state: PyTree
    """state of the optimizer when the parameters were taken; None for wrapped weights, and where parameters are not
    what it moved"""
    algo: AnyAlgorithm
    """the algorithm that trained them"""
    network: Network
    """the network that reads the parameters"""
    method: Method
    """the method that trained them"""
    source: Task
    """the task they were pretrained on"""
    task: Task
    """the task they were trained on last"""
    env_steps: np.ndarray
    """environment steps spent in all, [S]; of agents that stopped, up to their stop"""
    curve: np.ndarray
    """mean greedy return of each evaluation, [S, K]; an agent that stopped repeats its last one"""
    curve_steps: np.ndarray
    """environment steps spent by each evaluation, [S, K]; an agent that stopped spends no more"""
    kept_steps: np.ndarray
    """environment steps of its last training at which each agent's parameters were taken, an entry of `curve_steps`,
    [S]; 0 without training"""
    trainable: int
    """number of parameters that trained last"""
    status: tuple[str, ...]
    """`ok`, or what went wrong, of each seed"""
    source_steps: int = 0
    """environment steps of source experience that the last method collected, of each seed"""
    report: tuple[str, ...] = ()
    """the transfer report: what happened to every part, a line each"""

    @property
    def num_seeds(self) -> int:
        """The number of seeds S."""
        return len(self.env_steps)

    @property
    def num_parameters(self) -> int:
        """The number of parameters of one agent, policy and critic together."""
        return tree.size(tree.take(self.params, 0))

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all arrays, equal for equal bits."""
        leaves = jax.tree_util.tree_leaves_with_path({name: getattr(self, name) for name in _BY_SEED})
        return arrays_digest({jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves})

    @property
    def policies(self) -> Policy:
        """The policy of every seed, leaves [S, ...]."""
        return Policy(self.params, self.statistics, self.network)

    def policy(self, seed: int) -> Callable[[PyTree], np.ndarray]:
        """The greedy policy of one seed as a function of observations [..., O] to actions [...], for deployment.

        Continuous actions are clipped to the bounds of the task that the agents were trained on last, as that task
        clips them in training and evaluation.

        Args:
            seed: which of the S agents, from 0.

        Raises:
            ValueError: there is no such seed, its parameters or statistics are not finite, or an observation has
                another size.
        """
        checks.count("seed", seed, 0, self.num_seeds - 1)
        policy = tree.take(self.policies, seed)
        if not tree.finite_runs((self.params, self.statistics), self.num_seeds)[seed]:
            raise ValueError(f"seed: {seed!r} is not allowed; its parameters or statistics are not finite")
        size, space = self.task.obs_size, self.task.action_space
        mode = jax.jit(lambda obs: self.algo.distribution(tree.map_leaves(jnp.asarray, policy), obs).mode())

        def act(obs: PyTree) -> np.ndarray:
            obs = np.asarray(obs, np.float32)
            if obs.ndim == 0 or obs.shape[-1] != size:
                raise ValueError(f"obs: shape {obs.shape} is not allowed; the last axis must be {size}")
            action = np.asarray(mode(obs))
            return np.clip(action, space.low, space.high) if isinstance(space, Box) else action

        return act

    def select(self, indices: Leaf) -> "Agents":
        """The agents at the given places, repeated where an index is, or those where a mask [S] is True.

        Raises:
            ValueError: the indices are neither whole numbers from 0 to S - 1 nor a mask [S], or choose no agent.
        """
        indices = np.asarray(indices)
        if indices.shape == (self.num_seeds,) and indices.dtype == bool:
            indices = np.flatnonzero(indices)
        whole = indices.ndim == 1 and indices.dtype.kind in "iu"
        if not whole or not len(indices) or indices.min() < 0 or indices.max() >= self.num_seeds:
            raise ValueError(
                f"indices: {indices.tolist()!r} is not allowed; it must be whole numbers from 0 to "
                f"{self.num_seeds - 1}, or a mask of {self.num_seeds} agents, and choose at least one"
            )
        changes = {name: tree.take(getattr(self, name), indices) for name in _BY_SEED}
        return replace(self, **changes, status=tuple(self.status[i] for i in indices))

    def __eq__(self, other: object) -> bool:
        """Whether all arrays have equal bits and all else is equal."""
        if not isinstance(other, Agents):
            return NotImplemented
        pairs = ((field.name, getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return all(
            tree.bits(ours) == tree.bits(theirs) if name in _BY_SEED else ours == theirs for name, ours, theirs in pairs
        )

    def __hash__(self) -> int:
        """A number that equal agents share."""
        curves = (self.env_steps.tobytes(), self.curve.tobytes())
        return hash((self.algo, self.network, self.method, self.source, self.task, self.status, self.report, *curves))

    def __repr__(self) -> str:
        """Four lines: how many, of which tasks, by which method, and how far they came."""
        name = METHODS.name_of(self.method)
        method = (
            name or f"{type(self.method.adapter).__name__} and {type(self.method.optimizer).__name__}, no named row"
        )
        last = self.curve[:, -1] if self.curve.size else np.zeros(0)
        found = f"{last.mean():.4g} on average, {last.min():.4g} to {last.max():.4g}" if len(last) else "not evaluated"
        steps = span(self.env_steps)
        spent = self.curve_steps[:, -1] if self.curve_steps.size else self.kept_steps
        if self.method.trains and np.any(self.kept_steps != spent):
            found += f"; the policies are those at {span(self.kept_steps)} steps"
        return (
            f"Agents: {self.num_seeds} seeds, {self.num_parameters:,} parameters each, {self.status.count('ok')} ok\n"
            f"  task: {self.task.describe()} (pretrained on {self.source.describe()})\n"
            f"  method: {method}, {steps} environment steps in all\n"
            f"  last greedy return: {found}"
        )


def span(numbers: np.ndarray) -> str:
    """The lowest and the highest of some whole numbers, such as `8,192 to 12,288`, or the one that all are."""
    return " to ".join(f"{number:,}" for number in sorted({int(numbers.min()), int(numbers.max())}))


def join(parts: Sequence[Agents]) -> Agents:
    """Join the agents of one cell whose seeds were trained in parts; reports that differ follow one another."""
    if len(parts) == 1:
        return parts[0]
    changes = {name: tree.concatenate([getattr(part, name) for part in parts]) for name in _BY_SEED}
    reports = list(dict.fromkeys(part.report for part in parts))
    return replace(
        parts[0],
        **changes,
        status=tuple(status for part in parts for status in part.status),
        report=tuple(line for report in reports for line in report),
    )


def scores(agents: Agents, seed: int, obs: np.ndarray) -> np.ndarray:
    """What a policy makes its actions from at obs [M, O]: logits, or the action before it is clipped, [M, A].

    Args:
        agents: S agents.
        seed: which of them, from 0.
        obs: observations.
    """
    policy = tree.take(agents.policies, seed)

    def made(params: Params, statistics: Statistics, obs: Float[Array, "M O"]) -> Float[Array, "M A"]:
        found: PyTree = agents.algo.distribution(Policy(params, statistics, agents.network), obs)
        scored: Float[Array, "M A"] = found.mode() if isinstance(agents.task.action_space, Box) else found.logits
        return scored

    return np.asarray(jax.jit(made)(policy.params, policy.statistics, np.asarray(obs, np.float32)), np.float32)


def check_is_agents(value: object) -> None:
    """Refuse what are no agents.

    Raises:
        ValueError: it is something else.
    """
    checks.kind("agents", value, Agents, "Agents, as ft.pretrain returns")

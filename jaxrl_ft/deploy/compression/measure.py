"""What a policy costs and returns: bytes, multiply-adds, microseconds, and returns on several tasks."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import jax
import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import Leaf
from jaxrl_ft.deploy import parity
from jaxrl_ft.deploy.compression.base import policy_of
from jaxrl_ft.deploy.compression.packing import Packed, floats
from jaxrl_ft.deploy.describe import host, unchecked
from jaxrl_ft.deploy.description import Dense
from jaxrl_ft.envs.catalogue import held_out_grid
from jaxrl_ft.envs.task import Task
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.compatibility import check_sizes
from jaxrl_ft.training.evaluation.evaluate import episode_returns

SOURCE, TARGET, HELD_OUT = "source", "target", "held-out"
Tasks: TypeAlias = Mapping[str, Task | Sequence[Task]]
"""Tasks by name; episode e of a sequence is played on its e-th task, over and over."""
Returns: TypeAlias = Mapping[str, NDArray[np.float64]]
"""Mean greedy returns [S] by the name of the task."""
EVALUATION_SEED = 2
_ROUNDS, _CALLS = 9, 200


class Size(NamedTuple):
    """What the policy of one seed takes, on average over seeds."""

    numbers: int
    """parameters of the policy, zeros included"""
    bytes: float
    """of its parameters and the normaliser's statistics, with all that is needed to read them"""
    stored_bytes: float
    """the same in a file, where each array is deflated if that is shorter"""
    multiply_adds: float | None
    """for one action; products with zero are not counted; None of policies without a description"""
    microseconds: float | None
    """for one action by NumPy, as the export `numpy` has it; weights are dense 32-bit floats there. None likewise"""


class Measured(NamedTuple):
    """What policies take and return."""

    size: Size
    returns: Returns


def default_tasks(agents: Agents) -> Tasks:
    """The source, the target where the agents were fine-tuned to another task, and held-out tasks around it."""
    if agents.source == agents.task:
        return {SOURCE: agents.source}
    held_out = [task for _, task in held_out_grid(agents.source, agents.task)]
    return {SOURCE: agents.source, TARGET: agents.task, **({HELD_OUT: held_out} if held_out else {})}


def checked_tasks(agents: Agents, tasks: Tasks | None) -> Tasks:
    """The tasks, or the default ones.

    Raises:
        ValueError: one of them is no task, or of other sizes than the agents'.
    """
    if tasks is None:
        return default_tasks(agents)
    checks.kind("tasks", tasks, Mapping, "a dict of tasks by name")
    for name, task in tasks.items():
        listed: list[Task] = [task] if isinstance(task, Task) else list(task)
        if not listed:
            raise ValueError(f"tasks: {name!r} has no task")
        for one in listed:
            check_sizes(agents, one)
    return tasks


def returns_on(agents: Agents, tasks: Tasks, episodes: int, seed: int = EVALUATION_SEED) -> Returns:
    """Mean greedy returns of every seed; agents on equal tasks meet equal starts.

    Args:
        agents: S agents.
        tasks: by name.
        episodes: on each task, or on those of a sequence together, rounded up to as many on each of them; none if 0.
        seed: of the starts and the noise.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for name, task in tasks.items() if episodes else ():
        played = [*task] * -(-episodes // len(task)) if isinstance(task, (list, tuple)) else task
        number = None if isinstance(played, list) else episodes
        found[name] = episode_returns(agents, played, episodes=number, seed=seed).mean(axis=1, dtype=np.float64)
    return found


def size_of(agents: Agents, packed: Mapping[str, Packed], statistics: Mapping[str, Packed], timed: bool) -> Size:
    """What the policies of agents take.

    Args:
        agents: whose policies are stored.
        packed: their parameters by path.
        statistics: those of their normalisers.
        timed: whether to measure how long an action takes.
    """
    parts, num = [*packed.values(), *statistics.values()], agents.num_seeds
    return Size(
        numbers=sum(int(np.prod(part.shape[1:])) for part in packed.values()),
        bytes=sum(part.nbytes for part in parts) / num,
        stored_bytes=sum(part.stored for part in parts) / num,
        multiply_adds=multiply_adds(agents, packed),
        microseconds=microseconds(agents) if timed else None,
    )


def plain(leaves: Mapping[str, np.ndarray]) -> dict[str, Packed]:
    """Arrays [S, ...] by name as they are stored without compression."""
    return {name: floats(leaf) for name, leaf in leaves.items()}


def multiply_adds(agents: Agents, packed: Mapping[str, Packed]) -> float | None:
    """Multiply-adds of one action, products with zero left out; None of policies without a description."""
    # A description multiplies every kernel by the number of its places; so it does with shares of its entries.
    policy, leaves = host(agents, 0), policy_of(agents)
    costs: dict[str, Leaf] = dict(tree.flatten(policy.params))
    for path, part in packed.items():
        if path.endswith("/kernel"):
            size = int(np.prod(part.shape[1:]))
            costs[path] = np.full(part.shape[1:], part.multiplications(leaves[path]) / size)
    try:
        steps = unchecked(agents, Policy(tree.unflatten(costs), policy.statistics, agents.network)).steps
    except ValueError:
        return None
    return float(sum(step.places * step.kernel.sum(dtype=np.float64) for step in steps if isinstance(step, Dense)))


def microseconds(agents: Agents) -> float | None:
    """The time of one greedy action on one observation by NumPy, the least of 9 rounds; None without a description."""
    try:
        description = unchecked(agents, host(agents, 0))
    except ValueError:
        return None
    act, obs = description.policy(), parity.observations(description, _CALLS, seed=0)[: _CALLS // 2]
    rounds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for row in obs:
            act(row)
        rounds.append((time.perf_counter() - began) / len(obs) * 1e6)
    # What else the machine does makes a round longer, and never shorter.
    return float(min(rounds))


def statistics_of(agents: Agents) -> dict[str, np.ndarray]:
    """The statistics of the normalisers and action bounds by number, [S, ...]."""
    return {f"{i:03d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(agents.statistics))}

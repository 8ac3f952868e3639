"""The description of an agent's greedy policy, checked against the policy itself."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.deploy import parity
from jaxrl_ft.deploy.chains import Steps, network
from jaxrl_ft.deploy.description import (
    Bounds,
    Description,
    Dueling,
    Floats,
    Normalize,
    Part,
    Squash,
)
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.nets.cnn import CNN
from jaxrl_ft.nets.mlp import MLP
from jaxrl_ft.rl.actor_critic import ActorCritic
from jaxrl_ft.rl.q_learning.q_values import Boltzmann
from jaxrl_ft.rl.q_learning.soft_actor import SoftActor
from jaxrl_ft.training.agents import Agents, check_is_agents, scores

BEST = "best"
"""The seed whose last evaluation returned most, the first among equals."""
Tail: TypeAlias = tuple[str, float, Floats | None]
"""What the outputs are, the temperature, and the logarithm of a Gaussian's deviations."""


def describe(agents: Agents, seed: int | str = BEST) -> Description:
    """The greedy policy of one seed as plain arrays, adapters merged, checked against `agents.policy(seed)`.

    Args:
        agents: S agents.
        seed: which of them, from 0, or `best`.

    Raises:
        ValueError: there is no such seed, it is not finite, or its network or its actions are of a kind that has no
            description; names it.
    """
    number = chosen(agents, seed)
    act = agents.policy(number)
    policy = host(agents, number)
    found = unchecked(agents, policy)
    parity.check(found, act, lambda obs: scores(agents, number, obs), parity.observations(found, 512, seed=0))
    return found


def chosen(agents: Agents, seed: int | str) -> int:
    """The number of a seed.

    Raises:
        ValueError: there is no such seed.
    """
    check_is_agents(agents)
    if not (isinstance(seed, str) and seed == BEST):
        return checks.count("seed", seed, 0, agents.num_seeds - 1)
    finite = tree.finite_runs((agents.params, agents.statistics), agents.num_seeds)
    last = agents.curve[:, -1] if agents.curve.size else np.zeros(agents.num_seeds)
    return int(np.argmax(np.where(finite & np.isfinite(last), last, -np.inf)))


def host(agents: Agents, number: int) -> Policy:
    """The policy of one seed with NumPy leaves."""
    policy = tree.take(agents.policies, number)
    return Policy(*tree.map_leaves(np.asarray, (policy.params, policy.statistics)), policy.network)


def unchecked(agents: Agents, policy: Policy) -> Description:
    """The description of a policy of the agents with NumPy leaves, which nobody has compared with it.

    Raises:
        ValueError: as `describe`.
    """
    actor, space = agents.algo.actor, agents.task.action_space
    reader = _READERS.get(type(actor))
    if reader is None:
        known = ", ".join(kind.__name__ for kind in _READERS)
        raise ValueError(
            f"algo: actions by {type(actor).__name__} have no description (known are {known}); stablehlo takes any "
            "policy"
        )
    if type(policy.network) not in _NETWORKS:
        known = ", ".join(kind.__name__ for kind in _NETWORKS)
        raise ValueError(
            f"network: {type(policy.network).__name__} has no description (known are {known}); stablehlo takes any "
            "policy"
        )
    steps = Steps()
    last = network(steps, policy.params["policy"], policy.network, normalized(steps, policy))
    outputs, temperature, log_std = reader(actor, policy, steps, last)
    bounds = None
    if isinstance(space, Box):
        low, high = (np.broadcast_to(np.asarray(end, np.float32), (space.size,)) for end in (space.low, space.high))
        bounds = Bounds(low.copy(), high.copy())
    return Description(agents.task.obs_size, tuple(steps.found), outputs, bounds, temperature, log_std)


def normalized(steps: Steps, policy: Policy) -> int:
    """The number of the observation as networks see it, with the normaliser as a step where there is one."""
    if "obs" not in policy.statistics:
        return 0
    moments = policy.statistics["obs"]
    scale = 1 / np.sqrt(moments.variance + moments.epsilon, dtype=np.float32)
    return steps.add(Normalize(0, np.asarray(moments.mean), np.asarray(scale, np.float32), float(moments.clip)))


def _of_actor_critic(actor: ActorCritic, policy: Policy, steps: Steps, last: int) -> Tail:
    log_std: PyTree = policy.params["policy"].get("log_std")
    if log_std is None:
        return "logits", 1.0, None
    if actor.squash:
        steps.add(Squash(last, *_ends(policy)))
    low = -np.inf if actor.min_log_std is None else actor.min_log_std
    high = np.inf if actor.max_log_std is None else actor.max_log_std
    return "means", 1.0, np.clip(log_std, low, high).astype(np.float32)


def _of_soft_actor(actor: SoftActor, policy: Policy, steps: Steps, last: int) -> Tail:
    if "action" not in policy.statistics:
        return "logits", 1.0, None
    low, high = _ends(policy)
    steps.add(Squash(steps.add(Part(last, 0, low.size)), low, high))
    return "means", 1.0, None


def _of_boltzmann(actor: Boltzmann, policy: Policy, steps: Steps, last: int) -> Tail:
    if actor.dueling:
        steps.add(Dueling(last))
    return "q_values", float(actor.temperature), None


def _ends(policy: Policy) -> tuple[Floats, Floats]:
    low, high = policy.statistics["action"]
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


_NETWORKS = (MLP, CNN)
_READERS: dict[type, Callable[[PyTree, Policy, Steps, int], Tail]] = {
    ActorCritic: _of_actor_critic,
    SoftActor: _of_soft_actor,
    Boltzmann: _of_boltzmann,
}

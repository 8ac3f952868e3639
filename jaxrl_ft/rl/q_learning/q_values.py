"""Q-networks: values of every action, the policy that they stand for, and how it explores."""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import Key, Params, Scalar, Statistics
from jaxrl_ft.envs.simulator import Discrete
from jaxrl_ft.envs.task import Task
from jaxrl_ft.nets import actor_critic as nets
from jaxrl_ft.rl import actor_critic, on_policy, rollout
from jaxrl_ft.rl.algorithm import Guide, Learner
from jaxrl_ft.rl.distributions import Categorical


@config
class Boltzmann:
    """The policy of a Q-network in the group `policy`: π(a|s) ∝ exp(Q(s, a) / temperature).

    Its mode is the greedy action. Penalties, advice and evaluation by samples see this distribution; exploration while
    training is apart from it.
    """

    temperature: float = 0.1
    """temperature of the distribution, in units of return"""
    dueling: bool = False
    """whether the last layer gives a value and advantages: Q = V + A - mean A (Wang et al. 2016, arXiv:1511.06581)"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"temperature": (1e-6, 1e6)}

    features = staticmethod(actor_critic.features)
    noise = staticmethod(actor_critic.noise)
    random_action = staticmethod(actor_critic.random_action)

    def init_params(self, key: Key, task: Task, network: Network) -> Params:
        """A fresh Q-network `{"policy": ...}`; of a dueling one the value is the last output."""
        outputs = num_actions(task) + self.dueling
        return {"policy": nets.fresh(key, network, "policy", task.obs_size, outputs)}

    def init_statistics(self, task: Task) -> Statistics:
        """None."""
        return {}

    def values(self, policy: Policy, obs: Float[Array, "*B O"]) -> Float[Array, "*B A"]:
        """Q(s, a) of every action, [..., A], at obs [..., O]."""
        outputs = nets.policy_outputs(policy.params, policy.network, actor_critic.normalized(policy, obs))
        if not self.dueling:
            return outputs
        advantage = outputs[..., :-1]
        return outputs[..., -1:] + advantage - advantage.mean(axis=-1, keepdims=True)

    def distribution(self, policy: Policy, obs: Float[Array, "*B O"]) -> Categorical:
        """The Boltzmann distribution at obs [..., O]."""
        return Categorical(self.values(policy, obs) / self.temperature)


def of_action(values: Float[Array, "*B A"], action: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """The values [..., A] of the actions taken, [...]."""
    # A sum over a mask compiles to plain arithmetic; a gather, and the scatter of its gradient, do not.
    choices = jnp.arange(values.shape[-1], dtype=jnp.int32)
    mask = action[..., None] == jax.lax.broadcast_to_rank(choices, action.ndim + 1)
    return jnp.sum(jnp.where(mask, values, 0.0), axis=-1)


def num_actions(task: Task) -> int:
    """How many actions a task has."""
    space = task.action_space
    assert isinstance(space, Discrete)
    return space.num_actions


def check_discrete(name: str, task: Task) -> None:
    """Refuse a task whose actions are not finitely many.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(task.action_space, Discrete):
        raise ValueError(
            f"{name} is not allowed on {task.id}, whose actions are continuous; it takes the action of the highest of "
            "finitely many values; use PPO, A2C, REINFORCE or SAC"
        )


def exploring(
    algo: Learner, policy: Policy, guide: Guide | None, epsilon: Scalar, num_actions: int
) -> Callable[[Array, Array, rollout.Age], Array]:
    """The ε-greedy choice of actions, for a rollout with noise uniform in [0, 1), [N, 2].

    While a guide acts, the greedy action is the guide's.
    """

    def act(obs: Array, noise: Array, age: rollout.Age) -> Array:
        greedy = on_policy.of_actor(algo, lambda d: d.mode(), policy, guide, obs, age)
        drawn = jnp.floor(noise[:, 1] * num_actions).astype(greedy.dtype)
        return jnp.where(noise[:, 0] < epsilon, drawn, greedy)

    return act


def annealed(start: Scalar, end: Scalar, share: Scalar, progress: Scalar) -> Scalar:
    """A number that goes linearly from `start` to `end` over the first `share` of the budget, and stays."""
    return start + (end - start) * jnp.clip(progress / jnp.maximum(share, 1e-9), 0.0, 1.0)


def told(start: float, end: float, share: float) -> str:
    """The schedule of random actions in words."""
    return f"exploration: a random action with chance {start:g}, falling to {end:g} over {share:.0%} of the budget"

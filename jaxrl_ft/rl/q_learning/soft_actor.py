"""The policy and the twin critics of soft actor-critic, for continuous and for discrete actions."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import Key, Params, Statistics
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.nets import actor_critic as nets
from jaxrl_ft.nets import forward
from jaxrl_ft.rl import actor_critic
from jaxrl_ft.rl.distributions import Categorical, DiagGaussian, TanhGaussian


@config
class SoftActor:
    """Actions by the group `policy`: categorical, or a squashed Gaussian whose deviations depend on the observation.

    Continuous actions are those within the bounds of the task that was pretrained on, which are the statistics
    `action`; a target with wider ones is reached no further.
    """

    min_log_std: float = -5.0
    """lower bound of the logarithm of a Gaussian's standard deviation"""
    max_log_std: float = 2.0
    """upper bound of it"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "min_log_std": (-20.0, 20.0),
        "max_log_std": (-20.0, 20.0),
    }

    noise = staticmethod(actor_critic.noise)
    random_action = staticmethod(actor_critic.random_action)

    def check(self) -> None:
        """Refuse bounds that leave nothing between them.

        Raises:
            ValueError: the lower bound is above the upper one.
        """
        if self.min_log_std > self.max_log_std:
            raise ValueError(f"min_log_std: {self.min_log_std} is not allowed; it is above {self.max_log_std}")

    def init_statistics(self, task: Task) -> Statistics:
        """The bounds of continuous actions, under `action`."""
        return {"action": actor_critic.bounds(task)} if isinstance(task.action_space, Box) else {}

    def distribution(self, policy: Policy, obs: Float[Array, "*B O"]) -> Categorical | TanhGaussian:
        """The action distribution at obs [..., O]."""
        outputs = nets.policy_outputs(policy.params, policy.network, actor_critic.normalized(policy, obs))
        if "action" not in policy.statistics:
            return Categorical(outputs)
        mean, log_std = jnp.split(outputs, 2, axis=-1)
        log_std = actor_critic.bounded(log_std, self.min_log_std, self.max_log_std)
        return actor_critic.squashed(DiagGaussian(mean, log_std), policy.statistics["action"])

    def features(self, policy: Policy, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "..."]]:
        """Activations of the hidden layers of the policy and the first critic at obs [..., O], by path.

        A critic of continuous actions reads the policy's own mean action.
        """
        inputs = {"policy": actor_critic.normalized(policy, obs), "value": inputs_of(policy, obs, None)}
        if "action" in policy.statistics:
            inputs["value"] = inputs_of(policy, obs, self.distribution(policy, obs).mode())
        layers = [nets.layers_of(group, policy.params[group], policy.network, x) for group, x in inputs.items()]
        return {path: layer for found in layers for path, layer in found.items()}


def init_params(key: Key, task: Task, network: Network) -> Params:
    """Fresh parameters: `policy` with `log_alpha` [1] at zero, and `value` with a second critic as its part `twin`."""
    space, keys = task.action_space, jax.random.split(key, 3)
    continuous = isinstance(space, Box)
    outputs = 2 * space.size if isinstance(space, Box) else space.num_actions
    inputs = task.obs_size + (space.size if isinstance(space, Box) else 0)
    sizes = [("policy", task.obs_size, outputs), *2 * [("value", inputs, 1 if continuous else outputs)]]
    policy, value, twin = (nets.fresh(key, network, group, size, num) for key, (group, size, num) in zip(keys, sizes))
    return {"policy": {**policy, "log_alpha": jnp.zeros((1,), jnp.float32)}, "value": {**value, "twin": twin}}


def inputs_of(policy: Policy, obs: Float[Array, "*B O"], action: Float[Array, "*B A"] | None) -> Float[Array, "*B _"]:
    """What a critic reads: the observation, and a continuous action on a scale from -1 to 1."""
    x = actor_critic.normalized(policy, obs)
    if action is None:
        return x
    low, high = (jax.lax.broadcast_to_rank(bound, action.ndim) for bound in policy.statistics["action"])
    return jnp.concatenate([x, 2.0 * (action - low) / (high - low) - 1.0], axis=-1)


def twin_values(
    policy: Policy, critics: Params, obs: Float[Array, "*B O"], action: Float[Array, "*B A"] | None
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Both critics' values: of an action [...], or of each of the discrete ones, [..., A].

    Args:
        policy: its network and statistics.
        critics: the group `value`, or that of the target.
        obs: [..., O].
        action: continuous actions [..., A]; None for discrete ones.
    """
    x = inputs_of(policy, obs, action)
    first, second = (forward.apply(params, policy.network, x)[0] for params in (critics, critics["twin"]))
    return (first, second) if action is None else (first[..., 0], second[..., 0])

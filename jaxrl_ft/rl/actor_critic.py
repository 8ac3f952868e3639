"""Functions of all actor-critic algorithms, from policy and observation to distribution, value and features."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import Key, Params
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.nets import actor_critic
from jaxrl_ft.rl import normalizer
from jaxrl_ft.rl.distributions import Categorical, DiagGaussian, Distribution


def init_params(key: Key, task: Task, network: Network) -> Params:
    """Fresh parameters `{"policy": ..., "value": ...}` for the sizes of a task."""
    space = task.action_space
    if isinstance(space, Box):
        return actor_critic.init(key, network, task.obs_size, space.size, gaussian=True)
    return actor_critic.init(key, network, task.obs_size, space.num_actions, gaussian=False)


def normalized(policy: Policy, obs: Float[Array, "*B O"]) -> Float[Array, "*B O"]:
    """Observations as the networks see them, [..., O]: through the normaliser when the policy carries one."""
    return normalizer.normalize(policy.statistics["obs"], obs) if "obs" in policy.statistics else obs


def distribution(policy: Policy, obs: Float[Array, "*B O"]) -> Distribution:
    """The action distribution at obs [..., O]: Gaussian when the policy carries `log_std`, else categorical."""
    outputs = actor_critic.policy_outputs(policy.params, policy.network, normalized(policy, obs))
    if "log_std" in policy.params["policy"]:
        return DiagGaussian(outputs, jax.lax.broadcast_to_rank(policy.params["policy"]["log_std"], outputs.ndim))
    return Categorical(outputs)


def values(policy: Policy, obs: Float[Array, "*B O"]) -> Float[Array, "*B"]:
    """Values [...] at obs [..., O]."""
    return actor_critic.values(policy.params, policy.network, normalized(policy, obs))


def features(policy: Policy, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "*B _"]]:
    """Activations of every hidden layer at obs [..., O], by path, [..., width] each."""
    return actor_critic.features(policy.params, policy.network, normalized(policy, obs))


def random_action(task: Task, noise: Float[Array, "*B A"]) -> Shaped[Array, "..."]:
    """Actions [...] that are uniform over all that a task allows, from `noise` [..., A] as for samples.

    Args:
        task: its bounds of continuous actions are scalars, or have the leading axes of the noise.
        noise: random numbers.
    """
    space = task.action_space
    if isinstance(space, Box):
        low, high = (jnp.asarray(bound)[..., None] for bound in (space.low, space.high))
        return low + (high - low) * jax.scipy.stats.norm.cdf(noise)
    return Categorical(jnp.zeros_like(noise)).sample(noise)


def noise(task: Task, key: Key, shape: tuple[int, ...]) -> Float[Array, "*B A"]:
    """Noise for sampling actions of a task, for `shape` decisions in one call."""
    space = task.action_space
    if isinstance(space, Box):
        return DiagGaussian.noise(key, (*shape, space.size))
    return Categorical.noise(key, (*shape, space.num_actions))

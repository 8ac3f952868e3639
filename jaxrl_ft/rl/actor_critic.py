"""Functions of all actor-critic algorithms, from policy and observation to distribution, value and features."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import Key, Params, Scalar, Statistics
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.nets import actor_critic
from jaxrl_ft.rl import normalizer
from jaxrl_ft.rl.distributions import Categorical, DiagGaussian, Distribution, TanhGaussian


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


def features(policy: Policy, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "..."]]:
    """Activations of every hidden layer at obs [..., O], by path: [..., width], or [..., H, W, channels]."""
    return actor_critic.features(policy.params, policy.network, normalized(policy, obs))


def random_action(task: Task, noise: Float[Array, "*B A"]) -> Shaped[Array, "..."]:
    """Actions [...] that are uniform over all that a task allows, from `noise` [..., A] as for samples.

    Args:
        task: its bounds of continuous actions are [A], or have the last of the leading axes of the noise before it.
        noise: random numbers.
    """
    space = task.action_space
    if isinstance(space, Box):
        low, high = (jax.lax.broadcast_to_rank(jnp.asarray(bound), noise.ndim) for bound in (space.low, space.high))
        return low + (high - low) * jax.scipy.stats.norm.cdf(noise)
    return Categorical(jnp.zeros_like(noise)).sample(noise)


def noise(task: Task, key: Key, shape: tuple[int, ...]) -> Float[Array, "*B A"]:
    """Noise for sampling actions of a task, for `shape` decisions in one call."""
    space = task.action_space
    if isinstance(space, Box):
        return DiagGaussian.noise(key, (*shape, space.size))
    return Categorical.noise(key, (*shape, space.num_actions))


class Bounds(NamedTuple):
    """The bounds of continuous actions [A] that a squashed policy reaches, those of the task it was made for."""

    low: Float[Array, " A"]
    high: Float[Array, " A"]


def bounds(task: Task) -> Bounds:
    """The bounds of a task's continuous actions, [A] each."""
    space = task.action_space
    assert isinstance(space, Box)
    low, high = (jnp.broadcast_to(jnp.asarray(bound, jnp.float32), (space.size,)) for bound in (space.low, space.high))
    return Bounds(low, high)


def bounded(log_std: Float[Array, "*B A"], low: Scalar | None, high: Scalar | None) -> Float[Array, "*B A"]:
    """Log standard deviations [..., A] within bounds; the gradient is that of no bound, so that they can come back."""
    if low is None and high is None:
        return log_std
    return log_std + jax.lax.stop_gradient(jnp.clip(log_std, low, high) - log_std)


def squashed(found: DiagGaussian, limits: Bounds) -> TanhGaussian:
    """The Gaussian squashed into the bounds of a task."""
    low, high = (jax.lax.broadcast_to_rank(bound, found.mean.ndim) for bound in limits)
    return TanhGaussian(found.mean, found.log_std, low, high)


@config
class ActorCritic:
    """Actions by the group `policy`: categorical where they are discrete, a diagonal Gaussian where continuous.

    The task clips what a Gaussian draws beyond the bounds of its actions; a squashed Gaussian draws nothing there.
    """

    squash: bool = False
    """squash continuous actions into their bounds by tanh; they then stay those of the task that was pretrained on"""
    min_log_std: float | None = None
    """lower bound of the logarithm of a Gaussian's standard deviation; none by default"""
    max_log_std: float | None = None
    """upper bound of it"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "min_log_std": (-20.0, 20.0),
        "max_log_std": (-20.0, 20.0),
    }

    features = staticmethod(features)
    noise = staticmethod(noise)
    random_action = staticmethod(random_action)

    def check(self) -> None:
        """Refuse bounds that leave nothing between them.

        Raises:
            ValueError: the lower bound is above the upper one.
        """
        low, high = self.min_log_std, self.max_log_std
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_log_std: {low} is not allowed; it is above max_log_std, {high}")

    def init_statistics(self, task: Task) -> Statistics:
        """The `Bounds` under `action` where actions are squashed into them; else an empty dict."""
        return {"action": bounds(task)} if self.squash and isinstance(task.action_space, Box) else {}

    def distribution(self, policy: Policy, obs: Float[Array, "*B O"]) -> Distribution:
        """The action distribution at obs [..., O]."""
        found = distribution(policy, obs)
        if not isinstance(found, DiagGaussian):
            return found
        found = found._replace(log_std=bounded(found.log_std, self.min_log_std, self.max_log_std))
        return squashed(found, policy.statistics["action"]) if self.squash else found

"""Soft actor-critic."""

import math
from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import Key, Metrics, Params, Scalar
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl import normalizer, on_policy
from jaxrl_ft.rl.algorithm import Guide
from jaxrl_ft.rl.distributions import TanhGaussian
from jaxrl_ft.rl.q_learning import q_values, soft_actor
from jaxrl_ft.rl.q_learning.off_policy import Batch, Carry, OffPolicy
from jaxrl_ft.rl.q_learning.soft_actor import SoftActor
from jaxrl_ft.rl.rollout import Act


@config
class SAC(OffPolicy):
    """Soft actor-critic from a replay, with twin critics and a learned temperature.

    Continuous actions (Haarnoja et al. 2018, arXiv:1812.05905) are a Gaussian squashed into the bounds of the task that
    was pretrained on; of discrete ones (Christodoulou 2019, arXiv:1910.07207) all expectations are sums. The critics
    are the group `value`, the second one its part `twin`; the temperature is the leaf `log_alpha` of the group
    `policy`. All three losses are one sum, in which no gradient of a loss reaches another's parameters.

    When it fine-tunes, the replay is empty at first, the target critics equal those that training starts from, the
    temperature goes on from its value, and what comes before the first update is acted by the policy itself.
    """

    num_envs: int = 4
    """environments stepped side by side"""
    num_steps: int = 8
    """steps of each environment between updates"""
    gradient_steps: int = 32
    """gradient steps in each update"""
    batch_size: int = 64
    """rows of a gradient step"""
    replay_size: int = 20_000
    """transitions that the replay holds, rounded up to whole rollouts"""
    learning_starts: int = 1000
    """environment steps before the first update, rounded up to whole rollouts"""
    random_start: float = 1.0
    """chance of a uniformly random action in these"""
    finetune_random_start: float = 0.0
    """the same when fine-tuning"""
    exploration_hold: int = 1
    """steps of a rollout for which the random numbers that explore stay the same, for exploration that is
    smooth in time (as Raffin et al. 2021, arXiv:2005.05719, resample theirs every n steps)"""
    gamma: float = 0.99
    """discount per step"""
    num_returns: int = 4
    """steps n of which rewards are summed before the value of what follows"""
    target_update: Literal["polyak", "periodic"] = "polyak"
    """target critics: follow at every gradient step, or are replaced every `target_period`"""
    tau: float = 0.02
    """share by which target critics that follow do so"""
    target_period: int = 200
    """gradient steps between replacements of those that are replaced"""
    target_entropy: float | None = None
    """entropy that the temperature holds, in nats; by default minus the number of continuous actions, measured in
    bounds from -1 to 1, or a share `entropy_share` of the highest that discrete ones have"""
    entropy_share: float = 0.2
    """that share"""
    prioritized: bool = False
    """draw rows in proportion to a power of their error instead of uniformly"""
    priority_exponent: float = 0.6
    """that power"""
    importance_exponent: float = 0.4
    """power of the weights that undo its bias at the start; rises to 1 over the budget"""
    normalize_obs: bool = False
    """normalise observations by their running mean and variance"""
    obs_epsilon: float = normalizer.EPSILON
    """added to the variance of observations where they are normalised"""
    obs_clip: float = normalizer.CLIP
    """largest absolute value of a normalised observation"""
    normalize_reward: bool = False
    """divide rewards by the running standard deviation of the discounted return, as it is when they are collected"""
    actor: SoftActor = SoftActor()
    """how the policy's outputs become actions"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        **dict.fromkeys(("gamma", "tau", "random_start", "finetune_random_start", "entropy_share"), (0.0, 1.0)),
        **dict.fromkeys(("priority_exponent", "importance_exponent"), (0.0, 1.0)),
        **dict.fromkeys(("num_envs", "num_steps", "gradient_steps", "batch_size", "num_returns"), (1, 2**20)),
        "exploration_hold": (1, 2**20),
        "target_entropy": (-1e6, 1e6),
        "replay_size": (1, 2**26),
        "learning_starts": (0, 2**26),
        "obs_epsilon": (1e-12, 1e6),
        "obs_clip": (1e-6, 1e30),
    }
    TARGETS: ClassVar[tuple[str, ...]] = ("value",)
    lacks: ClassVar[dict[str, str]] = {
        "ent_coef": "SAC learns the coefficient of its entropy; see algo.target_entropy",
        "kl": "SAC learns from rows of many policies, and measures no divergence from them",
        "shared_trunk": "SAC's critics are networks of their own, whose gradients must not reach the policy",
    }

    def finetuned(self) -> "SAC":
        """The algorithm with the start of fine-tuning."""
        return replace(self, random_start=self.finetune_random_start)

    def init_params(self, key: Key, task: Task, network: Network) -> Params:
        """Fresh parameters of the policy with its temperature, 1, and of the twin critics."""
        return soft_actor.init_params(key, task, network)

    def explorer(self, tasks: Task, policy: Policy, guide: Guide | None, progress: Scalar, warming: bool) -> Act:
        """Samples of the policy, or random actions by chance before the first update."""
        chance = self.random_start if warming else 0.0

        def act(obs: Array, noise: Array, age: Array | None) -> Array:
            own = on_policy.of_actor(self, lambda d: d.sample(noise[:, 1:]), policy, guide, obs, age)
            if not warming:
                return own
            drawn = self.random_action(tasks, noise[:, 1:])
            coin = jax.scipy.stats.norm.cdf(noise[:, 0]) < chance
            return jnp.where(coin.reshape((-1,) + (1,) * (own.ndim - 1)), drawn, own)

        return act

    def exploration_noise(self, key: Key, tasks: Task) -> Float[Array, "T N _"]:
        """A normal number, for the choice to explore, and the noise of a sample, [T, N, 1 + ...]."""
        return self.held(lambda num: self._noise(key, tasks, num))

    def _noise(self, key: Key, tasks: Task, num: int) -> Float[Array, "{num} N _"]:
        coin_key, noise_key = jax.random.split(key)
        coin = jax.random.normal(coin_key, (num, self.num_envs, 1), jnp.float32)
        return jnp.concatenate([coin, self.noise(tasks, noise_key, (num, self.num_envs))], axis=-1)

    def loss_noise(self, key: Key, tasks: Task, num: int) -> Float[Array, "{num} _"] | None:
        """Noise of actions here and of those that follow, [num, 2 A]; none of discrete actions."""
        space = tasks.action_space
        return jax.random.normal(key, (num, 2 * space.size), jnp.float32) if isinstance(space, Box) else None

    def loss(self, policy: Policy, carry: Carry, batch: Batch) -> tuple[Float[Array, ""], Metrics]:
        """The losses of critics, policy and temperature in one sum, on a batch [B, ...].

        L_Q = mean(w/2 [(Q₁(s, a) - y)² + (Q₂(s, a) - y)²]),   y = R + D E[min Q'(s', a') - α log π(a'|s')]
        L_π = mean(E[α log π(a|s) - min Q(s, a)]),   L_α = mean(log α (H(π(·|s)) - H̄))

        a and a' are drawn from the policy as it is now, and E is over them: one draw of continuous actions.
        """
        fixed = jax.lax.stop_gradient(policy)
        log_alpha = policy.params["policy"]["log_alpha"][0]
        alpha = jnp.exp(jax.lax.stop_gradient(log_alpha))
        terms = _continuous if batch.noise is not None else _discrete
        now, after, values = terms(self, policy, fixed, carry.target, batch, alpha)
        target = jax.lax.stop_gradient(batch.reward + batch.discount * after)
        errors = [value - target for value in values]
        each = sum((0.5 * error**2 for error in errors), jnp.zeros_like(target))
        critic = (batch.weight / batch.weight.max() * each).mean()
        entropy = jax.lax.stop_gradient(now.entropy)
        temperature = (log_alpha * (entropy - now.target_entropy)).mean()
        total = critic + now.loss.mean() + temperature
        return total, {
            "loss/value": critic,
            "loss/policy": now.loss.mean(),
            "loss/error": 0.5 * (jnp.abs(errors[0]) + jnp.abs(errors[1])),
            "policy/entropy": entropy.mean(),
            "policy/temperature": alpha,
        }


class _Here(NamedTuple):
    """The policy in the states of a batch, [B]."""

    loss: Float[Array, " B"]
    """E[α log π - min Q], whose gradient is the policy's alone"""
    entropy: Float[Array, " B"]
    """-E log π, in nats"""
    target_entropy: Scalar


_Terms = tuple[_Here, Float[Array, " B"], tuple[Float[Array, " B"], Float[Array, " B"]]]
"""The policy here, the soft value that follows, and both critics' values of the actions taken."""


def _continuous(
    algo: SAC, policy: Policy, fixed: Policy, target: Params, batch: Batch, alpha: Float[Array, ""]
) -> _Terms:
    assert batch.noise is not None
    here, there = (algo.actor.distribution(policy, obs) for obs in (batch.obs, batch.next_obs))
    assert isinstance(here, TanhGaussian) and isinstance(there, TanhGaussian)
    points = [d.mean + jnp.exp(d.log_std) * noise for d, noise in zip((here, there), jnp.split(batch.noise, 2, axis=1))]
    action, log_prob = here.squashed(points[0]), here.log_prob_of(points[0])
    next_action, next_log_prob = there.squashed(points[1]), there.log_prob_of(points[1])
    now = jnp.minimum(*soft_actor.twin_values(policy, fixed.params["value"], batch.obs, action))
    after = jnp.minimum(*soft_actor.twin_values(policy, target["value"], batch.next_obs, next_action))
    values = soft_actor.twin_values(policy, policy.params["value"], batch.obs, batch.action)
    # The entropy is that of actions on a scale from -1 to 1, whatever the units of the task's own.
    unit = jnp.sum(jnp.log(0.5 * (here.high - here.low)), axis=-1)
    size = float(batch.action.shape[-1])
    wanted = -size if algo.target_entropy is None else algo.target_entropy
    return _Here(alpha * log_prob - now, -log_prob - unit, wanted), after - alpha * next_log_prob, values


def _discrete(
    algo: SAC, policy: Policy, fixed: Policy, target: Params, batch: Batch, alpha: Float[Array, ""]
) -> _Terms:
    here, there = (jax.nn.log_softmax(algo.actor.distribution(policy, o)[0]) for o in (batch.obs, batch.next_obs))
    values = soft_actor.twin_values(policy, policy.params["value"], batch.obs, None)
    lowest = jax.lax.stop_gradient(jnp.minimum(*values))
    after = jnp.minimum(*soft_actor.twin_values(policy, target["value"], batch.next_obs, None))
    loss = jnp.sum(jnp.exp(here) * (alpha * here - lowest), axis=-1)
    follows = jnp.sum(jnp.exp(there) * (after - alpha * there), axis=-1)
    entropy = -jnp.sum(jnp.exp(here) * here, axis=-1)
    highest = math.log(here.shape[-1])
    wanted = algo.entropy_share * highest if algo.target_entropy is None else algo.target_entropy
    taken = (q_values.of_action(values[0], batch.action), q_values.of_action(values[1], batch.action))
    return _Here(loss, entropy, wanted), follows, taken

"""REINFORCE."""

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import Key, Metrics, Params
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl import actor_critic, losses, normalizer, on_policy, returns, rollout
from jaxrl_ft.rl.actor_critic import ActorCritic
from jaxrl_ft.rl.algorithm import Guide
from jaxrl_ft.rl.on_policy import Carry, Collector


class Batch(NamedTuple):
    """Flat experience, [B, ...]."""

    obs: Float[Array, "B O"]
    action: Shaped[Array, " B *A"]
    own: Float[Array, " B"]
    """1 where the policy acted, 0 where a guide did"""
    complete: Float[Array, " B"]
    """1 where the episode ended within the rollout"""
    target_value: Float[Array, " B"]
    """the return"""


@config
class REINFORCE(Collector):
    """The Monte-Carlo policy gradient (Williams 1992, doi:10.1007/BF00992696), with or without a baseline.

    One gradient step on each rollout, by the steps whose episode ended in it: nothing else has a return. A rollout is
    at least as long as an episode may be. Episodes that the end of a rollout cuts are so left out from their last
    reset on, which are long ones more often than short ones.
    """

    num_envs: int = 2
    """environments stepped side by side"""
    num_steps: int = 500
    """steps of each environment in a rollout"""
    gamma: float = 0.99
    """discount per step"""
    baseline: Literal["value", "mean", "none"] = "value"
    """what is subtracted from a return: a critic's value, the mean over the batch, or nothing"""
    normalize_advantage: bool = True
    """divide what is left by its standard deviation over the batch"""
    ent_coef: float = 0.0
    """coefficient of the entropy bonus"""
    vf_coef: float = 0.5
    """coefficient of the value loss, where there is a critic"""
    normalize_obs: bool = False
    """normalise observations by their running mean and variance"""
    obs_epsilon: float = normalizer.EPSILON
    """added to the variance of observations where they are normalised"""
    obs_clip: float = normalizer.CLIP
    """largest absolute value of a normalised observation"""
    normalize_reward: bool = False
    """divide rewards by the running standard deviation of the discounted return"""
    actor: ActorCritic = ActorCritic()
    """how the policy's outputs become actions"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "gamma": (0.0, 1.0),
        "obs_epsilon": (1e-12, 1e6),
        "obs_clip": (1e-6, 1e30),
        "num_envs": (1, 2**20),
        "num_steps": (1, 2**20),
    }

    @property
    def lacks(self) -> dict[str, str]:
        """A measured divergence, and a critic where another baseline is chosen."""
        kl = {"kl": "REINFORCE takes one gradient step on a rollout, at which the divergence is 0"}
        critic = {"value": f"REINFORCE with baseline={self.baseline!r} has no critic; use baseline='value'"}
        return kl if self.baseline == "value" else {**kl, **critic}

    def check_task(self, task: Task) -> None:
        """Refuse a task whose episodes may be longer than a rollout.

        Raises:
            ValueError: they may.
        """
        if self.num_steps < task.episode_limit:
            raise ValueError(
                f"num_steps: {self.num_steps} is not allowed for episodes of up to {task.episode_limit} steps, as "
                f"{task.id} has; REINFORCE learns from whole episodes, so give at least as many"
            )

    def gradient_steps_per_update(self) -> int:
        """One."""
        return 1

    def init_params(self, key: Key, task: Task, network: Network) -> Params:
        """Fresh parameters of the policy, and of the value network where it is the baseline."""
        params = actor_critic.init_params(key, task, network)
        return params if self.baseline == "value" else {"policy": params["policy"]}

    def experience(
        self,
        keys: rollout.Keys,
        tasks: Task,
        policy: Policy,
        carry: Carry,
        steps: rollout.Transition,
        moment: Moment,
        guide: Guide | None = None,
    ) -> tuple[Carry, Batch, Int[Array, "G B"], Metrics]:
        """The rows of a rollout with their returns, all of them one batch.

        The actions of a guide teach the critic alone, since a policy gradient needs the policy's own.
        """
        carry, reward, metrics = on_policy.taken_in(self.gamma, carry, steps)
        target, ended = returns.monte_carlo(reward, steps.terminated | steps.truncated, self.gamma)
        own, complete = on_policy.own_rows(guide, steps), ended.astype(jnp.float32)
        # A return that no end completes is no number to learn from, and none to refuse a row by.
        data = Batch(steps.obs, steps.action, own, complete, jnp.where(ended, target, 0.0))
        rows, left_out = rollout.flat_rows(data)
        return carry, rows, on_policy.one_batch(self.steps_per_update()), {**metrics, "rollout/left_out": left_out}

    def loss(self, policy: Policy, carry: Carry, batch: Batch) -> tuple[Float[Array, ""], Metrics]:
        """Policy-gradient loss plus weighted value loss less weighted entropy, on a batch [B, ...].

        L = -mean(log π(a|s) (G - b(s))) + vf_coef 1/2 mean((V(s) - G)²) - ent_coef H,   over complete rows
        """
        distribution = self.distribution(policy, batch.obs)
        weight, advantage = batch.own * batch.complete, batch.target_value
        value_loss = jnp.zeros((), jnp.float32)
        if self.baseline == "value":
            error = batch.target_value - actor_critic.values(policy, batch.obs)
            value_loss = 0.5 * losses.weighted_mean(error**2, batch.complete)
            advantage = jax.lax.stop_gradient(error)
        elif self.baseline == "mean":
            advantage = advantage - losses.weighted_mean(advantage, weight)
        if self.normalize_advantage:
            deviation = advantage - losses.weighted_mean(advantage, weight)
            advantage = advantage / (jnp.sqrt(losses.weighted_mean(deviation**2, weight)) + 1e-8)
        policy_loss = losses.policy_gradient(distribution.log_prob(batch.action), advantage, weight)
        entropy = losses.weighted_mean(distribution.entropy(), batch.complete)
        total = policy_loss + self.vf_coef * value_loss - self.ent_coef * entropy
        return total, {"loss/policy": policy_loss, "loss/value": value_loss, "policy/entropy": entropy}

"""Advantage actor-critic."""

from typing import ClassVar, NamedTuple

from jaxtyping import Array, Float, Int, Shaped

from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import Key, Metrics, Params
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl import actor_critic, losses, normalizer, on_policy, rollout
from jaxrl_ft.rl.actor_critic import ActorCritic
from jaxrl_ft.rl.algorithm import Guide
from jaxrl_ft.rl.on_policy import Carry, Collector


class Batch(NamedTuple):
    """Flat experience, [B, ...]."""

    obs: Float[Array, "B O"]
    action: Shaped[Array, " B *A"]
    own: Float[Array, " B"]
    """1 where the policy acted, 0 where a guide did"""
    advantage: Float[Array, " B"]
    target_value: Float[Array, " B"]


@config
class A2C(Collector):
    """Advantage actor-critic, the synchronous form of A3C (Mnih et al. 2016, arXiv:1602.01783).

    One gradient step on each rollout. With `gae_lambda` 1 the advantages are the paper's: the rewards up to the end of
    the rollout and the value there, so that a step has up to `num_steps` rewards. Below 1 they are generalised
    advantage estimates (Schulman et al. 2016, arXiv:1506.02438).
    """

    num_envs: int = 8
    """environments stepped side by side"""
    num_steps: int = 16
    """steps of each environment in a rollout"""
    gamma: float = 0.99
    """discount per step"""
    gae_lambda: float = 0.95
    """decay of the advantage sum; 1 for n-step returns"""
    ent_coef: float = 0.0
    """coefficient of the entropy bonus"""
    vf_coef: float = 0.5
    """coefficient of the value loss"""
    normalize_advantage: bool = False
    """normalise the advantages of each rollout"""
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
        "gae_lambda": (0.0, 1.0),
        "obs_epsilon": (1e-12, 1e6),
        "obs_clip": (1e-6, 1e30),
        "num_envs": (1, 2**20),
        "num_steps": (1, 2**20),
    }
    lacks: ClassVar[dict[str, str]] = {"kl": "A2C takes one gradient step on a rollout, at which the divergence is 0"}

    def check(self) -> None:
        """Refuse a rollout whose only advantage is 0 once it is normalised.

        Raises:
            ValueError: it has one row.
        """
        if self.normalize_advantage and self.steps_per_update() < 2:
            raise ValueError(
                "normalize_advantage: True is not allowed for rollouts of 1 row, whose advantage becomes 0"
            )

    def gradient_steps_per_update(self) -> int:
        """One."""
        return 1

    def init_params(self, key: Key, task: Task, network: Network) -> Params:
        """Fresh parameters of the policy and value networks."""
        return actor_critic.init_params(key, task, network)

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
        """The rows of a rollout with their advantages, all of them one batch.

        The actions of a guide teach the critic alone, since a policy gradient needs the policy's own.
        """
        carry, reward, metrics = on_policy.taken_in(self.gamma, carry, steps)
        value, advantage = on_policy.advantages(policy, steps, reward, self.gamma, self.gae_lambda)
        data = Batch(steps.obs, steps.action, on_policy.own_rows(guide, steps), advantage, advantage + value)
        rows, left_out = rollout.flat_rows(data)
        return carry, rows, on_policy.one_batch(self.steps_per_update()), {**metrics, "rollout/left_out": left_out}

    def loss(self, policy: Policy, carry: Carry, batch: Batch) -> tuple[Float[Array, ""], Metrics]:
        """Policy-gradient loss plus weighted value loss less weighted entropy, on a batch [B, ...].

        L = -mean(log π(a|s) A) + vf_coef L_value - ent_coef H
        """
        distribution = self.distribution(policy, batch.obs)
        advantage = batch.advantage
        if self.normalize_advantage:
            advantage = losses.weighted_normalized(advantage, batch.own)
        policy_loss = losses.policy_gradient(distribution.log_prob(batch.action), advantage, batch.own)
        value_loss = losses.value_loss(actor_critic.values(policy, batch.obs), batch.target_value)
        entropy = distribution.entropy().mean()
        total = policy_loss + self.vf_coef * value_loss - self.ent_coef * entropy
        return total, {"loss/policy": policy_loss, "loss/value": value_loss, "policy/entropy": entropy}

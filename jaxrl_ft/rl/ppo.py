"""Proximal policy optimisation."""

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
    log_prob: Float[Array, " B"]
    value: Float[Array, " B"]
    advantage: Float[Array, " B"]
    target_value: Float[Array, " B"]


@config
class PPO(Collector):
    """Proximal policy optimisation with clipped surrogate and GAE (Schulman et al. 2017, arXiv:1707.06347)."""

    num_envs: int = 8
    """environments stepped side by side"""
    num_steps: int = 32
    """steps of each environment in a rollout"""
    num_epochs: int = 5
    """passes over each rollout"""
    num_minibatches: int = 8
    """gradient steps in each pass"""
    gamma: float = 0.99
    """discount per step"""
    gae_lambda: float = 0.95
    """decay of the advantage sum"""
    clip_eps: float = 0.2
    """half-width of the probability-ratio clip"""
    value_clip_eps: float | None = None
    """half-width of the value clip; none by default"""
    ent_coef: float = 0.0
    """coefficient of the entropy bonus"""
    vf_coef: float = 0.5
    """coefficient of the value loss"""
    normalize_advantage: bool = True
    """normalise the advantages of each minibatch"""
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

    TELLS_LOG_PROB: ClassVar[bool] = True
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "gamma": (0.0, 1.0),
        "gae_lambda": (0.0, 1.0),
        "obs_epsilon": (1e-12, 1e6),
        "obs_clip": (1e-6, 1e30),
        "num_envs": (1, 2**20),
        "num_steps": (1, 2**20),
        "num_epochs": (1, 1000),
        "num_minibatches": (1, 2**20),
    }

    def check(self) -> None:
        """Refuse a batch that the minibatches do not divide, and minibatches in which every advantage becomes 0.

        Raises:
            ValueError: `num_envs` x `num_steps` is not a multiple of `num_minibatches`, or minibatches of one row.
        """
        on_policy.check_minibatches(self, self.num_minibatches)
        if self.steps_per_update() // self.num_minibatches < 2 and self.normalize_advantage:
            raise ValueError(
                f"num_minibatches: {self.num_minibatches} is not allowed; it makes minibatches of 1 row of a batch of "
                f"{self.steps_per_update()}, whose only advantage is 0 once it is normalised, and the policy would "
                "never change; give at least 2 rows for each, or normalize_advantage=False"
            )

    def gradient_steps_per_update(self) -> int:
        """Minibatches of all passes over a rollout."""
        return self.num_epochs * self.num_minibatches

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
        """The rows of a rollout with their advantages, and E shuffled passes over them.

        The scan runs the actor alone, for actions and their log-probabilities; values are one batched call after it.

        A guide acts while an episode is younger than its horizon. `log_prob` is that of whoever acted, so the ratio
        of a guided row is the policy's to the guide's probability. With a confident guide it is at most about 1 for
        the actions it prefers: those better than the critic expects are imitated until the ratio passes
        1 + clip_eps, and those worse have no gradient once it is below 1 - clip_eps. Of a rare action of the guide
        the ratio may be large, and the clip does not bound its loss when the advantage is negative. Advantages and
        values are those of guide and policy in turn, whom the critic cannot tell apart.

        Rows that are not finite are left out: `tree.finite_rows` puts others in their place. An observation or a reward
        that is not finite takes the advantages of the steps before it in its episode with it.

        Returns:
            carry: statistics with the rollout taken in.
            data: `Batch` of [T * N] rows.
            indices: [num_epochs * num_minibatches, B].
            metrics: sums over the episodes that ended, and the number of rows that were left out, under `rollout/`.
        """
        (order_key,) = keys
        carry, reward, metrics = on_policy.taken_in(self.gamma, carry, steps)
        value, advantage = on_policy.advantages(policy, steps, reward, self.gamma, self.gae_lambda)
        assert steps.log_prob is not None
        data = Batch(steps.obs, steps.action, steps.log_prob, value, advantage, advantage + value)
        rows, left_out = rollout.flat_rows(data)
        indices = rollout.minibatches(order_key, self.steps_per_update(), self.num_epochs, self.num_minibatches)
        return carry, rows, indices, {**metrics, "rollout/left_out": left_out}

    def loss(self, policy: Policy, carry: Carry, batch: Batch) -> tuple[Float[Array, ""], Metrics]:
        """Surrogate loss plus weighted value loss less weighted entropy, on a minibatch [B, ...].

        L = L_clip + vf_coef L_value - ent_coef H
        """
        distribution = self.distribution(policy, batch.obs)
        advantage = losses.normalize_advantage(batch.advantage) if self.normalize_advantage else batch.advantage
        log_ratio = distribution.log_prob(batch.action) - batch.log_prob
        policy_loss = losses.clipped_surrogate(log_ratio, advantage, self.clip_eps)
        value = actor_critic.values(policy, batch.obs)
        if self.value_clip_eps is None:
            value_loss = losses.value_loss(value, batch.target_value)
        else:
            value_loss = losses.clipped_value_loss(value, batch.value, batch.target_value, self.value_clip_eps)
        entropy = distribution.entropy().mean()
        total = policy_loss + self.vf_coef * value_loss - self.ent_coef * entropy
        kl = losses.approximate_kl(log_ratio)
        return total, {"loss/policy": policy_loss, "loss/value": value_loss, "policy/entropy": entropy, "kl": kl}

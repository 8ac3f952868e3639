"""Proximal policy optimisation."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.types import EnvState, Key, Metrics, Params, Statistics
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl import actor_critic, losses, normalizer, returns, rollout
from jaxrl_ft.rl.algorithm import Guide
from jaxrl_ft.rl.distributions import Distribution


class Batch(NamedTuple):
    """Flat experience, [B, ...]."""

    obs: Float[Array, "B O"]
    action: Shaped[Array, " B *A"]
    log_prob: Float[Array, " B"]
    value: Float[Array, " B"]
    advantage: Float[Array, " B"]
    target_value: Float[Array, " B"]


class Carry(NamedTuple):
    """State that lasts from update to update; leaves [N, ...] but for the statistics."""

    obs: Float[Array, "N O"]
    env_state: EnvState
    episodes: rollout.Episodes
    discounted_return: Float[Array, " N"]
    statistics: Statistics


@config
class PPO:
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

    distribution = staticmethod(actor_critic.distribution)
    features = staticmethod(actor_critic.features)
    noise = staticmethod(actor_critic.noise)
    random_action = staticmethod(actor_critic.random_action)

    def check(self) -> None:
        """Refuse a batch that the minibatches do not divide, and minibatches in which every advantage becomes 0.

        Raises:
            ValueError: `num_envs` x `num_steps` is not a multiple of `num_minibatches`, or minibatches of one row.
        """
        rows, rest = divmod(self.steps_per_update(), self.num_minibatches)
        if rest:
            raise ValueError(
                f"num_minibatches: {self.num_minibatches} does not divide the batch of {self.num_envs} environments x "
                f"{self.num_steps} steps = {self.steps_per_update()}"
            )

        if rows < 2 and self.normalize_advantage:
            raise ValueError(
                f"num_minibatches: {self.num_minibatches} is not allowed; it makes minibatches of 1 row of a batch of "
                f"{self.steps_per_update()}, whose only advantage is 0 once it is normalised, and the policy would "
                "never change; give at least 2 rows for each, or normalize_advantage=False"
            )

    def steps_per_update(self) -> int:
        """Environment steps in a rollout."""
        return self.num_envs * self.num_steps

    def gradient_steps_per_update(self) -> int:
        """Minibatches of all passes over a rollout."""
        return self.num_epochs * self.num_minibatches

    def init_params(self, key: Key, task: Task, network: Network) -> Params:
        """Fresh parameters of the policy and value networks."""
        return actor_critic.init_params(key, task, network)

    def init_statistics(self, task: Task) -> Statistics:
        """Empty moments `obs` and `reward`, each only when it is normalised."""
        statistics = {}
        if self.normalize_obs:
            statistics["obs"] = normalizer.init((task.obs_size,), self.obs_epsilon, self.obs_clip)
        if self.normalize_reward:
            statistics["reward"] = normalizer.init()
        return statistics

    def init_carry(self, key: Key, tasks: Task, policy: Policy) -> Carry:
        """N fresh environments, and the policy's statistics to go on from."""
        obs, env_state = rollout.start(key, tasks, self.num_envs)
        zeros = jnp.zeros((self.num_envs,), jnp.float32)
        return Carry(obs, env_state, rollout.Episodes(zeros, zeros), zeros, policy.statistics)

    def collect(
        self, key: Key, tasks: Task, policy: Policy, carry: Carry, guide: Guide | None = None
    ) -> tuple[Carry, Batch, Int[Array, "G B"], Metrics]:
        """A rollout of T x N steps with its advantages, and E shuffled passes over it.

        The scan runs the actor alone; log-probabilities and values are one batched call each after it.

        A guide acts while an episode is younger than its horizon. `log_prob` is that of whoever acted, so the ratio
        of a guided row is the policy's to the guide's probability. With a confident guide it is at most about 1 for
        the actions it prefers: those better than the critic expects are imitated until the ratio passes
        1 + clip_eps, and those worse have no gradient once it is below 1 - clip_eps. Of a rare action of the guide
        the ratio may be large, and the clip does not bound its loss when the advantage is negative. Advantages and
        values are those of guide and policy in turn, whom the critic cannot tell apart.

        Rows that are not finite are left out: `tree.finite_rows` puts others in their place. An observation or a reward
        that is not finite takes the advantages of the steps before it in its episode with it.

        Returns:
            carry: environments where the rollout left them, statistics with the rollout taken in.
            data: `Batch` of [T * N] rows.
            indices: [num_epochs * num_minibatches, B].
            metrics: sums over the episodes that ended, and the number of rows that were left out, under `rollout/`.
        """
        draw_key, noise_key, order_key = jax.random.split(key, 3)
        shape = (self.num_steps, self.num_envs)
        obs, env_state, steps = rollout.rollout(
            tasks,
            lambda obs, noise, age: self.of_actor(lambda d: d.sample(noise), policy, guide, obs, age),
            tasks.draw(draw_key, shape),
            self.noise(tasks, noise_key, shape),
            carry.obs,
            carry.env_state,
            None if guide is None else carry.episodes.episode_length,
        )
        episodes, sums = rollout.count_episodes(carry.episodes, steps)
        reward, discounted, statistics = self._normalize(carry, steps)
        value, next_value = actor_critic.values(policy, jnp.stack([steps.obs, steps.next_obs]))
        done = steps.terminated | steps.truncated
        advantage = returns.gae(reward, value, next_value, steps.terminated, done, self.gamma, self.gae_lambda)
        log_prob = self.of_actor(lambda d: d.log_prob(steps.action), policy, guide, steps.obs, steps.age)
        data = Batch(steps.obs, steps.action, log_prob, value, advantage, advantage + value)
        flat = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), data)
        metrics = {f"rollout/{name}": value for name, value in sums.items()}
        metrics["rollout/left_out"] = (~tree.finite_entries(flat)).sum(dtype=jnp.float32)
        carry = Carry(obs, env_state, episodes, discounted, statistics)
        return carry, tree.finite_rows(flat), self._orders(order_key), metrics

    def of_actor(
        self,
        quantity: Callable[[Distribution], Shaped[Array, "..."]],
        policy: Policy,
        guide: Guide | None,
        obs: Float[Array, "*B O"],
        age: Float[Array, "*B"] | None,
    ) -> Shaped[Array, "..."]:
        """Return the quantity of the acting policy's distribution at obs [..., O] and age [...]."""
        own = quantity(self.distribution(policy, obs))
        if guide is None or age is None:
            return own
        guided = quantity(self.distribution(guide.policy, obs))
        young = (age < guide.horizon).reshape(age.shape + (1,) * (own.ndim - age.ndim))
        return jnp.where(young, guided, own)

    def _normalize(
        self, carry: Carry, steps: rollout.Transition
    ) -> tuple[Float[Array, "T N"], Float[Array, " N"], Statistics]:
        statistics = dict(carry.statistics)
        discounted, reward = carry.discounted_return, steps.reward
        if "obs" in statistics:
            flat = steps.obs.reshape((-1, steps.obs.shape[-1]))
            statistics["obs"] = normalizer.update(statistics["obs"], flat)
        if "reward" in statistics:
            done = steps.terminated | steps.truncated

            def step(total: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
                total = self.gamma * total + inputs[0]
                # What is not finite would stay so until the episode ends.
                return jnp.where(inputs[1] | ~jnp.isfinite(total), 0.0, total), total

            discounted, totals = jax.lax.scan(step, discounted, (reward, done))
            statistics["reward"] = normalizer.update(statistics["reward"], totals.reshape(-1))
            reward = normalizer.scale(statistics["reward"], reward)
        return reward, discounted, statistics

    def _orders(self, key: Key) -> Int[Array, "G B"]:
        num = self.steps_per_update()
        bits = jax.random.bits(key, (self.num_epochs, num), jnp.uint32)
        # Fused with what gathers by it, the sums over a batch would be taken in another order: other bits.
        order: Array = jax.lax.optimization_barrier(rollout.order(bits).astype(jnp.int32))
        return order.reshape((self.num_epochs * self.num_minibatches, -1))

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

    def after_step(self, params: Params, carry: Carry, indices: Int[Array, " B"], metrics: Metrics) -> Carry:
        """Return the carry unchanged."""
        return carry


ALGOS: Table[PPO] = Table("algo")
ALGOS.add("ppo", PPO(), "proximal policy optimisation (arXiv:1707.06347)")

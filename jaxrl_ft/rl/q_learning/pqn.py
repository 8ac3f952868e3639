"""Parallelised Q-network."""

from dataclasses import replace
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import Key, Metrics, Params, Scalar
from jaxrl_ft.envs.task import Task
from jaxrl_ft.nets.catalogue import suited
from jaxrl_ft.nets.mlp import MLP
from jaxrl_ft.rl import losses, normalizer, on_policy, returns, rollout
from jaxrl_ft.rl.algorithm import Guide
from jaxrl_ft.rl.on_policy import Carry, Collector
from jaxrl_ft.rl.q_learning import q_values
from jaxrl_ft.rl.q_learning.q_values import Boltzmann


class Batch(NamedTuple):
    """Flat experience, [B, ...]."""

    obs: Float[Array, "B O"]
    action: Int[Array, " B"]
    target_value: Float[Array, " B"]


@config
class PQN(Collector):
    """Q-learning on parallel environments without replay and target network (Gallici et al. 2024, arXiv:2407.04811).

    Each rollout is learned from in epochs of minibatches, towards λ-returns of the network that collected it. What
    makes it stable is layer norm, which its usual network has.

    When it fine-tunes, exploration begins at `finetune_epsilon`; there is no replay and no target to keep.
    """

    num_envs: int = 16
    """environments stepped side by side"""
    num_steps: int = 16
    """steps of each environment in a rollout"""
    num_epochs: int = 2
    """passes over each rollout"""
    num_minibatches: int = 8
    """gradient steps in each pass"""
    gamma: float = 0.99
    """discount per step"""
    q_lambda: float = 0.85
    """decay λ of the returns; 0 for one-step targets"""
    epsilon_start: float = 1.0
    """chance of a random action at the start"""
    epsilon_end: float = 0.05
    """chance of a random action once exploration has fallen"""
    exploration_share: float = 0.2
    """share of the budget over which that chance falls linearly"""
    finetune_epsilon: float = 0.2
    """chance of a random action at the start of fine-tuning"""
    normalize_obs: bool = False
    """normalise observations by their running mean and variance"""
    obs_epsilon: float = normalizer.EPSILON
    """added to the variance of observations where they are normalised"""
    obs_clip: float = normalizer.CLIP
    """largest absolute value of a normalised observation"""
    normalize_reward: bool = False
    """divide rewards by the running standard deviation of the discounted return"""
    actor: Boltzmann = Boltzmann()
    """the policy that Q-values stand for, and the form of the network's last layer"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        **dict.fromkeys(("gamma", "q_lambda", "epsilon_start", "epsilon_end", "finetune_epsilon"), (0.0, 1.0)),
        "exploration_share": (0.0, 1.0),
        "obs_epsilon": (1e-12, 1e6),
        "obs_clip": (1e-6, 1e30),
        "num_envs": (1, 2**20),
        "num_steps": (1, 2**20),
        "num_epochs": (1, 1000),
        "num_minibatches": (1, 2**20),
    }
    lacks: ClassVar[dict[str, str]] = {
        "value": "PQN has one network, the Q-network that acts, and no critic beside it",
        "ent_coef": "PQN has no entropy bonus; it explores by chance, see algo.finetune_epsilon",
        "kl": "PQN measures no divergence from the policy that collected",
    }

    def check(self) -> None:
        """Refuse a batch that the minibatches do not divide.

        Raises:
            ValueError: `num_envs` x `num_steps` is not a multiple of `num_minibatches`.
        """
        on_policy.check_minibatches(self, self.num_minibatches)

    def check_task(self, task: Task) -> None:
        """Refuse continuous actions."""
        q_values.check_discrete("PQN", task)

    def finetuned(self) -> "PQN":
        """The algorithm with exploration as in fine-tuning."""
        return replace(self, epsilon_start=self.finetune_epsilon)

    def beginnings(self) -> tuple[str, ...]:
        """Of exploration."""
        return (q_values.told(self.epsilon_start, self.epsilon_end, self.exploration_share),)

    def gradient_steps_per_update(self) -> int:
        """Minibatches of all passes over a rollout."""
        return self.num_epochs * self.num_minibatches

    def usual_network(self, task: Task) -> Network:
        """Two layers of 64 relu units, or convolutions for images; with layer norm."""
        return suited(MLP(activation="relu", layer_norm=True), task.obs_shapes)

    def init_params(self, key: Key, task: Task, network: Network) -> Params:
        """Fresh parameters of the Q-network, in the group `policy`."""
        return self.actor.init_params(key, task, network)

    def behaviour(
        self,
        keys: rollout.Keys,
        tasks: Task,
        policy: Policy,
        moment: Moment,
        guide: Guide | None = None,
        warming: bool = False,
    ) -> rollout.Behaviour:
        """The ε-greedy choice."""
        draw_key, noise_key = keys
        act = q_values.exploring(self, policy, guide, self._epsilon(moment), q_values.num_actions(tasks))
        noise = jax.random.uniform(noise_key, (self.num_steps, self.num_envs, 2), jnp.float32)
        return rollout.Behaviour(act, noise, draw_key)

    def _epsilon(self, moment: Moment) -> Scalar:
        return q_values.annealed(self.epsilon_start, self.epsilon_end, self.exploration_share, moment.progress)

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
        """The rows of a rollout with their λ-returns, and E shuffled passes over them."""
        (order_key,) = keys
        carry, reward, metrics = on_policy.taken_in(self.gamma, carry, steps)
        next_value = self.actor.values(policy, steps.next_obs).max(axis=-1)
        done = steps.terminated | steps.truncated
        target = returns.q_lambda(reward, next_value, steps.terminated, done, self.gamma, self.q_lambda)
        rows, left_out = rollout.flat_rows(Batch(steps.obs, steps.action, target))
        indices = rollout.minibatches(order_key, self.steps_per_update(), self.num_epochs, self.num_minibatches)
        epsilon = jnp.asarray(self._epsilon(moment))
        return carry, rows, indices, {**metrics, "rollout/left_out": left_out, "rollout/epsilon": epsilon}

    def loss(self, policy: Policy, carry: Carry, batch: Batch) -> tuple[Float[Array, ""], Metrics]:
        """Half the mean squared distance of Q(s, a) from the λ-return, on a minibatch [B, ...]."""
        values = self.actor.values(policy, batch.obs)
        loss = losses.value_loss(q_values.of_action(values, batch.action), batch.target_value)
        return loss, {"loss/value": loss, "policy/value": values.max(axis=-1).mean()}

"""Deep Q-network."""

from dataclasses import replace
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import Key, Metrics, Params, Scalar
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl import losses, normalizer
from jaxrl_ft.rl.algorithm import Guide
from jaxrl_ft.rl.q_learning import q_values
from jaxrl_ft.rl.q_learning.off_policy import Batch, Carry, OffPolicy
from jaxrl_ft.rl.q_learning.q_values import Boltzmann
from jaxrl_ft.rl.rollout import Act


@config
class DQN(OffPolicy):
    """Q-learning from a replay, towards a target network (Mnih et al. 2015, doi:10.1038/nature14236).

    The Q-network is the group `policy`, for it acts, and there is no other. Choices: double (van Hasselt et al. 2016,
    arXiv:1509.06461), dueling (`actor.dueling`), returns of n steps, which the end of a rollout shortens, and
    prioritised replay (Schaul et al. 2016, arXiv:1511.05952). The rows of all gradient steps of an update are drawn
    before the first of them.

    When it fine-tunes, the replay is empty at first, the target network equals the network that training starts from,
    the temperature stays, and exploration begins at `finetune_epsilon`. Rows of the source come with the method
    `replay`.
    """

    num_envs: int = 4
    """environments stepped side by side"""
    num_steps: int = 8
    """steps of each environment between updates"""
    gradient_steps: int = 16
    """gradient steps in each update"""
    batch_size: int = 64
    """rows of a gradient step"""
    replay_size: int = 20_000
    """transitions that the replay holds, rounded up to whole rollouts"""
    learning_starts: int = 1000
    """environment steps before the first update, rounded up to whole rollouts"""
    gamma: float = 0.99
    """discount per step"""
    num_returns: int = 4
    """steps n of which rewards are summed before the value of what follows"""
    double: bool = True
    """whether the network itself chooses the action whose value the target network tells"""
    target_update: Literal["polyak", "periodic"] = "polyak"
    """target network: follows at every gradient step, or is replaced every `target_period`"""
    tau: float = 0.02
    """share by which a target network that follows does so"""
    target_period: int = 200
    """gradient steps between replacements of one that is replaced"""
    huber: float | None = 1.0
    """error beyond which the loss is linear; none for squares"""
    epsilon_start: float = 1.0
    """chance of a random action at the start and while warming up"""
    epsilon_end: float = 0.05
    """chance of a random action once exploration has fallen"""
    exploration_share: float = 0.2
    """share of the budget over which that chance falls linearly"""
    finetune_epsilon: float = 0.2
    """chance of a random action at the start of fine-tuning"""
    exploration_hold: int = 1
    """steps of a rollout for which the random numbers that explore stay the same, so that a random
    action lasts (as in Dabney et al. 2021, arXiv:2006.01782, with one length)"""
    prioritized: bool = False
    """draw rows in proportion to a power of their error instead of uniformly"""
    priority_exponent: float = 0.6
    """that power"""
    importance_exponent: float = 0.4
    """power β of the weights that undo its bias at the start; rises to 1 over the budget"""
    normalize_obs: bool = False
    """normalise observations by their running mean and variance"""
    obs_epsilon: float = normalizer.EPSILON
    """added to the variance of observations where they are normalised"""
    obs_clip: float = normalizer.CLIP
    """largest absolute value of a normalised observation"""
    normalize_reward: bool = False
    """divide rewards by the running standard deviation of the discounted return, as it is when they are collected"""
    actor: Boltzmann = Boltzmann()
    """the policy that Q-values stand for, and the form of the network's last layer"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        **dict.fromkeys(("gamma", "tau", "epsilon_start", "epsilon_end", "finetune_epsilon"), (0.0, 1.0)),
        **dict.fromkeys(("exploration_share", "priority_exponent", "importance_exponent"), (0.0, 1.0)),
        **dict.fromkeys(("num_envs", "num_steps", "gradient_steps", "batch_size", "num_returns"), (1, 2**20)),
        "exploration_hold": (1, 2**20),
        "huber": (1e-6, 1e9),
        "replay_size": (1, 2**26),
        "learning_starts": (0, 2**26),
        "obs_epsilon": (1e-12, 1e6),
        "obs_clip": (1e-6, 1e30),
    }
    TARGETS: ClassVar[tuple[str, ...]] = ("policy",)
    lacks: ClassVar[dict[str, str]] = {
        "value": "DQN has one network, the Q-network that acts, and no critic beside it",
        "ent_coef": "DQN has no entropy bonus; it explores by chance, see algo.finetune_epsilon",
        "kl": "DQN learns from rows of many policies, and measures no divergence from them",
    }

    def check_task(self, task: Task) -> None:
        """Refuse continuous actions."""
        q_values.check_discrete("DQN", task)

    def finetuned(self) -> "DQN":
        """The algorithm with exploration as in fine-tuning."""
        return replace(self, epsilon_start=self.finetune_epsilon)

    def init_params(self, key: Key, task: Task, network: Network) -> Params:
        """Fresh parameters of the Q-network, in the group `policy`."""
        return self.actor.init_params(key, task, network)

    def beginnings(self) -> tuple[str, ...]:
        """Of replay, target network and exploration."""
        return (*super().beginnings(), q_values.told(self.epsilon_start, self.epsilon_end, self.exploration_share))

    def explorer(self, tasks: Task, policy: Policy, guide: Guide | None, progress: Scalar, warming: bool) -> Act:
        """The ε-greedy choice."""
        epsilon = q_values.annealed(self.epsilon_start, self.epsilon_end, self.exploration_share, progress)
        return q_values.exploring(self, policy, guide, epsilon, q_values.num_actions(tasks))

    def exploration_noise(self, key: Key, tasks: Task) -> Float[Array, "T N _"]:
        """Uniform numbers, whether to explore and by which action, [T, N, 2]."""
        return self.held(lambda num: jax.random.uniform(key, (num, self.num_envs, 2), jnp.float32))

    def loss(self, policy: Policy, carry: Carry, batch: Batch) -> tuple[Float[Array, ""], Metrics]:
        """The weighted mean of the Huber loss of Q(s, a) - y, or half its square, on a batch [B, ...].

        y = R + D Q'(s', a'),   a' the best by Q where double, else by Q', the target network
        """
        values = self.actor.values(policy, batch.obs)
        after = self.actor.values(policy._replace(params=carry.target), batch.next_obs)
        best = after if not self.double else self.actor.values(policy, batch.next_obs)
        follows = q_values.of_action(after, best.argmax(axis=-1).astype(jnp.int32))
        error = q_values.of_action(values, batch.action) - jax.lax.stop_gradient(
            batch.reward + batch.discount * follows
        )
        each = 0.5 * error**2 if self.huber is None else losses.huber(error, self.huber)
        loss = (batch.weight / batch.weight.max() * each).mean()
        return loss, {"loss/value": loss, "loss/error": jnp.abs(error), "policy/value": values.max(axis=-1).mean()}

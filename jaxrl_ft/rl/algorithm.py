"""What the engine asks of an algorithm."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl.distributions import Distribution

Metrics = dict[str, jax.Array]


class Guide(NamedTuple):
    """Who acts at the start of every episode in the place of the policy (Uchendu et al. 2023, arXiv:2204.02372)."""

    policy: Policy
    """acts with its own statistics; its actions are those of the policy it guides"""
    horizon: jax.Array
    """acts while the steps since the reset are fewer, a scalar"""


@runtime_checkable
class Algorithm(Protocol):
    """A config with a handful of pure methods; the engine never asks which algorithm it drives.

    An algorithm hands the engine flat `data` and integer `indices` [G, B]; the engine takes G gradient steps, each on
    `data[indices[g]]`.
    """

    def init_params(self, key: jax.Array, task: Task, network: Any) -> Tree:
        """Fresh parameters of every network, in groups."""

    def init_statistics(self, task: Task) -> Tree:
        """Statistics of a normaliser that has seen nothing; an empty dict without one."""

    def init_carry(self, key: jax.Array, tasks: Task, policy: Policy) -> Any:
        """What lasts from update to update: simulator states, running statistics, replay, target networks.

        The carry has an attribute `statistics`.
        """

    def collect(
        self, key: jax.Array, tasks: Task, policy: Policy, carry: Any, guide: Guide | None = None
    ) -> tuple[Any, Any, jax.Array, Metrics]:
        """The new carry, flat data [M, ...], indices [G, B] into it, and metrics of the rollout.

        With a guide, the data tell of whoever acted. Rows that are not finite enter neither the data nor the statistics
        of the carry; `rollout/left_out` among the metrics counts them.
        """

    def loss(self, policy: Policy, carry: Any, batch: Any) -> tuple[jax.Array, Metrics]:
        """The scalar loss on a batch [B, ...], and its metrics; `kl` among them drives KL-aware optimizers."""

    def after_step(self, params: Tree, carry: Any, indices: jax.Array, metrics: Metrics) -> Any:
        """The carry after a gradient step: target networks, priorities; the identity unless needed."""

    def steps_per_update(self) -> int:
        """Environment steps that one update consumes."""

    def gradient_steps_per_update(self) -> int:
        """Gradient steps G that one update takes."""

    @staticmethod
    def distribution(policy: Policy, obs: jax.Array) -> Distribution:
        """The action distribution at obs [..., O]."""

    @staticmethod
    def features(policy: Policy, obs: jax.Array) -> dict[str, jax.Array]:
        """Activations of every hidden layer at obs [..., O]."""

    @staticmethod
    def random_action(task: Task, noise: jax.Array) -> jax.Array:
        """Actions [...] uniform over all that a task allows, from `noise` [..., A]."""

    @staticmethod
    def noise(task: Task, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Random numbers for sampling `shape` actions of a task's distribution, from one call."""

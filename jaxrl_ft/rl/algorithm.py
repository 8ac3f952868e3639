"""The protocol of an algorithm."""

from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

from jaxtyping import Array, Float, Int, Shaped

from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import Key, Metrics, Params, PyTree, Statistics
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl.distributions import Distribution


@runtime_checkable
class HasStatistics(Protocol):
    """A carry, which lasts from update to update; its other fields belong to the algorithm."""

    @property
    def statistics(self) -> Statistics:
        """The running statistics of the normaliser."""
        ...


Carry = TypeVar("Carry", bound=HasStatistics)
Batch = TypeVar("Batch")


class Guide(NamedTuple):
    """A policy that acts at the start of every episode (Uchendu et al. 2023, arXiv:2204.02372)."""

    policy: Policy
    """acts with its own statistics; its actions are those of the policy it guides"""
    horizon: Float[Array, ""]
    """acts while the steps since the reset are fewer, a scalar"""


@runtime_checkable
class Algorithm(Protocol[Carry, Batch]):
    """A config with a handful of pure methods; training calls them without a case for any algorithm.

    An algorithm hands the engine flat `data` and integer `indices` [G, B]; the engine takes G gradient steps, each on
    `data[indices[g]]`. It is generic in its carry, which lasts from update to update, and in its data.
    """

    @property
    def num_envs(self) -> int:
        """Environments stepped side by side."""
        ...

    @property
    def gamma(self) -> float:
        """The discount per step."""
        ...

    def init_params(self, key: Key, task: Task, network: Network) -> Params:
        """Fresh parameters of every network, in groups."""

    def init_statistics(self, task: Task) -> Statistics:
        """Statistics of an empty normaliser; an empty dict without one."""

    def init_carry(self, key: Key, tasks: Task, policy: Policy) -> Carry:
        """The first carry: simulator states, running statistics, replay, target networks."""

    def collect(
        self, key: Key, tasks: Task, policy: Policy, carry: Carry, guide: Guide | None = None
    ) -> tuple[Carry, Batch, Int[Array, "G B"], Metrics]:
        """The new carry, flat data [M, ...], indices [G, B] into it, and metrics of the rollout.

        With a guide, the data tell of whoever acted. Rows that are not finite enter neither the data nor the statistics
        of the carry; `rollout/left_out` among the metrics counts them.
        """

    def loss(self, policy: Policy, carry: Carry, batch: Batch) -> tuple[Float[Array, ""], Metrics]:
        """The scalar loss on a batch [B, ...], and its metrics; `kl` among them drives KL-aware optimizers."""

    def after_step(self, params: Params, carry: Carry, indices: Int[Array, " B"], metrics: Metrics) -> Carry:
        """The carry after a gradient step: target networks, priorities; the identity unless needed."""

    def steps_per_update(self) -> int:
        """Environment steps that one update consumes."""

    def gradient_steps_per_update(self) -> int:
        """Gradient steps G that one update takes."""

    def distribution(self, policy: Policy, obs: Float[Array, "*B O"]) -> Distribution:
        """The action distribution at obs [..., O]."""

    def features(self, policy: Policy, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "*B _"]]:
        """Activations of every hidden layer at obs [..., O]."""

    def random_action(self, task: Task, noise: Float[Array, "*B A"]) -> Shaped[Array, "..."]:
        """Actions [...] uniform over all that a task allows, from `noise` [..., A]."""

    def noise(self, task: Task, key: Key, shape: tuple[int, ...]) -> Float[Array, "*B A"]:
        """Random numbers for sampling `shape` actions of a task's distribution, from one call."""


AnyAlgorithm: TypeAlias = Algorithm[Any, PyTree]
"""An algorithm with a carry and data of any kind."""

"""The policy, and what other modules may use of networks, distributions and experience."""

from typing import NamedTuple, Protocol, Self, runtime_checkable

from jaxtyping import Array, Float

from jaxrl_ft.core.types import Params, Statistics


@runtime_checkable
class Network(Protocol):
    """The config of a pair of networks; all of its fields are static."""

    @property
    def activation(self) -> str:
        """The name of the non-linearity of the hidden layers."""
        ...

    @property
    def layer_norm(self) -> bool:
        """Whether each hidden layer is normalised before its activation."""
        ...

    def widths(self, group: str) -> tuple[int, ...]:
        """Units in each hidden layer of `policy` or `value`, from the input on."""
        ...

    def with_widths(self, policy: tuple[int, ...], value: tuple[int, ...]) -> Self:
        """The config with these hidden layers."""
        ...


class Policy(NamedTuple):
    """Network parameters, the normaliser's statistics, and the config of the network that reads them."""

    params: Params
    """nested dict with the groups `policy` and `value`"""
    statistics: Statistics
    """running statistics of the normaliser; an empty dict when nothing is normalised"""
    network: Network
    """without leaves: all of its fields are static"""


@runtime_checkable
class ActionDistribution(Protocol):
    """A distribution over actions, a pytree of arrays."""

    def kl(self, other: Self) -> Float[Array, "..."]:
        """The divergence of the other distribution from this one, in nats."""
        ...


@runtime_checkable
class Behaviour(Protocol):
    """The part of an algorithm that methods use: its action distribution and its hidden activations."""

    def distribution(self, policy: Policy, obs: Float[Array, "*B O"]) -> ActionDistribution:
        """The action distribution at obs [..., O]."""
        ...

    def features(self, policy: Policy, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "*B _"]]:
        """Activations of every hidden layer at obs [..., O], by path."""
        ...


@runtime_checkable
class Experience(Protocol):
    """Rows of experience [M, ...]; fields beside `obs` belong to the algorithm that collected them."""

    @property
    def obs(self) -> Float[Array, "M O"]:
        """The observations."""
        ...

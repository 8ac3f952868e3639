"""The policy, and what other modules may use of networks, distributions and experience."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, Self, runtime_checkable

from jaxtyping import Array, Float

from jaxrl_ft.core.types import Params, Statistics


class Geometry(NamedTuple):
    """How a convolution moves over its image."""

    stride: int = 1
    """pixels from one place of the kernel to the next"""
    same: bool = False
    """whether the image is padded with zeros, so that with stride 1 it keeps its size"""


@runtime_checkable
class Network(Protocol):
    """The config of the networks of an agent; all of its fields are static."""

    @property
    def activation(self) -> str:
        """The name of the non-linearity of the hidden layers."""
        ...

    @property
    def layer_norm(self) -> bool:
        """Whether each hidden layer is normalised before its activation."""
        ...

    @property
    def shared_trunk(self) -> bool:
        """Whether the critic is a head on the policy's last hidden layer, in the place of a network of its own."""
        ...

    @property
    def image(self) -> tuple[int, ...]:
        """Height, width and channels of the image that an observation is; empty where it is read as a vector."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """What it asks for of an algorithm, as `rl.Algorithm.lacks` names it: the fields that ask for it."""
        ...

    @property
    def lacks(self) -> Mapping[str, str]:
        """What parts of a method may ask for and these networks have not, each with the reason.

        Known are `obs_entries` (weights for each entry of an observation) and `critic_layers` (hidden layers that are
        the critic's own).
        """
        ...

    def reading(self, shapes: Mapping[str, tuple[int, ...]]) -> Self:
        """The config for observations that consist of these parts, by name and in order.

        Raises:
            ValueError: it cannot read them.
        """
        ...

    def kernel_shapes(self, group: str, inputs: int, outputs: int) -> tuple[tuple[int, ...], ...]:
        """The shapes of the kernels of `policy` or `value`, from the input to the head.

        Args:
            group: which network.
            inputs: numbers of an observation, and of an action behind it where a critic reads one.
            outputs: numbers of the output.
        """
        ...

    def geometry(self, layer: int) -> Geometry:
        """How the hidden layer of this number moves over its image, where it is a convolution."""
        ...

    def widths(self, group: str) -> tuple[int, ...]:
        """Units in each hidden layer of `policy` or `value`, from the input on; channels of a convolution."""
        ...

    def widened(self, width: int) -> Self:
        """The config with so many units in each dense hidden layer."""
        ...

    def deepened(self) -> Self:
        """The config with one more dense hidden layer, as wide as the last."""
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

    def features(self, policy: Policy, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "..."]]:
        """Activations of every hidden layer at obs [..., O], by path: [..., width], or [..., H, W, channels]."""
        ...


@runtime_checkable
class Experience(Protocol):
    """Rows of experience [M, ...]; fields beside `obs` belong to the algorithm that collected them."""

    @property
    def obs(self) -> Float[Array, "M O"]:
        """The observations."""
        ...

"""Multilayer perceptrons."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Geometry


@config
class MLP:
    """Multilayer perceptrons for policy and value, separate and alike unless widths of their own are given."""

    width: int = 64
    """units in each hidden layer of a network without widths of its own"""
    depth: int = 2
    """number of hidden layers of a network without widths of its own; 0 makes a linear policy, beside a `value` with
    widths of its own"""
    policy: tuple[int, ...] = ()
    """units in each hidden layer of the policy, from the input on, such as (128, 32); `depth` times `width` if empty"""
    value: tuple[int, ...] = ()
    """the same for the value network"""
    activation: Literal["tanh", "relu", "swish"] = "tanh"
    """non-linearity of the hidden layers"""
    layer_norm: bool = False
    """normalise each hidden layer before its activation (Ba et al. 2016, arXiv:1607.06450)"""
    shared_trunk: bool = False
    """the value is a head on the policy's hidden layers, in the place of a network of its own"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "width": (1, 8192),
        "depth": (0, 64),
        "policy": (1, 8192),
        "value": (1, 8192),
    }

    def check(self) -> None:
        """Refuse more hidden layers than `depth` may be, a linear value, and layers of its own beside a shared trunk.

        Raises:
            ValueError: a network has more, or the value has some or none.
        """
        for name, given in (("policy", self.policy), ("value", self.value)):
            if len(given) > self.BOUNDS["depth"][1]:
                raise ValueError(f"{name}: {len(given)} layers are not allowed; at most {self.BOUNDS['depth'][1]} are")
        if not self.depth and not self.value:
            raise ValueError("depth: 0 is not allowed without `value`; a policy may be linear, a value network may not")
        if self.shared_trunk and self.value:
            raise ValueError(f"value: {self.value} is not allowed with shared_trunk, which has the policy's layers")

    @property
    def image(self) -> tuple[int, ...]:
        """None: observations are read as vectors."""
        return ()

    @property
    def needs(self) -> tuple[str, ...]:
        """Of a shared trunk, a critic that can share it."""
        return ("shared_trunk",) if self.shared_trunk else ()

    @property
    def lacks(self) -> Mapping[str, str]:
        """Of a shared trunk, hidden layers that are the critic's own; of a linear policy, a layer for observations."""
        linear = {} if self.widths("policy") else {"obs_entries": "the policy is linear: its one layer is the output's"}
        return {"critic_layers": NO_CRITIC_LAYERS, **linear} if self.shared_trunk else linear

    def reading(self, shapes: Mapping[str, tuple[int, ...]]) -> "MLP":
        """The config itself, which reads every observation as a vector."""
        return self

    def kernel_shapes(self, group: str, inputs: int, outputs: int) -> tuple[tuple[int, ...], ...]:
        """The shapes [in, out] of the kernels of a group; of a head on a shared trunk it is one."""
        if group != "policy" and self.shared_trunk:
            return ((self.widths("policy")[-1], outputs),)
        return tuple(itertools.pairwise((inputs, *self.widths(group), outputs)))

    def geometry(self, layer: int) -> Geometry:
        """The usual one, for there is no convolution."""
        return Geometry()

    def widths(self, group: str) -> tuple[int, ...]:
        """Units in each hidden layer of `policy` or `value`, from the input on."""
        if group != "policy" and self.shared_trunk:
            return ()
        return {"policy": self.policy, "value": self.value}[group] or (self.width,) * self.depth

    def with_widths(self, policy: tuple[int, ...], value: tuple[int, ...]) -> "MLP":
        """The config with these hidden layers; `width` and `depth` describe it if all layers are alike."""
        if not policy:
            return replace(self, width=MLP.width, depth=0, policy=(), value=value)
        if policy == (value or policy) == policy[:1] * len(policy):
            return replace(self, width=policy[0], depth=len(policy), policy=(), value=())
        return replace(self, width=MLP.width, depth=MLP.depth, policy=policy, value=value)

    def widened(self, width: int) -> "MLP":
        """The config with so many units in each hidden layer."""
        return self.with_widths(*((width,) * len(self.widths(group)) for group in ("policy", "value")))

    def deepened(self) -> "MLP":
        """The config with one more hidden layer in each network, as wide as the last."""
        widths = [self.widths(group) for group in ("policy", "value")]
        return self.with_widths(*(sizes + sizes[-1:] for sizes in widths))


NO_CRITIC_LAYERS = "the critic is a head on the policy's hidden layers, and has none of its own (network.shared_trunk)"

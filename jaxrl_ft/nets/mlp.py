"""Policy and value networks as pure functions of a dict of parameters.

Widths, depth and parts are read from the parameter tree itself; a config says how a fresh network is made. A network's
tree holds, for hidden layers i = 0, ..., L - 1:

    dense_i, norm_i     the layer, and its layer norm before the activation
    bottleneck_i        {"down", "up"}: h ← h + up(act(down(h))) after the activation, of any inner width
    head                the output layer
    residual, offset    whole networks of the same inputs; outputs ← outputs + residual - offset
    column              a whole network beside this one, whose outputs take the place of this one's; its layer i also
                        reads the hidden activations h_{i-1} of all earlier columns through `lateral_i`, its head those
                        of the last layer through `lateral_head`
    twin                another whole network, such as a second critic, whose outputs are read apart from this one's

All but `dense_i` and `head` are optional, and sub-networks may hold parts of their own.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.types import Key, Params

_ACTIVATIONS = {"tanh": jax.nn.tanh, "relu": jax.nn.relu, "swish": jax.nn.swish}
_ENTRY = re.compile(r"(dense|norm|bottleneck|lateral)_\d+|head|lateral_head|residual|offset|column|twin")


@config
class MLP:
    """Separate multilayer perceptrons for policy and value, alike unless widths of their own are given."""

    width: int = 64
    """units in each hidden layer of a network without widths of its own"""
    depth: int = 2
    """number of hidden layers of a network without widths of its own"""
    policy: tuple[int, ...] = ()
    """units in each hidden layer of the policy, from the input on, such as (128, 32); `depth` times `width` if empty"""
    value: tuple[int, ...] = ()
    """the same for the value network"""
    activation: Literal["tanh", "relu", "swish"] = "tanh"
    """non-linearity of the hidden layers"""
    layer_norm: bool = False
    """normalise each hidden layer before its activation (Ba et al. 2016, arXiv:1607.06450)"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "width": (1, 8192),
        "depth": (1, 64),
        "policy": (1, 8192),
        "value": (1, 8192),
    }

    def check(self) -> None:
        """Refuse more hidden layers than `depth` may be.

        Raises:
            ValueError: a network has more.
        """
        for name, given in (("policy", self.policy), ("value", self.value)):
            if len(given) > self.BOUNDS["depth"][1]:
                raise ValueError(f"{name}: {len(given)} layers are not allowed; at most {self.BOUNDS['depth'][1]} are")

    def widths(self, group: str) -> tuple[int, ...]:
        """Units in each hidden layer of `policy` or `value`, from the input on."""
        return {"policy": self.policy, "value": self.value}[group] or (self.width,) * self.depth

    def with_widths(self, policy: tuple[int, ...], value: tuple[int, ...]) -> "MLP":
        """The config with these hidden layers; `width` and `depth` describe it if all layers are alike."""
        if policy == value == policy[:1] * len(policy):
            return replace(self, width=policy[0], depth=len(policy), policy=(), value=())
        return replace(self, width=MLP.width, depth=MLP.depth, policy=policy, value=value)


def fresh(key: Key, widths: Sequence[int], obs_size: int, outputs: int, head_gain: float, layer_norm: bool) -> Params:
    """Fresh parameters of one MLP: orthogonal kernels with gain √2 (head: `head_gain`), zero biases.

    Args:
        key: PRNG key.
        widths: units in each hidden layer.
        obs_size: size O of an observation.
        outputs: size of the output.
        head_gain: gain of the last layer; small for a policy that starts uniform.
        layer_norm: whether each hidden layer has a norm.
    """
    # Flax takes half a second to import, which `--help` need not wait for.
    from jaxrl_ft.nets.layers import Network

    module = Network(tuple(widths), outputs, layer_norm, head_gain)
    return module.init(key, jnp.zeros((1, obs_size), jnp.float32))["params"]


def depth(params: Params) -> int:
    """The number of hidden layers that a parameter tree holds, without those of sub-networks."""
    return sum(name.startswith("dense_") for name in params)


def apply(
    params: Params, network: Network, x: Float[Array, "*B O"]
) -> tuple[Float[Array, "*B A"], list[Float[Array, "*B _"]]]:
    """Return the output [..., outputs], and the activations of the network's own hidden layers, [..., width] each.

    Args:
        params: the tree of one network; its shape says width, depth and parts.
        network: gives the activation.
        x: inputs, [..., O].

    Raises:
        ValueError: the tree has an entry that no network reads.
    """
    return _apply(params, network, x, [])


def _apply(
    params: Params, network: Network, x: Float[Array, "*B O"], below: list[Float[Array, "*B _"]]
) -> tuple[Float[Array, "*B A"], list[Float[Array, "*B _"]]]:
    _check(params)
    hidden = _hidden(params, network, x, below)
    if "column" in params:
        columns = [jnp.concatenate(pair, axis=-1) for pair in zip(below, hidden, strict=True)] if below else hidden
        output, _ = _apply(params["column"], network, x, columns)
    else:
        output = _dense(params["head"], hidden[-1] if hidden else x)
        if "lateral_head" in params:
            output = output + jnp.matmul(below[-1], params["lateral_head"]["kernel"])
    signs = {"residual": 1.0, "offset": -1.0}
    added = [sign * _apply(params[name], network, x, [])[0] for name, sign in signs.items() if name in params]
    # Subtracted from each other first, a residual that equals its offset adds exactly nothing.
    return (output + sum(added[1:], added[0]) if added else output), hidden


def _hidden(
    params: Params, network: Network, x: Float[Array, "*B O"], below: list[Float[Array, "*B _"]]
) -> list[Float[Array, "*B _"]]:
    from jaxrl_ft.nets.layers import normalized

    activation, hidden = _ACTIVATIONS[network.activation], []
    for i in range(depth(params)):
        x = _dense(params[f"dense_{i}"], x)
        if f"lateral_{i}" in params:
            x = x + jnp.matmul(below[i - 1], params[f"lateral_{i}"]["kernel"])
        if f"norm_{i}" in params:
            x = normalized(params[f"norm_{i}"], x)
        x = activation(x)
        if f"bottleneck_{i}" in params:
            part = params[f"bottleneck_{i}"]
            x = x + _dense(part["up"], activation(_dense(part["down"], x)))
        hidden.append(x)
    return hidden


def _dense(layer: Params, x: Float[Array, "*B n"]) -> Float[Array, "*B m"]:
    return jnp.matmul(x, layer["kernel"]) + jax.lax.broadcast_to_rank(layer["bias"], x.ndim)


def _check(params: Params) -> None:
    for name, entry in params.items():
        if isinstance(entry, dict) and not _ENTRY.fullmatch(name):
            raise ValueError(f"params: {name!r} is no part of a network (parts: {', '.join(params)})")

"""Policy and value networks as pure functions of a dict of parameters. The only module that imports flax.

Width, depth and optional parts (`input`, `norm_*`) are read from the parameter tree itself, so a grown or adapted
network needs no change of its config.
"""

from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.nets import initializers

_ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu, "swish": nn.swish}


@config
class MLP:
    """Separate multilayer perceptrons for policy and value."""

    width: int = 64
    """units in each hidden layer"""
    depth: int = 2
    """number of hidden layers"""
    activation: Literal["tanh", "relu", "swish"] = "tanh"
    """non-linearity of the hidden layers"""
    layer_norm: bool = False
    """normalise each hidden layer before its activation (Ba et al. 2016, arXiv:1607.06450)"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"width": (1, 8192), "depth": (1, 64)}


class _Network(nn.Module):
    """Layers `input` (optional), `dense_i`, `norm_i` (optional) and `head`."""

    widths: tuple[int, ...]
    outputs: int
    activation: str
    layer_norm: bool
    input_map: bool
    head_gain: float

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        hidden = []
        if self.input_map:
            x = nn.Dense(x.shape[-1], kernel_init=initializers.identity, name="input")(x)
        for i, width in enumerate(self.widths):
            x = nn.Dense(width, kernel_init=initializers.orthogonal(float(np.sqrt(2))), name=f"dense_{i}")(x)
            if self.layer_norm:
                x = nn.LayerNorm(name=f"norm_{i}")(x)
            x = _ACTIVATIONS[self.activation](x)
            hidden.append(x)
        return nn.Dense(self.outputs, kernel_init=initializers.orthogonal(self.head_gain), name="head")(x), hidden


def init(key: jax.Array, network: MLP, obs_size: int, outputs: int, head_gain: float) -> tree.Tree:
    """Fresh parameters of one MLP: orthogonal kernels with gain √2 (head: `head_gain`), zero biases.

    Args:
        key: PRNG key.
        network: width, depth, activation and norm.
        obs_size: size O of an observation.
        outputs: size of the output.
        head_gain: gain of the last layer; small for a policy that starts uniform.
    """
    module = _Network(
        (network.width,) * network.depth, outputs, network.activation, network.layer_norm, False, head_gain
    )
    return module.init(key, jnp.zeros((1, obs_size)))["params"]


def depth(params: tree.Tree) -> int:
    """The number of hidden layers that a parameter tree holds."""
    return sum(name.startswith("dense_") for name in params)


def apply(params: tree.Tree, network: MLP, x: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
    """The output [..., outputs] and the activations of every hidden layer, [..., width] each.

    Args:
        params: the tree of one MLP; its shape says width, depth and optional parts.
        network: gives the activation.
        x: inputs, [..., O].
    """
    widths = tuple(params[f"dense_{i}"]["kernel"].shape[-1] for i in range(depth(params)))
    module = _Network(
        widths, params["head"]["kernel"].shape[-1], network.activation, "norm_0" in params, "input" in params, 1.0
    )
    return module.apply({"params": _layers(params)}, x)


def _layers(params: tree.Tree) -> dict[str, Any]:
    return {name: value for name, value in params.items() if isinstance(value, dict)}

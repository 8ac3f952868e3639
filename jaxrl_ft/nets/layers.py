"""The layers of a network in flax. The only module that imports it, and imported when parameters are first needed."""

from typing import cast

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Float

from jaxrl_ft.nets import initializers


class Network(nn.Module):
    """Layers `dense_i`, `norm_i` (optional) and `head`; run for its fresh parameters alone."""

    widths: tuple[int, ...]
    outputs: int
    layer_norm: bool
    head_gain: float

    @nn.compact
    def __call__(self, x: Float[Array, "*B O"]) -> Float[Array, "*B A"]:
        """The outputs [..., outputs] without activations in between, at inputs [..., O]."""
        for i, width in enumerate(self.widths):
            x = nn.Dense(width, kernel_init=initializers.orthogonal(float(np.sqrt(2))), name=f"dense_{i}")(x)
            if self.layer_norm:
                x = nn.LayerNorm(name=f"norm_{i}")(x)
        return nn.Dense(self.outputs, kernel_init=initializers.orthogonal(self.head_gain), name="head")(x)


def normalized(params: dict[str, Float[Array, " width"]], x: Float[Array, "*B width"]) -> Float[Array, "*B width"]:
    """Layer norm of x [..., width] with its scale and bias (Ba et al. 2016, arXiv:1607.06450)."""
    return cast(Array, nn.LayerNorm().apply({"params": params}, x))

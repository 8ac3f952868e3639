"""The layers of a network in flax. The only module that imports it, and imported when parameters are first needed."""

from typing import cast

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_ft.core.types import Params
from jaxrl_ft.nets import initializers


class Network(nn.Module):
    """Layers `conv_i` or `dense_i`, `norm_i` (optional) and `head`; run for its fresh parameters alone."""

    kernels: tuple[tuple[int, ...], ...]
    layer_norm: bool
    head_gain: float

    @nn.compact
    def __call__(self) -> None:
        """Make the parameters; each layer reads zeros of its own, for only shapes matter."""
        for i, shape in enumerate(self.kernels[:-1]):
            init = initializers.orthogonal(float(np.sqrt(2)))
            if len(shape) == 2:
                x = nn.Dense(shape[-1], kernel_init=init, name=f"dense_{i}")(jnp.zeros((1, shape[0]), jnp.float32))
            else:
                image = jnp.zeros((1, *shape[:-1]), jnp.float32)
                x = nn.Conv(shape[-1], shape[:-2], kernel_init=init, name=f"conv_{i}")(image)
            if self.layer_norm:
                nn.LayerNorm(name=f"norm_{i}")(x)
        last = self.kernels[-1]
        head = nn.Dense(last[-1], kernel_init=initializers.orthogonal(self.head_gain), name="head")
        head(jnp.zeros((1, last[0]), jnp.float32))


def normalized(params: Params, x: Float[Array, "*B width"]) -> Float[Array, "*B width"]:
    """Layer norm of x [..., width] with its scale and bias (Ba et al. 2016, arXiv:1607.06450)."""
    return cast(Array, nn.LayerNorm().apply({"params": params}, x))

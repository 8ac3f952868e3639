"""Adapters that train a policy as it will be stored: with entries that stay zero, or with rounded weights.

They are not in the table of adapters, whose law is that training starts from the outputs of the base: rounding changes
them. Compressions of `jaxrl_ft.deploy` train with them.
"""

from typing import ClassVar, Literal, TypeVar, cast

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Delta, Key, Leaf, Params, PyTree
from jaxrl_ft.methods.adapters.base import Adapter, Critic, adapts, copy

Per = Literal["tensor", "channel"]
"""What has a scale of its own: every array of weights, or every output of a layer."""
L = TypeVar("L", bound=Leaf)
BIAS_BITS = 8
"""Bits of a bias where kernels have fewer: there are few of them."""


@config
class Masked(Adapter):
    """Every parameter trains but the entries of kernels that are 0 in the base: a pruned network stays pruned."""

    critic: Critic = "full"
    """`same` keeps the zeros of the critic's kernels too"""

    plain: ClassVar[bool] = True
    trains_all: ClassVar[bool] = True

    def init(self, key: Key, frozen: Tree) -> Delta:
        """A copy of the base."""
        return copy(frozen)

    def merge(self, frozen: Tree, delta: Delta) -> Params:
        """The delta, with the zeros of the base's kernels where they were."""
        base = tree.flatten(frozen)
        flat = tree.flatten(delta)
        kept = [path for path in flat if path.endswith("/kernel") and adapts(self.critic, path)]
        # A chosen zero has no gradient, and so no moments.
        return tree.unflatten(
            {
                path: jnp.where(base[path] == 0, base[path], leaf) if path in kept else leaf
                for path, leaf in flat.items()
            }
        )


@config
class Quantized(Adapter):
    """Every parameter trains through its rounding: quantisation-aware fine-tuning (arXiv:1712.05877).

    The policy acts with rounded kernels and biases, and the gradient passes the rounding as if there were none
    (straight-through; Bengio et al. 2013, arXiv:1308.3432). Scales are symmetric and follow the largest entry, without
    the zero points and moving averages of Jacob et al. 2018; activations are not rounded.
    """

    bits: int = 8
    """bits of every entry of a kernel; biases have 8"""
    per: Per = "tensor"
    """what has a scale of its own"""
    critic: Critic = "full"
    """`same` rounds the critic too"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"bits": (2, 8)}

    def init(self, key: Key, frozen: Tree) -> Delta:
        """A copy of the base."""
        return copy(frozen)

    def merge(self, frozen: Tree, delta: Delta) -> Params:
        """The delta rounded, with the gradient of the delta itself."""
        flat = tree.flatten(delta)
        return tree.unflatten(
            {path: self._rounded(path, leaf) if adapts(self.critic, path) else leaf for path, leaf in flat.items()}
        )

    def _rounded(self, path: str, leaf: Leaf) -> Leaf:
        bits = bits_of(path, self.bits)
        if bits is None:
            return leaf
        codes, scale = rounded(leaf, bits, axes_of(path, leaf.ndim, self.per))
        # The difference is an exact zero.
        return jax.lax.stop_gradient(codes * scale) + (leaf - jax.lax.stop_gradient(leaf))


def bits_of(path: str, bits: int) -> int | None:
    """Bits of an entry of the parameter at a path where kernels have `bits`; None where it is not rounded."""
    return {"kernel": bits, "bias": max(bits, BIAS_BITS)}.get(path.split("/")[-1])


def axes_of(path: str, ndim: int, per: Per) -> tuple[int, ...]:
    """The last axes of an array of so many axes that share a scale: all, or all but the outputs' of a kernel."""
    channels = per == "channel" and path.endswith("/kernel")
    return tuple(range(-ndim, -1 if channels else 0))


def rounded(leaf: L, bits: int, axes: tuple[int, ...]) -> tuple[L, L]:
    """Whole numbers of at most 2^(bits - 1) - 1, and scales with which they are nearest to the leaf.

    w ≈ s q,   s = max |w| / (2^(b-1) - 1),   q = round(w / s)

    Args:
        leaf: floats, of NumPy or JAX.
        bits: b.
        axes: those over which the largest entry is taken; they have size 1 in the scales.

    Reference: Jacob et al. 2018, arXiv:1712.05877, equation 1 with zero point 0.
    """
    top, sizes = 2 ** (bits - 1) - 1, cast(PyTree, abs(leaf))
    scale = sizes.max(axis=axes, keepdims=True) / top
    scale = scale + (scale == 0)
    codes = (leaf / scale).round().clip(-top, top)
    return codes, scale

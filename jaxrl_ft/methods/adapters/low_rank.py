"""Adapters that move the parameters within a small linear space: low-rank factors, and random subspaces."""

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Delta, Key, Leaf, Params
from jaxrl_ft.methods.adapters.base import RESTS, Adapter, Critic, adapts, by_group
from jaxrl_ft.nets import parts

Kernel: TypeAlias = Float[Array, "*n m"] | Float[np.ndarray, "*n m"]
"""The weights of a layer, [in, out], or [height, width, in, out] of a convolution."""


@config
class LoRA(Adapter):
    """Low-rank adaptation: W = W₀ + (α/r^p) A B with A Kaiming-uniform and B zero (Hu et al. 2021, arXiv:2106.09685).

    Kernels are stored [in, out], so A is [in, r] and B is [r, out]. Of a convolution A is one to r channels, and B one
    of 1 x 1, as in peft (huggingface/peft, lora/layer.py): A is [height, width, in, r]. Biases, norms and a Gaussian
    policy's `log_std` are frozen. With p = 1/2 it is rsLoRA (Kalajdzievski 2023, arXiv:2312.03732). As in the
    authors' code (microsoft/LoRA), every kernel has factors of rank r and one scale. Where the smaller side of a kernel
    is below r, as that of output layers is, the change may be any.
    """

    rank: int = 4
    """rank r of every kernel's factors; refused above the smaller side of all kernels"""
    alpha: float = 4.0
    """scale α"""
    rank_power: float = 1.0
    """power p of the rank that the scale is divided by: 1 as in the paper, 0.5 keeps large ranks learning (rsLoRA)"""
    critic: Critic = "same"
    """`full` trains all of the critic without low rank"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "rank": (1, 4096),
        "alpha": (0.0, 1e6),
        "rank_power": (0.0, 2.0),
    }

    def init(self, key: Key, frozen: Tree) -> Delta:
        """Factors `lora_a` [..., in, r] and `lora_b` [r, out] for every kernel [..., in, out].

        Raises:
            ValueError: the rank is above the smaller side of every kernel.
        """
        flat = tree.flatten(frozen)
        kernels = {path: leaf for path, leaf in flat.items() if path.endswith("/kernel") and adapts(self.critic, path)}
        widest = max(min(parts.matrix_shape(kernel.shape)) for kernel in kernels.values())
        if self.rank > widest:
            raise ValueError(
                f"rank: {self.rank} is above the layer's width {widest}; it must be at most that, the largest of the "
                "kernels' smaller sides"
            )
        delta = {path: jnp.array(leaf) for path, leaf in flat.items() if not adapts(self.critic, path)}
        like = {
            path: jax.ShapeDtypeStruct((*kernel.shape[:-1], self.rank), jnp.float32) for path, kernel in kernels.items()
        }
        # One draw compiles far faster than one a kernel.
        draws = tree.unravel(jax.random.uniform(key, (tree.size(like),), jnp.float32, minval=-1.0), like)
        for path, draw in draws.items():
            parent = path.removesuffix("/kernel")
            # Kaiming-uniform with a = sqrt(5) is uniform on ±1/sqrt(fan_in), as in the reference implementation.
            delta[f"{parent}/lora_a"] = parts.matrix_shape(draw.shape)[0] ** -0.5 * draw
            delta[f"{parent}/lora_b"] = jnp.zeros((self.rank, kernels[path].shape[-1]), jnp.float32)
        return tree.unflatten(delta)

    def merge(self, frozen: Tree, delta: Delta) -> Params:
        """The base with W₀ + (α/r^p) A B for every factored kernel."""
        flat, changes = tree.flatten(frozen), tree.flatten(delta)
        merged: dict[str, Leaf] = {**flat, **{path: leaf for path, leaf in changes.items() if path in flat}}
        for path, leaf in changes.items():
            if path.endswith("/lora_a"):
                parent = path.removesuffix("/lora_a")
                product = jnp.matmul(leaf, changes[f"{parent}/lora_b"], precision="highest")
                kernel = flat[f"{parent}/kernel"] + self.alpha / self.rank**self.rank_power * product
                merged[f"{parent}/kernel"] = self._kernel(flat[f"{parent}/kernel"], kernel, changes, parent)
        return tree.unflatten(merged)

    def describe(self, path: str, shape: tuple[int, ...], moved: Mapping[str, bool], changed: bool) -> str:
        """Name the rank of a kernel that has factors; say of other parameters what every adapter says."""
        factors = [moved.get(f"{path.removesuffix('kernel')}lora_{name}") for name in ("a", "b")]
        if path in moved or not path.endswith("/kernel") or None in factors:
            return super().describe(path, shape, moved, changed)
        rank = f"rank {min(self.rank, *parts.matrix_shape(shape))}"
        return rank if any(factors) else f"{rank}, {RESTS}"

    def _kernel(self, before: Kernel, after: Kernel, changes: Mapping[str, Leaf], parent: str) -> Kernel:
        return after


@config
class DoRA(LoRA):
    """Weight-decomposed low-rank adaptation (Liu et al. 2024, arXiv:2402.09353).

        V = W₀ + (α/r^p) A B,   W = m V / ‖V‖,   m = ‖W₀‖ at first

    with one norm and one magnitude m for each output unit (columns of [in, out]; channels of a convolution, as in
    peft). As in the paper's section 4.3, no gradient flows through ‖V‖. A column of W₀ that is zero has no
    direction to keep, so it has W = V.
    """

    def init(self, key: Key, frozen: Tree) -> Delta:
        """LoRA's factors and a `magnitude` [out] for every kernel.

        Raises:
            ValueError: the rank is above the smaller side of every kernel.
        """
        flat, delta = tree.flatten(frozen), tree.flatten(super().init(key, frozen))
        parents = [path.removesuffix("/lora_a") for path in delta if path.endswith("/lora_a")]
        return tree.unflatten(delta | {f"{parent}/magnitude": _norms(flat[f"{parent}/kernel"]) for parent in parents})

    def _kernel(self, before: Kernel, after: Kernel, changes: Mapping[str, Leaf], parent: str) -> Kernel:
        # Zero columns must not divide by zero even where the choice falls on the other branch.
        lengths = jnp.stack([_norms(before), jax.lax.stop_gradient(_norms(jax.lax.stop_gradient(after)))])
        fixed = jnp.any(lengths == 0, axis=0)
        ratio = changes[f"{parent}/magnitude"] / jnp.where(fixed, 1.0, lengths[1])
        return jnp.where(fixed, 1.0, ratio).reshape((*(1,) * (after.ndim - 1), -1)) * after


def _norms(kernel: Kernel) -> Float[Array, " m"]:
    return jnp.sqrt(jnp.sum(kernel**2, axis=tuple(range(kernel.ndim - 1))))


@config
class RandomSubspace(Adapter):
    """θ = θ₀ + P z with a fixed random P and d trained numbers z, zero at first, for each network.

    The columns of P are Gaussian directions of unit length. θ is all of a network, a Gaussian policy's `log_std`
    included.

    Reference: Li et al. 2018, "Measuring the intrinsic dimension of objective landscapes", arXiv:1804.08838.
    """

    dimensions: int = 32
    """numbers d that train in each network"""
    critic: Critic = "same"
    """`full` trains all of the critic without a subspace"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"dimensions": (1, 4096)}

    def freeze(self, key: Key, base: Params) -> Tree:
        """`base`, and the transposed P of each adapted group [d, D] as `projection`; D numbers are in the group.

        Raises:
            ValueError: d is above D.
        """
        groups = [group for group in base if adapts(self.critic, group)]
        projection = {}
        for group, subkey in zip(groups, jax.random.split(key, len(groups))):
            size = tree.size(base[group])
            if self.dimensions > size:
                raise ValueError(f"dimensions: {self.dimensions} is above the {size} parameters of `{group}`")
            directions = jax.random.normal(subkey, (self.dimensions, size), jnp.float32)
            projection[group] = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
        return {"base": base, "projection": projection}

    def init(self, key: Key, frozen: Tree) -> Delta:
        """`z` [d] of each adapted group, at zero."""
        return by_group(key, frozen["base"], self.critic, lambda *_: {"z": jnp.zeros((self.dimensions,), jnp.float32)})

    def merge(self, frozen: Tree, delta: Delta) -> Params:
        """θ₀ + P z for each adapted group."""
        merged = dict(delta)
        for group, projection in frozen["projection"].items():
            base = frozen["base"][group]
            moved = tree.ravel(base) + jnp.matmul(delta[group]["z"], projection, precision="highest")
            merged[group] = tree.unravel(moved, base)
        return merged

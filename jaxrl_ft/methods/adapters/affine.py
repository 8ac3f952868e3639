"""Affine maps of what flows through frozen networks, merged into their layers: no map costs anything afterwards."""

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Delta, Key, Params
from jaxrl_ft.methods.adapters.base import Adapter, Critic, adapts, by_group
from jaxrl_ft.nets import parts


@config
class InputAffine(Adapter):
    """A trained affine map of the observation before the frozen networks: obs' = obs A + b, A = I and b = 0 at first.

    It can undo any affine fault of the sensors. Of an image it maps the channels of each pixel, zeros that pad it
    included. Policy and critic have a map each, but for a critic on a shared trunk; a Gaussian policy's `log_std` is
    frozen.
    """

    critic: Critic = "same"
    """`full` trains all of the critic and gives it no map"""

    def init(self, key: Key, frozen: Tree) -> Delta:
        """`input/kernel` [O, O] and `input/bias` [O] of each network that reads observations: the identity."""
        return by_group(key, frozen, self.critic, lambda _, group, layers: _map(layers))

    def merge(self, frozen: Tree, delta: Delta) -> Params:
        """The networks with the map in their first layers: obs' W + c = obs (A W) + (c + b W).

        Of a convolution b W is summed over the pixels of the kernel.
        """
        flat, merged = tree.flatten(frozen), {}
        for group, entries in delta.items():
            if not adapts(self.critic, group):
                merged[group] = entries
                continue
            for path in parts.roles(frozen[group]).observing:
                kernel = flat[f"{group}/{path}/kernel"]
                flat[f"{group}/{path}/kernel"] = _times(entries["input"]["kernel"], kernel)
                shift = _times(entries["input"]["bias"], kernel)
                flat[f"{group}/{path}/bias"] += shift.sum(axis=tuple(range(shift.ndim - 1)))
        return {**tree.unflatten(flat), **merged}


@config
class OutputAffine(Adapter):
    """A trained affine map of the outputs after the frozen networks: y' = y C + d, C = I and d = 0 at first.

    It can undo any relabelling of the actions. It maps logits or means, and values; a Gaussian policy's `log_std` is
    frozen.
    """

    critic: Critic = "same"
    """`full` trains all of the critic and gives it no map"""

    def init(self, key: Key, frozen: Tree) -> Delta:
        """`output/kernel` [A, A] and `output/bias` [A] of each network: the identity."""
        return by_group(
            key, frozen, self.critic, lambda _, group, layers: {"output": _identity(parts.sizes(layers)[1])}
        )

    def merge(self, frozen: Tree, delta: Delta) -> Params:
        """The networks with the map in their last layers: (h W + c) C + d = h (W C) + (c C + d)."""
        flat, merged = tree.flatten(frozen), {}
        for group, entries in delta.items():
            if not adapts(self.critic, group):
                merged[group] = entries
                continue
            matrix, shift = entries["output"]["kernel"], entries["output"]["bias"]
            layers = parts.roles(frozen[group]).output
            for path in (f"{group}/{layer}" for layer in layers):
                flat[f"{path}/kernel"] = _times(flat[f"{path}/kernel"], matrix)
                if f"{path}/bias" in flat:
                    flat[f"{path}/bias"] = _times(flat[f"{path}/bias"], matrix)
            # The map's shift is added once, however many sub-networks the outputs are a sum of.
            flat[f"{group}/{layers[0]}/bias"] += shift
        return {**tree.unflatten(flat), **merged}


@config
class IA3(Adapter):
    """Learned rescaling of hidden activations: h ← l * h with l = 1 at first (Liu et al. 2022, arXiv:2205.05638).

    Merged into the rows of the layer that reads h; where several layers read it, each has an l of its own.
    """

    critic: Critic = "same"
    """`full` trains all of the critic without rescaling"""

    def init(self, key: Key, frozen: Tree) -> Delta:
        """`scale` [in], all ones, of every layer that reads hidden activations, under that layer's path.

        A convolution's is of its channels.
        """
        return by_group(key, frozen, self.critic, lambda _, group, layers: _scales(layers))

    def merge(self, frozen: Tree, delta: Delta) -> Params:
        """The networks with l_i W_ij for W_ij in every layer that has a scale."""
        flat = tree.flatten(frozen)
        for path, leaf in tree.flatten(delta).items():
            if adapts(self.critic, path):
                kernel = f"{path.removesuffix('/scale')}/kernel"
                flat[kernel] = leaf.reshape((*(1,) * (flat[kernel].ndim - 2), -1, 1)) * flat[kernel]
            else:
                flat[path] = leaf
        return tree.unflatten(flat)


def _scales(layers: Tree) -> Tree:
    flat = tree.flatten(layers)
    return tree.unflatten(
        {
            f"{path}/scale": jnp.ones(flat[f"{path}/kernel"].shape[-2:-1], jnp.float32)
            for path in parts.roles(layers).reading
        }
    )


def _map(layers: Tree) -> Tree:
    return {"input": _identity(parts.sizes(layers)[0])} if parts.roles(layers).observing else {}


def _identity(size: int) -> Tree:
    return {"kernel": jnp.eye(size, dtype=jnp.float32), "bias": jnp.zeros((size,), jnp.float32)}


def _times(left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.matmul(left, right, precision="highest")

"""An adapter that trains single entries of the kernels."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Delta, Key, Params
from jaxrl_ft.methods.adapters.base import Adapter, Critic, adapts, by_group


@config
class Sparse(Adapter):
    """A random share of every kernel's entries trains (SHiRA, random mask; Bhardwaj et al. 2024, arXiv:2406.13175).

    The entries are drawn once, without replacement. Biases, norms and a Gaussian policy's `log_std` are frozen. The
    paper trains 1% to 2% of far larger networks.
    """

    per_thousand: int = 20
    """entries that train out of a thousand, rounded, and at least one in each kernel"""
    critic: Critic = "same"
    """`full` trains all of the critic"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"per_thousand": (1, 1000)}

    def freeze(self, key: Key, base: Params) -> Tree:
        """`base`, and `entries`: the places of what trains in each flattened kernel, int32 [K]."""
        sizes = {path: leaf.size for path, leaf in tree.flatten(base).items() if self._masks(path)}
        entries = {}
        for (path, size), subkey in zip(sizes.items(), jax.random.split(key, len(sizes))):
            num = max(1, round(size * self.per_thousand / 1000))
            entries[path] = jnp.argsort(jax.random.bits(subkey, (size,), jnp.uint32))[:num].astype(jnp.int32)
        return {"base": base, "entries": tree.unflatten(entries)}

    def init(self, key: Key, frozen: Tree) -> Delta:
        """The values of the drawn entries, [K] for each kernel, under the kernel's path."""
        return by_group(key, frozen["base"], self.critic, lambda _, group, layers: _take(layers, frozen, group))

    def merge(self, frozen: Tree, delta: Delta) -> Params:
        """The base with the trained values in their places."""
        flat, entries = tree.flatten(frozen["base"]), tree.flatten(frozen["entries"])
        merged = dict(flat)
        for path, leaf in tree.flatten(delta).items():
            if path in entries:
                # Drawn without replacement and within the kernel, so that nothing needs to be checked or summed.
                places = jnp.asarray(flat[path]).reshape(-1).at[entries[path]]
                merged[path] = places.set(leaf, unique_indices=True, mode="promise_in_bounds").reshape(flat[path].shape)
            else:
                merged[path] = leaf
        return tree.unflatten(merged)

    def describe(self, path: str, shape: tuple[int, ...], moved: Mapping[str, bool], changed: bool) -> str:
        """Say that some entries of a kernel train; say of other parameters what every adapter says."""
        if self._masks(path) and moved.get(path):
            return "some entries train"
        return super().describe(path, shape, moved, changed)

    def _masks(self, path: str) -> bool:
        return path.endswith("/kernel") and adapts(self.critic, path)


def _take(layers: Tree, frozen: Tree, group: str) -> Tree:
    flat = tree.flatten(layers)
    return tree.unflatten(
        {
            path: jnp.asarray(flat[path]).reshape(-1)[places]
            for path, places in tree.flatten(frozen["entries"][group]).items()
        }
    )

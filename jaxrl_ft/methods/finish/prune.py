"""Pruning after training."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.methods.finish.base import Finish


@config
class Prune(Finish):
    """The smallest entries of each kernel set to zero (Han et al. 2015, arXiv:1506.02626, without their retraining).

    Biases, norms and `log_std` are kept. (The paper's threshold is a multiple of a layer's standard deviation; here it
    is a quantile.)
    """

    share: float = 0.5
    """share of each kernel's entries that become zero, rounded to whole entries"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"population": (1, 1), "share": (0.0, 1.0)}

    def apply(self, base: Tree, members: Tree) -> Tree:
        """The first member with its kernels pruned."""
        leaves = tree.flatten(tree.take(members, 0)).items()
        return tree.unflatten({path: self._pruned(leaf) if path.endswith("/kernel") else leaf for path, leaf in leaves})

    def _pruned(self, kernel: jax.Array) -> jax.Array:
        order = jnp.argsort(jnp.abs(kernel).reshape(-1))
        # The rank of every entry; a threshold would take all of several that are equal.
        ranks = jnp.zeros(order.shape, jnp.int32).at[order].set(jnp.arange(order.size, dtype=jnp.int32))
        number = jnp.round(self.share * order.size)
        return jnp.where(ranks.reshape(kernel.shape) < number, 0.0, kernel)

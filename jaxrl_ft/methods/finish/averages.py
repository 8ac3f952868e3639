"""Averages of parameters: of base and fine-tune, and of several fine-tunes."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.methods.finish.base import Finish
from jaxrl_ft.methods.warm_starts.base import refuse_other_shapes


@config
class WiSE(Finish):
    """(1 - weight) base + weight fine-tune: between the two in parameters (Wortsman et al. 2022, arXiv:2109.01903).

    Of several fine-tunes the mean is taken first, over those that are finite.
    """

    weight: float = 0.5
    """weight of the fine-tuned parameters: 0 gives the pretrained ones, 1 the fine-tuned"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"population": (1, 256), "weight": (0.0, 1.0)}
    anchored: ClassVar[bool] = True

    def apply(self, base: Tree, members: Tree) -> Tree:
        """The interpolated parameters; what only the fine-tune has, as an adapter adds it, is not scaled.

        Raises:
            ValueError: training grew the network, so that there is nothing to interpolate.
        """
        tuned = tree.take(members, 0) if self.population == 1 else _mean(members)
        refuse_other_shapes(base, tuned, "weight")
        theirs = tree.flatten(base)
        return tree.unflatten(
            {
                path: self._blend(theirs[path], leaf) if path in theirs else leaf
                for path, leaf in tree.flatten(tuned).items()
            }
        )

    def _blend(self, base: jax.Array, tuned: jax.Array) -> jax.Array:
        # At weight 1 the sum would turn -0.0 into 0.0 and a base that is not finite into NaN.
        return jnp.where(self.weight == 1.0, tuned, (1.0 - self.weight) * base + self.weight * tuned)


@config
class Soup(WiSE):
    """The uniform mean of several fine-tunes of one base, over those that are finite (arXiv:2203.05482).

    Reference: Wortsman et al. 2022.
    It needs members that lie in one basin: with the same start, and little that is drawn anew in each.
    """

    population: int = 4
    """number of fine-tunes of one pretrained agent, from different random numbers, that share the budget"""
    weight: float = 1.0
    """weight of the mean; 0 gives the pretrained parameters"""


def _mean(members: Tree) -> Tree:
    """The mean of the members that are finite, of leaves [population, ...]; NaN where none is."""
    good = tree.finite_entries(members)
    share = len(good) / good.sum(dtype=jnp.float32)
    return jax.tree.map(
        lambda x: jnp.where(good.reshape((-1,) + (1,) * (x.ndim - 1)), x, 0.0).mean(axis=0) * share, members
    )

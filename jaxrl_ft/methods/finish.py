"""What becomes of a fine-tune after training: pure functions of the base and one or several fine-tunes of it.

They change parameters alone. Normaliser statistics are those of the first fine-tune: they tell what that network was
trained to read.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.methods.warm_starts.warm_start import refuse_other_shapes


@config
class Finish:
    """The interface; this member keeps the fine-tune as it is."""

    population: int = 1
    """number of fine-tunes of one pretrained agent, from different random numbers, that share the budget"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"population": (1, 1)}
    anchored: ClassVar[bool] = False
    """whether parameters are added to others leaf by leaf, which makes no sense of networks that grew"""

    def apply(self, base: Tree, members: Tree) -> Tree:
        """The parameters that an agent keeps.

        Args:
            base: parameters of the agent that was fine-tuned, leaves [...].
            members: parameters after training, leaves [population, ...].

        Raises:
            ValueError: the shapes of base and members do not fit it; shapes alone tell (`jax.eval_shape`).
        """
        return tree.take(members, 0)


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
            {path: self._blend(theirs[path], leaf) if path in theirs else leaf for path, leaf in _leaves(tuned)}
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


@config
class Prune(Finish):
    """The smallest entries of each kernel set to zero (Han et al. 2015, arXiv:1506.02626, without their retraining).

    Biases, norms and `log_std` are kept. (The paper's threshold is a multiple of a layer's standard deviation; here it
    is the quantile that leaves the share asked for.)
    """

    share: float = 0.5
    """share of each kernel's entries that become zero, rounded to whole entries"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"population": (1, 1), "share": (0.0, 1.0)}

    def apply(self, base: Tree, members: Tree) -> Tree:
        """The first member with its kernels pruned."""
        leaves = _leaves(tree.take(members, 0))
        return tree.unflatten({path: self._pruned(leaf) if path.endswith("/kernel") else leaf for path, leaf in leaves})

    def _pruned(self, kernel: jax.Array) -> jax.Array:
        order = jnp.argsort(jnp.abs(kernel).reshape(-1))
        # The rank of every entry; a threshold would take all of several that are equal.
        ranks = jnp.zeros(order.shape, jnp.int32).at[order].set(jnp.arange(order.size, dtype=jnp.int32))
        number = jnp.round(self.share * order.size)
        return jnp.where(ranks.reshape(kernel.shape) < number, 0.0, kernel)


def _mean(members: Tree) -> Tree:
    """The mean of the members that are finite, of leaves [population, ...]; NaN where none is."""
    good = tree.finite_entries(members)
    share = len(good) / good.sum(dtype=jnp.float32)
    return jax.tree.map(
        lambda x: jnp.where(good.reshape((-1,) + (1,) * (x.ndim - 1)), x, 0.0).mean(axis=0) * share, members
    )


def _leaves(params: Tree) -> list[tuple[str, jax.Array]]:
    return list(tree.flatten(params).items())


FINISHES: Table[Finish] = Table("finish")
FINISHES.add("keep", Finish(), "returns the fine-tuned weights as they are")
FINISHES.add("wise", WiSE(), "averages pretrained and fine-tuned weights after training (arXiv:2109.01903)")
FINISHES.add("soup", Soup(), "averages the weights of several fine-tunes of one pretrained agent (arXiv:2203.05482)")
FINISHES.add("prune", Prune(), "sets the smaller half of every weight matrix to zero after training (arXiv:1506.02626)")

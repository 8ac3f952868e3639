"""The interface of warm starts, and what they share."""

import re
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Key, PyTree


class Probe(NamedTuple):
    """Measurements of the base policy's paid experience on the target; all scalars."""

    share: PyTree
    """how far the estimated zero-shot return is from a random policy's towards the best possible one, 0 to 1; 1 where
    the experience does not tell good policies from bad, 0 when nothing was probed"""
    widest: PyTree = np.inf
    """standard deviation of a continuous action that is uniform within its bounds"""


@config
class WarmStart:
    """The interface; this member keeps the base as it is."""

    grows: ClassVar[bool] = False
    """whether parameters leave with other shapes than they came"""
    from_scratch: ClassVar[bool] = False
    """whether training starts without anything of the agents, as a fresh policy does"""

    @property
    def needs(self) -> tuple[str, ...]:
        """What it asks for of an algorithm, as `rl.Algorithm.lacks` names it."""
        return ()

    def apply(self, key: Key, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The parameters that training starts from.

        Args:
            key: PRNG key.
            base: parameters of the agent.
            fresh: parameters of a network just initialised.
            probe: what the paid probe measured.

        Raises:
            ValueError: the shapes of base and fresh do not fit it; found from shapes alone (`jax.eval_shape`).
        """
        return base

    def network(self, network: Network) -> Network:
        """The network config of what `apply` returns.

        Raises:
            ValueError: it cannot start from such a network.
        """
        return network

    def statistics(self, base: Tree, fresh: Tree) -> Tree:
        """The normaliser's statistics that training starts from."""
        return base


def refuse_other_shapes(base: Tree, other: Tree, name: str = "fresh") -> None:
    """Refuse a network whose hidden layers, norms and outputs are not of the base's shapes, leaf by leaf.

    Other parts, whole networks inside them included, may be in one of the two alone: adapters add them.

    Raises:
        ValueError: names the first leaf that differs.
    """
    ours, theirs = tree.flatten(base), tree.flatten(other)
    for path in sorted(ours.keys() | theirs.keys()):
        both = path in ours and path in theirs
        shapes = [jnp.shape(flat[path]) if path in flat else "none" for flat in (theirs, ours)]
        if shapes[0] != shapes[1] and (both or re.match(r"[^/]+/((conv|dense|norm)_\d+/|head/|log_std$)", path)):
            raise ValueError(f"{name}: {path} of shape {shapes[0]} does not fit the pretrained network's {shapes[1]}")

"""Learning rates over the budget and over the parameter tree, as traced numbers."""

import re
from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.tree import Tree


@config
class Schedule:
    """The learning rate as a share of its start, over progress p in [0, 1]: one structure for all common shapes."""

    final: float = 0.0
    """share left at the end of the budget; 1 makes a linear shape constant"""
    cosine: float = 0.0
    """0 for a linear descent, 1 for half a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983)"""
    warmup: float = 0.0
    """share of the budget over which the rate rises linearly from 0; the descent fills the rest"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "final": (0.0, 1.0),
        "cosine": (0.0, 1.0),
        "warmup": (0.0, 0.99),
    }

    def shape(self, progress: jax.Array) -> jax.Array:
        """The share of the learning rate at `progress`, a scalar.

        q = (p - w) / (1 - w),   d = (1 - c) q + c (1 - cos πq) / 2
        share = 1 + (final - 1) d,  times p / w during the warm-up
        """
        after = jnp.clip((progress - self.warmup) / (1.0 - self.warmup), 0.0, 1.0)
        descent = (1 - self.cosine) * after + self.cosine * 0.5 * (1 - jnp.cos(jnp.pi * after))
        rise = jnp.where(progress < self.warmup, progress / jnp.maximum(self.warmup, 1e-9), 1.0)
        return rise * (1.0 + (self.final - 1.0) * descent)


SCHEDULES: Table[Schedule] = Table("schedule")
SCHEDULES.add("constant", Schedule(final=1.0), "the same learning rate throughout")
SCHEDULES.add("linear", Schedule(), "falls linearly to zero")
SCHEDULES.add("cosine", Schedule(cosine=1.0), "falls to zero as half a cosine")
SCHEDULES.add(
    "warmup_constant", Schedule(final=1.0, warmup=0.1), "rises linearly over a tenth of the budget, then stays"
)
SCHEDULES.add(
    "warmup_cosine",
    Schedule(cosine=1.0, warmup=0.1),
    "rises linearly over a tenth of the budget, then falls to zero as half a cosine",
)


@config
class Rates:
    """Factors on the learning rate by group and by layer, and the span of the budget in which a group trains.

    A group outside its span, or with factor 0, rests: bit-identical, its moments and step counts untouched, without a
    share in the gradient norm. So does a layer before its start, in an optimizer that counts steps by entry
    (`Optimizer.reduced` sees to it), or the bias correction of a late layer would be that of the earliest.
    """

    policy: float = 1.0
    """factor of the policy's learning rate"""
    value: float = 1.0
    """factor of the critic's learning rate"""
    layer_decay: float = 1.0
    """factor for each layer further from the output (discriminative rates, Howard & Ruder 2018, arXiv:1801.06146)"""
    policy_start: float = 0.0
    """share of the budget before the policy trains; above 0 the critic warms up alone"""
    value_start: float = 0.0
    """share of the budget before the critic trains"""
    policy_stop: float = 1.0
    """share of the budget after which the policy rests"""
    value_stop: float = 1.0
    """share of the budget after which the critic rests"""
    layer_start: float = 0.0
    """share of the budget until each layer further from the output trains too (gradual unfreezing, arXiv:1801.06146)"""
    body_start: float = 0.0
    """share of the budget before any layer but the output trains (LP-FT, Kumar et al. 2022, arXiv:2202.10054)"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "policy": (0.0, 1e6),
        "value": (0.0, 1e6),
        "layer_decay": (0.0, 1e3),
        "policy_start": (0.0, 1.0),
        "policy_stop": (0.0, 1.0),
        "value_start": (0.0, 1.0),
        "value_stop": (0.0, 1.0),
        "layer_start": (0.0, 1.0),
        "body_start": (0.0, 1.0),
    }

    def active(self, group: str, progress: jax.Array) -> jax.Array:
        """Whether a group trains at `progress`, a bool scalar; groups other than policy and value always do."""
        spans = {
            "policy": (self.policy, self.policy_start, self.policy_stop),
            "value": (self.value, self.value_start, self.value_stop),
        }
        factor, start, stop = spans.get(group, (1.0, 0.0, 1.0))
        return (jnp.asarray(factor) > 0) & (progress >= start) & (progress < stop)

    def awake(self, params: Tree, progress: jax.Array) -> Tree:
        """Whether the layer of every leaf trains at `progress`, a tree of bool scalars.

        The layer at distance d from the output starts at d * layer_start, and at body_start if d > 0.
        """
        starts = {
            path: jnp.maximum(distance * jnp.asarray(self.layer_start), self.body_start if distance else 0.0)
            for path, distance in _distances(params).items()
        }
        return tree.unflatten({path: progress >= start for path, start in starts.items()})

    def factors(self, params: Tree) -> Tree:
        """The factor of every leaf, a tree of scalars: the group's, times layer_decay^(L - l) for layer l of L."""
        groups = {"policy": self.policy, "value": self.value}
        factors = {
            path: jnp.asarray(groups.get(path.split("/")[0], 1.0)) * jnp.asarray(self.layer_decay) ** distance
            for path, distance in _distances(params).items()
        }
        return tree.unflatten(factors)

    def tuned(self, factor: jax.Array, grads: jax.Array, group: Tree) -> jax.Array:
        """Return the factor of every entry of a group [P] given its gradient [P]; unchanged here."""
        return factor


@config
class AutoRGN(Rates):
    """Rates by relative gradient norm (Lee et al. 2023, "Surgical fine-tuning", arXiv:2210.11466).

    The tensor with the largest norm of gradient over norm of parameters trains at the full rate, the others in
    proportion. The ratios are those of every step, within each network; the authors' code takes them once an epoch,
    over the whole model. A tensor at zero has no scale of its own: it has factor 1 and does not count for the largest.
    """

    def tuned(self, factor: jax.Array, grads: jax.Array, group: Tree) -> jax.Array:
        """The factor of every entry times its tensor's share of the largest relative gradient norm, [P]."""
        norms = jax.tree.map(lambda leaf: jnp.sqrt(jnp.sum(jnp.square(leaf))), group)
        ratios = jax.tree.map(
            lambda grad, norm: jnp.where(norm > 0, jnp.sqrt(jnp.sum(jnp.square(grad))) / norm, 0.0),
            tree.unravel(grads, group),
            norms,
        )
        largest = jnp.max(jnp.stack(jax.tree.leaves(ratios)))
        shares = jax.tree.map(
            lambda ratio, norm, leaf: jnp.full(leaf.shape, jnp.where((norm > 0) & (largest > 0), ratio / largest, 1.0)),
            ratios,
            norms,
            group,
        )
        return factor * tree.ravel(shares)


def _distances(params: Tree) -> dict[str, int]:
    """Number of layers between each leaf's and the output of its network, by path."""
    places = {path: _place(path) for path in tree.flatten(params)}
    deepest: dict[str, int] = {}
    for network, layer in (place for place in places.values() if place is not None):
        deepest[network] = max(deepest.get(network, layer), layer)
    return {path: 0 if place is None else deepest[place[0]] + 1 - place[1] for path, place in places.items()}


def _place(path: str) -> tuple[str, int] | None:
    """The network of a hidden layer and its number, -1 for the input map; None for what belongs to the output."""
    numbered = re.search(r"^(.*?)/(?:conv|dense|norm|bottleneck)_(\d+)(?:/|$)", path)
    if numbered:
        return numbered[1], int(numbered[2])
    before, input_map, _ = path.partition("/input/")
    return (before, -1) if input_map else None

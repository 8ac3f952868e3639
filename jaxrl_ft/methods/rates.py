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
SCHEDULES.add("constant", Schedule(final=1.0), "the same rate throughout")
SCHEDULES.add("linear", Schedule(), "a straight line to zero")
SCHEDULES.add("cosine", Schedule(cosine=1.0), "half a cosine to zero")
SCHEDULES.add("warmup_constant", Schedule(final=1.0, warmup=0.1), "a linear rise over a tenth, then constant")
SCHEDULES.add("warmup_cosine", Schedule(cosine=1.0, warmup=0.1), "a linear rise over a tenth, then half a cosine")


@config
class Rates:
    """Factors on the learning rate by group and by layer, and the span of the budget in which a group trains.

    A group outside its span, or with factor 0, rests: bit-identical, its moments and step counts untouched, without a
    share in the gradient norm.
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

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "policy": (0.0, 1e6),
        "value": (0.0, 1e6),
        "layer_decay": (0.0, 1e3),
        "policy_start": (0.0, 1.0),
        "policy_stop": (0.0, 1.0),
        "value_start": (0.0, 1.0),
        "value_stop": (0.0, 1.0),
    }

    def active(self, group: str, progress: jax.Array) -> jax.Array:
        """Whether a group trains at `progress`, a bool scalar; groups other than policy and value always do."""
        spans = {
            "policy": (self.policy, self.policy_start, self.policy_stop),
            "value": (self.value, self.value_start, self.value_stop),
        }
        factor, start, stop = spans.get(group, (1.0, 0.0, 1.0))
        return (jnp.asarray(factor) > 0) & (progress >= start) & (progress < stop)

    def factors(self, params: Tree) -> Tree:
        """The factor of every leaf, a tree of scalars: the group's, times layer_decay^(L - l) for layer l of L."""
        groups = {"policy": self.policy, "value": self.value}
        layers = {path: _layer(path) for path in tree.flatten(params)}
        factors = {}
        for path, layer in layers.items():
            group = path.split("/")[0]
            hidden = [n for p, n in layers.items() if n is not None and p.split("/")[0] == group]
            distance = 0 if layer is None else max(hidden) + 1 - layer
            factors[path] = jnp.asarray(groups.get(group, 1.0)) * jnp.asarray(self.layer_decay) ** distance
        return tree.unflatten(factors)


def _layer(path: str) -> int | None:
    """The number of a hidden layer, -1 for the input map, None for what belongs to the output."""
    numbered = re.search(r"/(?:dense|norm)_(\d+)(?:/|$)", path)
    if numbered:
        return int(numbered[1])
    return -1 if "/input/" in path else None

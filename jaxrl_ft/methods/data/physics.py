"""Experience on other physics beside the target's: the source's own, or some between the two."""

from typing import ClassVar, cast

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import map_leaves
from jaxrl_ft.core.types import Key, Leaf, Scalar
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.data.base import Data

SWITCHES = ("flip_actions",)
"""Quantities that are 0 or 1 though their type is a float: nothing lies between."""


def _left(progress: jax.Array, decay: Scalar) -> jax.Array:
    """(1 - p)^decay: 1 throughout for decay 0, a straight line to zero for 1."""
    left: jax.Array = (1.0 - progress) ** decay
    return left


def _check_one_simulator(source: Task, target: Task) -> None:
    if source.simulator != target.simulator:
        raise ValueError(
            f"target: {target.describe()} is not allowed; it must have the source's simulator ({source.simulator}), "
            "or their physics cannot be combined"
        )


@config
class Mixture(Data):
    """A share of the environments step the source task, the others the target.

    Environment n of N is on the source where n + 1/2 < share (1 - p)^decay N, so round(share N) of them are, a half
    rounded down. Rehearsal of the old task beside the new (Robins 1995, doi:10.1080/09540099550039318), as multi-task
    training. The source's environment steps are part of the budget, and its episodes are among the rollout's metrics.
    """

    share: float = 0.25
    """share of the environments on the source at the start"""
    decay: float = 0.0
    """power of the remaining share of the budget; 0 keeps the share, 1 lets it fall to zero linearly"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"share": (0.0, 1.0), "decay": (0.0, 100.0)}

    def check_tasks(self, source: Task, target: Task) -> None:
        """Refuse tasks of two simulators.

        Raises:
            ValueError: their simulators differ.
        """
        _check_one_simulator(source, target)

    def tasks(self, key: Key, source: Task, target: Task, progress: jax.Array, num_envs: int) -> Task:
        """The source's physics for the first environments, the target's for the rest."""
        on_source = jnp.arange(num_envs, dtype=jnp.float32) + 0.5 < self.share * _left(progress, self.decay) * num_envs
        return map_leaves(lambda old, new: _choose(on_source, old, new), source, target)


def _choose(condition: jax.Array, on_true: Leaf, on_false: Leaf) -> jax.Array:
    """`[N, ...]`: one of two leaves [...] for each entry of the condition [N]."""
    return jnp.where(condition.reshape((-1,) + (1,) * jnp.ndim(on_true)), on_true, on_false)


@config
class Between(Data):
    """Physics drawn anew for every environment and update, uniform in the box between two tasks.

    x = target + s u (source - target) for each quantity, with s = spread (1 - p)^decay and u uniform in [0, 1), one
    for each quantity and environment. Quantities that are whole numbers or switches are not interpolated: with
    probability s / 2, and all of them together, they are the source's. Domain randomisation over dynamics (Peng et
    al. 2018, arXiv:1710.06537, who draw once an episode), with source and target as the corners of the box.
    """

    spread: float = 1.0
    """how far the box reaches from the target towards the source at the start; 0 is the target alone"""
    decay: float = 0.0
    """power of the remaining share of the budget; 0 keeps the spread, 1 lets it fall to zero linearly"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"spread": (0.0, 1.0), "decay": (0.0, 100.0)}

    def check_tasks(self, source: Task, target: Task) -> None:
        """Refuse tasks of two simulators, and boxes in which two quantities contradict each other.

        Raises:
            ValueError: their simulators differ, or one quantity of the source does not fit the target's others.
        """
        _check_one_simulator(source, target)
        ours, structure = jax.tree.flatten(target)
        for i, (path, theirs) in enumerate(jax.tree.leaves_with_path(source)):
            corner = jax.tree.unflatten(structure, [*ours[:i], theirs, *ours[i + 1 :]])
            try:
                corner.checked()
            except ValueError as error:
                raise ValueError(
                    f"target: {target.describe()} is not allowed; between it and the source lies "
                    f"{_name(path)}={theirs}, where {error}"
                ) from None

    def tasks(self, key: Key, source: Task, target: Task, progress: jax.Array, num_envs: int) -> Task:
        """A point in the box for each environment."""
        spread = self.spread * _left(progress, self.decay)
        paths, structure = jax.tree.flatten_with_path(target)
        coin, *uniform = jax.random.uniform(key, (len(paths) + 1, num_envs), jnp.float32)
        drawn = []
        for (path, new), old, u in zip(paths, jax.tree.leaves(source), uniform):
            if jnp.issubdtype(jnp.result_type(new), jnp.floating) and _name(path) not in SWITCHES:
                drawn.append(_interpolate(spread * u, old, new))
            else:
                drawn.append(_choose(coin < 0.5 * spread, old, new))
        return cast(Task, jax.tree.unflatten(structure, drawn))


def _name(path: tuple[object, ...]) -> str:
    return jax.tree_util.keystr(path[-1:], simple=True)


def _interpolate(weight: jax.Array, source: Leaf, target: Leaf) -> jax.Array:
    """target + w (source - target), [N, ...], for leaves [...] and w [N]; never past either by rounding."""
    weight, source, target = weight.reshape((-1,) + (1,) * jnp.ndim(target)), source[None], target[None]
    point = jnp.clip(target + weight * (source - target), jnp.minimum(source, target), jnp.maximum(source, target))
    return jnp.where(weight > 0, point, target)

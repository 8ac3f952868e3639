"""Prodigy: a learning rate estimated from the distance covered."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree, Scalar
from jaxrl_ft.methods.optimizers.base import Optimizer, Pace, stepped


def _guarded(step: jax.Array, after: PyTree, before: PyTree) -> tuple[jax.Array, PyTree]:
    """Return step and state; where an estimate is 0 / 0, as all gradients were 0, no step and the state before."""
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves((step, after))]
    fine = jnp.all(jnp.stack(leaves))
    return jnp.where(fine, step, 0.0), tree.where(fine, after, before)


@config
class Prodigy(Optimizer):
    """AdamW that estimates its learning rate from the distance covered (Mishchenko & Defazio 2023, arXiv:2306.06101).

    The schedule is part of the estimate; the group factors act on the step.
    """

    learning_rate: float = 1.0
    """factor on the estimated rate"""
    beta1: float = 0.9
    """decay of the first moment"""
    beta2: float = 0.999
    """decay of the second moment"""
    eps: float = 1e-8
    """added to the denominator"""
    initial_rate: float = 1e-6
    """the estimate at first"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Optimizer.BOUNDS | {"initial_rate": (1e-12, 1.0)}
    ANCHORED: ClassVar[bool] = True
    INHERITS: ClassVar[bool] = False

    def _whole(self, rate: Scalar) -> optax.GradientTransformation:
        return contrib.prodigy(
            rate, (self.beta1, self.beta2), eps=self.eps, estim_lr0=self.initial_rate, weight_decay=self.weight_decay
        )

    def _start(self, group: Tree) -> PyTree:
        return self._whole(1.0).init(tree.ravel(group))

    def _spread(self, state: PyTree, size: int) -> PyTree:
        return state

    def _step(self, grads: jax.Array, state: PyTree, group: Tree, pace: Pace) -> tuple[jax.Array, PyTree]:
        step, after = stepped(self._whole(self.learning_rate * pace.shape), grads, state, tree.ravel(group))
        return _guarded(step * pace.factor, after, state)

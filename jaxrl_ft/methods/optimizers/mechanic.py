"""Mechanic: a learned scale of Adam's steps."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.methods.optimizers import keeping
from jaxrl_ft.methods.optimizers.adam import Adam
from jaxrl_ft.methods.optimizers.base import Pace, stepped


@config
class Mechanize(Adam):
    """Adam whose scale is learned (Mechanic, Cutkosky, Defazio & Mehta 2023, arXiv:2306.00144).

    The schedule and the group factors act on Adam's steps. Decoupled decay of Adam's steps is `weight_decay`;
    Mechanic's own is `mechanic_decay`.
    """

    learning_rate: float = 1.0
    """step size at the start, which Mechanic scales"""
    mechanic_decay: float = 1e-2
    """Mechanic's decay, in units of gradient norm over parameter norm"""
    initial_scale: float = 1e-6
    """each of the six scales at first"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Adam.BOUNDS | {
        "mechanic_decay": (0.0, 100.0),
        "initial_scale": (1e-9, 1.0),
    }
    ANCHORED: ClassVar[bool] = True

    def _scaled(self, like: Tree, pace: float | jax.Array) -> optax.GradientTransformation:
        inner = optax.chain(self._group(like), optax.scale(pace))
        return contrib.mechanize(inner, self.mechanic_decay, s_init=self.initial_scale)

    def _start(self, group: Tree) -> PyTree:
        return self._scaled(group, 1.0).init(tree.ravel(group))

    def _spread(self, state: PyTree, size: int) -> PyTree:
        return state._replace(base_optimizer_state=keeping.spread(state.base_optimizer_state, size))

    def _step(self, grads: jax.Array, state: PyTree, group: Tree, pace: Pace) -> tuple[jax.Array, PyTree]:
        (moments, *rest), scale = state.base_optimizer_state
        anew = pace.begins & (jnp.asarray(self.local_time) > 0.5)
        moments = moments._replace(count=jnp.where(anew, 0, moments.count))
        before = state._replace(base_optimizer_state=((moments, *rest), scale))
        return stepped(self._scaled(group, pace.shape * pace.factor), grads, before, tree.ravel(group))

"""Schedule-free AdamW: averages in the place of momentum and schedule."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree, Scalar
from jaxrl_ft.methods.optimizers import keeping
from jaxrl_ft.methods.optimizers.base import Optimizer, OptState, Pace, stepped
from jaxrl_ft.methods.optimizers.rates import Schedule


@config
class ScheduleFree(Optimizer):
    """Schedule-free AdamW (Defazio et al. 2024, arXiv:2405.15682): averages in the place of momentum and schedule.

    What trains is y between the fast iterate z and the average x; x is evaluated. The schedule and the group factors
    act on the steps of z, and the schedule on the weights of the average.
    """

    schedule: Schedule = Schedule(final=1.0)
    """shape of the learning rate; constant, as in the paper"""
    beta1: float = 0.9
    """share of the average in what trains"""
    beta2: float = 0.999
    """decay of the second moment"""
    eps: float = 1e-5
    """added to the denominator"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Optimizer.BOUNDS | {"beta1": (0.01, 0.999999)}
    ANCHORED: ClassVar[bool] = True

    def direction(self) -> optax.GradientTransformation:
        """The gradient over the bias-corrected root of its mean square."""
        return optax.scale_by_rms(self.beta2, self.eps, eps_in_sqrt=False, bias_correction=True)

    def evaluation(self, opt_state: OptState, delta: Tree) -> Tree:
        """The average x = y + (1 - β₁) (y - z) / β₁ of every group."""
        averages = {}
        for name, group in delta.items():
            vector, state = tree.ravel(group), opt_state.inner[name]
            if name in opt_state.fresh:
                state = keeping.anchored(state, opt_state.fresh[name], vector)
            averages[name] = tree.unravel(vector + (1 - self.beta1) / self.beta1 * (vector - state.z), group)
        return averages

    def _free(self, like: Tree, shape: Scalar, factor: Scalar | jax.Array) -> optax.GradientTransformation:
        fast = optax.chain(self._group(like), optax.scale(shape * factor))
        return contrib.schedule_free(fast, self.learning_rate * shape, self.beta1)

    def _start(self, group: Tree) -> PyTree:
        return self._free(group, 1.0, 1.0).init(tree.ravel(group))

    def _step(self, grads: jax.Array, state: PyTree, group: Tree, pace: Pace) -> tuple[jax.Array, PyTree]:
        step, after = stepped(self._free(group, pace.shape, pace.factor), grads, state, tree.ravel(group))
        # y is found again from x and z, so that a rate of 0 would move it by a rounding
        return jnp.where(self.learning_rate * pace.shape > 0, step, 0.0), after

"""Gradient descent: with momentum, or divided by the gradient's running root mean square."""

import optax

from jaxrl_ft.core.config import config
from jaxrl_ft.methods.optimizers.base import Optimizer


@config
class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    momentum: float = 0.0
    """decay of the accumulated gradient"""
    nesterov: bool = False
    """Nesterov's momentum"""

    def direction(self) -> optax.GradientTransformation:
        """The accumulated gradient."""
        return optax.trace(self.momentum, nesterov=self.nesterov)


@config
class RMSProp(Optimizer):
    """RMSProp (Hinton 2012, lecture 6 of "Neural networks for machine learning")."""

    decay: float = 0.9
    """decay of the second moment"""
    eps: float = 1e-5
    """added to the second moment before the root"""

    def direction(self) -> optax.GradientTransformation:
        """The gradient over the root of its running mean square."""
        return optax.scale_by_rms(self.decay, self.eps)

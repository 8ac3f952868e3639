"""Muon: orthogonalised momentum for matrices."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.methods.optimizers.base import Optimizer, Pace

# Newton-Schulz coefficients and steps of Keller Jordan's Muon (2024), as in optax.
_COEFFICIENTS, _STEPS = (3.4445, -4.7750, 2.0315), 5


@config
class Muon(Optimizer):
    """Muon (Jordan et al. 2024): orthogonalised momentum for matrices, NAdam for everything else.

    A convolution is the matrix [height x width x in, out], as its author has it (KellerJordan/Muon).

    A matrix steps by √max(rows, columns) x consistent_rms times its orthogonalised momentum, the size of Adam's steps
    (Liu et al. 2025, arXiv:2502.16982), so that one learning rate serves both. Orthogonalisation is by Newton-Schulz.
    """

    momentum: float = 0.95
    """decay of the first moment of matrices"""
    beta1: float = 0.9
    """decay of the first moment of the rest"""
    beta2: float = 0.999
    """decay of the second moment of the rest"""
    eps: float = 1e-8
    """added to denominators"""
    consistent_rms: float = 0.2
    """root mean square of a matrix's step before the learning rate"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Optimizer.BOUNDS | {
        "momentum": (0.0, 0.999999),
        "consistent_rms": (0.0, 100.0),
    }

    def direction(self) -> optax.GradientTransformation:
        """NAdam with the moments of all entries, which `_step` orthogonalises for matrices."""
        return optax.scale_by_adam(self.beta1, self.beta2, self.eps, nesterov=True)

    def _step(self, grads: jax.Array, state: PyTree, group: Tree, pace: Pace) -> tuple[jax.Array, PyTree]:
        moments, *rest = state
        matrix = tree.ravel(jax.tree.map(lambda leaf: jnp.full(leaf.shape, leaf.ndim >= 2), group))
        beta = jnp.where(matrix, self.momentum, self.beta1)
        mu = optax.tree.update_moment(grads, moments.mu, beta, 1)
        nu = optax.tree.update_moment(grads, moments.nu, self.beta2, 2)
        count = optax.safe_increment(moments.count)
        ahead, now = (
            jnp.where(matrix, 1 - self.momentum**steps, 1 - self.beta1**steps)
            for steps in (optax.safe_increment(count), count)
        )
        mean = beta * (mu / ahead) + (1 - beta) * (grads / now)
        adam = mean / (jnp.sqrt(optax.tree.bias_correction(nu, self.beta2, count)) + self.eps)
        straight = jax.tree.map(self._orthogonal, tree.unravel(mean, group))
        unscaled = jnp.where(matrix, tree.ravel(straight), adam) + self.weight_decay * tree.ravel(group)
        step = -self.learning_rate * unscaled * (pace.shape * pace.factor)
        return step, (moments._replace(count=count, mu=mu, nu=nu), *rest)

    def _orthogonal(self, leaf: jax.Array) -> jax.Array:
        if leaf.ndim < 2:
            return leaf
        matrix = leaf.reshape((-1, leaf.shape[-1]))
        size: float = max(matrix.shape) ** 0.5
        wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        x = wide / (jnp.sqrt(jnp.sum(jnp.square(wide))) + self.eps)
        a, b, c = _COEFFICIENTS
        for _ in range(_STEPS):
            square = x @ x.T
            x = a * x + (b * square + c * square @ square) @ x
        x = x if wide is matrix else x.T
        return x.reshape(leaf.shape) * (size * self.consistent_rms)

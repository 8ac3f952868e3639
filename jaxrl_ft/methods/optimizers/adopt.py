"""ADOPT: Adam that normalises before the step."""

import optax
from optax import contrib

from jaxrl_ft.core.config import config
from jaxrl_ft.methods.optimizers.base import Optimizer


@config
class ADOPT(Optimizer):
    """Adam that normalises by the second moment before the step (Taniguchi et al. 2024, arXiv:2411.02853)."""

    beta1: float = 0.9
    """decay of the first moment"""
    beta2: float = 0.9999
    """decay of the second moment"""
    eps: float = 1e-6
    """smallest denominator"""

    def direction(self) -> optax.GradientTransformation:
        """First moment of the normalised and clipped gradient; the first step is none."""
        return contrib.scale_by_adopt(self.beta1, self.beta2, self.eps)

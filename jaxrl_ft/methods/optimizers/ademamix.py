"""AdEMAMix: Adam with a second, slower momentum."""

from typing import ClassVar

import optax
from optax import contrib

from jaxrl_ft.core.config import config
from jaxrl_ft.methods.optimizers.base import Optimizer


@config
class AdEMAMix(Optimizer):
    """Adam with a second, slower first moment (Pagliardini et al. 2024, arXiv:2409.03137); no warm-up of either."""

    beta1: float = 0.9
    """decay of the fast first moment"""
    beta2: float = 0.999
    """decay of the second moment"""
    beta3: float = 0.9999
    """decay of the slow first moment"""
    alpha: float = 5.0
    """weight of the slow first moment"""
    eps: float = 1e-5
    """added to the denominator"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Optimizer.BOUNDS | {
        "beta3": (0.0, 0.999999),
        "alpha": (0.0, 1e3),
    }

    def direction(self) -> optax.GradientTransformation:
        """Both first moments over the root of the second."""
        return contrib.scale_by_ademamix(self.beta1, self.beta2, self.beta3, self.alpha, self.eps)

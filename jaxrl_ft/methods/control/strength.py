"""A control by the measured zero-shot return."""

from typing import ClassVar

import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.methods.control.base import Control, Generators, Numbers, multiplied


@config
class Strength(Control):
    """Penalty and learning rate by the measured zero-shot return: the policy is held the more, the better it works.

        coef ← coef · share^penalty_power,   learning_rate ← learning_rate · (1 - rate_drop · share)

    The share comes from the look or the probe. Our own construction.
    """

    penalty_power: float = 1.0
    """power of the share in the penalty's coefficient"""
    rate_drop: float = 0.0
    """part of the learning rate taken away where the pretrained agent already reaches the highest return"""

    needs_probe: ClassVar[bool] = True
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        **Control.BOUNDS,
        "penalty_power": (0.0, 100.0),
        "rate_drop": (0.0, 1.0),
    }

    def begin(self, numbers: Numbers, share: np.ndarray, generators: Generators) -> Numbers:
        """Scale both by the probed share."""
        factors = [1.0 - self.rate_drop * share, share**self.penalty_power]
        return multiplied(numbers, np.stack(factors, axis=1))

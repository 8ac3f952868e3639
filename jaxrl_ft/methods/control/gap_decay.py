"""A control by the gap between training and validation."""

from typing import ClassVar

import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.methods.control.base import Control, Generators, Measures, Numbers, with_leaves


@config
class GapDecay(Control):
    """Decoupled weight decay by the gap between training and validation return.

        decay ← clip(decay · (factor if training - validation > tolerance else 1 / factor), low, high)

    The policy trains on tasks drawn from a range and is validated on others from the same range: a gap between the
    two is overfitting to the former. Our own construction.
    """

    stretches: int = 8
    """as in `Control`"""
    validation_episodes: int = 4
    """as in `Control`; each on a task of its own"""
    factor: float = 2.0
    """step of the decay, up or down"""
    tolerance: float = 0.05
    """gap that is let pass, as a share of the return range"""
    low: float = 1e-4
    """smallest decay"""
    high: float = 1.0
    """largest decay"""

    needs_range: ClassVar[bool] = True
    needs_return_range: ClassVar[bool] = True
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        **Control.BOUNDS,
        "factor": (1.0, 100.0),
        "tolerance": (0.0, 1.0),
        "low": (1e-9, 100.0),
        "high": (1e-9, 100.0),
    }

    def check(self) -> None:
        """Refuse a lower bound above the upper, and validation without episodes.

        Raises:
            ValueError: either.
        """
        if self.low > self.high:
            raise ValueError(f"low: {self.low:g} is not allowed; it must not be above high ({self.high:g})")
        if not self.validation_episodes:
            raise ValueError("validation_episodes: 0 is not allowed; the gap is between training and validation")

    def adjust(self, numbers: Numbers, measures: Measures, generators: Generators) -> tuple[Numbers, np.ndarray]:
        """Raise the decay where training is ahead of validation, else lower it; keep it without a measurement."""
        gap = measures.training - measures.validation
        step = np.where(gap > self.tolerance, self.factor, 1.0 / self.factor)
        decay = np.clip(numbers.optimizer.weight_decay * step, self.low, self.high)
        decay = np.where(np.isfinite(gap), decay, numbers.optimizer.weight_decay).astype(np.float32)
        return Numbers(with_leaves(numbers.optimizer, weight_decay=decay), numbers.penalty), np.arange(len(gap))

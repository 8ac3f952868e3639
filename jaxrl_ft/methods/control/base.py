"""The interface of controls, which change a method's numbers by measurements between stretches of updates.

A control runs on the host, on NumPy arrays with one entry per run. What it measures beyond the rollouts of training is
paid from the budget. Learning rates that follow the KL need no control: see `Optimizer.desired_kl`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.methods.optimizers import Optimizer
from jaxrl_ft.methods.penalties import Penalty

Generators = Sequence[np.random.Generator]
"""A random generator for each run."""


class Numbers(NamedTuple):
    """The parts of a method that a control may change; every float has a leading axis of runs [R]."""

    optimizer: Optimizer
    penalty: Penalty


class Measures(NamedTuple):
    """Measurements of a stretch of training, as shares of the return range, [R] each; NaN where no episode ended.

    Of a task that does not state its range, `training` is the return itself and `validation` 0.
    """

    training: np.ndarray
    """mean return of the episodes that ended while training"""
    validation: np.ndarray
    """mean return of the paid episodes on the validation tasks; NaN without any"""


@config
class Control:
    """The interface; this member changes nothing."""

    population: int = 1
    """fine-tunes of each pretrained agent that share its budget"""
    stretches: int = 1
    """parts of equal length that the budget is divided into; the control acts between them"""
    validation_episodes: int = 0
    """episodes on validation tasks after each stretch but the last, paid from the budget"""
    validation_steps: int = 64
    """steps after which an episode on a validation task is cut"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "population": (1, 64),
        "stretches": (1, 1000),
        "validation_episodes": (0, 16),
        "validation_steps": (1, 10_000),
    }

    needs_probe: ClassVar[bool] = False
    """whether `begin` reads the share, which a look or a probe measures"""
    needs_range: ClassVar[bool] = False
    """whether it validates on tasks drawn from a range, which the data must give"""
    needs_return_range: ClassVar[bool] = False
    """whether it compares shares of the return range, which the target must then state"""

    @property
    def acts(self) -> bool:
        """Whether it may change any number or state; only the plain `Control` never does."""
        return type(self) is not Control

    def spent(self) -> int:
        """Environment steps of each run, all members together, that go into validation."""
        return (self.stretches - 1) * self.validation_episodes * self.validation_steps * self.population

    def begin(self, numbers: Numbers, share: np.ndarray, generators: Generators) -> Numbers:
        """Return the numbers to start with.

        Args:
            numbers: the method's, [R]; member m of run r of n is at m n + r.
            share: zero-shot return as a share of the possible, as probed, [R].
            generators: one for each of the R.
        """
        return numbers

    def adjust(self, numbers: Numbers, measures: Measures, generators: Generators) -> tuple[Numbers, np.ndarray]:
        """Return the numbers for the next stretch, and for each run [R] the run whose state it takes."""
        return numbers, np.arange(len(measures.training))


def with_leaves(part: Any, **leaves: Any) -> Any:
    """Return the part with other leaves, which are arrays over runs where its class declares floats."""
    return replace(part, **leaves)


def multiplied(numbers: Numbers, factors: np.ndarray) -> Numbers:
    """Learning rate and penalty coefficient, where there is one, times the two columns of `factors` [R, 2]."""
    parts: list[Any] = list(numbers)
    for i, name in enumerate(("learning_rate", "coef")):
        if hasattr(parts[i], name):
            values = (np.asarray(getattr(parts[i], name)) * factors[:, i]).astype(np.float32)
            parts[i] = with_leaves(parts[i], **{name: values})
    return Numbers(*parts)

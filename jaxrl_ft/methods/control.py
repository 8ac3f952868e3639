"""Adaptive fine-tuning: what changes a method's own numbers by what is measured, between stretches of updates.

A control runs on the host, on NumPy arrays with one entry per run; whatever it measures beyond the rollouts of training
is paid from the budget. Learning rates that follow the KL need no control: see `Optimizer.desired_kl`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.optimizers import Optimizer
from jaxrl_ft.methods.penalties import Penalty

Generators = Sequence[np.random.Generator]
"""A random generator for each run."""


class Numbers(NamedTuple):
    """The parts of a method that a control may change; every float has a leading axis of runs [R]."""

    optimizer: Optimizer
    penalty: Penalty


class Measures(NamedTuple):
    """What a stretch of training showed, as shares of the task's return range, [R] each; NaN where nothing ended."""

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

    def spent(self) -> int:
        """Environment steps of each run, all members together, that go into validation."""
        return (self.stretches - 1) * self.validation_episodes * self.validation_steps * self.population

    def begin(self, numbers: Numbers, share: np.ndarray, generators: Generators) -> Numbers:
        """The numbers to start with.

        Args:
            numbers: the method's, [R]; member m of run r of n is at m n + r.
            share: zero-shot return as a share of the possible, as probed, [R].
            generators: one for each of the R.
        """
        return numbers

    def adjust(self, numbers: Numbers, measures: Measures, generators: Generators) -> tuple[Numbers, np.ndarray]:
        """The numbers for the next stretch, and for each run [R] the number of the run whose state it goes on from."""
        return numbers, np.arange(len(measures.training))


@config
class Strength(Control):
    """Penalty and learning rate by the measured zero-shot loss: hold what works, let go of what does not.

        coef ← coef · share^penalty_power,   learning_rate ← learning_rate · (1 - rate_drop · share)

    The share comes from the warm start's probe. Our own construction.
    """

    penalty_power: float = 1.0
    """power of the share in the penalty's coefficient"""
    rate_drop: float = 0.0
    """part of the learning rate taken away where the pretrained agent already reaches the highest return"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        **Control.BOUNDS,
        "penalty_power": (0.0, 100.0),
        "rate_drop": (0.0, 1.0),
    }

    def begin(self, numbers: Numbers, share: np.ndarray, generators: Generators) -> Numbers:
        """Both scaled by the probed share."""
        factors = [1.0 - self.rate_drop * share, share**self.penalty_power]
        return _multiplied(numbers, np.stack(factors, axis=1))


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

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        **Control.BOUNDS,
        "factor": (1.0, 100.0),
        "tolerance": (0.0, 1.0),
        "low": (1e-9, 100.0),
        "high": (1e-9, 100.0),
    }

    def check(self) -> None:
        """Refuses a lower bound above the upper, and validation without episodes.

        Raises:
            ValueError: either.
        """
        if self.low > self.high:
            raise ValueError(f"low: {self.low:g} is not allowed; it must not be above high ({self.high:g})")
        if not self.validation_episodes:
            raise ValueError("validation_episodes: 0 is not allowed; the gap is between training and validation")

    def adjust(self, numbers: Numbers, measures: Measures, generators: Generators) -> tuple[Numbers, np.ndarray]:
        """More decay where training is ahead of validation, less elsewhere; unchanged where nothing was measured."""
        gap = measures.training - measures.validation
        step = np.where(gap > self.tolerance, self.factor, 1.0 / self.factor)
        decay = np.clip(numbers.optimizer.weight_decay * step, self.low, self.high)
        decay = np.where(np.isfinite(gap), decay, numbers.optimizer.weight_decay).astype(np.float32)
        return Numbers(_with(numbers.optimizer, weight_decay=decay), numbers.penalty), np.arange(len(gap))


@config
class PBT(Control):
    """Population-based training over learning rate and penalty coefficient (Jaderberg et al. 2017, arXiv:1711.09846).

    The members of a population start with numbers spread log-uniformly around the method's. After each stretch the
    worst share of them, by the return of their own training episodes, copies state and numbers of members drawn from
    the best share, and multiplies the numbers by `factor` or its inverse. Members share the budget.
    """

    population: int = 4
    """members"""
    stretches: int = 5
    """as in `Control`"""
    spread: float = 3.0
    """numbers start between 1 / spread and spread times the method's"""
    factor: float = 1.25
    """perturbation of copied numbers"""
    share: float = 0.25
    """part of the population that is replaced, and part it is replaced from; at least one member each"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        **Control.BOUNDS,
        "population": (2, 64),
        "spread": (1.0, 1e3),
        "factor": (1.0, 10.0),
        "share": (0.0, 0.5),
    }

    def begin(self, numbers: Numbers, share: np.ndarray, generators: Generators) -> Numbers:
        """Numbers spread around the method's; the first member of each population keeps them."""
        first = np.arange(len(share)) < len(share) // self.population
        bound = np.log(self.spread)
        draws = np.array([np.exp(generator.uniform(-bound, bound, 2)) for generator in generators])
        return _multiplied(numbers, np.where(first[:, None], 1.0, draws))

    def adjust(self, numbers: Numbers, measures: Measures, generators: Generators) -> tuple[Numbers, np.ndarray]:
        """Exploit, then explore; see the class."""
        members = np.arange(len(measures.training)).reshape(self.population, -1)
        scores = np.nan_to_num(measures.training, nan=-np.inf)[members]
        order = np.argsort(-scores, axis=0, kind="stable")
        count = max(1, int(self.share * self.population))
        parents = members.copy()
        factors = np.ones((members.size, 2))
        for column in range(members.shape[1]):
            for rank in range(count):
                loser = order[self.population - 1 - rank, column]
                generator = generators[members[loser, column]]
                parents[loser, column] = members[order[generator.integers(count), column], column]
                exponents = generator.choice([-1.0, 1.0], 2)
                factors[members[loser, column]] = self.factor**exponents
        flat = parents.reshape(-1)
        copied: Numbers = jax.tree.map(lambda leaf: np.asarray(leaf)[flat], numbers)
        return _multiplied(copied, factors), flat


def _with(part: Any, **leaves: Any) -> Any:
    """The part with other leaves; its type knows their floats, not the arrays over runs that they are here."""
    return replace(part, **leaves)


def _multiplied(numbers: Numbers, factors: np.ndarray) -> Numbers:
    """Learning rate and penalty coefficient, where there is one, times the two columns of `factors` [R, 2]."""
    parts: list[Any] = list(numbers)
    for i, name in enumerate(("learning_rate", "coef")):
        if hasattr(parts[i], name):
            values = (np.asarray(getattr(parts[i], name)) * factors[:, i]).astype(np.float32)
            parts[i] = _with(parts[i], **{name: values})
    return Numbers(*parts)


CONTROLS: Table[Control] = Table("control")
CONTROLS.add("none", Control(), "changes none of the method's numbers")
CONTROLS.add("strength", Strength(), "sets penalty and learning rate by the return of a paid zero-shot probe")
CONTROLS.add(
    "gap_decay", GapDecay(), "raises weight decay while training return exceeds validation return, else lowers it"
)
CONTROLS.add("pbt", PBT(), "evolves a population over learning rate and penalty coefficient (arXiv:1711.09846)")

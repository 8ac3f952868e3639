"""A control that evolves a population of fine-tunes."""

from typing import ClassVar

import jax
import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.methods.control.base import Control, Generators, Measures, Numbers, multiplied


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
        return multiplied(numbers, np.where(first[:, None], 1.0, draws))

    def adjust(self, numbers: Numbers, measures: Measures, generators: Generators) -> tuple[Numbers, np.ndarray]:
        """Replace the worst members by copies of the best, with perturbed numbers; see the class."""
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
        return multiplied(copied, factors), flat

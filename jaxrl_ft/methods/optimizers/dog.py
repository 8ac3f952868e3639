"""DoG and DoWG: a step from the distance covered and the gradients seen."""

from typing import ClassVar, Literal

import optax
from optax import contrib

from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.methods.optimizers.base import Optimizer


@config
class DoG(Optimizer):
    """Gradient steps of the largest distance covered over the root of all squared gradients.

    Ivgi, Hinder & Carmon 2023, arXiv:2302.12022. `weight_decay` is a squared norm in the loss.
    """

    learning_rate: float = 1.0
    """factor on the step"""
    eps: float = 1e-8
    """added to the sum of squared gradients"""
    initial_distance: float = 1e-4
    """the distance at first, as a share of 1 + the norm of the parameters"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Optimizer.BOUNDS | {"initial_distance": (1e-9, 1.0)}
    ANCHORED: ClassVar[bool] = True
    INHERITS: ClassVar[bool] = False

    def _group(self, like: Tree) -> optax.GradientTransformation:
        start: tuple[Literal["heuristic"], float] = ("heuristic", self.initial_distance)
        found: optax.GradientTransformation = contrib.dog(self.learning_rate, start, self.eps, self.weight_decay)
        return found


@config
class DoWG(Optimizer):
    """DoG with gradients weighted by the distance (Khaled, Mishchenko & Jin 2023, arXiv:2305.16284)."""

    learning_rate: float = 1.0
    """factor on the step"""
    eps: float = 1e-4
    """the squared distance at first, also added to the denominator"""

    ANCHORED: ClassVar[bool] = True
    INHERITS: ClassVar[bool] = False

    def _group(self, like: Tree) -> optax.GradientTransformation:
        found: optax.GradientTransformation = contrib.dowg(
            self.learning_rate, eps=self.eps, weight_decay=self.weight_decay
        )
        return found

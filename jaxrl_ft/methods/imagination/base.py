"""Training in a model of the target, learned from a little paid experience of it, before the first real update."""

from typing import ClassVar

import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.methods.alignment.base import Experience
from jaxrl_ft.methods.imagination.model import Model, fit


@config
class Imagination:
    """Training in a model of the target that is fitted to a look; none by default.

    A subclass may fit the model otherwise.
    """

    steps: int = 0
    """environment steps in the model in each round, which cost computing alone"""
    rounds: int = 2
    """most rounds; a run goes on while its policy has not reached the goal in the model, and keeps the best round's"""
    goal: float = 0.95
    """share of the way from random actions' return to the best possible one that ends a run's training in the model"""
    rate: float = 0.03
    """factor of the learning rate in the target for a run that reaches all of the possible return in the model, which
    has little left to learn and much to lose; rate^share for one that reaches a share of it"""
    source_share: float = 0.0
    """share of the imagined environments that are a model of the source, so that it is not forgotten"""
    accuracy: float = 0.98
    """share that the model must explain, see `Model.accuracy`, or it is not used"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "steps": (0, 2**31 - 1),
        "rounds": (1, 100),
        "goal": (0.0, 1.0),
        "rate": (0.0, 1.0),
        "source_share": (0.0, 1.0),
        "accuracy": (0.0, 1.0),
    }

    @property
    def acts(self) -> bool:
        """Whether any policy trains in a model."""
        return self.steps > 0

    def fit(self, experience: Experience, num_actions: int | None) -> Model:
        """Fit the model to experience; see `model.fit`."""
        return fit(experience, num_actions)

    def accepts(self, model: Model) -> bool:
        """Return whether a model is good enough to train in; without one, a run trains on the target alone."""
        return bool(np.isfinite(model.accuracy)) and model.accuracy >= self.accuracy and model.teaches

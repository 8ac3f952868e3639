"""How sensors and actions are read in the source's terms: the interface, whose own member changes nothing."""

import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.methods.realignment import Experience, Realignment


@config
class Alignment:
    """The interface; this member leaves sensors and actions as they are."""

    @property
    def acts(self) -> bool:
        """Whether it may find a change, which takes a look at the target; only the plain `Alignment` never does."""
        return type(self) is not Alignment

    def estimate(self, source: Experience, target: Experience, num_actions: int, continuous: bool) -> Realignment:
        """What the target's sensors and actions mean in the source's terms.

        Args:
            source: experience of the source.
            target: experience of the target.
            num_actions: number of discrete actions, or size of continuous ones.
            continuous: whether actions are continuous.
        """
        size = source.obs.shape[1]
        actions = np.ones(num_actions, int) if continuous else np.arange(num_actions)
        return Realignment(np.arange(size), np.zeros(size), np.ones(size), actions, continuous)

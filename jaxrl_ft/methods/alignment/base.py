"""The interface of alignments: policies of the source that read the target's sensors and act by its actions."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.core.config import config

Floats = NDArray[np.floating[Any]]


class Experience(NamedTuple):
    """Transitions of one run: flat rows [M, ...], and the observations that episodes began with."""

    obs: Floats
    """[M, O]"""
    action: Any
    """[M] whole numbers, or [M, A]"""
    next_obs: Floats
    """[M, O], before any reset"""
    reward: Floats
    """[M]"""
    terminated: Any
    """whether nothing followed, [M]"""
    starts: Floats
    """[K, O]"""
    num_envs: int = 1
    """environments side by side; rows are in order of time, then of environment"""


class Realignment(NamedTuple):
    """A change from the source's sensors and actions to the target's.

    Sensor j of the source is (obs[order[j]] - offset[j]) / scale[j]; action a of the source is actions[a] of the
    target, or with continuous actions `actions` holds a sign for each.
    """

    order: NDArray[np.int64]
    offset: Floats
    scale: Floats
    """not 0; below 0 of sensors whose sign is reversed"""
    actions: NDArray[np.int64]
    continuous: bool
    """whether `actions` holds signs"""
    trust: float = 1.0
    """probability of this reading among all that were tried"""
    left_alone: str = ""
    """why something that may have changed was left as it is"""
    untried: tuple[str, ...] = ()
    """changes that were not tried"""
    scale_error: Floats | None = None
    """standard errors of the scales' logarithms, [O]; None where no reading was believed"""

    @property
    def parts(self) -> dict[str, bool]:
        """Every kind of change by name, and whether this change has it."""
        usual = np.ones_like(self.actions) if self.continuous else np.arange(len(self.actions))
        return {
            "sensors reordered": bool(np.any(self.order != np.arange(len(self.order)))),
            "sensors reversed": bool(np.any(self.scale < 0)),
            "sensors rescaled": bool(np.any(np.abs(self.scale) != 1)),
            "sensors shifted": bool(np.any(self.offset != 0)),
            "actions changed": bool(np.any(self.actions != usual)),
        }

    @property
    def changes(self) -> bool:
        """Whether anything differs from no change."""
        return any(self.parts.values())


@config
class Alignment:
    """The interface; this member leaves sensors and actions as they are."""

    @property
    def acts(self) -> bool:
        """Whether it may find a change, which takes a look at the target; only the plain `Alignment` never does."""
        return type(self) is not Alignment

    def estimate(self, source: Experience, target: Experience, num_actions: int, continuous: bool) -> Realignment:
        """Estimate the change from the source's sensors and actions to the target's.

        Args:
            source: experience of the source.
            target: experience of the target.
            num_actions: number of discrete actions, or size of continuous ones.
            continuous: whether actions are continuous.
        """
        size = source.obs.shape[1]
        actions = np.ones(num_actions, int) if continuous else np.arange(num_actions)
        return Realignment(np.arange(size), np.zeros(size), np.ones(size), actions, continuous)

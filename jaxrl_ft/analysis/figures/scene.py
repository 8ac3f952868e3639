"""One episode of a policy, to be shown beside those of others: as a drawing that moves, or as pictures."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.analysis.figures.world import World
from jaxrl_ft.analysis.report.measurements import Episode

Pixels: TypeAlias = NDArray[np.uint8]
"""Red, green and blue, [height, width, 3]."""


class Drawn(NamedTuple):
    """An episode of an environment that has a drawing."""

    world: World
    episode: Episode


class Pictures(NamedTuple):
    """An episode as pictures of one size."""

    frames: Sequence[Pixels]
    """before each step, and after the last, T + 1 of them"""


class Scene(NamedTuple):
    """One policy's episode of T steps."""

    name: str
    """of the policy"""
    readouts: Sequence[str]
    """what is said of each moment, T + 1 texts; empty for nothing"""
    picture: Drawn | Pictures

    @property
    def steps(self) -> int:
        """T."""
        return len(self.picture.episode.push if isinstance(self.picture, Drawn) else self.picture.frames[1:])

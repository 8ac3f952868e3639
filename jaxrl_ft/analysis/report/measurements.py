"""What a report shows beside the runs of a comparison, if it was measured; plain NumPy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxrl_ft.analysis.figures.world import World
from jaxrl_ft.core.curves import Floats

KL_COLUMN = "kl_from_base"
"""Column of the runs: mean KL(base || tuned), in nats, over the states that the tuned policy visits on its target."""


class PhysicsGrid(NamedTuple):
    """Returns over two physical quantities before and after fine-tuning on one target."""

    target: str
    method: str
    names: tuple[str, str]
    """the quantities, down and across, with their units"""
    values: tuple[Sequence[float] | Floats, Sequence[float] | Floats]
    """their values, [A] and [B]"""
    before: Floats
    """mean return of the untouched policies [A, B]; NaN where it was not measured"""
    after: Floats
    """mean return of the fine-tuned ones [A, B]"""
    runs: int
    """runs behind every mean"""
    episodes: int
    """episodes of every run"""
    source: tuple[int, int] | None = None
    """the cell nearest the source's physics, where the grid has it"""
    target_cell: tuple[int, int] | None = None
    """the cell of the target"""


class Episode(NamedTuple):
    """One greedy episode."""

    motion: ArrayLike
    """the world's state before each step, and once after the last, [T + 1, D]"""
    push: Floats
    """force or torque of each step, -1 to 1, [T]"""


class Animation(NamedTuple):
    """One run on a target before and after fine-tuning, from the same start."""

    target: str
    method: str
    run: int
    before: Episode
    after: Episode
    world: World


class Measurements(NamedTuple):
    """What was measured beside the runs; each part may be empty, and its figure is then left out."""

    grids: Sequence[PhysicsGrid] = ()
    animations: Sequence[Animation] = ()


def check(measurements: Measurements) -> Measurements:
    """The measurements, when their shapes fit.

    Raises:
        ValueError: a shape that does not.
    """
    for grid in measurements.grids:
        shape = tuple(len(values) for values in grid.values)
        for name in ("before", "after"):
            given = np.shape(getattr(grid, name))
            if given != shape:
                raise ValueError(f"grids.{name}: shape {given} is not allowed; it must be that of the values, {shape}")
    for animation in measurements.animations:
        for name in ("before", "after"):
            episode = getattr(animation, name)
            motion, push, columns = np.shape(episode.motion), np.shape(episode.push), animation.world.columns
            if len(motion) != 2 or motion[1] != columns or push != (motion[0] - 1,) or not push[0]:
                raise ValueError(
                    f"animations.{name}: motion {motion} with push {push} is not allowed; "
                    f"give [T + 1, {columns}] and [T]"
                )
            if not np.isfinite(episode.motion).all():
                raise ValueError(f"animations.{name}.motion: not finite; leave the animation out")
    return measurements

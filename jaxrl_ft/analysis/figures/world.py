"""What an environment gives to be drawn: where its parts are in a state, and what does not move.

The y axis of a drawing points down; an `outline` is in the environment's own lengths, and its y axis points up.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from jaxrl_ft.core.curves import Floats

UNIT = 100.0
"""Units of a drawing in a length of one, unless the world has another scale."""


class Part(NamedTuple):
    """A piece of a drawing that moves, perhaps inside another piece."""

    name: str
    """the class of its element"""
    x: Floats
    """[T] or [1]"""
    y: Floats
    """[T] or [1]"""
    angle: Floats
    """degrees, clockwise, [T] or [1]"""


class Chart(NamedTuple):
    """One quantity over time."""

    label: str
    values: Floats
    """[T]"""
    low: float
    high: float
    lines: Sequence[tuple[str, float, str]]
    """CSS class, value and text of each line across"""


class World(ABC):
    """An environment with its physics.

    A `motion` is a state in each row, [T, D], whose columns come from `fields` of the simulator's state.
    """

    noun: ClassVar[str]
    fields: ClassVar[tuple[str, ...]]
    columns: ClassVar[int]
    """D"""
    timed: ClassVar[bool] = True
    """whether `tau` is the environment's own; if not, it is how long a step is shown"""
    tau: float
    """seconds between two steps"""
    box: tuple[float, float, float, float]
    """left, top, width and height of the drawing"""
    scale: float = UNIT
    """units of the drawing in a length of one"""
    base: ClassVar[float] = 0.0
    """where the drawing has the outline's height zero"""

    @abstractmethod
    def __init__(self, physics: Mapping[str, float]) -> None: ...

    @abstractmethod
    def outline(self, motion: Floats) -> Floats:
        """The joints from the ground to the tip, [T, P, 2], in the environment's lengths, y up."""

    @abstractmethod
    def parts(self, motion: Floats) -> list[Part]:
        """What moves, the outer pieces first."""

    @abstractmethod
    def ground(self) -> str:
        """SVG of what stands still."""

    @abstractmethod
    def body(self) -> str:
        """SVG of what moves, with an element for each part, and one of class `push`."""

    @abstractmethod
    def push(self, actions: Floats) -> Floats:
        """The force or torque of each step, -1 to 1, [T]; the element `push` is drawn for 1."""

    @abstractmethod
    def chart(self, motion: Floats) -> Chart:
        """What the chart shows."""

    @abstractmethod
    def verdict(self, motion: Floats) -> tuple[bool, str]:
        """Whether the episode ended in a failure, and how it went; the number of steps follows."""


def unwrapped(angles: Floats, speeds: Floats, tau: float) -> Floats:
    """Angles without jumps of whole turns; the speeds say how many turns lie between two steps."""
    expected = 0.5 * (speeds[1:] + speeds[:-1]) * tau
    turns = np.round((expected - np.diff(angles)) / (2.0 * np.pi))
    return angles + 2.0 * np.pi * np.concatenate([[0.0], np.cumsum(turns)])


def arrow(x: float, y: float) -> str:
    """An arrow to the right."""
    return f'<path class="push" visibility="hidden" d="M{x} {y - 8.0}l16 8l-16 8z"/>'


def turn(radius: float) -> str:
    """An arrow counter-clockwise around the origin."""
    angles = np.radians(np.linspace(-40.0, 125.0, 24))
    points = radius * np.stack([np.cos(angles), -np.sin(angles)], axis=-1)
    end = points[-1]
    outward = end / radius
    ahead = np.array([outward[1], -outward[0]])
    line, head = (
        "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)
        for corners in (points, [end + 9.0 * outward, end + 18.0 * ahead, end - 9.0 * outward])
    )
    return f'<g class="push" visibility="hidden"><path class="turn" d="M{line}"/><path d="M{head}z"/></g>'

"""The Pareto figure of compressed policies: how much of the return is kept in how many bytes.

matplotlib is imported when something is drawn, never before.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jaxrl_ft.analysis.figures.palette import GRID, INK, MUTED, Look, looks
from jaxrl_ft.analysis.figures.scatters import signs
from jaxrl_ft.analysis.figures.style import (
    SHEET,
    Paper,
    canvases,
    label_below,
    legend_height,
    legend_name,
    legend_outside,
    title_above,
)
from jaxrl_ft.analysis.statistics.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Point(NamedTuple):
    """One way to store a policy."""

    name: str
    """of the compression"""
    size: float
    """bytes"""
    returns: Interval
    """what the policies return"""


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats: none is as small and returns more, or is smaller and returns as much.

    From the smallest on; of equal points the first stays.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (one.size, -float(one.returns.value))):
        if not front or float(point.returns.value) > float(front[-1].returns.value):
            front.append(point)
    return front


def draw_compressions(panels: Mapping[str, Sequence[Point]], title: str, paper: Paper = SHEET) -> "Figure":
    """A figure with a panel for each task: bytes (log scale) against return, and the front of what nothing beats.

    Args:
        panels: points by the name of the task, with the same names in each.
        title: what was compressed.
        paper: what to draw on.
    """
    from matplotlib.lines import Line2D

    names = list(dict.fromkeys(point.name for points in panels.values() for point in points))
    height = (4.2 if len(panels) < 2 else 3.2 * len(panels)) + legend_height(names, paper)
    figure, every = canvases(height, paper, len(panels), across=False)
    shown = looks(names)
    for axes, (task, points) in zip(every, panels.items(), strict=True):
        _panel(axes, points, shown)
        axes.set_ylabel(f"Return, {task}", color=INK)
    title_above(every[0], title, "Interquartile means over seeds with 95% intervals; the line joins what nothing beats")
    label_below(every[-1], "Bytes of one policy in a file (log scale)", paper)
    marks = [
        Line2D([], [], color=look.colour, marker=look.marker, markersize=8, linestyle="none", label=legend_name(name))
        for name, look in shown.items()
    ]
    legend_outside(every[-1], paper, marks)
    for axes, points in zip(every, panels.values(), strict=True):
        places = [(point.size, float(point.returns.value)) for point in points]
        signs(axes, places, [point.name for point in points], shown, 9.0 * paper.scale)
    return figure


def _panel(axes: "Axes", points: Sequence[Point], shown: Mapping[str, Look]) -> None:
    """The intervals, and the front."""
    axes.grid(color=GRID, linewidth=0.8)
    axes.margins(0.08)
    axes.set_xscale("log")
    front = pareto_front(points)
    sizes, returns = [point.size for point in front], [float(point.returns.value) for point in front]
    axes.plot(sizes, returns, color=MUTED, linewidth=1.2, drawstyle="steps-post", zorder=2)
    for point in points:
        ends = [float(point.returns.low), float(point.returns.high)]
        axes.plot([point.size] * 2, ends, color=shown[point.name].colour, linewidth=1.8, zorder=3)

"""Scatter figures: return kept on the source against return on the target, and divergence against forgetting.

matplotlib is imported when something is drawn, never before.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxrl_ft.analysis.figures.palette import GRID, INK, MUTED, Look
from jaxrl_ft.analysis.figures.style import (
    PAGE,
    Paper,
    apart,
    canvas,
    legend_height,
    legend_name,
    legend_outside,
    whole,
)
from jaxrl_ft.analysis.report.measurements import KL_COLUMN
from jaxrl_ft.analysis.statistics.aggregate import iqm
from jaxrl_ft.analysis.statistics.intervals import Interval
from jaxrl_ft.analysis.statistics.resampling import hierarchical_indices
from jaxrl_ft.analysis.statistics.standings import Standing
from jaxrl_ft.analysis.statistics.summary import Row, forgotten, is_ok
from jaxrl_ft.core.curves import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_KL = 1e-4
"""Nats; what diverges less is drawn here."""
MANY_POINTS = 400


class Points(NamedTuple):
    """Runs as points."""

    x: Floats
    """[R]"""
    y: Floats
    """[R]"""
    methods: list[str]
    """of each run"""
    targets: list[str]
    """of each run"""
    agents: list[int]
    """of each run"""


def kept_and_gained(runs: Sequence[Row]) -> Points:
    """Return on the source against return on the target of every run that has both."""
    return _points(runs, "source_return", lambda row: row.get("target_return"))


def divergence_and_forgetting(runs: Sequence[Row]) -> Points:
    """KL from the base against return lost on the source, of every run that has both and whose policy was trained."""
    trained = [row for row in runs if row["method"] != "zero_shot"]
    return _points(trained, KL_COLUMN, forgotten)


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank; NaN where one is constant."""
    ranks = np.stack([_ranks(np.asarray(values, np.float64)) for values in (x, y)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1).prod())
    return float((centred[0] * centred[1]).sum() / size) if size > 0 else float("nan")


def correlation(points: Points, repetitions: int = 500, seed: int = 0) -> Interval:
    """`rank_correlation` of points with its 95% percentile interval, which resamples agents, then their points."""
    value = rank_correlation(points.x, points.y)
    if not np.isfinite(value):
        return Interval(value, np.nan, np.nan)
    drawn = hierarchical_indices(np.array(points.agents), repetitions, seed)
    every = np.array([rank_correlation(points.x[own], points.y[own]) for own in drawn])
    low, high = np.percentile(every[np.isfinite(every)], [2.5, 97.5])
    return Interval(value, low, high)


def draw_source_target(
    points: Points,
    on_source: Sequence[Standing],
    on_target: Sequence[Standing],
    looks: Mapping[str, Look],
    paper: Paper = PAGE,
) -> "Figure":
    """A figure of return on the source against return on the target: pale runs, and every method with its intervals.

    Args:
        points: of `kept_and_gained`.
        on_source: standings of `source_return`.
        on_target: standings of `target_return`.
        looks: how every method looks.
        paper: what to draw on.
    """
    kept = {standing.method: standing.estimate for standing in on_source}
    shown = [standing for standing in on_target if standing.method in kept]
    figure, axes = _plane([standing.method for standing in shown], looks, paper)
    _runs(axes, points, looks)
    for standing in shown:
        _cross(axes, kept[standing.method], standing.estimate, looks[standing.method])
    axes.set_xlabel("Return on the source after fine-tuning", color=INK)
    axes.set_ylabel("Return on the target after fine-tuning", color=INK)
    places = [(kept[standing.method].value, standing.estimate.value) for standing in shown]
    signs(axes, places, [standing.method for standing in shown], looks, 10.0 * paper.scale)
    return figure


def draw_divergence(points: Points, looks: Mapping[str, Look], paper: Paper = PAGE) -> "Figure":
    """A figure of KL from the base (log scale) against return lost on the source.

    A point is a run, a sign the interquartile mean of a method's runs on one target.

    Args:
        points: of `divergence_and_forgetting`.
        looks: how every method looks.
        paper: what to draw on.
    """
    cells = list(zip(points.methods, points.targets, strict=True))
    figure, axes = _plane(list(dict.fromkeys(points.methods)), looks, paper)
    shown = points._replace(x=np.maximum(points.x, LEAST_KL))
    _runs(axes, shown, looks)
    places = []
    for cell in dict.fromkeys(cells):
        own = np.array([other == cell for other in cells])
        places.append((float(iqm(shown.x[own])), float(iqm(shown.y[own]))))
    axes.axhline(0.0, color=MUTED, linewidth=1, zorder=1)
    axes.set_xscale("log")
    where = "" if paper.narrow else " on states the tuned policy visits"
    axes.set_xlabel(f"KL(pretrained ‖ fine-tuned){where}, nats", color=INK)
    axes.set_ylabel("Return lost on the source", color=INK)
    signs(axes, places, [method for method, _ in dict.fromkeys(cells)], looks, 8.0 * paper.scale)
    return figure


def _points(runs: Sequence[Row], column: str, other: Callable[[Row], float | None]) -> Points:
    """The runs that count with both numbers finite."""
    found = [(row.get(column), other(row), row) for row in runs if is_ok(row)]
    good = [entry for entry in found if all(value is not None and np.isfinite(value) for value in entry[:2])]
    x, y = (np.array([entry[place] for entry in good], np.float64) for place in range(2))
    rows = [row for _, _, row in good]
    names, targets = ([str(row[name]) for row in rows] for name in ("method", "target"))
    return Points(x, y, names, targets, [row.get("agent", row["run"]) for row in rows])


def _ranks(values: Floats) -> Floats:
    """Ranks [R] from 0, ties sharing their mean."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    first = np.cumsum(sizes) - sizes
    return (first + (sizes - 1) / 2.0)[group]


def _plane(methods: Sequence[str], looks: Mapping[str, Look], paper: Paper) -> tuple["Figure", "Axes"]:
    """Empty axes under a legend of the methods' signs."""
    from matplotlib.lines import Line2D

    figure, axes = canvas((4.4 if paper.narrow else 5.4) + legend_height(methods, paper), paper)
    axes.grid(color=GRID, linewidth=0.8)
    axes.margins(0.05)
    shown = [
        Line2D(
            [],
            [],
            color=looks[name].colour,
            marker=looks[name].marker,
            markersize=8,
            linestyle="none",
            label=legend_name(name),
        )
        for name in methods
    ]
    legend_outside(axes, paper, shown)
    return figure, axes


def _runs(axes: "Axes", points: Points, looks: Mapping[str, Look]) -> None:
    """A pale point for every run, the paler the more there are."""
    size, alpha = (5.0, 0.45) if len(points.x) < MANY_POINTS else (4.0, 0.3)
    for method in dict.fromkeys(points.methods):
        own = [place for place, name in enumerate(points.methods) if name == method]
        look = looks[method]
        axes.plot(
            points.x[own],
            points.y[own],
            look.marker,
            color=look.colour,
            markersize=size,
            alpha=alpha,
            markeredgewidth=0,
        )


def _cross(axes: "Axes", x: Interval, y: Interval, look: Look) -> None:
    """The intervals of one method on both axes."""
    for (low, high), level in (((x.low, x.high), "x"), ((y.low, y.high), "y")):
        if np.isfinite(low) and np.isfinite(high):
            ends = ([low, high], [y.value] * 2) if level == "x" else ([x.value] * 2, [low, high])
            axes.plot(*ends, color=look.colour, linewidth=1.8, zorder=4)


def signs(
    axes: "Axes", places: Sequence[tuple[float, float]], names: Sequence[str], looks: Mapping[str, Look], size: float
) -> None:
    """Draw a marker with a pale edge at every place; those that would hide one another stand around it, on a stalk.

    Nothing may change the layout afterwards.

    Args:
        axes: where.
        places: of the signs.
        names: of the methods.
        looks: how every method looks.
        size: of a marker, in points.
    """
    from matplotlib.transforms import ScaledTranslation

    for x, y in places:
        axes.update_datalim([(x, y)])
    axes.autoscale_view()
    whole(axes).draw_without_rendering()
    whole(axes).set_layout_engine("none")
    axes.autoscale(False)
    points = axes.transData.transform(places) * 72.0 / axes.figure.dpi
    for (x, y), name, (right, up) in zip(places, names, apart(points, 1.2 * size), strict=True):
        look = looks[name]
        if right or up:
            stalk = {"arrowstyle": "-", "color": look.colour, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", (x, y), (right, up), textcoords="offset points", arrowprops=stalk, zorder=5)
        moved = axes.transData + ScaledTranslation(right / 72.0, up / 72.0, axes.figure.dpi_scale_trans)
        axes.plot(
            [x], [y], look.marker, color=look.colour, markersize=size, markeredgecolor="white", markeredgewidth=1.2,
            linestyle="none", transform=moved, clip_on=False, zorder=6, label=legend_name(name),
        )  # fmt: skip

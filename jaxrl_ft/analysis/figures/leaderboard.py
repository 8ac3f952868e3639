"""Figures of methods over all targets: leaderboard, performance profiles, probability of improvement.

matplotlib is imported when something is drawn, never before.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxrl_ft.analysis.figures.palette import GRID, INK, MUTED, Look
from jaxrl_ft.analysis.figures.style import (
    PAGE,
    Paper,
    canvas,
    label_below,
    label_methods,
    legend_height,
    legend_name,
    legend_outside,
    row_height,
)
from jaxrl_ft.analysis.report.tables import format_interval, format_number
from jaxrl_ft.analysis.statistics.intervals import Interval
from jaxrl_ft.analysis.statistics.standings import Standing
from jaxrl_ft.analysis.statistics.summary import REFERENCES
from jaxrl_ft.core.curves import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


def draw_leaderboard(
    standings: Sequence[Standing], looks: Mapping[str, Look], heading: str, paper: Paper = PAGE
) -> "Figure":
    """A figure with a dot and its interval for every method, from top to bottom in this order.

    Lines mark where zero_shot and scratch stand.

    Args:
        standings: of `standings`.
        looks: how every method looks.
        heading: what the axis shows.
        paper: what to draw on.
    """
    figure, axes = _board(standings, paper)
    for standing in standings:
        if standing.method in REFERENCES:
            look = looks[standing.method]
            axes.axvline(standing.estimate.value, color=look.colour, linestyle="--", linewidth=1, alpha=0.6, zorder=1)
    for place, standing in enumerate(standings):
        _dot(axes, place, standing.estimate, looks[standing.method])
        axes.annotate(
            format_number(standing.estimate.value) if paper.narrow else format_interval(*standing.estimate),
            (1.0, place),
            (8, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=10 * paper.scale,
            color=INK,
        )
    label_below(axes, heading, paper, 0.6)
    axes.margins(x=0.04)
    return figure


def draw_improvements(
    over: Mapping[str, Sequence[Standing]], looks: Mapping[str, Look], paper: Paper = PAGE
) -> "Figure":
    """A figure with the probability of improvement of every method over each rival.

    Args:
        over: the standings of `improvements` by rival; the first rival's give the order.
        looks: how every method looks.
        paper: what to draw on.
    """
    methods = list(dict.fromkeys(standing.method for of_rival in over.values() for standing in of_rival))
    figure, axes = _board([Standing(method, Interval(np.nan, np.nan, np.nan), 0, 0) for method in methods], paper, 0.46)
    axes.axvline(0.5, color=MUTED, linewidth=1, zorder=1)
    shifts = np.linspace(-0.16, 0.16, len(over)) if len(over) > 1 else [0.0]
    for shift, (rival, of_rival) in zip(shifts, over.items(), strict=True):
        for standing in of_rival:
            hollow = rival != next(iter(over))
            _dot(axes, methods.index(standing.method) + shift, standing.estimate, looks[standing.method], hollow)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0])
    heading = "P(AUC is larger)" if paper.narrow else "Probability that a run's AUC is above one of the rival's"
    label_below(axes, heading, paper, 0.6)
    legend_outside(axes, paper, _rivals(list(over)))
    return figure


def draw_profiles(
    profiles: Sequence[Standing],
    thresholds: Floats,
    looks: Mapping[str, Look],
    heading: str,
    paper: Paper = PAGE,
) -> "Figure":
    """A figure of the share of runs above each threshold [K], a line in its band for every method.

    Args:
        profiles: of `profiles`, with estimates [K].
        thresholds: [K].
        looks: how every method looks.
        heading: what the thresholds are.
        paper: what to draw on.
    """
    names = [profile.method for profile in profiles]
    figure, axes = canvas((4.6 if paper.narrow else 4.9) + legend_height(names, paper), paper)
    for profile in profiles:
        look, (value, low, high) = looks[profile.method], profile.estimate
        axes.fill_between(thresholds, low, high, color=look.colour, alpha=0.12, linewidth=0)
        width = 3.0 if profile.method == "scratch" else 2.0
        axes.plot(
            thresholds,
            value,
            color=look.colour,
            linestyle=look.line,
            linewidth=width,
            label=legend_name(profile.method),
        )
    axes.set_ylim(-0.02, 1.02)
    axes.margins(x=0)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_xlabel(heading, color=INK)
    axes.set_ylabel("Share of runs above", color=INK)
    legend_outside(axes, paper)
    return figure


def _board(standings: Sequence[Standing], paper: Paper, height: float = 0.34) -> tuple["Figure", "Axes"]:
    """Empty axes with a place for every method, its name at the left."""
    methods = [standing.method for standing in standings]
    figure, axes = canvas(1.1 + row_height(methods, paper, height) * len(methods), paper)
    label_methods(axes, methods, paper)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.grid(axis="y", color=GRID, linewidth=0.5, linestyle=":")
    return figure, axes


def _dot(axes: "Axes", place: float, estimate: Interval, look: Look, hollow: bool = False) -> None:
    """One point and its interval; not drawn where there is no number."""
    if not np.isfinite(estimate.value):
        return
    if np.isfinite(estimate.low) and np.isfinite(estimate.high):
        ends = [estimate.low, estimate.high]
        axes.plot(ends, [place, place], color=look.colour, linewidth=2.4, solid_capstyle="butt")
    face = "white" if hollow else look.colour
    axes.plot(
        estimate.value,
        place,
        look.marker,
        color=look.colour,
        markerfacecolor=face,
        markersize=7,
        markeredgewidth=1.6,
    )


def _rivals(names: Sequence[str]) -> "list[Line2D]":
    """Legend entries: a full dot for the first rival, a hollow one for the second."""
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [], [], color=INK, marker="o", markersize=7, markerfacecolor="white" if place else INK, label=f"over {n}"
        )
        for place, n in enumerate(names)
    ]

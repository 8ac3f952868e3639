"""Figures of a comparison on one target, drawn without pyplot: no global state is touched.

matplotlib is imported when something is drawn, never before.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxrl_ft.analysis.figures.palette import GRID, INK, Colour, Look, looks, pale
from jaxrl_ft.analysis.figures.style import (
    SHEET,
    Paper,
    canvas,
    label_below,
    label_ends,
    label_methods,
    legend_name,
    legend_outside,
    row_height,
    title_above,
)
from jaxrl_ft.analysis.report.tables import format_number, runs_in_words
from jaxrl_ft.analysis.statistics import intervals
from jaxrl_ft.analysis.statistics.aggregate import iqm, per_task
from jaxrl_ft.analysis.statistics.summary import REFERENCES, RIVALS, Row, best_first, interval, is_ok
from jaxrl_ft.core.curves import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator


class Bands(NamedTuple):
    """Learning curves as numbers."""

    lines: list[tuple[str, Floats, intervals.Interval]]
    """of each method its name, env steps [K], and returns [K] with their interval"""
    looks: dict[str, Look]
    """how every method of the comparison looks"""
    hidden: str
    """what is not shown, in words; empty when everything is"""
    counted: str
    """how many runs and agents, in words"""


def draw_learning_curves(
    runs: Sequence[Row],
    curves: ArrayLike,
    curve_steps: ArrayLike,
    target: str,
    description: str = "",
    max_lines: int = 8,
    repetitions: int = 1000,
    seed: int = 0,
    paper: Paper = SHEET,
) -> "Figure":
    """A figure of greedy return against target env steps: a line per method (IQM) in its 95% band, labelled at its end.

    Args:
        runs: one mapping per run, as `summarise` takes.
        curves: mean greedy returns [R, K].
        curve_steps: env steps [R, K].
        target: which target to draw.
        description: the shift in words, for the title.
        max_lines: most lines drawn; zero_shot, scratch and full always, then the methods with the largest area.
        repetitions: bootstrap resamples of each band.
        seed: a Python int.
        paper: what to draw on.

    Raises:
        ValueError: the target has no finished run.
    """
    bands = learning_bands(runs, curves, curve_steps, target, max_lines, repetitions, seed)
    return draw_bands(bands, paper, curves_title(target, description))


def curves_title(target: str, description: str) -> str:
    """The title of a target's learning curves."""
    return "Fine-tuning on " + _with(target, description)


def learning_bands(
    runs: Sequence[Row],
    curves: ArrayLike,
    curve_steps: ArrayLike,
    target: str,
    max_lines: int = 8,
    repetitions: int = 1000,
    seed: int = 0,
) -> Bands:
    """The numbers of `draw_learning_curves`, whose arguments these are."""
    lines, steps = np.asarray(curves, np.float64), np.asarray(curve_steps, np.float64)
    groups = _groups(runs, lines, target)
    shown = _shown(groups, runs, max_lines)
    until = max(float(steps[groups[method], -1].max()) for method in shown)
    bands = []
    for method in shown:
        own = groups[method]
        grid, band = _band(lines[own], steps[own], [runs[i].get("agent", i) for i in own], repetitions, seed)
        # the untouched policy spends no steps, and its line spans what the others spend
        grid[-1] = until if method == "zero_shot" else grid[-1]
        bands.append((method, grid, band))
    used = [i for method in shown for i in groups[method]]
    hidden = f"{len(shown)} of {len(groups)} methods; " if len(shown) < len(groups) else ""
    counted = _counted(runs, groups, shown, used)
    return Bands(bands, looks(best_first(runs)), hidden, counted)


def draw_bands(bands: Bands, paper: Paper = SHEET, title: str = "") -> "Figure":
    """A figure of learning curves: a line per method in its band, labelled at its end."""
    names = [method for method, _, _ in bands.lines]
    least = 1.2 + row_height(names, paper, 0.25, 11.5) * len(names)
    figure, axes = canvas(max(5.2 if paper.narrow else 6.0, least), paper)
    for place, (method, grid, band) in enumerate(bands.lines):
        _draw_line(axes, method, bands.looks[method], grid, band, (place, len(names)), paper)
    axes.set_xlabel("Target env steps spent", color=INK)
    axes.set_ylabel("Greedy return per episode", color=INK)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_locator(_few_ticks(4 if paper.narrow else 9))
    axes.margins(x=0)
    axes.grid(color=GRID, linewidth=0.8)
    ends = [(float(band.value[-1]), method, bands.looks[method].colour) for method, _, band in bands.lines]
    label_ends(axes, ends, paper)
    how = f"{bands.hidden}lines: interquartile mean of {bands.counted}; bands: 95% bootstrap, agents then runs"
    title_above(axes, title, how, paper)
    return figure


def draw_source_target_bars(
    rows: Sequence[Row],
    target: str,
    description: str = "",
    methods: Sequence[str] | None = None,
    paper: Paper = SHEET,
) -> "Figure":
    """A figure with two bars per method, return on the source (pale) and on the target (full), with their intervals.

    Args:
        rows: summary rows, drawn from top to bottom in this order.
        target: which target to draw.
        description: the shift in words, for the title.
        methods: all methods of the comparison, for colours equal to the other figures'; by default those of `rows`.
        paper: what to draw on.

    Raises:
        ValueError: no rows of this target.
    """
    chosen = [row for row in rows if row["target"] == target]
    if not chosen:
        raise ValueError(f"target: {target!r} is not allowed; the rows have {sorted({row['target'] for row in rows})}")
    look = looks(methods if methods is not None else [row["method"] for row in rows])
    names = [row["method"] for row in chosen]
    figure, axes = canvas(1.9 + row_height(names, paper, 0.62) * len(chosen), paper)
    for place, row in enumerate(chosen):
        colour = look[row["method"]].colour
        _bar(axes, place - 0.2, interval(row, "source_return"), pale(colour), paper)
        _bar(axes, place + 0.2, interval(row, "target_return"), colour, paper)
    label_methods(axes, names, paper)
    label_below(axes, "Greedy return per episode after fine-tuning", paper, 0.6)
    axes.margins(x=0.08)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    legend_outside(axes, paper, _shades())
    counted = runs_in_words([row["n_ok"] for row in chosen])
    how = f"interquartile mean of {counted}; whiskers: 95% bootstrap, agents then runs"
    title_above(axes, "Kept and gained on " + _with(target, description), how, paper, 0.6)
    return figure


def _groups(runs: Sequence[Row], lines: Floats, target: str) -> dict[str, list[int]]:
    """Positions of each method's finished runs on the target; a curve with NaN does not count."""
    groups: dict[str, list[int]] = {}
    for i, row in enumerate(runs):
        if row["target"] == target and is_ok(row) and np.isfinite(lines[i]).all():
            groups.setdefault(row["method"], []).append(i)
    if not groups:
        raise ValueError(f"target: {target!r} is not allowed; finished runs have {sorted({r['target'] for r in runs})}")
    return groups


def _shown(groups: Mapping[str, Sequence[int]], runs: Sequence[Row], max_lines: int) -> list[str]:
    """The methods to draw, the references first and the rest by their area."""
    fixed = [method for method in dict.fromkeys((*REFERENCES, *RIVALS)) if method in groups]
    others = [method for method in groups if method not in fixed]
    area = {method: float(iqm([runs[i].get("auc", 0.0) for i in groups[method]])) for method in others}
    return fixed + sorted(others, key=lambda method: -area[method])[: max(0, max_lines - len(fixed))]


def _band(
    lines: Floats, steps: Floats, agents: Sequence[int], repetitions: int, seed: int
) -> tuple[Floats, intervals.Interval]:
    """Env steps from 0 [K + 1] with the IQM over runs and its interval at each; the first value holds from 0."""
    grid = np.concatenate([[0.0], np.median(steps, axis=0)])
    values = np.stack([np.interp(grid, own_steps, line) for own_steps, line in zip(steps, lines, strict=True)])
    if len(values) == 1:
        return grid, intervals.Interval(values[0], values[0], values[0])
    return grid, intervals.hierarchical_bootstrap(values, agents, per_task(iqm), repetitions, seed)


def _draw_line(
    axes: "Axes",
    method: str,
    look: Look,
    grid: Floats,
    band: intervals.Interval,
    turn: tuple[int, int],
    paper: Paper,
) -> None:
    """One method's line and band; it has signs where it is its turn among the lines, so that none hides another."""
    if method != "zero_shot":
        axes.fill_between(grid, band.low, band.high, color=look.colour, alpha=0.13, linewidth=0)
    width = (3.2 if method == "scratch" else 2.2) * paper.scale
    # broken lines lie on whole ones, which show through the gaps
    order = 3 if look.line == "-" else 4
    line = axes.plot(
        grid, band.value, color=look.colour, linestyle=look.line, linewidth=width, label=legend_name(method)
    )[0]
    line.set_zorder(order)
    if method not in REFERENCES:
        line.set(marker=look.marker, markersize=6.5 * paper.scale, markeredgecolor="white", markevery=turn)


def _bar(axes: "Axes", place: float, estimate: intervals.Interval, colour: Colour, paper: Paper) -> None:
    """One horizontal bar with its number and its whisker; not drawn where there is no number."""
    if not np.isfinite(estimate.value):
        return
    axes.barh(place, estimate.value, height=0.38, color=colour, linewidth=0)
    end = estimate.value
    if np.isfinite(estimate.low) and np.isfinite(estimate.high):
        sides = [[max(estimate.value - estimate.low, 0.0)], [max(estimate.high - estimate.value, 0.0)]]
        # a white edge keeps the whisker visible on dark bars
        for ink, width in (("white", 3.4), (INK, 1.3)):
            axes.errorbar(
                estimate.value, place, xerr=sides, color=ink, capsize=3, elinewidth=width, capthick=width, fmt="none"
            )
        end = estimate.high if estimate.value >= 0 else estimate.low
    axes.annotate(
        format_number(estimate.value),
        (end, place),
        (5 if estimate.value >= 0 else -5, 0),
        textcoords="offset points",
        va="center",
        ha="left" if estimate.value >= 0 else "right",
        fontsize=10 * paper.scale,
        color=INK,
    )


def _few_ticks(most: int) -> "MaxNLocator":
    """Round numbers, at most so many."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])


def _shades() -> "list[Patch]":
    """Legend entries for the two shades."""
    from matplotlib.patches import Patch

    return [Patch(color=pale(INK), label="source"), Patch(color=INK, label="target")]


def _with(target: str, description: str) -> str:
    """The target's name, with its description if there is one, without the task's fields at its end."""
    description = re.sub(r"(^|; )`[^`]*`$", "", description).replace("`", "")
    return f"{target} ({description})" if description else target


def _counted(
    runs: Sequence[Row], groups: Mapping[str, Sequence[int]], shown: Sequence[str], used: Sequence[int]
) -> str:
    """How many runs and agents the lines show, in words."""
    agents = len({runs[i].get("agent", i) for i in used})
    words = f"{agents} pretrained agent{'' if agents == 1 else 's'}"
    return f"{runs_in_words([len(groups[method]) for method in shown])}{_episodes(runs[used[0]])} ({words})"


def _episodes(row: Row) -> str:
    """Over how many episodes each point of a run is, in words; empty where the run has no such number."""
    return f" of {row['eval_episodes']} episodes" if "eval_episodes" in row else ""

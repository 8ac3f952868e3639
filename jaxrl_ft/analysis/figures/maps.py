"""Figures made of cells: methods x shifts, and returns over two physical quantities.

matplotlib is imported when something is drawn, never before.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxrl_ft.analysis.figures.palette import INK
from jaxrl_ft.analysis.figures.style import PAGE, Paper, canvas, canvases, label_methods, lettering, row_height
from jaxrl_ft.analysis.report.measurements import PhysicsGrid
from jaxrl_ft.analysis.report.tables import MISSING
from jaxrl_ft.analysis.statistics.summary import Row
from jaxrl_ft.core.curves import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ABOVE, BELOW = "#0072B2", "#D55E00"
STRONGEST = 0.6
# these two lie on colours of their own, which no theme changes
LIGHT_INK, DARK_INK = "#fefefe", "#010101"


def draw_heat_map(
    cells: Mapping[tuple[str, str], Row], methods: Sequence[str], targets: Sequence[str], paper: Paper = PAGE
) -> "Figure":
    """A figure with a row per method and a column per target: the area, on a colour for its gain over scratch.

    Blue is above scratch and vermilion below, full colour at the largest difference of the figure; areas whose paired
    interval leaves out zero are bold.

    Args:
        cells: summary rows by method and target.
        methods: from top to bottom.
        targets: from left to right.
        paper: what to draw on.
    """
    figure, axes = canvas(1.75 + row_height(methods, paper, 0.3) * len(methods), paper)
    gains = [abs(row.get("auc_gain", np.nan)) for row in cells.values()]
    largest = max([gain for gain in gains if np.isfinite(gain)], default=0.0) or 1.0
    size = _text_size((72.0 * paper.width - 110.0) / len(targets))
    for down, method in enumerate(methods):
        for across, target in enumerate(targets):
            _heat_cell(axes, across, down, cells.get((method, target)), largest, size)
    axes.set_xlim(-0.5, len(targets) - 0.5)
    label_methods(axes, methods, paper)
    axes.set_xticks(
        range(len(targets)),
        [lettering(target, 24) for target in targets],
        rotation=35 if len(targets) <= 6 else 60,
        ha="left",
        rotation_mode="anchor",
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _heat_cell(axes: "Axes", across: int, down: int, row: Row | None, largest: float, size: float) -> None:
    """One cell: a tint and a number."""
    from matplotlib.patches import Rectangle

    gain, area = (np.nan, np.nan) if row is None else (row.get("auc_gain", np.nan), row.get("auc", np.nan))
    tint = STRONGEST * min(1.0, abs(gain) / largest) if np.isfinite(gain) else 0.0
    corner = (across - 0.48, down - 0.46)
    axes.add_patch(Rectangle(corner, 0.96, 0.92, color=ABOVE if gain > 0 else BELOW, alpha=tint, linewidth=0))
    sure = row is not None and (row.get("auc_gain_low", np.nan) > 0 or row.get("auc_gain_high", np.nan) < 0)
    text = f"{area:,.0f}" if np.isfinite(area) else MISSING
    weight = "bold" if sure else "normal"
    axes.text(across, down, text, ha="center", va="center", fontsize=size, color=INK, fontweight=weight)


def draw_physics_grid(grid: PhysicsGrid, before: str, after: str, paper: Paper = PAGE) -> "Figure":
    """A figure of two maps over the same physics: the return before and after fine-tuning, on one scale of colour.

    Args:
        grid: what was measured.
        before: heading of the first map.
        after: heading of the second.
        paper: what to draw on.
    """
    down, across = grid.before.shape
    rows = 0.32 * down + 1.2
    figure, (first, second) = canvases(2.0 * rows if paper.narrow else rows + 0.2, paper, 2, across=not paper.narrow)
    both = np.concatenate([np.ravel(grid.before), np.ravel(grid.after)])
    known = both[np.isfinite(both)]
    scale = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    size = _text_size((72.0 * paper.width - 60.0) / (1 if paper.narrow else 2) / across)
    for axes, values, title in ((first, grid.before, before), (second, grid.after, after)):
        _grid_map(axes, grid, np.asarray(values, np.float64), scale, size)
        axes.set_title(lettering(title, paper.characters(12, 0.4)), loc="left", fontsize=12 * paper.scale, color=INK)
        axes.set_xlabel(_named(grid.names[1]), color=INK)
    first.set_ylabel(_named(grid.names[0]), color=INK)
    if paper.narrow:
        second.set_ylabel(_named(grid.names[0]), color=INK)
    return figure


def _grid_map(axes: "Axes", grid: PhysicsGrid, values: Floats, scale: tuple[float, float], size: float) -> None:
    """One map with a number in every cell, and the places of source and target."""
    from matplotlib import colormaps

    low, high = scale
    axes.pcolormesh(values, cmap="cividis", vmin=low, vmax=high, edgecolors="face", linewidth=0.4)
    for i, j in np.ndindex(*values.shape):
        share = (values[i, j] - low) / max(high - low, 1e-9)
        dark = sum(colormaps["cividis"](share)[:3]) < 1.5 if np.isfinite(share) else False
        text = f"{values[i, j]:.0f}" if np.isfinite(values[i, j]) else MISSING
        colour = LIGHT_INK if dark else DARK_INK
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=size, color=colour)
    for place, style in ((grid.source, "--"), (grid.target_cell, "-")):
        if place is not None:
            _frame(axes, place, style)
    for axis, numbers in ((axes.yaxis, grid.values[0]), (axes.xaxis, grid.values[1])):
        axis.set_ticks(np.arange(len(numbers)) + 0.5, [f"{number:.3g}" for number in numbers])
    axes.tick_params(length=0, labelsize=9.5)
    axes.spines[:].set_visible(False)


def _frame(axes: "Axes", place: tuple[int, int], style: str) -> None:
    """A frame around one cell."""
    from matplotlib.patches import Rectangle

    corner = (place[1] + 0.04, place[0] + 0.04)
    axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, edgecolor="#D55E00", linewidth=2.0, linestyle=style))


def _text_size(room: float) -> float:
    """Points at which a return fits into so many points of width."""
    return float(np.clip(room / 2.8, 4.0, 10.0))


def _named(name: str) -> str:
    """A quantity's name as words."""
    return name.replace("_", " ")

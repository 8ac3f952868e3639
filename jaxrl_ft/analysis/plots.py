"""Figures of a comparison as PNG files, about 1000 pixels wide, drawn without pyplot: no global state is touched.

matplotlib is imported when something is drawn, never before.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxrl_ft.analysis import intervals
from jaxrl_ft.analysis.statistics import iqm, per_task
from jaxrl_ft.analysis.summary import REFERENCES, RIVALS, Row, interval, is_ok

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
WIDTH = 10.0
INK = "#222222"
MUTED = "#666666"
GRID = "#e4e4e4"
# Okabe and Ito 2008, "Color universal design"; its yellow is left out, too pale on white
FIXED_COLOURS = {"zero_shot": "#7f7f7f", "scratch": "#000000", "full": "#0072B2"}
OTHER_COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))


class Look(NamedTuple):
    """The colour and line style of one method."""

    colour: str
    line: Any


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """Colour and line style of every method: fixed for zero_shot, scratch and full, in order for the rest.

    Give the methods of the whole comparison, and each looks the same in all of its figures. Beyond five others, colours
    return with another dash.
    """
    others = [method for method in dict.fromkeys(methods) if method not in FIXED_COLOURS]
    result = {name: Look(FIXED_COLOURS[name], "--" if name == "zero_shot" else "-") for name in FIXED_COLOURS}
    for place, method in enumerate(others):
        turn = place // len(OTHER_COLOURS) % len(DASHES)
        result[method] = Look(OTHER_COLOURS[place % len(OTHER_COLOURS)], DASHES[turn])
    return {method: result[method] for method in dict.fromkeys(methods)}


def learning_curves(path: str | Path, *args: Any, **kwargs: Any) -> Path:
    """The path of a PNG of `draw_learning_curves` with the same further arguments."""
    return _save(draw_learning_curves(*args, **kwargs), path)


def source_target_bars(path: str | Path, *args: Any, **kwargs: Any) -> Path:
    """The path of a PNG of `draw_source_target_bars` with the same further arguments."""
    return _save(draw_source_target_bars(*args, **kwargs), path)


def draw_learning_curves(
    runs: Sequence[Row],
    curves: ArrayLike,
    curve_steps: ArrayLike,
    target: str,
    description: str = "",
    max_lines: int = 8,
    repetitions: int = 1000,
    seed: int = 0,
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

    Raises:
        ValueError: the target has no finished run.
    """
    lines, steps = np.asarray(curves, np.float64), np.asarray(curve_steps, np.float64)
    groups = _groups(runs, lines, target)
    shown = _shown(groups, runs, max_lines)
    look = looks([row["method"] for row in runs])
    figure, axes = _canvas(6.0)
    ends = []
    for method in shown:
        own = groups[method]
        grid, band = _band(lines[own], steps[own], [runs[i].get("agent", i) for i in own], repetitions, seed)
        _draw_line(axes, method, look[method], grid, band)
        ends.append((float(band.value[-1]), method, look[method].colour))
    axes.set_xlabel("Target env steps spent", color=INK)
    axes.set_ylabel("Greedy return per episode", color=INK)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0)
    axes.grid(color=GRID, linewidth=0.8)
    _label_ends(axes, ends)
    used = [i for method in shown for i in groups[method]]
    hidden = f"{len(shown)} of {len(groups)} methods, " if len(shown) < len(groups) else ""
    how = f"lines: interquartile mean of {_counted(runs, groups, shown, used)}"
    _title(axes, "Fine-tuning on " + _with(target, description), f"{hidden}{how}; bands: 95% bootstrap interval")
    figure.tight_layout()
    return figure


def draw_source_target_bars(
    rows: Sequence[Row], target: str, description: str = "", methods: Sequence[str] | None = None
) -> "Figure":
    """A figure with two bars per method, return on the source (pale) and on the target (full), with their intervals.

    Args:
        rows: summary rows, drawn from top to bottom in this order.
        target: which target to draw.
        description: the shift in words, for the title.
        methods: all methods of the comparison, for colours equal to the other figures'; by default those of `rows`.

    Raises:
        ValueError: no rows of this target.
    """
    chosen = [row for row in rows if row["target"] == target]
    if not chosen:
        raise ValueError(f"target: {target!r} is not allowed; the rows have {sorted({row['target'] for row in rows})}")
    look = looks(methods if methods is not None else [row["method"] for row in rows])
    figure, axes = _canvas(1.9 + 0.62 * len(chosen))
    for place, row in enumerate(chosen):
        colour = look[row["method"]].colour
        _bar(axes, place - 0.2, interval(row, "source_return"), colour, 0.4)
        _bar(axes, place + 0.2, interval(row, "target_return"), colour, 1.0)
    axes.set_yticks(range(len(chosen)), [row["method"] for row in chosen])
    axes.set_ylim(len(chosen) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Greedy return per episode after fine-tuning", color=INK)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.legend(handles=_shades(), loc="lower left", bbox_to_anchor=(0.62, 1.0), ncols=2, frameon=False, fontsize=11)
    numbers = sorted({row["n_ok"] for row in chosen})
    span = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    how = f"interquartile mean of {span} runs; whiskers: 95% bootstrap interval"
    _title(axes, "Kept and gained on " + _with(target, description), how)
    figure.tight_layout()
    return figure


def _groups(runs: Sequence[Row], lines: NDArray[Any], target: str) -> dict[str, list[int]]:
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
    lines: NDArray[Any], steps: NDArray[Any], agents: Sequence[Any], repetitions: int, seed: int
) -> tuple[NDArray[Any], intervals.Interval]:
    """Env steps from 0 [K + 1] with the IQM over runs and its interval at each; the first value holds from 0."""
    grid = np.concatenate([[0.0], np.median(steps, axis=0)])
    values = np.stack([np.interp(grid, own_steps, line) for own_steps, line in zip(steps, lines, strict=True)])
    if len(values) == 1:
        return grid, intervals.Interval(values[0], values[0], values[0])
    return grid, intervals.hierarchical_bootstrap(values, agents, per_task(iqm), repetitions, seed)


def _draw_line(axes: "Axes", method: str, look: Look, grid: NDArray[Any], band: intervals.Interval) -> None:
    """One method's line and band."""
    reference = method in REFERENCES
    if method != "zero_shot":
        axes.fill_between(grid, band.low, band.high, color=look.colour, alpha=0.13, linewidth=0)
    width = 3.2 if method == "scratch" else 2.2
    order = 4 if reference else 3
    axes.plot(grid, band.value, color=look.colour, linestyle=look.line, linewidth=width, label=method, zorder=order)


def _label_ends(axes: "Axes", ends: Sequence[tuple[float, str, str]]) -> None:
    """The methods' names right of their lines, moved apart vertically where they would overlap."""
    low, high = axes.get_ylim()
    low = min(low, 0.0) if low > -0.2 * (high - low) else low
    axes.set_ylim(low, high)
    ordered = sorted(ends)
    wanted = np.array([(value - low) / (high - low) for value, _, _ in ordered])
    for place, (value, method, colour) in zip(spread(wanted, 0.052), ordered, strict=True):
        name = f"{method} {value:,.0f}" if high - low > 20 else f"{method} {value:.2f}"
        axes.annotate(
            name,
            xy=(1.0, (value - low) / (high - low)),
            xytext=(1.035, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=colour,
            fontsize=11.5,
            fontweight="bold" if method in REFERENCES else "normal",
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.9, "shrinkA": 1, "shrinkB": 0},
        )


def spread(wanted: NDArray[Any], gap: float) -> NDArray[np.float64]:
    """Positions [L] at least `gap` apart, in order, as near to the ascending wanted ones as least squares allows.

    Subtracting i * gap turns the spacing into monotonicity, which is isotonic regression (pool adjacent violators).
    """
    offsets = np.arange(len(wanted)) * gap
    pools: list[list[float]] = []
    for value in np.asarray(wanted, np.float64) - offsets:
        pools.append([float(value), 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, n), (b, m) = pools[-2], pools[-1]
            pools[-2:] = [[(a * n + b * m) / (n + m), n + m]]
    return np.concatenate([np.full(int(n), value) for value, n in pools]) + offsets


def _bar(axes: "Axes", place: float, estimate: intervals.Interval, colour: str, alpha: float) -> None:
    """One horizontal bar with its whisker; nothing where there is no number."""
    if not np.isfinite(estimate.value):
        return
    axes.barh(place, estimate.value, height=0.38, color=colour, alpha=alpha, linewidth=0)
    if np.isfinite(estimate.low) and np.isfinite(estimate.high):
        ends = [[max(estimate.value - estimate.low, 0.0)], [max(estimate.high - estimate.value, 0.0)]]
        axes.errorbar(estimate.value, place, xerr=ends, color=INK, capsize=3, elinewidth=1.3, fmt="none", zorder=5)


def _shades() -> list[Any]:
    """Legend entries for the two shades."""
    from matplotlib.patches import Patch

    return [Patch(color=INK, alpha=0.4, label="source"), Patch(color=INK, alpha=1.0, label="target")]


def _canvas(height: float) -> tuple["Figure", "Axes"]:
    """An empty white figure on the Agg canvas with one pair of axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor="white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(labelsize=11, colors=INK)
    axes.xaxis.label.set_fontsize(12)
    axes.yaxis.label.set_fontsize(12)
    axes.set_axisbelow(True)
    return figure, axes


def _title(axes: "Axes", title: str, how: str) -> None:
    """A bold title above a line on how the numbers were made."""
    axes.annotate(how, (0, 1), (0, 8), "axes fraction", "offset points", color=MUTED, fontsize=10.5, va="bottom")
    axes.set_title(title, loc="left", fontsize=15, fontweight="bold", color=INK, pad=26)


def _with(target: str, description: str) -> str:
    """The target's name, with its description if there is one."""
    return f"{target} ({description})" if description else target


def _counted(
    runs: Sequence[Row], groups: Mapping[str, Sequence[int]], shown: Sequence[str], used: Sequence[int]
) -> str:
    """How many runs and agents the lines show, in words."""
    numbers = sorted({len(groups[method]) for method in shown})
    span = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    agents = len({runs[i].get("agent", i) for i in used})
    return f"{span} runs ({agents} pretrained agent{'' if agents == 1 else 's'})"


def _save(figure: "Figure", path: str | Path) -> Path:
    """The path, with the figure written to it as PNG; missing folders are made."""
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(place, format="png", dpi=DPI)
    return place

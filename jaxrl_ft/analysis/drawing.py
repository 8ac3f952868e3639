"""What all figures share: paper, canvas, colours, titles and labels; drawn without pyplot.

matplotlib is imported when something is drawn, never before.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxrl_ft.analysis.summary import REFERENCES
from jaxrl_ft.analysis.tables import format_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
INK = "#222222"
MUTED = "#666666"
GRID = "#e4e4e4"
# Okabe and Ito 2008, "Color universal design"; its yellow is left out, too pale on white
FIXED_COLOURS = {"zero_shot": "#7f7f7f", "scratch": "#000000", "full": "#0072B2"}
OTHER_COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS = ("o", "s", "^", "D")


class Paper(NamedTuple):
    """What a figure is drawn on."""

    width: float = 10.0
    """inches"""
    titled: bool = True
    """whether the figure carries its title; where a page has a heading and a caption it does not"""

    @property
    def narrow(self) -> bool:
        """Whether it is the width of a phone."""
        return self.width < 7.0


SHEET, PAGE, PHONE = Paper(), Paper(10.0, titled=False), Paper(5.0, titled=False)
"""A file of its own about 1000 pixels wide; a part of a page; the same on a phone."""
PRINT = Paper(7.0, titled=False)
"""The width of a page of print."""
VECTORS: dict[str, Any] = {
    ".pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    ".svg": {"Date": None, "Creator": None},
}
"""Kinds of file beside each PNG, with what they say of themselves: no time, so that equal figures are equal files."""
VECTOR_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "jaxrl_ft", "path.simplify": True, "pdf.fonttype": 42}
"""Text stays text, in fonts that publishers accept."""


class Look(NamedTuple):
    """The colour, line style and marker of one method."""

    colour: str
    line: Any
    marker: str = "o"


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """Colour, line and marker of every method: fixed for zero_shot, scratch and full, by the alphabet for the rest.

    Give the methods of the whole comparison, in any order, and each looks the same in all of its figures. Beyond five
    others, colours return with another dash and marker.
    """
    others = sorted({method for method in methods if method not in FIXED_COLOURS})
    result = {name: Look(FIXED_COLOURS[name], "--" if name == "zero_shot" else "-") for name in FIXED_COLOURS}
    for place, method in enumerate(others):
        turn = place // len(OTHER_COLOURS) % len(DASHES)
        result[method] = Look(OTHER_COLOURS[place % len(OTHER_COLOURS)], DASHES[turn], MARKERS[turn])
    return {method: result[method] for method in dict.fromkeys(methods)}


def canvas(height: float, paper: Paper = SHEET) -> tuple["Figure", "Axes"]:
    """An empty white figure on the Agg canvas with one pair of axes."""
    figure, (axes,) = canvases(height, paper, 1)
    return figure, axes


def canvases(height: float, paper: Paper, number: int, across: bool = True) -> tuple["Figure", list["Axes"]]:
    """As `canvas`, with several pairs of axes beside each other, or below each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(paper.width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    shape = (1, number) if across else (number, 1)
    every = [figure.add_subplot(*shape, place + 1, facecolor="white") for place in range(number)]
    for axes in every:
        _style(axes)
    return figure, every


def _style(axes: "Axes") -> None:
    """Quiet axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(labelsize=11, colors=INK)
    axes.xaxis.label.set_fontsize(12)
    axes.yaxis.label.set_fontsize(12)
    axes.set_axisbelow(True)


def title_above(axes: "Axes", title: str, how: str, paper: Paper = SHEET) -> None:
    """A bold title above a line on how the numbers were made; nothing where the paper has no titles."""
    if not paper.titled:
        return
    axes.annotate(how, (0, 1), (0, 8), "axes fraction", "offset points", color=MUTED, fontsize=10.5, va="bottom")
    size = 15 * min(1.0, 65 / max(len(title), 1))
    axes.set_title(title, loc="left", fontsize=size, fontweight="bold", color=INK, pad=26)


def label_ends(axes: "Axes", ends: Sequence[tuple[float, str, str]]) -> None:
    """The methods' names right of their lines, moved apart vertically where they would overlap."""
    from matplotlib.lines import Line2D

    low, high = axes.get_ylim()
    low = min(low, 0.0) if low > -0.2 * (high - low) else low
    axes.set_ylim(low, high)
    ordered = sorted(ends)
    wanted = np.array([(value - low) / (high - low) for value, _, _ in ordered])
    for place, (value, method, colour) in zip(spread(wanted, 0.05, 0.015, 0.985), ordered, strict=True):
        ends_at = [(value - low) / (high - low), place]
        leader = Line2D([1.0, 1.03], ends_at, color=colour, linewidth=0.9, transform=axes.transAxes)
        axes.figure.add_artist(leader)
        axes.annotate(
            f"{method} {format_number(value)}",
            xy=(1.03, place),
            xytext=(4, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=colour,
            fontsize=11.5,
            fontweight="bold" if method in REFERENCES else "normal",
            va="center",
            annotation_clip=False,
        )


def spread(wanted: ArrayLike, gap: float, low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
    """Positions [L] in [low, high] at least `gap` apart, as near to the ascending wanted ones as least squares allows.

    Subtracting i * gap turns the spacing into monotonicity, which is isotonic regression (pool adjacent violators);
    its bounded solution is the free one, clipped. The gap shrinks if there is no room for it.
    """
    places = np.asarray(wanted, np.float64)
    offsets = np.arange(len(places)) * min(gap, (high - low) / max(1, len(places) - 1))
    pools: list[tuple[float, int]] = []
    for place in places - offsets:
        pools.append((float(place), 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (upper, n), (lower, m) = pools[-2:]
            pools[-2:] = [((upper * n + lower * m) / (n + m), n + m)]
    level = np.repeat([value for value, _ in pools], [n for _, n in pools])
    return np.clip(level, low, high - offsets[-1]) + offsets


def pale(colour: str) -> Any:
    """The colour mixed with white: opaque, so that grid lines do not show through."""
    from matplotlib.colors import to_rgb

    return tuple(0.4 * part + 0.6 for part in to_rgb(colour))


def write_figure(draw: Callable[..., "Figure"], path: Path) -> None:
    """Write a figure as PNG, and beside it, drawn at print size, as PDF and SVG; missing folders are made.

    Args:
        draw: makes the figure on a given `paper`.
        path: of the PNG.
    """
    import matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    draw(paper=SHEET).savefig(path, dpi=DPI)
    for kind, metadata in VECTORS.items():
        with matplotlib.rc_context(VECTOR_SETTINGS):
            draw(paper=PRINT).savefig(path.with_suffix(kind), metadata=metadata)

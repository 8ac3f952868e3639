"""What all figures share: paper, canvas, titles, labels, legends and files; drawn without pyplot.

matplotlib is imported when something is drawn, never before.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from jaxrl_ft.analysis.figures.palette import INK, MUTED
from jaxrl_ft.analysis.report.tables import format_number, wrapped
from jaxrl_ft.analysis.statistics.summary import REFERENCES
from jaxrl_ft.core.curves import Floats
from jaxrl_ft.core.files import replacing

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
NAME_SHARE = 0.36
"""Most of a figure's width that the names of methods may take."""
CHARACTER = 0.62
"""Width of a character over the size of its font, about."""


class Paper(NamedTuple):
    """What a figure is drawn on."""

    width: float = 10.0
    """inches"""
    titled: bool = True
    """whether the figure carries its title; where a page has a heading and a caption it does not"""
    scale: float = 1.0
    """size of text, and height of figures, beside those of a page 10 inches wide"""

    @property
    def narrow(self) -> bool:
        """Whether it is the width of a phone."""
        return self.width / self.scale < 7.0

    def characters(self, size: float, share: float = NAME_SHARE) -> int:
        """Characters of a font of so many points that fit into a share of the width."""
        return max(8, int(72.0 * share * self.width / (CHARACTER * size * self.scale)))


SHEET, PAGE, PHONE = Paper(), Paper(10.0, titled=False), Paper(5.0, titled=False)
"""A file of its own about 1000 pixels wide; a part of a page; the same on a phone."""
PRINT = Paper(7.0, titled=False, scale=0.75)
"""The width of two columns of print, with text of 8 to 9 points."""


VECTORS = (".pdf", ".svg")
"""Kinds of file beside each PNG; they hold no time, so that equal figures are equal files."""
VECTOR_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "jaxrl_ft", "path.simplify": True, "pdf.fonttype": 42}
"""Text stays text, in fonts that publishers accept."""


def canvas(height: float, paper: Paper = SHEET) -> tuple["Figure", "Axes"]:
    """An empty white figure on the Agg canvas with one pair of axes."""
    figure, (axes,) = canvases(height, paper, 1)
    return figure, axes


def canvases(height: float, paper: Paper, number: int, across: bool = True) -> tuple["Figure", list["Axes"]]:
    """As `canvas`, with several pairs of axes beside each other, or below each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (paper.width, height * paper.scale)
    figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    shape = (1, number) if across else (number, 1)
    every = [figure.add_subplot(*shape, place + 1, facecolor="white") for place in range(number)]
    for axes in every:
        _style(axes, paper)
    return figure, every


def whole(axes: "Axes") -> "Figure":
    """The figure that axes stand in."""
    return cast("Figure", axes.figure)


def _style(axes: "Axes", paper: Paper) -> None:
    """Quiet axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(labelsize=11 * paper.scale, colors=INK)
    axes.xaxis.label.set_fontsize(12 * paper.scale)
    axes.yaxis.label.set_fontsize(12 * paper.scale)
    axes.set_axisbelow(True)


def lettering(text: str, most: int) -> str:
    """Text to draw in lines of at most so many characters, in which dollar signs begin no formula."""
    return legend_name(wrapped(text, most).replace("$", r"\$"))


def legend_name(name: str) -> str:
    """The label of what is drawn, for matplotlib leaves those out of a legend that begin with `_`."""
    return f" {name}" if name.startswith("_") else name


def title_above(axes: "Axes", title: str, how: str, paper: Paper = SHEET, share: float = 0.9) -> None:
    """A bold title above a line on how the numbers were made; not drawn where the paper has no titles.

    Args:
        axes: whose left side they begin at.
        title: broken where it is longer than there is room.
        how: likewise.
        paper: what is drawn on.
        share: of its width that is right of where they begin.
    """
    if not paper.titled:
        return
    how, title = (
        lettering(how, paper.characters(10.5, 1.2 * share)),
        lettering(title, paper.characters(15, 0.9 * share)),
    )
    axes.annotate(how, (0, 1), (0, 8), "axes fraction", "offset points", color=MUTED, fontsize=10.5, va="bottom")
    pad = 13 + 13 * len(how.splitlines())
    axes.set_title(title, loc="left", fontsize=15, fontweight="bold", color=INK, pad=pad)


def label_below(axes: "Axes", text: str, paper: Paper, share: float = 0.9) -> None:
    """What the horizontal axis shows, in as many lines as it takes for a share of the paper's width."""
    axes.set_xlabel(lettering(text, paper.characters(12, share)), color=INK)


def label_methods(axes: "Axes", methods: Sequence[str], paper: Paper, size: float = 11.0) -> None:
    """The names of methods, one at each place of the vertical axis, best on top, in as many lines as they take."""
    names = [lettering(method, paper.characters(size)) for method in methods]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, labelsize=size * paper.scale)
    for label, method in zip(axes.get_yticklabels(), methods, strict=True):
        label.set_fontweight("bold" if method in REFERENCES else "normal")


def row_height(methods: Sequence[str], paper: Paper, least: float, size: float = 11.0) -> float:
    """Inches of each row that the methods' names need as `label_methods` writes them, at least so many."""
    lines = max((lettering(method, paper.characters(size)).count("\n") + 1 for method in methods), default=1)
    return max(least, 0.1 + 1.25 * lines * size / 72.0)


def legend_height(names: Sequence[str], paper: Paper) -> float:
    """Inches, about, of a legend of these names above the axes."""
    columns = max(
        1, min(2 if paper.narrow else 4, paper.characters(10.5, 1.0) // (max(map(len, names), default=1) + 6))
    )
    lines = max((lettering(name, paper.characters(10.5, 0.8)).count("\n") + 1 for name in names), default=1)
    return 0.26 * lines * -(-len(names) // columns)


def legend_outside(axes: "Axes", paper: Paper, handles: "Sequence[Artist] | None" = None) -> None:
    """A legend above the axes, or below them where a title stands above, in as many columns as fit its names."""
    figure, size = whole(axes), 10.5 * paper.scale
    shown = axes.get_legend_handles_labels()[0] if handles is None else list(handles)
    where: Literal["outside lower left", "outside upper left"]
    where = "outside lower left" if paper.titled else "outside upper left"
    most = min(len(shown), 2 if paper.narrow else 4)
    for columns, share in [*((columns, 0.8) for columns in range(most, 0, -1)), (1, 0.6), (1, 0.4)]:
        labels = [lettering(str(handle.get_label()), paper.characters(10.5, share)) for handle in shown]
        legend = figure.legend(shown, labels, loc=where, ncols=columns, frameon=False, fontsize=size)
        if legend.get_window_extent().width <= figure.bbox.width or share == 0.4:
            return
        legend.remove()


def label_ends(axes: "Axes", ends: Sequence[tuple[float, str, str]], paper: Paper = SHEET) -> None:
    """The methods' names right of their lines, moved apart vertically where they would overlap."""
    from matplotlib.lines import Line2D

    low, high = axes.get_ylim()
    low = min(low, 0.0) if low > -0.2 * (high - low) else low
    axes.set_ylim(low, high)
    ordered = sorted(ends)
    wanted = np.array([(value - low) / (high - low) for value, _, _ in ordered])
    texts = [lettering(f"{method} {format_number(value)}", paper.characters(11.5, 0.3)) for value, method, _ in ordered]
    heights = np.array([0.05 + 0.04 * text.count("\n") for text in texts])
    places = spread(wanted, (heights[1:] + heights[:-1]) / 2.0, 0.015, 0.985)
    for place, text, (value, method, colour) in zip(places, texts, ordered, strict=True):
        ends_at = [(value - low) / (high - low), place]
        leader = Line2D([1.0, 1.03], ends_at, color=colour, linewidth=0.9, transform=axes.transAxes)
        axes.figure.add_artist(leader)
        axes.annotate(
            text,
            xy=(1.03, place),
            xytext=(4, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=colour,
            fontsize=11.5 * paper.scale,
            fontweight="bold" if method in REFERENCES else "normal",
            va="center",
            annotation_clip=False,
        )


def apart(places: ArrayLike, gap: float) -> Floats:
    """Moves [L, 2] that put signs which would hide one another on a circle around their middle, `gap` apart.

    Signs hide one another where they are nearer than half a gap, or are linked by a chain of such.

    Args:
        places: of the signs [L, 2].
        gap: in the unit of the places.
    """
    points = np.asarray(places, np.float64).reshape(-1, 2)
    near = np.linalg.norm(points[:, None] - points[None], axis=-1) < gap / 2.0
    group = np.arange(len(points))
    for _ in range(len(points)):
        group = np.where(near, group[None, :], len(points)).min(axis=1)
    moves = np.zeros_like(points)
    for members in (np.flatnonzero(group == name) for name in np.unique(group)):
        if len(members) > 1:
            turns = 2.0 * np.pi * np.arange(len(members)) / len(members)
            circle = gap / (2.0 * np.sin(np.pi / len(members))) * np.stack([np.cos(turns), np.sin(turns)], axis=-1)
            moves[members] = points[members].mean(axis=0) + circle - points[members]
    return moves


def spread(wanted: ArrayLike, gap: ArrayLike, low: float = 0.0, high: float = 1.0) -> Floats:
    """Positions [L] in [low, high] at least `gap` apart, as near to the ascending wanted ones as least squares allows.

    Subtracting the gaps before each turns the spacing into monotonicity, which is isotonic regression (pool adjacent
    violators); its bounded solution is the free one, clipped. The gaps shrink if there is no room for them.

    Args:
        wanted: positions [L].
        gap: one, or one between each two positions [L - 1].
        low: the lowest position.
        high: the highest one.
    """
    places = np.asarray(wanted, np.float64)
    gaps = np.broadcast_to(np.asarray(gap, np.float64), (max(0, len(places) - 1),))
    offsets = np.concatenate([[0.0], np.cumsum(gaps)]) * min(1.0, (high - low) / max(float(gaps.sum()), 1e-12))
    pools: list[tuple[float, int]] = []
    for place in places - offsets:
        pools.append((float(place), 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (upper, n), (lower, m) = pools[-2:]
            pools[-2:] = [((upper * n + lower * m) / (n + m), n + m)]
    level = np.repeat([value for value, _ in pools], [n for _, n in pools])
    return np.asarray(np.clip(level, low, high - offsets[-1]) + offsets)


def write_figure(draw: Callable[..., "Figure"], path: Path) -> None:
    """Write a figure as PNG, and beside it, drawn at print size, as PDF and SVG; missing folders are made.

    Args:
        draw: makes the figure on a given `paper`.
        path: of the PNG.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    path.parent.mkdir(parents=True, exist_ok=True)
    # `savefig` would draw everything twice
    with replacing(path) as png:
        FigureCanvasAgg(draw(paper=SHEET)).print_png(png)
    printed, pdf, svg = draw(paper=PRINT), path.with_suffix(".pdf"), path.with_suffix(".svg")
    with matplotlib.rc_context(VECTOR_SETTINGS), replacing(pdf) as file:
        FigureCanvasPdf(printed).print_pdf(file, metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))
    with matplotlib.rc_context(VECTOR_SETTINGS), replacing(svg) as file:
        FigureCanvasSVG(printed).print_svg(file, metadata=dict.fromkeys(("Date", "Creator")))

"""The drawing of an environment on matplotlib's axes: its SVG read into patches whose parts can be moved."""

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxrl_ft.analysis.figures.palette import Colour
from jaxrl_ft.analysis.figures.world import Part, World
from jaxrl_ft.core.curves import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch
    from matplotlib.path import Path
    from matplotlib.transforms import Affine2D, Transform

NONE = "none"
TEXT, QUIET, ACCENT, WARNING, GOAL, CARD = "#1d2126", "#5b636d", "#0064a4", "#b4470b", "#15803d", "#ffffff"


class Style(NamedTuple):
    """How elements of a class look, as the page's style sheet says it for a light page."""

    fill: Colour = NONE
    stroke: Colour = NONE
    width: float = 0.0
    """of the stroke, in units of the drawing"""
    dashed: bool = False


STYLES = {
    "track": Style(stroke=QUIET, width=2.0),
    "limit": Style(stroke=WARNING, width=1.5, dashed=True),
    "goal": Style(stroke=GOAL, width=1.5, dashed=True),
    "flag": Style(fill=GOAL),
    "mast": Style(stroke=QUIET, width=2.5),
    "cart": Style(fill=TEXT),
    "mount": Style(fill=TEXT),
    "wheel": Style(fill=TEXT, stroke=CARD, width=1.5),
    "pole": Style(stroke=ACCENT),
    "hinge": Style(fill=CARD),
    "push": Style(fill=QUIET),
    "turn": Style(stroke=QUIET, width=5.0),
}
_TOKEN = re.compile(r"[A-Za-z]|-?\d+(?:\.\d+)?")
_NUMBERS = {"m": 2, "l": 2, "h": 1, "v": 1, "q": 4, "z": 0}


class Drawing:
    """The drawing of an environment on axes, which it fills.

    Args:
        world: the environment.
        axes: where; their size must be final, since widths of lines are set by it.
    """

    def __init__(self, world: World, axes: "Axes") -> None:
        left, top, width, height = world.box
        axes.set(xlim=(left, left + width), ylim=(top + height, top), aspect="equal")
        axes.set_axis_off()
        frame = axes.get_window_extent()
        pixels = min(frame.width / width, frame.height / height)
        self._axes, self._points = axes, 72.0 * pixels / axes.figure.dpi
        self._moves: dict[str, Affine2D] = {}
        self.patches: dict[str, list[Patch]] = {}
        """by class, in the order in which they are drawn"""
        for text in (world.ground(), world.body()):
            self._add(ET.fromstring(f"<g>{text}</g>"), "", axes.transData)

    def move(self, parts: list[Part], step: int, push: float, failed: bool) -> None:
        """Show a state.

        Args:
            parts: of an episode.
            step: the number of the state in it.
            push: the force or torque, -1 to 1.
            failed: whether the episode has ended in a failure.
        """
        for part in parts:
            x, y, angle = (float(values[min(step, len(values) - 1)]) for values in part[1:])
            self._moves[part.name].clear().rotate_deg(angle).translate(x, y)
        self._moves["push"].clear().scale(push or 1.0, abs(push) or 1.0)
        for patch in (*self.patches["push"], *self.patches.get("turn", [])):
            patch.set_visible(push != 0.0)
        for patch in self.patches.get("pole", []):
            patch.set_edgecolor(WARNING if failed else ACCENT)

    def _add(self, element: ET.Element, inherited: str, inside: "Transform") -> None:
        """Draw an element and those in it."""
        from matplotlib.transforms import Affine2D

        name = element.get("class", "")
        if element.tag == "g" or name == "push":
            if name:
                self._moves[name] = Affine2D()
                inside = self._moves[name] + inside
            inherited = name or inherited
        if element.tag != "g":
            self._draw(element, name or inherited, inside)
        for child in element:
            self._add(child, inherited, inside)

    def _draw(self, element: ET.Element, name: str, transform: "Transform") -> None:
        from matplotlib.patches import PathPatch

        style = STYLES[name]
        width = float(element.get("stroke-width", style.width)) * self._points
        patch = PathPatch(
            outline(element),
            facecolor=style.fill,
            edgecolor=style.stroke,
            linewidth=width,
            linestyle=(0, (4, 3)) if style.dashed else "-",
            capstyle="round" if name == "pole" else "butt",
            transform=transform,
        )
        self._axes.add_patch(patch)
        self.patches.setdefault(name, []).append(patch)


def outline(element: ET.Element) -> "Path":
    """The path of an element: a path, a polyline, a circle or a rectangle."""
    from matplotlib.path import Path

    def number(name: str) -> float:
        return float(element.get(name, 0.0))

    match element.tag:
        case "path":
            return _path(element.get("d", ""))
        case "polyline":
            return Path(np.array([pair.split(",") for pair in element.get("points", "").split()], np.float64))
        case "circle":
            return Path.circle((number("cx"), number("cy")), number("r"))
        case _:
            x, y, width, height = (number(name) for name in ("x", "y", "width", "height"))
            return Path(np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]))


def _path(text: str) -> "Path":
    """What the `d` of an SVG path says; of its commands those that the drawings have."""
    from matplotlib.path import Path

    tokens, points, codes = _TOKEN.findall(text), [], []
    at, start, command = np.zeros(2), np.zeros(2), ""
    while tokens:
        command = tokens.pop(0) if tokens[0].isalpha() else command
        kind = command.lower()
        values = np.array([float(tokens.pop(0)) for _ in range(_NUMBERS[kind])])
        if kind == "z":
            points.append(start)
            codes.append(Path.CLOSEPOLY)
            continue
        places = _places(kind, values, at, relative=command.islower())
        at = places[-1]
        start = at if kind == "m" else start
        points += places
        codes += [{"m": Path.MOVETO, "q": Path.CURVE3}.get(kind, Path.LINETO)] * len(places)
        # Further pairs behind a move are lines.
        command = {"m": "l", "M": "L"}.get(command, command)
    return Path(np.array(points), codes)


def _places(kind: str, values: Floats, at: Floats, relative: bool) -> list[Floats]:
    """The points [2] of one command, from the point that the one before it ended at."""
    if kind in "hv":
        found = at.copy()
        axis = "hv".index(kind)
        found[axis] = values[0] + (at[axis] if relative else 0.0)
        return [found]
    return [pair + (at if relative else 0.0) for pair in values.reshape(-1, 2)]

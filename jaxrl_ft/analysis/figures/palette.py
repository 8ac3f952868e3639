"""Colours, and how every method looks: its colour, line style and marker."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

Colour: TypeAlias = str | tuple[float, float, float]
"""As matplotlib takes it: a name, a hexadecimal number, or red, green and blue from 0 to 1."""
Line: TypeAlias = str | tuple[int, tuple[float, ...]]
"""A line style as matplotlib takes it: a name, or an offset and lengths of dashes and gaps in points."""
INK = "#222222"
MUTED = "#666666"
GRID = "#e4e4e4"
# Okabe and Ito 2008, "Color universal design", without its yellow, too pale on white; then colours of Paul Tol's sets
FIXED_COLOURS = {"zero_shot": "#7f7f7f", "scratch": "#000000", "full": "#0072B2"}
OTHER_COLOURS = (
    "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255", "#117733", "#FB8072", "#999933",
)  # fmt: skip
TINTS = ((0.0, 0), (0.4, 255), (0.3, 0), (0.2, 255), (0.5, 0), (0.6, 255), (0.15, 0), (0.5, 255), (0.4, 0))
"""Shares of white or black that are mixed into colours when they come again."""
DASHES = ((0, (8, 3)), (0, (1.5, 2.5)), (0, (6, 2, 1.5, 2)), (0, (4, 3)))
"""Lines of the others, none of which hides one below it."""
FIXED_MARKERS = {"zero_shot": "o", "scratch": "X", "full": "s"}
MARKERS = ("^", "D", "v", "P", "<", "p", ">")


class Look(NamedTuple):
    """The colour, line style and marker of one method."""

    colour: str
    line: Line
    marker: str = "o"


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """Colour, line style and marker of every method: fixed for zero_shot, scratch and full, by the alphabet for others.

    Give all methods of a comparison, best first, and each looks the same in all of its figures. Up to ten others have
    the ten colours that are furthest apart; of more, the first ten given have them, and the rest have tints of them. No
    two methods have equal colours, and two with tints of one colour differ in line style or marker too.
    """
    others = list(dict.fromkeys(method for method in methods if method not in FIXED_COLOURS))
    result = {
        name: Look(colour, "--" if name == "zero_shot" else "-", FIXED_MARKERS[name])
        for name, colour in FIXED_COLOURS.items()
    }
    first = len(OTHER_COLOURS)
    for place, method in enumerate([*sorted(others[:first]), *sorted(others[first:])]):
        line, marker = DASHES[place % len(DASHES)], MARKERS[place % len(MARKERS)]
        result[method] = Look(_colour(place), line, marker)
    return {method: result[method] for method in dict.fromkeys(methods)}


def _colour(place: int) -> str:
    """The colour of the method at this place among the others."""
    turn, base = divmod(place, len(OTHER_COLOURS))
    share, towards = TINTS[turn % len(TINTS)]
    if not share:
        return OTHER_COLOURS[base]
    parts = [int(OTHER_COLOURS[base][i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round((1.0 - share) * part + share * towards):02x}" for part in parts)


def pale(colour: str) -> Colour:
    """The colour mixed with white: opaque, so that grid lines do not show through."""
    from matplotlib.colors import to_rgb

    red, green, blue = (0.4 * part + 0.6 for part in to_rgb(colour))
    return red, green, blue

"""Figures as SVG to stand in a page: small, with ids of their own, and with the page's colours.

Colours that figures share become CSS variables of the page, so that one drawing serves light, dark and print.
"""

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxrl_ft.analysis.figures.palette import FIXED_COLOURS, GRID, INK, MUTED, OTHER_COLOURS
from jaxrl_ft.analysis.figures.style import VECTOR_SETTINGS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHITE = "#ffffff"
THEMED = tuple(
    dict.fromkeys(colour.lower() for colour in (INK, MUTED, GRID, WHITE, *FIXED_COLOURS.values(), *OTHER_COLOURS))
)
"""Colours that a page may change."""
DARK = {
    INK.lower(): "#e8e8e8",
    MUTED.lower(): "#a8a8a8",
    GRID.lower(): "#3a3d42",
    WHITE: "#17191c",
    FIXED_COLOURS["zero_shot"].lower(): "#9a9a9a",
    FIXED_COLOURS["scratch"].lower(): "#f4f4f4",
    FIXED_COLOURS["full"].lower(): "#3d8bff",
    "#56b4e9": "#93d8ff",
    "#d55e00": "#ff7a2e",
    "#009e73": "#2fc79a",
    "#332288": "#978ff2",
    "#882255": "#c8327f",
    "#117733": "#63b05e",
    "#fb8072": "#ffb3ab",
}
"""What those become on a dark page that would not be seen there."""
FONT = "'DejaVu Sans', Verdana, system-ui, sans-serif"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")


def variable(colour: str) -> str:
    """The CSS variable of a themed colour."""
    return f"--c{colour.lower().lstrip('#')}"


def inline_svg(figure: "Figure", prefix: str, label: str, css_class: str = "") -> str:
    """The figure as one `<svg>` element that loads nothing.

    Args:
        figure: what to write.
        prefix: begins every id, so that several drawings can stand in one page.
        label: what it shows, for those who do not see it.
        css_class: class of the element.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    with matplotlib.rc_context(VECTOR_SETTINGS):
        # `savefig` would draw everything twice
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})
    root = ET.fromstring(stream.getvalue())
    _plain(root)
    _shorten(root, prefix)
    box = root.get("viewBox", "0 0 1 1")
    root.attrib.clear()
    # matplotlib leaves out the colour of what is black
    black = f"var({variable('#000000')})"
    shown = {"viewBox": box, "role": "img", "aria-label": label, "font-family": FONT, "fill": black}
    root.attrib.update(shown | ({"class": css_class} if css_class else {}))
    return ET.tostring(root, encoding="unicode")


def _plain(root: ET.Element) -> None:
    """Remove namespaces from names, as HTML requires, and attributes without an effect."""
    for element in root.iter():
        for child in list(element):
            if _local(child.tag) in ("metadata", "style"):
                element.remove(child)
        element.tag = _local(element.tag)
        if element.tag not in ("text", "tspan"):
            element.text = None
        element.tail = None
        for name in list(element.attrib):
            element.attrib[_local(name)] = element.attrib.pop(name)


def _local(name: str) -> str:
    return name.rsplit("}", 1)[-1]


def _shorten(root: ET.Element, prefix: str) -> None:
    """Short ids where they are used and none elsewhere, rounded numbers, the page's colours, no empty groups."""
    text = " ".join(value for element in root.iter() for value in element.attrib.values())
    used = dict.fromkeys(re.findall(r"(?:url\(|^|\s)#([A-Za-z_][\w.-]*)", text))
    short = {name: f"{prefix}-{number}" for number, name in enumerate(used)}
    for element in root.iter():
        own = element.attrib.pop("id", None)
        for name, value in element.attrib.items():
            element.attrib[name] = _attribute(name, value, short)
        if element.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]
        if own in short:
            element.set("id", short[own])
    _hoist(root)


def _attribute(name: str, value: str, short: Mapping[str, str]) -> str:
    """The value of an attribute, with short ids, at most two decimals, and the page's colours."""
    if name == "href" and value[1:] in short:
        return f"#{short[value[1:]]}"
    value = re.sub(r"url\(#([\w.-]+)\)", lambda found: f"url(#{short[found[1]]})", value)
    if name in ("d", "transform", "x", "y", "width", "height", "style", "points"):
        value = _NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), value)
    return _themed(value) if name == "style" else " ".join(value.split())


def _hoist(element: ET.Element) -> None:
    """Move attributes that all children of a group share to the group, and dissolve groups without attributes."""
    for place, child in reversed(list(enumerate(element))):
        _hoist(child)
        if child.tag in ("g", "defs") and not child.attrib and (child.tag == "g" or not len(child)):
            element[place : place + 1] = list(child)
    styles = {child.get("style") for child in element if child.tag == "use"}
    if element.tag == "g" and len(element) > 1 and len(styles) == 1 and all(child.tag == "use" for child in element):
        element.set("style", styles.pop() or "")
        for child in element:
            child.attrib.pop("style", None)


def _themed(style: str) -> str:
    """A style whose shared colours are the page's, and without the font that the whole drawing has."""
    style = re.sub(r"font-family: ?[^;]+;? ?", "", style)
    return _COLOUR.sub(
        lambda found: f"var({variable(found[0])})" if found[0].lower() in THEMED else found[0].lower(), style
    )

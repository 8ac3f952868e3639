"""What an environment renders, as pictures: arrays of colours, and figures and axes of matplotlib."""

import sys
from typing import TYPE_CHECKING, cast

import numpy as np

from jaxrl_ft.analysis.figures.scene import Pixels
from jaxrl_ft.core.types import PyTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 400
"""Pixels of a picture at most, in height and in width."""


def whole(field: str, found: PyTree) -> Pixels:
    """A picture [height, width, 3] of 8 bits, from what `render` returned.

    Args:
        field: what the message begins with.
        found: red, green and blue, [height, width, 3], as whole numbers to 255 or as shares to 1; a fourth channel is
            left out. Or a figure or axes of matplotlib, or a pair that begins with one.

    Raises:
        ValueError: it is something else.
    """
    figure = _figure(found)
    if figure is not None:
        return _drawn(figure)
    try:
        image = np.asarray(found)
    except (TypeError, ValueError):
        image = np.zeros(0)
    if image.ndim != 3 or image.shape[2] not in (3, 4) or not image.size or image.dtype.kind not in "uif":
        told = f"shape {list(image.shape)} of {image.dtype}" if image.size else f"a {type(found).__name__}"
        raise ValueError(f"{field} returns {told}; it must be [height, width, 3] or a figure of matplotlib")
    image = image[..., :3]
    if image.dtype.kind == "f":
        image = 255.0 * np.nan_to_num(image) + 0.5
    pixels: Pixels = np.clip(image, 0, 255).astype(np.uint8)
    return pixels


def shrunk(picture: Pixels) -> Pixels:
    """The picture, at most 400 pixels high and wide."""
    from PIL import Image

    share = MOST / max(picture.shape[:2])
    if share >= 1.0:
        return picture
    height, width = (max(1, round(share * size)) for size in picture.shape[:2])
    smaller: Pixels = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
    return smaller


def _figure(found: PyTree) -> "Figure | None":
    """The figure that was returned, if it was one."""
    if "matplotlib.figure" not in sys.modules:
        return None
    from matplotlib.artist import Artist

    first = found[0] if isinstance(found, (tuple, list)) and found else found
    return cast("Figure", first.get_figure(root=True)) if isinstance(first, Artist) else None


def _drawn(figure: "Figure") -> Pixels:
    """What a figure shows, which is then closed, as pyplot would keep it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture: Pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)
    return picture

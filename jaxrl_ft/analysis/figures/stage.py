"""Scenes beside each other as one picture of each moment, drawn by matplotlib without a display."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxrl_ft.analysis.figures.drawing import QUIET, TEXT, Drawing
from jaxrl_ft.analysis.figures.scene import Drawn, Pixels, Scene
from jaxrl_ft.analysis.figures.style import DPI

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

WIDTH, ALONE, GAP, ABOVE, HEADING, HIGHEST = 340, 480, 16, 70, 30, 400
"""Pixels of a scene beside others and of one alone, between them, of the text above each and of the line above all, and
of the height of a scene at most."""
LINE = 44
"""Characters of a line of text above a scene."""


class Stage:
    """A figure of scenes, drawn anew for each moment.

    Args:
        scenes: one at least.
        title: a line above all.
    """

    def __init__(self, scenes: Sequence[Scene], title: str) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.steps = max(scene.steps for scene in scenes)
        wide = ALONE if len(scenes) == 1 else WIDTH
        high = min(HIGHEST, max(int(wide * _aspect(scene)) for scene in scenes))
        size = np.array([GAP + len(scenes) * (wide + GAP), HEADING + ABOVE + high + GAP])
        # Films have even numbers of pixels.
        self._size = size + size % 2
        self._figure = Figure(figsize=tuple(self._size / DPI), dpi=DPI, facecolor="white")
        self._canvas = FigureCanvasAgg(self._figure)
        self._text(GAP, 10, title, 8.5, QUIET)
        self._views = []
        for place, scene in enumerate(scenes):
            left = GAP + place * (wide + GAP)
            corner = (left, self._size[1] - HEADING - ABOVE - high)
            frame = np.array([*corner, wide, high]) / np.tile(self._size, 2)
            view = _View(scene, self._figure.add_axes(tuple(frame)))
            self._text(left, HEADING, scene.name, 12.0, TEXT, "bold")
            self._views.append((scene, view, self._text(left, HEADING + 22, "", 9.5, QUIET)))

    def _text(self, left: int, top: int, text: str, size: float, colour: str, weight: str = "normal") -> "Text":
        """A text at this many pixels from the left and from the top; dollar signs begin no formula."""
        x, y = left / self._size[0], 1.0 - top / self._size[1]
        return self._figure.text(x, y, text, fontsize=size, color=colour, fontweight=weight, va="top", parse_math=False)

    def picture(self, step: int) -> Pixels:
        """The moment before a step; that after the last one from there on."""
        for scene, view, told in self._views:
            own = min(step, scene.steps)
            view.show(own)
            told.set_text(scene.readouts[own])
        self._canvas.draw()
        drawn: Pixels = np.asarray(self._canvas.buffer_rgba())[..., :3].copy()
        return drawn


class _View:
    """A scene on its axes."""

    def __init__(self, scene: Scene, axes: "Axes") -> None:
        self._steps = scene.steps
        self._drawing: Drawing | None = None
        if isinstance(scene.picture, Drawn):
            world, episode = scene.picture
            motion = np.asarray(episode.motion, np.float64)
            self._drawing, self._parts = Drawing(world, axes), world.parts(motion)
            self._push, self._failed = episode.push, world.verdict(motion)[0]
            return
        axes.set_axis_off()
        self._frames = scene.picture.frames
        self._image = axes.imshow(self._frames[0], interpolation="nearest", aspect="equal")

    def show(self, step: int) -> None:
        """Show the moment before a step."""
        over = step >= self._steps
        if self._drawing is None:
            self._image.set_data(self._frames[step])
        else:
            push = 0.0 if over else float(self._push[step])
            self._drawing.move(self._parts, step, push, self._failed and over)


def _aspect(scene: Scene) -> float:
    """Height over width."""
    if isinstance(scene.picture, Drawn):
        _, _, width, height = scene.picture.world.box
        return height / width
    rows, columns, _ = scene.picture.frames[0].shape
    return float(rows / columns)

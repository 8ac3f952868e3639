"""Drawings on matplotlib's axes are those of the page: paths, places of parts, and colours."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from helpers.pages import animated
from helpers.recorded import physics, random_motion
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path

from jaxrl_ft.analysis.figures.drawing import STYLES, WARNING, Drawing, outline
from jaxrl_ft.analysis.figures.scene import Drawn, Pictures, Scene
from jaxrl_ft.analysis.figures.stage import Stage
from jaxrl_ft.analysis.figures.worlds import WORLDS
from jaxrl_ft.analysis.report.html import PARTS

TIPS = {
    "CartPole": (0.0, -100.0),
    "Acrobot-v1": (0.0, 100.0),
    "Pendulum-v1": (0.0, -100.0),
    "MountainCar-v0": (0.0, 0.0),
    "MountainCarContinuous-v0": (0.0, 0.0),
}
"""The tip within the last part."""


@pytest.fixture
def axes():
    figure = Figure(figsize=(4, 3))
    FigureCanvasAgg(figure)
    return figure.add_axes((0, 0, 1, 1))


def test_paths_are_read_with_absolute_and_relative_commands():
    text = "M1 2l3 0v-4H10V7h-1L0 0q1 1 2 0zM5 5 6 6"
    found = outline(ET.fromstring(f'<path d="{text}"/>'))
    np.testing.assert_array_equal(
        found.vertices,
        [[1, 2], [4, 2], [4, -2], [10, -2], [10, 7], [9, 7], [0, 0], [1, 1], [2, 0], [1, 2], [5, 5], [6, 6]],
    )
    codes = [Path.MOVETO, *[Path.LINETO] * 6, *[Path.CURVE3] * 2, Path.CLOSEPOLY, Path.MOVETO, Path.LINETO]
    assert found.codes.tolist() == codes
    corners = outline(ET.fromstring('<rect x="-2" y="1" width="4" height="3"/>')).vertices
    assert corners.min(axis=0).tolist() == [-2, 1] and corners.max(axis=0).tolist() == [2, 4]


@pytest.mark.parametrize("name", WORLDS)
def test_the_tip_is_drawn_where_the_outline_has_it(name, axes):
    world = WORLDS[name](physics(name))
    motion = random_motion(name, world, 5)
    drawing, parts = Drawing(world, axes), world.parts(motion)
    last = (drawing.patches.get("pole") or drawing.patches["cart"])[-1]
    for step in (0, 3):
        drawing.move(parts, step, 0.5, failed=False)
        found = last.get_transform().transform([TIPS[name]])[0]
        place = world.scale * world.outline(motion)[step, -1] * (1.0, -1.0) + (0.0, world.base)
        np.testing.assert_allclose(found, axes.transData.transform(place), atol=1e-6)
    # right is right and down is down
    (left, low), (right, high) = axes.transData.transform([world.box[:2], np.add(world.box[:2], world.box[2:])])
    assert left < right and low > high


def test_an_arrow_shows_the_push_and_a_failure_the_warning(axes):
    world = WORLDS["CartPole"](physics("CartPole"))
    drawing, parts = Drawing(world, axes), world.parts(np.zeros((2, 4)))
    (arrow,), (pole,) = drawing.patches["push"], drawing.patches["pole"]

    def tip():
        points = arrow.get_transform().transform(arrow.get_path().vertices)
        return points[:, 0].mean() - axes.transData.transform([0.0, 0.0])[0]

    drawing.move(parts, 0, 1.0, failed=False)
    right = tip()
    drawing.move(parts, 0, -1.0, failed=True)
    assert right > 0 and tip() == pytest.approx(-right) and arrow.get_visible()
    assert pole.get_edgecolor() == pytest.approx([int(WARNING[i : i + 2], 16) / 255 for i in (1, 3, 5)] + [1])
    drawing.move(parts, 1, 0.0, failed=False)
    assert not arrow.get_visible()


def test_colours_are_those_of_the_page():
    sheet = (PARTS / "style.css").read_text()
    light = dict(re.findall(r"--(\w+): (#\w+);", sheet.split("@media")[0]))
    for name, style in STYLES.items():
        (rule,) = re.findall(rf"^\.(?:\w+, \.)?{name}(?:, \.\w+)? {{ (.*?) }}$", sheet, re.MULTILINE)
        told = dict(part.split(": ") for part in rule.rstrip(";").split("; "))
        colours = [
            light.get(told.get(what, "").removeprefix("var(--").rstrip(")"), "none") for what in ("fill", "stroke")
        ]
        assert [style.fill, style.stroke] == colours, name
        assert style.width == float(told.get("stroke-width", 0)) and style.dashed == ("stroke-dasharray" in told)


def test_a_stage_shows_every_moment_and_keeps_the_last_of_a_shorter_episode():
    shown = animated()
    films = [np.full((10, 10, 3), 20 * i, np.uint8) for i in range(6)]
    scenes = [
        Scene("$base$", [f"step {i}" for i in range(13)], Drawn(shown.world, shown.before)),
        Scene("game", [f"step {i}" for i in range(6)], Pictures(films)),
    ]
    assert [scene.steps for scene in scenes] == [12, 5]
    stage = Stage(scenes, "a title with $x_1$")
    assert stage.steps == 12
    pictures = [stage.picture(step) for step in (0, 5, 11, 12, 15)]
    height, width, _ = pictures[0].shape
    assert height % 2 == width % 2 == 0 and all(picture.shape == (height, width, 3) for picture in pictures)
    np.testing.assert_array_equal(pictures[3], pictures[4])
    half = width // 2
    # the second episode is over after 5 steps, the first goes on
    np.testing.assert_array_equal(pictures[1][:, half:], pictures[2][:, half:])
    assert (pictures[1][:, :half] != pictures[2][:, :half]).any() and (pictures[0] != pictures[1]).any()
    assert (pictures[1][:, half:] == 100).all(axis=2).sum() > 10_000

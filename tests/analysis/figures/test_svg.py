"""Drawings for a page: nothing lost, nothing loaded, no id twice, and the page's colours."""

import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from helpers.synthetic import comparison

from jaxrl_ft.analysis.figures import leaderboard, maps, palette, style, svg
from jaxrl_ft.analysis.figures.curves import draw_bands, learning_bands
from jaxrl_ft.analysis.figures.palette import looks
from jaxrl_ft.analysis.report.measurements import PhysicsGrid
from jaxrl_ft.analysis.statistics import standings, summary


def grid(rows=3, columns=4):
    values = np.arange(rows * columns, dtype=float).reshape(rows, columns)
    axes = (np.geomspace(0.5, 2.0, rows), np.geomspace(1.0, 8.0, columns))
    return PhysicsGrid(
        "long", "lora", ("half_length (m)", "force (N)"), axes, values, 500.0 - values, 4, 16, (0, 0), (1, 1)
    )


@pytest.fixture(scope="module")
def figures():
    """Every kind of figure of a page, by name, on both papers."""
    runs, curves, steps = comparison(points=5)
    look = looks([row["method"] for row in runs])
    ranking = standings.standings(runs, "auc", 20)
    over = {rival: standings.improvements(runs, rival, "auc", 20) for rival in ("scratch", "full")}
    levels = np.linspace(0, 500, 11)
    lines = standings.profiles(runs, levels, "target_return", 20)
    bands = learning_bands(runs, curves, steps, "long-pole", repetitions=20)
    rows = summary.summarise(runs, curves, steps, repetitions=20)
    cells = {(row["method"], row["target"]): row for row in rows}
    draw = {
        "leaderboard": lambda paper: leaderboard.draw_leaderboard(ranking, look, "Area", paper),
        "improvements": lambda paper: leaderboard.draw_improvements(over, look, paper),
        "profiles": lambda paper: leaderboard.draw_profiles(lines, levels, look, "Return", paper),
        "curves": lambda paper: draw_bands(bands, paper),
        "heat": lambda paper: maps.draw_heat_map(cells, list(look), ["long-pole"], paper),
        "grid": lambda paper: maps.draw_physics_grid(grid(), "before", "after", paper),
    }
    papers = (style.PAGE, style.PHONE)
    return {(name, paper.narrow): make(paper) for name, make in draw.items() for paper in papers}


def test_drawings_are_small_whole_and_load_nothing(figures):
    for (name, narrow), figure in figures.items():
        text = svg.inline_svg(figure, f"{name}-{narrow}", f"what {name} shows")
        root = ET.fromstring(text)
        assert len(text) < 60_000, name
        assert (root.tag, root.get("role"), root.get("aria-label")) == ("svg", "img", f"what {name} shows")
        assert float(root.get("viewBox").split()[2]) == pytest.approx(360 if narrow else 720)
        assert "http" not in text and "xmlns" not in text and "{" not in text and "metadata" not in text
        ids = [element.get("id") for element in root.iter() if element.get("id")]
        assert len(ids) == len(set(ids)) and all(own.startswith(f"{name}-{narrow}-") for own in ids)
        used = re.findall(r'(?:url\(#|href="#)([^)"]+)', text)
        assert set(used) == set(ids), name


def test_words_and_numbers_of_a_drawing_survive(figures):
    shown = {name: " ".join(ET.fromstring(svg.inline_svg(figures[name, False], name, "x")).itertext())
             for name, narrow in figures if not narrow}  # fmt: skip
    assert "soften_probe" in shown["leaderboard"] and "Area" in shown["leaderboard"]
    assert "over scratch" in shown["improvements"] and "0.50" in shown["improvements"]
    assert "Share of runs above" in shown["profiles"]
    assert "Target env steps spent" in shown["curves"] and "scratch 4" in shown["curves"]
    assert "long-pole" in shown["heat"]
    assert "half length (m)" in shown["grid"] and "489" in shown["grid"] and "before" in shown["grid"]


def test_shared_colours_are_the_pages_and_a_map_keeps_its_own(figures):
    text = svg.inline_svg(figures["curves", False], "x", "x")
    for colour in (palette.INK, palette.GRID, palette.FIXED_COLOURS["full"]):
        assert f"var({svg.variable(colour)})" in text
    assert not set(re.findall(r"(?<!var\(--c)#[0-9a-f]{6}\b", text)) & set(svg.THEMED)
    assert re.search(r"fill: #[0-9a-f]{6}", svg.inline_svg(figures["grid", False], "x", "x"))
    assert set(svg.DARK) <= set(svg.THEMED)


def test_a_drawing_is_the_same_each_time_and_leaves_no_settings_behind(figures):
    before = dict(matplotlib.rcParams)
    one, two = (svg.inline_svg(figures["heat", True], "x", "x") for _ in range(2))
    assert one == two
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("dark", [False, True])
def test_no_two_colours_of_methods_are_alike_on_a_light_or_a_dark_page(dark):
    colours = [colour.lower() for colour in (*palette.FIXED_COLOURS.values(), *palette.OTHER_COLOURS)]
    shown = [svg.DARK.get(colour, colour) if dark else colour for colour in colours]
    parts = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in shown])
    page = [0x17, 0x19, 0x1C] if dark else [255, 255, 255]
    distance = np.linalg.norm(parts[:, None] - np.vstack([parts, page])[None], axis=-1)
    assert distance[np.triu_indices(len(parts), 1, len(parts) + 1)].min() > 50
    assert set(svg.DARK) <= set(svg.THEMED)


def test_marks_and_labels_are_escaped():
    figure, axes = style.canvas(2.0)
    axes.set_xlabel("<script>alert(1)</script> & 'so'")
    text = svg.inline_svg(figure, "x", '"><script>')
    assert "<script" not in text
    assert "<script>alert(1)</script> & 'so'" in " ".join(ET.fromstring(text).itertext())


def test_numbers_are_rounded_and_lines_keep_their_places():
    figure, axes = style.canvas(4.0)
    x = np.linspace(0, 1, 7)
    axes.plot(x, np.array([0.0, 1.0, 0.2, 0.9, 0.4, 0.8, 0.6]), color="#123456")
    figure.canvas.draw()
    figure.set_layout_engine("none")
    expected = axes.transData.transform(axes.get_lines()[0].get_xydata()) * 72 / figure.dpi
    root = ET.fromstring(svg.inline_svg(figure, "x", "x"))
    path = next(element for element in root.iter("path") if "#123456" in element.get("style", ""))
    points = np.array(re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path.get("d")), float)
    height = 72 * 4.0
    np.testing.assert_allclose(points, np.stack([expected[:, 0], height - expected[:, 1]], axis=1), atol=0.02)

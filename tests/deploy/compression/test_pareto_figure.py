"""The Pareto figure of compressions."""

import pytest

from jaxrl_ft.analysis.statistics.intervals import Interval
from jaxrl_ft.deploy.compression.figure import Point, draw_compressions, pareto_front


def point(name, size, value):
    return Point(name, size, Interval(value, value - 5.0, value + 5.0))


POINTS = [point("before", 18440, 500.0), point("int8", 4200, 500.0), point("small", 100, 450.0), point("bad", 200, 9.0)]


def test_the_front_has_what_nothing_beats():
    assert [one.name for one in pareto_front(POINTS)] == ["small", "int8"]
    assert [one.name for one in pareto_front([point("a", 1, 2.0), point("b", 1, 3.0), point("c", 1, 3.0)])] == ["b"]
    assert pareto_front([]) == []


@pytest.mark.parametrize("num", [1, 2])
def test_every_task_has_a_panel_with_every_point_and_its_interval(num):
    panels = {f"task {i}": POINTS for i in range(num)}
    figure = draw_compressions(panels, "Compressed policies")
    assert [axes.get_ylabel() for axes in figure.axes] == [f"Return, {name}" for name in panels]
    for axes in figure.axes:
        assert axes.get_xscale() == "log" and len(axes.get_lines()) == 1 + 2 * len(POINTS)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [one.name for one in POINTS]

"""Nine methods, some with names longer than a page is wide: nothing is cut, nothing warns, nothing hides another."""

from functools import partial

import numpy as np
import pytest
from helpers.pages import made
from helpers.synthetic import METHODS

from jaxrl_ft.analysis.figures import leaderboard, maps, scatters, style
from jaxrl_ft.analysis.figures.curves import draw_learning_curves, draw_source_target_bars
from jaxrl_ft.analysis.figures.palette import looks
from jaxrl_ft.analysis.statistics import standings, summary

LONG = {
    "lora+adapter.rank=8+optimizer.learning_rate=0.0003+penalty.coefficient=0.01": (47, 400, 180),
    "x" * 120: (47, 430, 200),
}
NAMES = ("leaderboard", "improvement", "profiles", "shifts", "curves", "bars", "kept", "divergence")
PAPERS = {"sheet": style.SHEET, "page": style.PAGE, "phone": style.PHONE, "print": style.PRINT}


@pytest.fixture(scope="module")
def figures():
    """Every figure of nine methods on two targets, as a function of the paper."""
    runs, curves, steps = made(methods=METHODS | LONG, runs=3, agents=3)
    rows, look = summary.summarise(runs, curves, steps, repetitions=20), looks(summary.best_first(runs))
    ranking = standings.standings(runs, "auc", 20)
    over = {rival: standings.improvements(runs, rival, "auc", 20) for rival in ("scratch", "full")}
    thresholds = np.linspace(0, 500, 20)
    lines = standings.profiles(runs, thresholds, "target_return", 20)
    ends = [standings.standings(runs, column, 20) for column in ("source_return", "target_return")]
    cells = {(row["method"], row["target"]): row for row in rows}
    return {
        "leaderboard": partial(leaderboard.draw_leaderboard, ranking, look, "area"),
        "improvement": partial(leaderboard.draw_improvements, over, look),
        "profiles": partial(leaderboard.draw_profiles, lines, thresholds, look, "return"),
        "shifts": partial(maps.draw_heat_map, cells, list(look), ["long-pole", "weak-motor"]),
        "curves": partial(draw_learning_curves, runs, curves, steps, "long-pole", "x" * 90, 9, 20),
        "bars": partial(draw_source_target_bars, rows, "long-pole", "word " * 30),
        "kept": partial(scatters.draw_source_target, scatters.kept_and_gained(runs), *ends, look),
        "divergence": partial(scatters.draw_divergence, scatters.divergence_and_forgetting(runs), look),
    }


def leaves(figure):
    """Whether anything that is drawn leaves the figure by more than a pixel."""
    figure.draw_without_rendering()
    drawn, size = figure.get_tightbbox(), figure.get_size_inches()
    return (drawn.min < -0.02).any() or (drawn.max > size + 0.02).any()


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_cut_whatever_the_names_and_the_paper(figures, name, paper):
    figure = figures[name](paper=PAPERS[paper])
    assert not leaves(figure)
    width, height = figure.axes[0].get_window_extent().size / figure.bbox.size
    assert width > 0.25 and height > 0.5, "the names leave room for the figure"


def test_print_is_as_wide_as_two_columns_with_text_of_eight_points_or_so(figures):
    figure = figures["leaderboard"](paper=style.PRINT)
    assert figure.get_size_inches()[0] == 7.0
    sizes = {text.get_fontsize() for text in (*figure.axes[0].texts, *figure.axes[0].get_yticklabels())}
    assert min(sizes) >= 7.0 and max(sizes) <= 9.5


def test_signs_that_coincide_are_all_seen(figures):
    runs, _, _ = made(("long-pole",), runs=2, agents=2)
    for row in runs:
        row |= {"source_return": 400.0, "target_return": 300.0}
    ends = [standings.standings(runs, column, 20) for column in ("source_return", "target_return")]
    figure = scatters.draw_source_target(scatters.kept_and_gained(runs), *ends, looks(list(METHODS)))
    signs = [line for line in figure.axes[0].get_lines() if not line.get_label().startswith("_")]
    shown = np.array([line.get_transform().transform(np.ravel(line.get_data())) for line in signs])
    distance = np.linalg.norm(shown[:, None] - shown[None], axis=-1)[np.triu_indices(len(METHODS), 1)]
    assert len(signs) == len(METHODS) and distance.min() > 10.0
    assert {tuple(np.ravel(line.get_data())) for line in signs} == {(400.0, 300.0)}

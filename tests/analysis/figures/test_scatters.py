"""Which runs are points, and how divergence and forgetting go together."""

import numpy as np
import pytest
from helpers.synthetic import comparison
from scipy.stats import spearmanr

from jaxrl_ft.analysis.figures import scatters, style
from jaxrl_ft.analysis.figures.palette import looks
from jaxrl_ft.analysis.report.measurements import KL_COLUMN
from jaxrl_ft.analysis.statistics import standings


def measured():
    runs, *_ = comparison(points=3)
    rng = np.random.default_rng(0)
    return [{**row, KL_COLUMN: float(rng.exponential())} for row in runs]


@pytest.mark.parametrize("ties", [False, True])
def test_the_rank_correlation_is_scipys(ties):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 40))
    y = y + 0.5 * x
    if ties:
        x, y = np.round(x), np.round(y)
    assert scatters.rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_ranks_see_order_alone_and_a_constant_has_none():
    x = np.array([3.0, 1.0, 2.0, 10.0])
    assert scatters.rank_correlation(x, np.exp(x)) == pytest.approx(1.0)
    assert scatters.rank_correlation(x, -(x**3)) == pytest.approx(-1.0)
    assert np.isnan(scatters.rank_correlation(x, np.ones(4)))


def test_the_interval_of_the_correlation_holds_it_and_does_not_depend_on_units():
    points = scatters.divergence_and_forgetting(measured())
    value, low, high = scatters.correlation(points, 100, 1)
    assert low <= value <= high
    assert scatters.correlation(points._replace(x=1000.0 * points.x), 100, 1) == (value, low, high)


def test_points_are_the_finished_runs_with_both_numbers():
    runs = measured()
    everything = scatters.kept_and_gained(runs)
    assert len(everything.x) == len(runs)
    np.testing.assert_array_equal(everything.x, [row["source_return"] for row in runs])
    trained = [row for row in runs if row["method"] not in ("zero_shot", "scratch")]
    points = scatters.divergence_and_forgetting(runs)
    assert set(points.methods) == {row["method"] for row in trained}
    np.testing.assert_allclose(points.y, [row["source_return_before"] - row["source_return"] for row in trained])
    trained[0]["status"], trained[1][KL_COLUMN], trained[2]["source_return"] = "non-finite", np.nan, None
    del trained[3][KL_COLUMN]
    assert len(scatters.divergence_and_forgetting(runs).x) == len(trained) - 4
    assert len(scatters.divergence_and_forgetting(comparison(points=3)[0]).x) == 0


@pytest.mark.parametrize("paper", [style.PAGE, style.PHONE])
def test_scatters_have_a_sign_for_every_method_on_its_numbers(paper):
    runs = measured()
    look = looks([row["method"] for row in runs])
    ends = [standings.standings(runs, column, 20) for column in ("source_return", "target_return")]
    figure = scatters.draw_source_target(scatters.kept_and_gained(runs), *ends, look, paper)
    axes = figure.axes[0]
    signs = {line.get_label(): line.get_data() for line in axes.get_lines() if not line.get_label().startswith("_")}
    for place, standing in enumerate(ends[1]):
        x = next(end.estimate.value for end in ends[0] if end.method == standing.method)
        np.testing.assert_allclose(np.ravel(signs[standing.method]), [x, ends[1][place].estimate.value])
    figure = scatters.draw_divergence(scatters.divergence_and_forgetting(runs), look, paper)
    assert figure.axes[0].get_xscale() == "log"
    assert {text.get_text() for text in figure.legends[0].get_texts()} == set(look) - {"zero_shot", "scratch"}

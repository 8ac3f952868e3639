"""Methods over all targets together: they agree with the summary where there is one target, and with counting."""

import numpy as np
import pytest
from helpers.synthetic import comparison

from jaxrl_ft.analysis.statistics import standings, summary
from jaxrl_ft.analysis.statistics.aggregate import iqm, probability_of_improvement
from jaxrl_ft.analysis.statistics.power import smallest_detectable_difference


def several(targets=("a", "b", "c")):
    parts = [comparison(target=target, points=5, seed=place) for place, target in enumerate(targets)]
    runs, curves, steps = zip(*parts)
    return [row for part in runs for row in part], np.concatenate(curves), np.concatenate(steps)


def scores(runs, method, column="auc"):
    return np.array([[row[column] for row in runs if (row["method"], row["target"]) == (method, target)]
                     for target in dict.fromkeys(row["target"] for row in runs)]).T  # fmt: skip


def test_of_one_target_the_standings_are_the_summary():
    runs, curves, steps = comparison(points=5)
    rows = {row["method"]: row for row in summary.summarise(runs, curves, steps, repetitions=200, seed=4)}
    found = standings.standings(runs, "auc", 200, 4)
    assert [standing.method for standing in found] == sorted(rows, key=lambda method: -rows[method]["auc"])
    for standing in found:
        assert standing.estimate == pytest.approx(summary.interval(rows[standing.method], "auc"))
        assert (standing.runs, standing.agents) == (16, 8)
    for rival in ("scratch", "full"):
        for standing in standings.improvements(runs, rival, "auc", 200, 4):
            row = rows[standing.method]
            assert standing.estimate == pytest.approx(summary.interval(row, f"probability_over_{rival}"))


def test_over_targets_every_target_weighs_the_same():
    runs, *_ = several()
    found = {standing.method: standing for standing in standings.standings(runs, "auc", 100)}
    for method, standing in found.items():
        matrix = scores(runs, method)
        assert standing.estimate.value == pytest.approx(np.mean([iqm(column) for column in matrix.T]))
        assert standing.estimate.low <= standing.estimate.value <= standing.estimate.high
    wins = {standing.method: standing.estimate.value for standing in standings.improvements(runs, "full", "auc", 100)}
    assert wins["lora"] == pytest.approx(probability_of_improvement(scores(runs, "lora"), scores(runs, "full")))
    back = {standing.method: standing.estimate.value for standing in standings.improvements(runs, "lora", "auc", 100)}
    assert wins["lora"] + back["full"] == pytest.approx(1.0)
    assert "full" not in wins


def test_a_run_counts_that_finished_everywhere_and_a_method_that_has_one():
    runs, *_ = several()
    runs = [dict(row) for row in runs]
    for row in runs:
        if row["method"] == "lora" and (row["target"], row["run"]) in (("a", 0), ("b", 5)):
            row["status"] = "non-finite at update 3"
        if row["method"] == "ewc" and row["target"] == "c":
            row["status"] = "non-finite at update 3"
        if row["method"] == "full" and (row["target"], row["run"]) == ("c", 1):
            row["auc"] = np.nan
    found = {standing.method: standing for standing in standings.standings(runs, "auc", 50)}
    assert (found["lora"].runs, found["full"].runs, found["scratch"].runs) == (14, 15, 16)
    assert "ewc" not in found
    kept = [number for number in range(16) if number not in (0, 5)]
    expected = np.mean([iqm(column) for column in scores(runs, "lora")[kept].T])
    assert found["lora"].estimate.value == pytest.approx(expected)
    assert {standing.method: standing.runs for standing in standings.improvements(runs, "full")}["lora"] == 13


def test_a_single_run_has_a_value_and_no_interval():
    runs, *_ = comparison(runs=1, agents=1, points=3)
    for standing in standings.standings(runs):
        assert np.isfinite(standing.estimate.value) and np.isnan(standing.estimate.low) and standing.runs == 1
    assert standings.improvements(runs, "scratch") == []
    assert standings.improvements([row for row in runs if row["method"] != "scratch"], "scratch") == []


def test_profiles_are_shares_that_fall():
    runs, *_ = several(("a", "b"))
    thresholds = np.linspace(0.0, 500.0, 26)
    for profile in standings.profiles(runs, thresholds, repetitions=50):
        value, low, high = profile.estimate
        pooled = scores(runs, profile.method, "target_return").ravel()
        np.testing.assert_allclose(value, [(pooled > threshold).mean() for threshold in thresholds])
        assert (np.diff(value) <= 0).all() and (low <= value + 1e-12).all() and (value <= high + 1e-12).all()


def without_what_trains(runs):
    return [row for row in runs if row["method"] in summary.REFERENCES]


def test_what_could_have_been_seen_is_told_of_the_best_method():
    runs, *_ = several()
    best, following = [
        standing.method for standing in standings.standings(runs) if standing.method not in summary.REFERENCES
    ][:2]
    sentences = standings.detectable(runs, 300, 1)
    assert [sentence.split(" in mean return during fine-tuning (AUC)")[0] for sentence in sentences] == [
        f"`{best}` against `{rival}`" for rival in ("scratch", following)
    ]
    agents = [row["agent"] for row in runs if (row["method"], row["target"]) == (best, "a")]
    for sentence, rival in zip(sentences, ("scratch", following)):
        x, y = scores(runs, best), scores(runs, rival)
        power = smallest_detectable_difference(x, y, standings.mean_iqm, True, agents, 300, 1)
        assert f"16 paired runs can detect differences of {power.difference:.3g}"[:-1] in sentence
        assert "averaged over 3 targets" in sentence


def test_nothing_is_told_where_there_is_nothing_to_compare():
    runs, *_ = several(("a",))
    assert "targets" not in standings.detectable(runs, 50)[0]
    assert standings.detectable(without_what_trains(runs), 50) == []
    assert standings.detectable([row for row in runs if row["run"] == 0], 50) == []
    assert standings.detectable([], 50) == []

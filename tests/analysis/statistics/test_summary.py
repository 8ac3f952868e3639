import numpy as np
import pytest
from helpers.synthetic import METHODS, comparison

from jaxrl_ft.analysis.statistics import intervals, summary
from jaxrl_ft.analysis.statistics.aggregate import iqm, probability_of_improvement

SMALL = {"repetitions": 200}


def row_of(rows, method, target="long-pole"):
    return next(row for row in rows if (row["target"], row["method"]) == (target, method))


def column(runs, method, name):
    return np.array([row[name] for row in runs if row["method"] == method])


@pytest.fixture(scope="module")
def made():
    runs, curves, steps = comparison()
    return runs, curves, steps, summary.summarise(runs, curves, steps, **SMALL)


def equal(one, other):
    assert one.keys() == other.keys()
    np.testing.assert_equal(one, other)


def test_every_method_has_a_row_in_order_with_its_counts(made):
    *_, rows = made
    assert [row["method"] for row in rows] == list(METHODS)
    assert {(row["n"], row["n_ok"], row["failed"], row["agents"]) for row in rows} == {(16, 16, 0, 8)}


def test_values_are_iqms_with_intervals_over_agents_then_runs(made):
    runs, _, _, rows = made
    agents = column(runs, "lora", "agent")
    for name in ("source_return", "target_return", "held_out_return", "auc"):
        expected = intervals.hierarchical_bootstrap(column(runs, "lora", name), agents, iqm, 200, 0)
        np.testing.assert_allclose(summary.interval(row_of(rows, "lora"), name), expected, rtol=1e-12)


def test_differences_and_probabilities_are_paired_with_scratch_and_full(made):
    runs, _, _, rows = made
    row, agents = row_of(rows, "lora"), column(runs, "lora", "agent")
    for name, of in (("auc_gain", "auc"), ("final_gain", "target_return"), ("jumpstart", "jumpstart_return")):
        x, y = column(runs, "lora", of), column(runs, "scratch", of)
        expected = intervals.paired_difference(x, y, iqm, 200, 0, agents)
        np.testing.assert_allclose(summary.interval(row, name), expected, rtol=1e-12)
    for rival in ("scratch", "full"):
        x, y = column(runs, "lora", "auc"), column(runs, rival, "auc")
        drawn = intervals.hierarchical_indices(agents, 200, 0)
        expected = intervals.probability_interval(x, y, indices=(drawn, drawn))
        assert expected.value == pytest.approx(probability_of_improvement(x, y))
        np.testing.assert_allclose(summary.interval(row, f"probability_over_{rival}"), expected, rtol=1e-12)
    assert np.isnan(row_of(rows, "scratch")["auc_gain"])
    assert np.isnan(row_of(rows, "full")["probability_over_full"])


def test_forgetting_dip_and_share_follow_from_the_runs(made):
    runs, _, _, rows = made
    expected = iqm(column(runs, "ewc", "source_return_before") - column(runs, "ewc", "source_return"))
    assert row_of(rows, "ewc")["forgetting"] == pytest.approx(expected)
    assert row_of(rows, "zero_shot")["dip"] == 0.0
    assert row_of(rows, "scratch")["dip"] > 0.0
    assert summary.interval(row_of(rows, "lora"), "trainable_parameters") == (260.0, 260.0, 260.0)
    assert row_of(rows, "lora")["trainable_percent"] == pytest.approx(100 * 260 / 9155)


def test_order_of_the_runs_does_not_matter_to_values(made):
    runs, curves, steps, rows = made
    turn = np.random.default_rng(0).permutation(len(runs))
    turned = summary.summarise([runs[i] for i in turn], curves[turn], steps[turn], **SMALL)
    for row in rows:
        other = row_of(turned, row["method"])
        for name in (*summary.MEASURES, *summary.DIFFERENCES, "probability_over_scratch"):
            np.testing.assert_allclose(other[name], row[name], rtol=1e-12)


def test_a_seed_reproduces_every_number_and_another_moves_only_the_ends(made):
    runs, curves, steps, rows = made
    again = summary.summarise(runs, curves, steps, **SMALL)
    for one, other in zip(rows, again, strict=True):
        equal(one, other)
    moved = row_of(summary.summarise(runs, curves, steps, **SMALL, seed=1), "lora")
    assert moved["auc"] == row_of(rows, "lora")["auc"]
    assert moved["auc_low"] != row_of(rows, "lora")["auc_low"]


def test_failed_runs_count_but_do_not_enter():
    runs, curves, steps = comparison(methods={m: METHODS[m] for m in ("zero_shot", "scratch", "lora")})
    bad = [i for i, row in enumerate(runs) if row["method"] == "lora"][:3]
    for i in bad:
        runs[i] |= {"status": "diverged at update 7", "auc": np.nan, "target_return": np.nan}
        curves[i] = np.nan
    row = row_of(summary.summarise(runs, curves, steps, **SMALL), "lora")
    assert (row["n"], row["n_ok"], row["failed"]) == (16, 13, 3)
    kept = [i for i, of in enumerate(runs) if of["method"] == "lora" and i not in bad]
    assert row["auc"] == pytest.approx(iqm([runs[i]["auc"] for i in kept]))
    pairs = [next(r["auc"] for r in runs if r["method"] == "scratch" and r["run"] == runs[i]["run"]) for i in kept]
    assert row["auc_gain"] == pytest.approx(iqm([runs[i]["auc"] for i in kept]) - iqm(pairs))


def test_a_missing_number_leaves_out_that_run_of_that_measure_alone():
    runs, curves, steps = comparison(methods={m: METHODS[m] for m in ("zero_shot", "scratch", "full")})
    full = [i for i, row in enumerate(runs) if row["method"] == "full"]
    runs[full[0]]["held_out_return"] = np.nan
    runs[full[1]]["held_out_return"] = None
    for i in full:
        del runs[i]["held_out_interpolation"]
    row = row_of(summary.summarise(runs, curves, steps, **SMALL), "full")
    assert row["held_out_return"] == pytest.approx(iqm([runs[i]["held_out_return"] for i in full[2:]]))
    assert row["auc"] == pytest.approx(iqm([runs[i]["auc"] for i in full]))
    assert np.isnan(row["held_out_interpolation"])


def test_all_failed_or_a_single_run_or_no_scratch_gives_nan_where_nothing_is_known():
    runs, curves, steps = comparison(methods={m: METHODS[m] for m in ("scratch", "lora")}, runs=1, agents=1)
    row = row_of(summary.summarise(runs, curves, steps, **SMALL), "lora")
    assert np.isfinite([row["auc"], row["auc_gain"]]).all()
    assert np.isnan([row["auc_low"], row["auc_gain_high"], row["dip"], row["probability_over_full"]]).all()
    runs[1]["status"] = "diverged"
    row = row_of(summary.summarise(runs, curves, steps, **SMALL), "lora")
    assert (row["n_ok"], row["failed"], row["agents"]) == (0, 1, 0)
    assert np.isnan([row["auc"], row["auc_gain"], row["target_return"]]).all()
    alone = summary.summarise(runs[:1], curves[:1], steps[:1], **SMALL)
    assert np.isnan(alone[0]["probability_over_scratch"])
    assert summary.summarise([], np.zeros((0, 3)), np.zeros((0, 3))) == []


def test_targets_are_kept_apart():
    first, second = comparison(seed=0), comparison(target="weak-motor", seed=1)
    runs = [*first[0], *second[0]]
    rows = summary.summarise(runs, *(np.concatenate([a, b]) for a, b in zip(first[1:], second[1:])), **SMALL)
    equal(row_of(rows, "lora"), row_of(summary.summarise(*first, **SMALL), "lora"))
    equal(row_of(rows, "lora", "weak-motor"), row_of(summary.summarise(*second, **SMALL), "lora", "weak-motor"))


def test_ranked_puts_the_largest_area_first_within_each_target_and_nan_last(made):
    *_, rows = made
    nowhere = {**rows[0], "method": "broken", "auc": np.nan}
    order = summary.ranked([nowhere, *rows])
    areas = [row["auc"] for row in order[:-1]]
    assert areas == sorted(areas, reverse=True)
    assert order[-1]["method"] == "broken"


def test_the_same_run_twice_and_curves_that_do_not_fit_are_refused():
    runs, curves, steps = comparison(methods={"scratch": METHODS["scratch"]}, runs=2, agents=2)
    with pytest.raises(ValueError, match="'scratch' has run 0 on 'long-pole' twice"):
        summary.summarise([runs[0], runs[0]], curves, steps)
    with pytest.raises(ValueError, match="do not fit 2 runs"):
        summary.summarise(runs, curves[:1], steps[:1])
    with pytest.raises(ValueError, match="repetitions: 0"):
        summary.summarise(runs, curves, steps, repetitions=0)

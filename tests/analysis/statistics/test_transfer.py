import numpy as np
import pytest

from jaxrl_ft.analysis.statistics import transfer


def test_area_of_shapes_known_by_heart():
    steps = np.array([0.0, 100.0, 400.0, 1000.0])
    assert transfer.area_under_curve(np.full(4, 37.0), steps) == pytest.approx(37.0)
    assert transfer.area_under_curve(0.5 * steps, steps) == pytest.approx(250.0)
    assert transfer.area_under_curve([0.0, 1.0, 1.0], [0.0, 2.0, 4.0]) == pytest.approx(0.75)


def test_area_is_exact_for_every_piecewise_linear_curve():
    rng = np.random.default_rng(0)
    steps = np.concatenate([[0.0], np.cumsum(rng.integers(1, 50, 7))])
    curve = rng.normal(size=8)
    fine = np.unique(np.concatenate([steps, np.linspace(0.0, steps[-1], 999)]))
    values = np.interp(fine, steps, curve)
    expected = np.trapezoid(values, fine) / steps[-1]
    np.testing.assert_allclose(transfer.area_under_curve(curve, steps), expected, rtol=1e-12)


def test_a_probe_is_part_of_the_budget():
    curve = [40.0, 60.0]
    assert transfer.area_under_curve(curve, [500.0, 1000.0]) == pytest.approx((500 * 40 + 500 * 50) / 1000)
    held = transfer.area_under_curve([40.0, 40.0, 60.0], [0.0, 500.0, 1000.0])
    assert transfer.area_under_curve(curve, [500.0, 1000.0]) == held


def test_area_without_steps_is_the_return_itself():
    assert transfer.area_under_curve([12.0], [0]) == 12.0
    assert transfer.area_under_curve([12.0], [256]) == 12.0
    assert transfer.area_under_curve([12.0, 12.0], [0, 0]) == 12.0


def test_area_does_not_care_about_points_on_the_line_and_scales_with_returns():
    curve, steps = np.array([1.0, 5.0, 2.0]), np.array([0.0, 10.0, 30.0])
    more, more_steps = np.array([1.0, 3.0, 5.0, 2.0]), np.array([0.0, 5.0, 10.0, 30.0])
    area = transfer.area_under_curve(curve, steps)
    assert transfer.area_under_curve(more, more_steps) == pytest.approx(area)
    assert transfer.area_under_curve(3 * curve - 7, 9 * steps) == pytest.approx(3 * area - 7)


def test_many_curves_at_once():
    curves, steps = np.random.default_rng(1).normal(size=(4, 3, 6)), np.arange(6.0)
    together = transfer.area_under_curve(curves, steps)
    assert together.shape == (4, 3)
    assert together[2, 1] == transfer.area_under_curve(curves[2, 1], steps)
    assert transfer.dip_area(curves, steps, np.zeros((4, 3))).shape == (4, 3)
    assert transfer.time_to_threshold(curves, steps, 0.0)[0].shape == (4, 3)


def test_dip_is_the_exact_triangle_below_zero_shot():
    steps = [0.0, 100.0, 200.0]
    assert transfer.dip_area([10.0, 0.0, 10.0], steps, 10.0) == pytest.approx(5.0)
    assert transfer.dip_area([10.0, 0.0, 30.0], steps, 10.0) == pytest.approx((500 + 0.5 * 10 * 100 / 3) / 200)
    assert transfer.dip_area([10.0, 20.0, 10.0], steps, 10.0) == 0.0
    assert transfer.dip_area([4.0, 4.0, 4.0], steps, 10.0) == pytest.approx(6.0)
    assert transfer.dip_area([4.0, 10.0], [100.0, 200.0], 10.0) == pytest.approx((600 + 300) / 200)


def test_area_is_zero_shot_plus_what_is_above_minus_what_is_below():
    rng = np.random.default_rng(2)
    curve, steps = rng.normal(size=9), np.cumsum(rng.integers(0, 30, 9))
    above = transfer.dip_area(-curve, steps, -0.2)
    below = transfer.dip_area(curve, steps, 0.2)
    np.testing.assert_allclose(transfer.area_under_curve(curve, steps), 0.2 + above - below, rtol=1e-12)


def test_differences_and_ratios():
    assert transfer.jumpstart([47.0, 400.0], [20.0, 500.0]) == 27.0
    assert transfer.asymptotic([[47.0, 400.0], [1.0, 2.0]]).tolist() == [400.0, 2.0]
    assert transfer.transfer_ratio(300.0, 200.0) == 1.5
    assert np.isnan(transfer.transfer_ratio([1.0, 1.0], [0.0, -5.0])).all()
    assert transfer.forgetting(500.0, 120.0) == 380.0


def test_forward_transfer_is_the_share_of_the_room_above_scratch():
    value, clipped = transfer.forward_transfer([300.0, 200.0, 500.0, 100.0], 200.0, (0.0, 500.0))
    np.testing.assert_allclose(value, [1 / 3, 0.0, 1.0, -1 / 3])
    assert not clipped.any()
    shifted, _ = transfer.forward_transfer(-200.0, -300.0, (-500.0, 0.0))
    assert shifted == pytest.approx(value[0])


def test_forward_transfer_without_room_is_finite_and_counted():
    value, clipped = transfer.forward_transfer([500.0, 450.0, 500.0], [500.0, 500.0, 400.0], (0.0, 500.0))
    assert np.isfinite(value).all()
    assert clipped.tolist() == [True, True, False]
    np.testing.assert_allclose(value, [0.0, -10.0, 1.0])


def test_time_to_threshold_is_the_first_evaluation_that_reaches_it():
    steps = [0, 10, 20, 30]
    assert transfer.time_to_threshold([1.0, 5.0, 2.0, 9.0], steps, 5.0) == (10.0, False)
    assert transfer.time_to_threshold([7.0, 5.0, 2.0, 9.0], steps, 5.0) == (0.0, False)
    assert transfer.time_to_threshold([1.0, 2.0, 3.0, 4.0], steps, 5.0) == (30.0, True)


def test_kaplan_meier_of_a_textbook_sample():
    events, survival = transfer.kaplan_meier([6, 6, 6, 6, 7, 9, 10, 10], [0, 0, 0, 1, 0, 1, 0, 1])
    assert events.tolist() == [6.0, 7.0, 10.0]
    np.testing.assert_allclose(survival, [5 / 8, 5 / 8 * 3 / 4, 5 / 8 * 3 / 4 * 1 / 2])
    assert transfer.kaplan_meier_median([6, 6, 6, 6, 7, 9, 10, 10], [0, 0, 0, 1, 0, 1, 0, 1]) == 7.0


def test_kaplan_meier_without_censoring_is_the_empirical_distribution():
    times = np.random.default_rng(3).permutation(np.arange(1.0, 11.0))
    events, survival = transfer.kaplan_meier(times, np.zeros(10, bool))
    np.testing.assert_allclose(survival, 1.0 - events / 10.0, atol=1e-12)
    assert [transfer.kaplan_meier_quantile(times, np.zeros(10, bool), q / 10) for q in range(1, 10)] == [*range(1, 10)]


def test_dropping_censored_runs_would_flatter_and_the_median_may_be_unknown():
    times, censored = [5.0, 6.0, 50.0, 50.0, 50.0], [False, False, True, True, True]
    assert transfer.kaplan_meier_median(times, censored) == np.inf
    assert transfer.kaplan_meier_quantile(times, censored, 0.4) == 6.0
    assert transfer.kaplan_meier_median([5.0, 5.0], [True, True]) == np.inf


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: transfer.area_under_curve([1.0, 2.0], [0.0]), "curve_steps: shape"),
        (lambda: transfer.area_under_curve([1.0, 2.0], [10.0, 0.0]), "decrease"),
        (lambda: transfer.area_under_curve([1.0, 2.0], [-1.0, 0.0]), "negative"),
        (lambda: transfer.area_under_curve([1.0, 2.0], [0.0, np.nan]), "not allowed"),
        (lambda: transfer.area_under_curve([], []), "curve_steps"),
        (lambda: transfer.area_under_curve(1.0, 1.0), "curve_steps"),
        (lambda: transfer.forward_transfer(1.0, 1.0, (5.0, 5.0)), "return_range"),
        (lambda: transfer.kaplan_meier([], []), "times"),
        (lambda: transfer.kaplan_meier([1.0, 2.0], [True]), "times"),
        (lambda: transfer.kaplan_meier_quantile([1.0], [False], 1.0), "quantile: 1.0"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()

import numpy as np
import pytest

from jaxrl_ft.analysis.statistics import aggregate

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def matrices(number=100):
    """Matrices of every awkward size: cuts that round down, one run, one task; every third is full of ties."""
    rng = np.random.default_rng(0)
    for i in range(number):
        scores = rng.normal(0.5, 1.0, (rng.integers(1, 20), rng.integers(1, 6)))
        yield np.round(scores) if i % 3 == 0 else scores


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (aggregate.iqm, "aggregate_iqm"),
        (aggregate.mean, "aggregate_mean"),
        (aggregate.optimality_gap, "aggregate_optimality_gap"),
    ],
)
def test_aggregates_equal_rliable(rliable, ours, theirs):
    for scores in matrices():
        np.testing.assert_allclose(ours(scores), getattr(rliable.metrics, theirs)(scores), **EXACT)


def test_optimality_gap_has_rliables_gamma(rliable):
    for scores in matrices(20):
        expected = rliable.metrics.aggregate_optimality_gap(scores, gamma=0.3)
        np.testing.assert_allclose(aggregate.optimality_gap(scores, gamma=0.3), expected, **EXACT)


def test_performance_profile_equals_rliable(rliable):
    thresholds = np.linspace(-2.0, 3.0, 11)
    for scores in matrices():
        expected = rliable.bootstrap.score_distributions(scores, thresholds)
        np.testing.assert_allclose(aggregate.performance_profile(scores, thresholds), expected, **EXACT)


def test_probability_of_improvement_equals_rliable(rliable):
    rng = np.random.default_rng(1)
    for x in matrices():
        y = np.round(rng.normal(0.4, 1.0, (rng.integers(1, 20), x.shape[1])))
        expected = rliable.metrics.probability_of_improvement(x, y)
        np.testing.assert_allclose(aggregate.probability_of_improvement(x, y), expected, **EXACT)
        np.testing.assert_allclose(aggregate.probability_of_improvement(x, x), 0.5, **EXACT)


def test_iqm_drops_a_quarter_at_each_end_rounded_down():
    assert aggregate.iqm([1.0, 2.0, 3.0, 1e9]) == 2.5
    assert aggregate.iqm([1.0, 2.0, 9.0]) == 4.0
    assert aggregate.iqm([-1e9, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e9]) == 3.5
    assert aggregate.iqm([7.0]) == 7.0


def test_median_is_of_all_scores():
    assert aggregate.median([3.0, 1.0, 100.0]) == 3.0
    assert aggregate.median([[1.0, 2.0], [3.0, 100.0]]) == 2.5


def test_order_of_runs_does_not_matter():
    scores = np.random.default_rng(2).normal(size=(13, 3))
    turned = scores[np.random.default_rng(3).permutation(13)]
    for statistic in (aggregate.iqm, aggregate.mean, aggregate.median, aggregate.optimality_gap):
        np.testing.assert_allclose(statistic(turned), statistic(scores), **EXACT)


def test_a_batch_of_matrices_gives_each_ones_statistic():
    batch = np.random.default_rng(4).normal(size=(5, 7, 3))
    for statistic in (aggregate.iqm, aggregate.mean, aggregate.median, aggregate.optimality_gap):
        np.testing.assert_allclose(statistic(batch), [statistic(scores) for scores in batch], **EXACT)
        separate = [[statistic(task) for task in scores.T] for scores in batch]
        np.testing.assert_allclose(aggregate.per_task(statistic)(batch), separate, **EXACT)
        averages = [np.mean([statistic(task) for task in scores.T]) for scores in batch]
        np.testing.assert_allclose(aggregate.over_tasks(statistic)(batch), averages, **EXACT)
    profiles = aggregate.performance_profile(batch, [0.0, 1.0])
    np.testing.assert_array_equal(aggregate.profile([0.0, 1.0])(batch), profiles)
    np.testing.assert_allclose(profiles, [aggregate.performance_profile(scores, [0.0, 1.0]) for scores in batch])


@pytest.mark.parametrize("scores", [[], [[]], 3.0, [1.0, np.nan], [1.0, np.inf]])
def test_what_is_no_matrix_of_numbers_is_refused(scores):
    with pytest.raises(ValueError, match="scores"):
        aggregate.iqm(scores)


def test_probability_of_improvement_needs_the_same_tasks():
    with pytest.raises(ValueError, match=r"y: shape \(3, 1\)"):
        aggregate.probability_of_improvement(np.zeros((3, 2)), np.zeros((3, 1)))

import functools

import numpy as np
import pytest
import scipy.stats

from jaxrl_ft.analysis.statistics import aggregate, intervals, resampling, weighted

EXACT = {"rtol": 1e-12, "atol": 1e-12}
STATISTICS = {
    "iqm": aggregate.iqm,
    "mean": aggregate.mean,
    "median": aggregate.median,
    "optimality_gap": aggregate.optimality_gap,
    "profile": aggregate.profile([-1.0, 0.0, 0.3, 9.0]),
    "per_task": aggregate.per_task(aggregate.iqm),
    "over_tasks": aggregate.over_tasks(aggregate.iqm),
    "profile_per_task": aggregate.per_task(aggregate.profile([0.0, 1.0])),
}


def drawn_matrices(number=100):
    """Scores of awkward sizes, every third full of ties, with resamples of as many runs, fewer or more."""
    rng = np.random.default_rng(0)
    for i in range(number):
        runs, tasks = rng.integers(1, 20), rng.integers(1, 6)
        scores = rng.normal(0.5, 1.0, (runs, tasks))
        size = (9, runs if i % 4 else rng.integers(1, 30))
        indices = rng.integers(0, runs, size if i % 2 else (*size, tasks))
        yield np.round(scores) if i % 3 == 0 else scores, indices


def resampled(scores, indices):
    return scores[indices] if indices.ndim == 2 else scores[indices, np.arange(scores.shape[1])]


def fast(statistic, scores, indices):
    return weighted.fast_path(statistic)(scores, resampling.count(indices, len(scores)))


@pytest.mark.parametrize("name", STATISTICS)
def test_the_fast_path_is_the_statistic_of_the_resamples(name):
    for scores, indices in drawn_matrices():
        expected = STATISTICS[name](resampled(scores, indices))
        np.testing.assert_allclose(fast(STATISTICS[name], scores, indices), expected, **EXACT)


def test_fast_iqm_is_scipys_trimmed_mean_of_the_resamples():
    for scores, indices in drawn_matrices():
        expected = [scipy.stats.trim_mean(one, 0.25, axis=None) for one in resampled(scores, indices)]
        np.testing.assert_allclose(fast(aggregate.iqm, scores, indices), expected, **EXACT)


@pytest.mark.parametrize(("runs", "tasks"), [(255, 1), (256, 1), (37, 7), (65_535, 1), (22_000, 3)])
def test_whole_numbers_are_wide_enough(runs, tasks):
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(runs, tasks))
    for indices in (np.zeros((2, runs), np.int64), rng.integers(0, runs, (2, runs, tasks))):
        expected = [scipy.stats.trim_mean(one, 0.25, axis=None) for one in resampled(scores, indices)]
        np.testing.assert_allclose(fast(aggregate.iqm, scores, indices), expected, **EXACT)


def test_counts_are_how_often_each_run_was_drawn():
    indices = np.array([[0, 2, 2, 2], [1, 1, 0, 0]])
    assert resampling.count(indices, 3)[:, 0].tolist() == [[1, 2], [0, 2], [3, 0]]
    for scores, drawn in drawn_matrices(20):
        counts = resampling.count(drawn, len(scores))
        assert counts.shape == (len(scores), 1 if drawn.ndim == 2 else scores.shape[1], len(drawn))
        assert (counts.sum(axis=0) == drawn.shape[1]).all()
        by_task = drawn if drawn.ndim == 3 else drawn[..., None]
        for run in range(len(scores)):
            assert np.array_equal(counts[run].T, (by_task == run).sum(axis=1))


@pytest.mark.parametrize("name", ["iqm", "mean", "median"])
def test_equal_scores_give_that_score_and_no_width_at_all(name):
    for score in (0.1, -7.3, 1e17, 0.0):
        for scores in (np.full(7, score), np.full((5, 3), score)):
            estimate = intervals.stratified_bootstrap(scores, STATISTICS[name], repetitions=200)
            assert estimate == (score, score, score)


def test_a_resample_of_the_same_scores_has_the_same_bits():
    columns = np.tile(np.random.default_rng(2).normal(size=(1, 5)), (8, 1))
    for name in ("iqm", "mean", "median", "optimality_gap"):
        estimate = intervals.stratified_bootstrap(columns, STATISTICS[name], repetitions=500)
        assert estimate.low == estimate.value == estimate.high


@pytest.mark.parametrize("name", STATISTICS)
def test_the_bits_of_a_resample_do_not_depend_on_the_others(name):
    rng = np.random.default_rng(3)
    scores, indices = rng.normal(size=(9, 4)), rng.integers(0, 9, (40, 9, 4))
    together = fast(STATISTICS[name], scores, indices)
    for some in (slice(0, 1), slice(3, 20), slice(39, 40)):
        assert np.array_equal(fast(STATISTICS[name], scores, indices[some]), together[some])


def test_outliers_that_are_trimmed_cost_no_precision():
    scores = np.array([-1e15, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e15])
    assert fast(aggregate.iqm, scores[:, None], np.arange(8)[None]) == [3.5]


def test_a_statistic_without_a_fast_path_keeps_the_general_one():
    scores = np.random.default_rng(4).normal(size=(6, 2))
    generous = functools.partial(aggregate.optimality_gap, gamma=3.0)
    assert weighted.fast_path(generous) is None
    assert weighted.fast_path(aggregate.per_task(generous)) is None
    expected = intervals.stratified_bootstrap(scores, lambda s: 3.0 - np.minimum(s, 3.0).mean(axis=(-1, -2)))
    np.testing.assert_allclose(intervals.stratified_bootstrap(scores, generous), expected, **EXACT)


def test_many_scores_take_the_general_path(monkeypatch):
    scores = np.random.default_rng(6).normal(size=(9, 2))
    expected = intervals.stratified_bootstrap(scores, repetitions=50)
    monkeypatch.setattr(resampling, "COUNTED_SCORES", 17)
    monkeypatch.setattr(resampling, "count", None)
    np.testing.assert_allclose(intervals.stratified_bootstrap(scores, repetitions=50), expected, **EXACT)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("shape", [(12,), (11, 3)])
def test_both_paths_give_one_interval(name, shape):
    rng = np.random.default_rng(5)
    x, y, agents = rng.normal(size=shape), rng.normal(size=shape), rng.integers(0, 4, shape[0])
    quick, slow = STATISTICS[name], lambda scores: STATISTICS[name](scores)
    for call in (
        lambda s: intervals.stratified_bootstrap(x, s, 300, seed=1),
        lambda s: intervals.hierarchical_bootstrap(x, agents, s, 300, seed=1),
        lambda s: intervals.paired_difference(x, y, s, 300, seed=1, agents=agents),
        lambda s: intervals.unpaired_difference(x, y[:-2], s, 300, seed=1),
    ):
        for ours, theirs in zip(call(quick), call(slow)):
            np.testing.assert_allclose(ours, theirs, **EXACT)


def test_a_statistic_of_ones_own_may_offer_a_fast_path():
    scores, asked = np.arange(8.0), []

    def smallest(values, counts):
        asked.append(counts.shape)
        return np.where(counts[:, 0] > 0, values, np.inf).min(axis=0)

    @weighted.counted(smallest)
    def minimum(values):
        return values.min(axis=(-1, -2))

    quick = intervals.stratified_bootstrap(scores, minimum, repetitions=100)
    assert asked
    assert quick == intervals.stratified_bootstrap(scores, lambda values: values.min(axis=(-1, -2)), repetitions=100)

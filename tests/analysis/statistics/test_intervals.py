import numpy as np
import pytest

from jaxrl_ft.analysis.statistics import intervals, resampling
from jaxrl_ft.analysis.statistics.aggregate import iqm, mean, optimality_gap, per_task, probability_of_improvement

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def recorded(monkeypatch, seed):
    """The list into which every index array that rliable draws goes."""
    rng, drawn = np.random.default_rng(seed), []

    def choice(number, size, replace):
        assert replace
        drawn.append(rng.integers(0, number, size))
        return drawn[-1]

    monkeypatch.setattr(np.random, "choice", choice)
    return drawn


@pytest.mark.parametrize(
    ("statistic", "theirs"),
    [(iqm, "aggregate_iqm"), (mean, "aggregate_mean"), (optimality_gap, "aggregate_optimality_gap")],
)
def test_interval_equals_rliables_on_the_same_resamples(rliable, monkeypatch, statistic, theirs):
    drawn = recorded(monkeypatch, 0)
    for shape in ((10, 3), (7, 1), (4, 5)):
        scores = np.random.default_rng(1).normal(0.5, 1.0, shape)
        drawn.clear()
        points, ends = rliable.bootstrap.get_interval_estimates(
            {"x": scores}, lambda s: np.array([getattr(rliable.metrics, theirs)(s)]), reps=150
        )
        estimate = intervals.stratified_bootstrap(scores, statistic, indices=np.stack(drawn))
        np.testing.assert_allclose([estimate.value], points["x"], **EXACT)
        np.testing.assert_allclose([[estimate.low], [estimate.high]], ends["x"], **EXACT)


def test_a_hundred_matrices_give_rliables_intervals_on_the_same_resamples(rliable, monkeypatch):
    drawn, rng = recorded(monkeypatch, 12), np.random.default_rng(13)
    for i in range(100):
        scores = rng.normal(0.5, 1.0, (rng.integers(1, 20), rng.integers(1, 6)))
        scores = np.round(scores) if i % 3 == 0 else scores
        drawn.clear()
        points, ends = rliable.bootstrap.get_interval_estimates(
            {"x": scores}, lambda s: np.array([rliable.metrics.aggregate_iqm(s)]), reps=20
        )
        estimate = intervals.stratified_bootstrap(scores, indices=np.stack(drawn))
        np.testing.assert_allclose([estimate.value], points["x"], **EXACT)
        np.testing.assert_allclose([[estimate.low], [estimate.high]], ends["x"], **EXACT)


def test_probability_interval_equals_rliables_on_the_same_resamples(rliable, monkeypatch):
    drawn = recorded(monkeypatch, 1)
    rng = np.random.default_rng(2)
    x, y = np.round(rng.normal(0.5, 1.0, (9, 3)), 1), np.round(rng.normal(0.0, 1.0, (6, 3)), 1)
    points, ends = rliable.bootstrap.get_interval_estimates(
        {"x": (x, y)}, lambda a, b: np.array([rliable.metrics.probability_of_improvement(a, b)]), reps=150
    )
    estimate = intervals.probability_interval(x, y, indices=(np.stack(drawn[::2]), np.stack(drawn[1::2])))
    np.testing.assert_allclose([estimate.value], points["x"], **EXACT)
    np.testing.assert_allclose([[estimate.low], [estimate.high]], ends["x"], **EXACT)


def test_a_seed_names_its_resamples():
    scores = np.random.default_rng(3).normal(size=(16, 2))
    once = intervals.stratified_bootstrap(scores, repetitions=300, seed=5)
    assert once == intervals.stratified_bootstrap(scores, repetitions=300, seed=5)
    assert once != intervals.stratified_bootstrap(scores, repetitions=300, seed=6)


@pytest.mark.parametrize("entries", [1, 7 * 32, 64 * 32])
def test_blocks_do_not_change_the_interval(monkeypatch, entries):
    x, y = np.random.default_rng(4).normal(size=(2, 16, 2))
    agents = np.arange(16) % 5
    calls = [
        lambda: intervals.stratified_bootstrap(x, repetitions=300),
        lambda: intervals.stratified_bootstrap(x, lambda scores: iqm(scores), repetitions=300),
        lambda: intervals.hierarchical_bootstrap(x, agents, repetitions=300),
        lambda: intervals.paired_difference(x, y, repetitions=300),
        lambda: intervals.unpaired_difference(x, y, repetitions=300),
        lambda: intervals.probability_interval(x, y, repetitions=300),
        lambda: intervals.plain_indices(16, 300, seed=1, tasks=2).tolist(),
    ]
    whole = [call() for call in calls]
    monkeypatch.setattr(resampling, "CHUNK_ENTRIES", entries)
    assert [call() for call in calls] == whole


def test_resamples_of_a_seed_are_those_of_its_indices():
    scores = np.random.default_rng(14).normal(size=(16, 3))
    given = intervals.plain_indices(16, 300, seed=5, tasks=3)
    assert intervals.stratified_bootstrap(scores, repetitions=300, seed=5) == intervals.stratified_bootstrap(
        scores, indices=given
    )
    for block in (1, 13, 300, 1000):
        drawn = np.concatenate(list(resampling.plain_blocks(16, 300, 5, 3, block)))
        assert np.array_equal(drawn, given)


@pytest.mark.parametrize("statistic", [iqm, per_task(mean), lambda scores: iqm(scores)])
def test_many_methods_at_once_get_what_each_gets_alone(statistic):
    rng = np.random.default_rng(15)
    shapes = {"b": (8, 3), "a": (6, 3), "c": (8, 3), "d": (8, 1)}
    scores = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    together = intervals.bootstrap_by_name(scores, statistic, repetitions=200, seed=4)
    assert list(together) == ["b", "a", "c", "d"]
    for name, estimate in together.items():
        alone = intervals.stratified_bootstrap(scores[name], statistic, repetitions=200, seed=4)
        assert np.array_equal(np.array(estimate), np.array(alone))
    drawn = intervals.plain_indices(8, 50, seed=0)
    given = intervals.bootstrap_by_name({"b": scores["b"]}, statistic, indices=drawn)["b"]
    assert np.array_equal(given, intervals.stratified_bootstrap(scores["b"], statistic, indices=drawn))


def test_tasks_are_resampled_by_themselves():
    indices = intervals.plain_indices(8, 50, seed=0, tasks=3)
    assert indices.shape == (50, 8, 3)
    assert not np.array_equal(indices[..., 0], indices[..., 1])


def test_with_an_agent_per_run_the_hierarchy_is_the_plain_bootstrap():
    scores, agents = np.random.default_rng(5).normal(size=12), np.random.default_rng(6).permutation(12)
    plain = intervals.stratified_bootstrap(scores, repetitions=400, seed=7)
    assert intervals.hierarchical_bootstrap(scores, agents, repetitions=400, seed=7) == plain


@pytest.mark.parametrize("agents", [[0, 1, 2, 0, 1, 2, 0, 1, 2], [4, 4, 4, 4, 4, 4, 9, 9, 1]])
def test_hierarchical_resamples_take_agents_whole_and_are_centred_on_the_mean(agents):
    agents, scores = np.array(agents), np.arange(9.0) ** 2
    indices = intervals.hierarchical_indices(agents, 20_000, seed=0)
    assert indices.shape == (20_000, 9)
    places = agents[indices]
    for agent in np.unique(agents):
        own = places[:, agents == agent]
        assert (own == own[:, :1]).all()
    spread = scores[indices].mean(axis=1)
    assert abs(spread.mean() - scores.mean()) < 5 * spread.std() / np.sqrt(20_000)
    assert all(set(indices[places == agent]) == set(np.flatnonzero(agents == agent)) for agent in np.unique(agents))


def coverage(draw, interval, truth, trials):
    return np.mean([(lambda e: e.low <= truth <= e.high)(interval(*draw(trial), trial)) for trial in range(trials)])


def test_a_95_percent_interval_covers_the_truth_about_95_times_in_100():
    def draw(trial):
        return (np.random.default_rng(trial).normal(3.0, 1.0, 32),)

    covered = coverage(draw, lambda x, t: intervals.stratified_bootstrap(x, iqm, 300, seed=t), 3.0, 400)
    assert 0.90 <= covered <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [1, 6])
def test_every_interval_covers_at_full_size(tasks):
    """Exponential scores; a true interquartile mean is that of a million of them."""
    truth = iqm(np.random.default_rng(16).exponential(size=1_000_000))

    def draw(trial):
        return np.random.default_rng(trial).exponential(size=(2, 32, tasks))

    one = coverage(lambda t: draw(t)[:1], lambda x, t: intervals.stratified_bootstrap(x, iqm, 2000, t), truth, 600)
    pair = coverage(draw, lambda x, y, t: intervals.paired_difference(x, y + 1, iqm, 2000, t), -1.0, 600)
    apart = coverage(draw, lambda x, y, t: intervals.unpaired_difference(x, y + 1, iqm, 2000, t), -1.0, 600)
    assert all(0.91 <= covered <= 0.98 for covered in (one, pair, apart)), (one, pair, apart)


def test_only_the_hierarchy_covers_when_runs_share_agents():
    agents = np.arange(64) % 16

    def draw(trial):
        rng = np.random.default_rng(trial)
        return (rng.normal(0.0, 1.0, 16)[agents] + rng.normal(0.0, 0.3, 64),)

    whole = coverage(draw, lambda x, t: intervals.hierarchical_bootstrap(x, agents, mean, 300, seed=t), 0.0, 200)
    naive = coverage(draw, lambda x, t: intervals.stratified_bootstrap(x, mean, 300, seed=t), 0.0, 200)
    assert whole >= 0.87
    assert naive <= 0.75


def test_an_interval_narrows_with_the_root_of_the_runs():
    rng = np.random.default_rng(8)
    width = {n: np.diff(intervals.stratified_bootstrap(rng.normal(size=n), mean)[1:])[0] for n in (100, 1600)}
    assert 3.0 < width[100] / width[1600] < 5.0


def test_confidence_widens_the_interval_and_one_half_is_the_quartiles():
    scores, indices = np.arange(9.0), np.arange(9)[:, None]
    assert intervals.stratified_bootstrap(scores, mean, indices=indices, confidence=0.5)[1:] == (2.0, 6.0)
    assert intervals.stratified_bootstrap(scores, mean, indices=indices, confidence=1.0)[1:] == (0.0, 8.0)


def test_pairing_cancels_what_both_share():
    rng = np.random.default_rng(9)
    shared = rng.normal(0.0, 10.0, 24)
    better = shared + 1.0 + rng.normal(0.0, 0.1, 24)
    assert intervals.paired_difference(shared, shared) == (0.0, 0.0, 0.0)
    estimate = intervals.paired_difference(better, shared, mean)
    assert 0.9 < estimate.low < estimate.value < estimate.high < 1.1
    np.testing.assert_allclose(intervals.paired_difference(shared, better, mean)[::2], (-estimate.value, -estimate.low))
    assert estimate.value == pytest.approx(mean(better) - mean(shared))


def test_without_pairs_the_spreads_add_up():
    x, y = np.random.default_rng(17).normal(size=(2, 400))
    y = 3.0 * y[:100]
    estimate = intervals.unpaired_difference(x, y, mean, repetitions=5000)
    expected = 2 * 1.96 * np.sqrt(x.var() / 400 + y.var() / 100)
    assert estimate.value == pytest.approx(mean(x) - mean(y))
    assert estimate.high - estimate.low == pytest.approx(expected, rel=0.05)


def test_columns_can_keep_their_own_statistic():
    scores = np.random.default_rng(10).normal(size=(12, 3))
    indices = intervals.plain_indices(12, 200, seed=0)
    together = intervals.stratified_bootstrap(scores, per_task(iqm), indices=indices)
    apart = [intervals.stratified_bootstrap(column, iqm, indices=indices) for column in scores.T]
    np.testing.assert_allclose(np.stack(together, axis=1), np.array(apart), **EXACT)


def test_probability_interval_brackets_its_value_and_keeps_pairs_together():
    x, y = np.random.default_rng(11).normal(0.5, 1.0, (2, 20))
    estimate = intervals.probability_interval(x, y)
    assert estimate.value == probability_of_improvement(x, y)
    assert 0.0 <= estimate.low < estimate.value < estimate.high <= 1.0
    drawn = intervals.plain_indices(20, 500, seed=0)
    assert intervals.probability_interval(x, x, indices=(drawn, drawn)) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: intervals.stratified_bootstrap([1.0, 2.0], repetitions=0), "repetitions: 0"),
        (lambda: intervals.stratified_bootstrap([1.0, 2.0], seed=-1), "seed: -1"),
        (lambda: intervals.stratified_bootstrap([1.0, 2.0], confidence=1.5), "confidence: 1.5"),
        (lambda: intervals.stratified_bootstrap([1.0, 2.0], indices=[[0, 2]]), r"in \[0, 1\]"),
        (lambda: intervals.stratified_bootstrap([1.0, 2.0], indices=[[-1, 0]]), r"in \[0, 1\]"),
        (lambda: intervals.stratified_bootstrap([1.0, 2.0], indices=[[0.0, 1.0]]), "integers"),
        (lambda: intervals.stratified_bootstrap([1.0, 2.0], indices=[0, 1]), "integers"),
        (lambda: intervals.hierarchical_bootstrap([1.0, 2.0], [0]), "agents: 1 labels"),
        (lambda: intervals.hierarchical_indices([], 10, 0), "agents: no runs"),
        (lambda: intervals.paired_difference([1.0, 2.0], [1.0]), r"y: shape \(1, 1\)"),
        (lambda: intervals.paired_difference([1.0], [np.nan]), "y: 1 entries are not finite"),
        (lambda: intervals.unpaired_difference([1.0], [[1.0, 2.0]]), r"y: shape \(1, 2\)"),
        (lambda: intervals.bootstrap_by_name({"a": [1.0], "b": [np.nan]}), r"scores\['b'\]: 1 entries"),
        (lambda: intervals.probability_interval([1.0], [1.0], indices=([[0]], [[0], [0]])), "indices: 1 and 2"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()

import numpy as np
import pytest

from jaxrl_ft.analysis.statistics import intervals, power
from jaxrl_ft.analysis.statistics.aggregate import iqm, mean, per_task


def pairs(seed, runs=64, tasks=1):
    """Two methods whose runs share half of their variance."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(runs, tasks))
    return shared + rng.normal(size=(runs, tasks)), shared + rng.normal(size=(runs, tasks))


def test_the_multiplier_of_bloom():
    assert power.detectable_at(1.0) == pytest.approx(1.959964 + 0.841621, abs=1e-5)
    assert power.detectable_at(2.0, alpha=0.1, power=0.5) == pytest.approx(2 * 1.644854, abs=1e-5)


def test_the_spread_of_a_mean_is_its_standard_error():
    x, y = pairs(0)
    kept = {"statistic": mean, "repetitions": 20_000}
    paired = power.smallest_detectable_difference(x, y, **kept)
    assert paired.spread == pytest.approx((x - y).std() / np.sqrt(64), rel=0.02)
    assert paired.difference == pytest.approx(2.8016 * paired.spread, rel=1e-4)
    apart = power.smallest_detectable_difference(x, y[:16], paired=False, **kept)
    assert apart.spread == pytest.approx(np.sqrt(x.var() / 64 + y[:16].var() / 16), rel=0.02)
    assert (paired.runs, apart.runs) == ((64, 64), (64, 16))


def test_pairs_see_less_than_half_of_what_shared_noise_hides():
    rng = np.random.default_rng(1)
    shared = rng.normal(0.0, 10.0, 32)
    x, y = shared + rng.normal(size=32), shared + rng.normal(size=32)
    paired, apart = (power.smallest_detectable_difference(x, y, paired=p).difference for p in (True, False))
    assert paired < apart / 4


def test_the_observed_difference_has_no_part_in_it():
    x, y = pairs(2)
    for paired in (True, False):
        here, there = (power.smallest_detectable_difference(x + far, y, mean, paired).difference for far in (0.0, 64.0))
        assert here == pytest.approx(there, rel=1e-9)


def test_agents_are_resampled_first():
    rng = np.random.default_rng(3)
    agents = np.arange(32) % 4
    x, y = rng.normal(size=4)[agents] + 0.1 * rng.normal(size=32), 0.1 * rng.normal(size=32)
    naive, whole = (power.smallest_detectable_difference(x, y, mean, agents=a).difference for a in (None, agents))
    assert whole > 1.5 * naive


def test_a_statistic_of_every_task_has_a_difference_for_each():
    x, y = pairs(4, tasks=3)
    every = power.smallest_detectable_difference(x, y, per_task(iqm))
    assert every.difference.shape == (3,)
    first = power.smallest_detectable_difference(x[:, 0], y[:, 0])
    assert every.difference[0] == pytest.approx(first.difference, rel=1e-12)
    with pytest.raises(ValueError, match="detectable: 3 differences"):
        power.sentence(every)


def test_what_is_told():
    shown = power.Detectable(12.34, 4.4, (32, 32), True, 0.05, 0.8)
    assert power.sentence(shown) == (
        "32 paired runs can detect differences of 12.3 or more (80% power, 95% intervals)."
    )
    apart = power.sentence(shown._replace(paired=False, runs=(32, 8), alpha=0.01, power=0.9), "points of return")
    assert apart == (
        "32 and 8 unpaired runs can detect differences of 12.3 points of return or more (90% power, 99% intervals)."
    )
    still = power.sentence(power.smallest_detectable_difference(np.full(8, 500.0), np.full(8, 500.0)))
    assert still.startswith("These 8 paired runs do not vary")


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda x: power.smallest_detectable_difference(x[:1], x[:1]), "x: 1 runs"),
        (lambda x: power.smallest_detectable_difference(x, x[:1], paired=False), "y: 1 runs"),
        (lambda x: power.smallest_detectable_difference(x, x[:5]), r"y: shape \(5, 1\)"),
        (lambda x: power.smallest_detectable_difference(x, x, alpha=0.0), "alpha: 0.0"),
        (lambda x: power.smallest_detectable_difference(x, x, power=1.0), "power: 1.0"),
        (lambda x: power.smallest_detectable_difference(x, x, paired=False, agents=np.arange(8)), "agents"),
        (lambda x: power.smallest_detectable_difference(x, np.zeros((8, 2)), paired=False), r"y: shape \(8, 2\)"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named):
        call(np.arange(8.0))


def normal(rng, size):
    return rng.normal(size=size)


def skewed(rng, size):
    """Returns with a ceiling, most of them near it."""
    return -rng.exponential(1.0, size)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [normal, skewed])
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("shape", [(8, 1), (16, 1), (32, 1), (16, 6)])
def test_the_stated_difference_is_detected_with_the_stated_power(noise, paired, shape):
    def draw(*seed):
        rng = np.random.default_rng(seed)
        shared = rng.normal(0.0, 1.0, shape) if paired else 0.0
        return noise(rng, shape) + shared, noise(rng, shape) + shared

    pilots = [
        power.smallest_detectable_difference(*draw(0, i), iqm, paired, repetitions=500, seed=i) for i in range(300)
    ]
    stated = np.mean([pilot.difference for pilot in pilots])
    compare = intervals.paired_difference if paired else intervals.unpaired_difference
    # adding a number to all runs of a method adds it to its interquartile mean, and so to both ends
    ends = np.array([compare(*draw(1, i), iqm, repetitions=400, seed=i)[1:] for i in range(1500)])

    def detected(difference):
        return ((ends[:, 0] + difference > 0) | (ends[:, 1] + difference < 0)).mean()

    assert detected(stated) == pytest.approx(0.8, abs=0.06)
    assert detected(-stated) == pytest.approx(0.8, abs=0.06)
    assert detected(stated / 2) < 0.5
    assert detected(0.0) < 0.1

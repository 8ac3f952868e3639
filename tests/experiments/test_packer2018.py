"""The draws, the choice among settings and the metrics of experiments/packer2018.py."""

import importlib
from pathlib import Path

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def packer(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    return importlib.import_module("packer2018")


@pytest.fixture
def report(packer):
    return packer.report


def column(tasks, name):
    return np.array([float(getattr(task.env_params, name)) for task in tasks])


def test_draws_are_reproducible_and_of_another_seed_others(packer):
    one, two, other = (column(packer.draw("E", 50, seed), "force") for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.any(one == other)


def test_the_default_is_gyms_with_200_steps(packer):
    (task,) = packer.draw("D", 1, 0)
    assert (task.describe(), task.episode_limit) == ("CartPole-v1 episode_limit=200", 200)


def test_extreme_draws_fill_what_the_outer_ranges_have_beyond_the_random_ones(packer):
    tasks = {version: packer.draw(version, 4000, 3) for version in "RE"}
    uniform = 5 * np.sqrt(0.25 / 4000)
    for name, (_, (low, high), (lowest, highest)) in packer.RANGES.items():
        inside, outside = (column(tasks[version], name) for version in "RE")
        assert low <= inside.min() and inside.max() <= high
        assert lowest <= outside.min() and outside.max() <= highest
        assert not np.any((outside > low) & (outside < high))
        below = (low - lowest) / (low - lowest + highest - high)
        assert abs(np.mean(outside < low) - below) < uniform
        assert abs(np.mean(inside < (low + high) / 2) - 0.5) < uniform


def test_extreme_quantities_are_independent(packer):
    tasks = packer.draw("E", 4000, 5)
    table = np.corrcoef([column(tasks, name) for name in packer.RANGES])
    assert np.all(np.abs(table - np.eye(3)) < 5 / np.sqrt(4000))


def row(version, setting, repetition=0, recipe="PPO", **numbers):
    names = ("validation_greedy", "validation_sampled", "harder_greedy", "D_greedy", "R_greedy", "E_greedy")
    base = dict.fromkeys(names, 1)
    values = {key: str(value) for key, value in (base | numbers).items()}
    return {"recipe": recipe, "trained_on": version, "setting": setting, "repetition": str(repetition), **values}


def metrics(report, rows, recipes=("PPO",), equals="the other way of acting"):
    return report.metrics(rows, recipes, "greedy", equals)


def test_the_metrics_are_geometric_means_of_the_chosen_settings(report):
    rows = [
        row("D", "a", D_greedy=0.9, R_greedy=0.8, E_greedy=0.5),
        row("D", "b", validation_greedy=0.99, E_greedy=1.0),
        row("R", "a", validation_sampled=0.9, E_greedy=1.0),
        row("R", "b", R_greedy=0.7, E_greedy=0.4),
    ]
    found = metrics(report, rows)
    expected = {"DD": 90, "RR": 70, "DR": 80, "DE": 50, "RE": 40, "extrapolation": 100 * (0.8 * 0.5 * 0.4) ** (1 / 3)}
    assert {name: values.item() for name, values in found.items()} == pytest.approx(expected)


def test_equal_settings_count_equally(report):
    rows = [row("D", "a", E_greedy=0.5), row("D", "b", E_greedy=1.0), row("R", "a"), row("R", "b", E_greedy=0.3)]
    found = metrics(report, rows)
    roots = [np.cbrt(d * r) for d in (0.5, 1.0) for r in (1.0, 0.3)]
    np.testing.assert_allclose(found["extrapolation"], 100 * np.mean(roots))
    np.testing.assert_allclose(found["DE"], 75)


def test_success_in_tests_never_decides(report):
    rows = [row("D", "a", E_greedy=0.0), row("D", "b", validation_greedy=0.999), row("R", "a")]
    assert metrics(report, rows)["DE"] == [0.0]


def test_every_repetition_chooses_for_itself_among_the_given_recipes(report):
    rows = [
        *(row("D", "a", i, validation_greedy=v, E_greedy=e) for i, (v, e) in enumerate([(1, 0.1), (0.5, 0.2)])),
        *(row("D", "b", i, "more", validation_greedy=0.9, E_greedy=0.7) for i in range(2)),
        *(row("R", "a", i) for i in range(2)),
    ]
    np.testing.assert_allclose(metrics(report, rows)["DE"], [10, 20])
    np.testing.assert_allclose(metrics(report, rows, ["PPO", "more"])["DE"], [10, 70])


def test_harder_starts_tell_equals_apart_and_nothing_else(report):
    rows = [
        row("D", "a", harder_greedy=0.8, validation_sampled=0.9, E_greedy=0.2),
        row("D", "b", harder_greedy=0.7, E_greedy=0.4),
        row("D", "c", harder_greedy=0.9, validation_greedy=0.999, E_greedy=0.6),
        row("R", "a"),
    ]
    assert metrics(report, rows, equals="harder starts")["DE"] == [20.0]
    assert metrics(report, rows)["DE"] == [40.0]


def test_harder_starts_are_the_same_draws_from_further_away(packer):
    near, far = packer.draw("R", 20, 3), packer.draw("R", 20, 3, packer.HARDER[-1])
    for name in packer.RANGES:
        np.testing.assert_array_equal(column(near, name), column(far, name))
    assert set(column(near, "reset_range")) == {np.float32(packer.RESET)}
    assert set(column(far, "reset_range")) == {np.float32(packer.HARDER[-1])}

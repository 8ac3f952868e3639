"""Closed forms of the controls, and PBT against an oracle written from its definition."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.methods.control import Measures, Numbers
from jaxrl_ft.training.control import Controller
from jaxrl_ft.training.keys import seeds_of


def numbers(num, penalty=None):
    penalty = ft.KL(coef=0.5) if penalty is None else penalty
    return Numbers(*tree.repeat(as_arrays((ft.Adam(learning_rate=1e-2), penalty)), num))


def generators(num, seed=0):
    return [np.random.default_rng((seed, i)) for i in range(num)]


def measured(training, validation=None):
    training = np.asarray(training, float)
    return Measures(training, np.full(len(training), np.nan) if validation is None else np.asarray(validation, float))


@pytest.mark.parametrize("name", list(ft.CONTROLS))
def test_every_control_keeps_structure_types_and_the_number_of_runs(name):
    control = ft.CONTROLS[name]
    check_config(control, "control")
    num = 2 * control.population
    before = numbers(num)
    begun = control.begin(before, np.full(num, 0.5, np.float32), generators(num))
    after, parents = control.adjust(begun, measured(np.linspace(0, 1, num), np.zeros(num)), generators(num))
    for one in (begun, after):
        described = [(np.shape(leaf), np.asarray(leaf).dtype) for leaf in jax.tree.leaves(one)]
        assert described == [(np.shape(leaf), np.asarray(leaf).dtype) for leaf in jax.tree.leaves(before)]
    assert parents.shape == (num,) and set(parents) <= set(range(num))
    touched = {"optimizer": {"learning_rate", "weight_decay"}, "penalty": {"coef"}}
    for part in ("optimizer", "penalty"):
        old, new = vars(getattr(before, part)), vars(getattr(after, part))
        changed = {
            field for field in old if not np.array_equal(jax.tree.leaves(old[field]), jax.tree.leaves(new[field]))
        }
        assert changed <= touched[part]


def test_none_changes_nothing(same):
    before = numbers(3)
    after, parents = ft.Control().adjust(before, measured([1, 2, np.nan]), generators(3))
    assert same(after, before) and same(ft.Control().begin(before, np.ones(3), generators(3)), before)
    np.testing.assert_array_equal(parents, range(3))


@pytest.mark.parametrize("power, drop", [(1.0, 0.0), (2.0, 0.9), (0.0, 1.0)])
def test_strength_follows_the_share(power, drop):
    share = np.array([0.0, 0.25, 1.0])
    after = ft.Strength(penalty_power=power, rate_drop=drop).begin(numbers(3), share, generators(3))
    np.testing.assert_allclose(after.penalty.coef, 0.5 * share**power, rtol=1e-6)
    np.testing.assert_allclose(after.optimizer.learning_rate, 1e-2 * (1 - drop * share), rtol=1e-6)


def test_strength_without_a_coefficient_changes_the_rate_alone():
    after = ft.Strength(rate_drop=0.5).begin(numbers(2, ft.Penalty()), np.array([0.0, 1.0]), generators(2))
    np.testing.assert_allclose(after.optimizer.learning_rate, [1e-2, 5e-3], rtol=1e-6)


def test_gap_decay_steps_up_or_down_within_its_bounds():
    control = ft.GapDecay(factor=3.0, tolerance=0.1, low=0.01, high=0.5)
    decay = np.float32([0.1, 0.1, 0.1, 0.3, 0.02, 0.1, 0.1])
    training = [0.9, 0.55, 0.2, 0.9, 0.1, np.nan, 0.9]
    validation = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, np.nan]
    before = numbers(7)
    before = before._replace(optimizer=replace(before.optimizer, weight_decay=decay))
    after, parents = control.adjust(before, measured(training, validation), generators(7))
    expected = [0.3, 0.1 / 3, 0.1 / 3, 0.5, 0.01, 0.1, 0.1]
    np.testing.assert_allclose(after.optimizer.weight_decay, expected, rtol=1e-6)
    np.testing.assert_array_equal(parents, range(7))
    np.testing.assert_array_equal(after.optimizer.learning_rate, before.optimizer.learning_rate)


def oracle(control, rates, scores, given):
    """Truncation selection and perturbation, one population at a time, as Jaderberg et al. 2017 define them."""
    size, runs = control.population, len(scores) // control.population
    after, parents = rates.copy(), np.arange(len(scores))
    count = max(1, int(control.share * size))
    for run in range(runs):
        members = [member * runs + run for member in range(size)]
        value = {member: -np.inf if np.isnan(scores[member]) else scores[member] for member in members}
        ranked = sorted(members, key=lambda member: -value[member])
        best, worst = ranked[:count], ranked[::-1][:count]
        for loser in worst:
            winner = best[given[loser].integers(count)]
            exponents = given[loser].choice([-1.0, 1.0], 2)
            parents[loser] = winner
            after[loser] = rates[winner] * control.factor**exponents
    return after, parents


@pytest.mark.parametrize("population, share", [(2, 0.5), (4, 0.25), (5, 0.4), (8, 0.5)])
def test_pbt_copies_the_best_and_perturbs(population, share):
    control = ft.PBT(population=population, share=share, factor=1.5)
    num = 3 * population
    rng = np.random.default_rng(population)
    scores = rng.permutation(num).astype(float)
    scores[rng.integers(num)] = np.nan
    rates = rng.uniform(1e-3, 1e-2, (num, 2))
    before = numbers(num)
    before = Numbers(
        replace(before.optimizer, learning_rate=np.float32(rates[:, 0])),
        replace(before.penalty, coef=np.float32(rates[:, 1])),
    )
    after, parents = control.adjust(before, measured(scores), generators(num, 3))
    expected, origin = oracle(control, rates, scores, generators(num, 3))
    np.testing.assert_array_equal(parents, origin)
    np.testing.assert_allclose(after.optimizer.learning_rate, expected[:, 0], rtol=1e-5)
    np.testing.assert_allclose(after.penalty.coef, expected[:, 1], rtol=1e-5)
    # nobody takes over from another population, and the best of each stays
    np.testing.assert_array_equal(parents % 3, np.arange(num) % 3)
    for run in range(3):
        best = np.nanargmax(scores.reshape(population, 3)[:, run]) * 3 + run
        assert parents[best] == best


def test_what_was_never_measured_is_the_worst():
    scores = [np.nan, -5.0, -7.0, -6.0]
    _, parents = ft.PBT(population=4).adjust(numbers(4), measured(scores), generators(4))
    np.testing.assert_array_equal(parents, [1, 1, 2, 3])


def test_pbt_begins_spread_around_the_method_s_numbers_and_the_first_member_keeps_them():
    control, num = ft.PBT(population=4, spread=3.0), 4 * 500
    begun = control.begin(numbers(num), np.ones(num), generators(num))
    for values, middle in ((begun.optimizer.learning_rate, 1e-2), (begun.penalty.coef, 0.5)):
        np.testing.assert_array_equal(values[:500], np.float32(middle))
        logs = np.log(values[500:] / middle) / np.log(3.0)
        assert logs.min() >= -1.00001 and logs.max() <= 1.00001
        # uniform in the logarithm: mean 0, variance 1/3
        assert abs(logs.mean()) < 0.06 and logs.var() == pytest.approx(1 / 3, abs=0.03)
    assert abs(np.corrcoef(begun.optimizer.learning_rate[500:], begun.penalty.coef[500:])[0, 1]) < 0.1


def test_pbt_repeats_with_its_generators(same):
    control = ft.PBT(population=2)
    one, two, other = (control.begin(numbers(6), np.ones(6), generators(6, seed)) for seed in (0, 0, 1))
    assert same(one, two) and not same(one, other)


def test_what_is_spent_on_validation():
    assert ft.Control().spent() == ft.PBT().spent() == ft.Strength().spent() == 0
    assert ft.GapDecay(stretches=5, validation_episodes=3, validation_steps=10).spent() == 4 * 3 * 10
    assert ft.Control(population=2, stretches=5, validation_episodes=3, validation_steps=10).spent() == 2 * 4 * 3 * 10


@pytest.mark.parametrize(
    "control, message",
    [
        (ft.GapDecay(low=2.0), "low: 2 is not allowed"),
        (ft.GapDecay(validation_episodes=0), "validation_episodes: 0"),
        (ft.PBT(population=1), "population: 1"),
        (ft.PBT(share=0.6), "share: 0.6"),
        (ft.PBT(factor=0.5), "factor: 0.5"),
        (ft.Strength(rate_drop=1.5), "rate_drop: 1.5"),
        (ft.Control(stretches=0), "stretches: 0"),
    ],
)
def test_fields_that_make_no_sense_are_refused(control, message):
    with pytest.raises(ValueError, match=message):
        check_config(control, "control")


def sums(ended, total):
    ended, total = np.asarray(ended, float), np.asarray(total, float)
    return {"rollout/num": ended, "rollout/episode_return": total}


def members(*numbers):
    """Policies of one number each."""
    return Policy({"policy": np.array(numbers)[:, None]}, {}, None)


def test_a_controller_acts_between_equal_stretches():
    points = {n: Controller(ft.Method(control=ft.Control(stretches=n)), 40, 3).points for n in (1, 2, 5, 40)}
    assert points == {1: [], 2: [20], 5: [8, 16, 24, 32], 40: list(range(1, 40))}
    assert Controller(ft.Method(control=ft.Control(stretches=5)), 3, 3).points == [1, 2]


def test_scores_are_the_returns_of_the_episodes_that_ended_last():
    controller = Controller(ft.Method(control=ft.PBT()), 40, 3)
    controller.record(sums([0, 2, 1], [0, -10, -7]))
    np.testing.assert_array_equal(controller.scores, [-np.inf, -5, -7])
    controller.record(sums([0, 0, 2], [0, 0, -8]))
    np.testing.assert_array_equal(controller.scores, [-np.inf, -5, -4])


def test_a_stretch_is_measured_as_a_share_of_the_possible_and_then_forgotten():
    seen = []

    class Spy(ft.Control):
        def adjust(self, numbers, measures, generators):
            seen.append((measures, [generator.integers(2**31) for generator in generators]))
            return numbers, np.array([0, 1, 1])

    method = ft.Method()
    object.__setattr__(method, "control", Spy(stretches=4))
    controller = Controller(method, 40, 3)
    task = ft.make_task("Acrobot-v1")
    seeds = seeds_of(7, 3)
    for ended, total in (([2, 0, 4, 9], [-200, 0, -2000, 1]), ([2, 0, 0, 9], [-600, 0, 0, 1])):
        controller.record(sums(ended, total))
    controller.act(None, members(1, 1, 1, 1), None, None, seeds, task, np.ones(4, bool))
    np.testing.assert_allclose(seen[0][0].training, [1 - 200 / 500, np.nan, 0.0])
    assert np.isnan(seen[0][0].validation).all()
    # whoever goes on from member 1 is worth what member 1 was; the fourth is padding
    np.testing.assert_array_equal(controller.scores, [-300, -np.inf, -np.inf])
    controller.record(sums([0, 1, 0, 0], [0, -50, 0, 0]))
    controller.act(None, members(1, 1, 1, 1), None, None, seeds, task, np.ones(4, bool))
    np.testing.assert_allclose(seen[1][0].training, [np.nan, 0.9, np.nan])
    assert len(set(seen[0][1] + seen[1][1])) == 6


def test_a_member_that_is_or_was_not_finite_is_copied_over_and_never_copied():
    """Whatever its episodes returned."""
    method, seeds = ft.Method(control=ft.PBT(share=0.5)), seeds_of(7, 1, 4)
    controller = Controller(method, 40, 4)
    controller.record(sums([1, 1, 1, 1], [400, 300, 200, 100]))
    task = ft.make_task("CartPole-v1")
    for policies, sound in (
        (members(np.nan, 1, np.inf, 1), np.ones(4, bool)),
        (members(1, 1, 1, 1), np.arange(4) % 2 > 0),
    ):
        _, parents = controller.act(None, policies, None, numbers(4), seeds, task, sound)
        assert set(parents) == {1, 3}
        controller.record(sums([1, 1, 1, 1], [400, 300, 200, 100]))

"""Which runs stop, what is kept of them, and what their curves say, from numbers made by hand."""

from types import SimpleNamespace

import numpy as np

from jaxrl_ft.core.policy import Policy
from jaxrl_ft.training.evaluation.curves import Curves, Snapshot
from jaxrl_ft.training.evaluation.faults import Fault


def group(num_runs, stop_at=None, keep="last", population=1, patience=2):
    method = SimpleNamespace(population=population, control=SimpleNamespace(population=1))
    return SimpleNamespace(
        num_runs=num_runs, num_members=num_runs * population, stop_at=stop_at, keep=keep, method=method,
        patience=patience,
    )  # fmt: skip


def moment(point, runs, members):
    """A snapshot that says of every run and member when it was taken, and whose it is."""
    mine = np.stack([np.full(members, point), np.arange(members)], axis=1)
    answer = Policy({"w": np.stack([np.full(runs, point), np.arange(runs)], axis=1)}, {}, None)
    return Snapshot(answer, {"d": mine}, (mine, None), {"m": mine}, Fault(mine[:, 0], mine[:, 1]))


def played(groups, returns, untouched=None):
    """The curves after evaluations with these returns [R, K], ten steps and one update apart, and both snapshots."""
    runs, members = len(returns), sum(one.num_runs * one.method.population for one in groups)
    curves = Curves(groups, len(returns[0]))
    if untouched is not None:
        curves.begin(np.asarray(untouched, float))
    for point, column in enumerate(np.transpose(returns)):
        # Rows behind those of the runs fill up the program.
        filled = np.append(np.asarray(column, float), [1e9, -1e9])
        curves.add(filled, 10 * point + 5, point, lambda point=point: moment(point, runs, members))
    return curves, *curves.finished(moment(len(returns[0]) - 1, runs, members))


def taken(snapshot):
    """When the policy and the rest of each run were taken."""
    policy, rest = snapshot.answer.params["w"], (snapshot.delta["d"], snapshot.opt_state[0], snapshot.memory["m"])
    np.testing.assert_array_equal(policy[:, 1], np.arange(len(policy)))
    for part in rest:
        np.testing.assert_array_equal(part[:, 1], np.arange(len(part)))
        np.testing.assert_array_equal(part[:, 0], snapshot.fault.quantity)
    return policy[:, 0].tolist(), snapshot.fault.quantity.tolist()


def test_a_run_stops_at_the_second_evaluation_in_a_row_and_its_curve_goes_on_flat():
    returns = [[9, 7, 9, 9, 1], [1, 2, 8, 3, 8], [8, 9, 1, 1, 1], [1, 1, 1, 8, 8], [np.nan, 9, np.nan, 9, np.nan]]
    curves, ended, kept = played([group(5, stop_at=8)], returns)
    assert curves.stopped.tolist() == [True, False, True, True, False]
    expected = [[9, 7, 9, 9, 9], [1, 2, 8, 3, 8], [8, 9, 9, 9, 9], [1, 1, 1, 8, 8], returns[4]]
    np.testing.assert_array_equal(curves.returns, expected)
    steps = [[5, 15, 25, 35, 35], [5, 15, 25, 35, 45], [5, 15, 15, 15, 15], [5, 15, 25, 35, 45], [5, 15, 25, 35, 45]]
    np.testing.assert_array_equal(curves.steps, steps)
    assert curves.steps.dtype == np.int64
    assert curves.updates.tolist() == [3, 4, 1, 4, 4] and curves.kept_steps.tolist() == [35, 45, 15, 45, 45]
    assert taken(ended) == taken(kept) == ([3, 4, 1, 4, 4],) * 2


def test_what_breaks_behind_a_stop_is_not_told_of_its_run():
    # Snapshots say that every run broke, at the point at which they were taken.
    curves, *_ = played([group(2, stop_at=8, population=2), group(1)], [[9, 8, 1], [1, 1, 1], [9, 9, 9]])
    assert curves.stopped.tolist() == [True, False, False] and curves.going.tolist() == [False, True, False, True, True]
    later = Fault(np.array([7, 7, 0, 7, 5, 3]), np.array([50, 60, 70, 80, 90, 9]))
    quantity, update = curves.faults(later)
    assert quantity.tolist() == [1, 7, 5] and update.tolist() == [0, 60, 90]
    fresh = Curves([group(2)], 2)
    assert [leaf.tolist() for leaf in fresh.faults(Fault(np.array([0, 4, 1]), np.array([-1, 2, 3])))] == [
        [0, 4],
        [-1, 2],
    ]


def test_each_group_has_its_own_patience():
    groups = [group(1, stop_at=5, patience=number) for number in (1, 2, 3, 4)]
    curves, ended, _ = played(groups, [[1, 5, 6, 4, 7, 7, 7, 1]] * 4)
    assert curves.stopped.tolist() == [True, True, True, False]
    assert curves.updates.tolist() == taken(ended)[0] == [1, 2, 6, 7]


def test_without_a_stop_nothing_is_looked_at_before_the_end():
    curves = Curves([group(2)], 2)
    for point in range(2):
        curves.add(np.array([9.0, 9.0]), point, point, take=None)
    last = moment(1, 2, 2)
    assert all(one is last for one in curves.finished(last)) and not curves.stopped.any()


def test_the_best_is_the_first_of_equals_and_never_one_that_is_not_finite():
    nan = np.nan
    returns = [[1, 5, 5, 3], [7, 6, 5, 4], [1, 2, 3, 4], [nan, 2, nan, 1], [nan, nan, nan, nan], [-5, nan, -4, -6]]
    curves, ended, kept = played([group(6, keep="best")], returns)
    assert taken(kept) == ([1, 0, 3, 1, 3, 2],) * 2 and taken(ended) == ([3] * 6,) * 2
    assert curves.kept_steps.tolist() == [15, 5, 35, 15, 35, 25] and curves.updates.tolist() == [3] * 6


def test_the_best_of_a_run_that_stopped_is_from_before_its_stop():
    curves, ended, kept = played([group(2, stop_at=5, keep="best")], [[1, 8, 6, 9, 9], [1, 5, 8, 1, 1]])
    assert taken(ended) == ([2, 2],) * 2 and taken(kept) == ([1, 2],) * 2
    assert curves.kept_steps.tolist() == [15, 25] and curves.steps[:, -1].tolist() == [25, 25]


def test_the_untouched_policy_counts_for_nothing():
    curves, *_ = played([group(2, stop_at=5, keep="best")], [[6, 1, 1], [6, 7, 1]], untouched=[9, 9])
    assert curves.stopped.tolist() == [False, True] and curves.kept_steps.tolist() == [5, 15]
    np.testing.assert_array_equal(curves.returns, [[9, 6, 1, 1], [9, 6, 7, 7]])
    np.testing.assert_array_equal(curves.steps, [[0, 5, 15, 25], [0, 5, 15, 15]])


def test_every_member_of_a_population_stops_with_its_run():
    groups = [group(2, stop_at=5, population=3), group(1, stop_at=5)]
    _, ended, _ = played(groups, [[5, 5, 1, 1], [1, 1, 1, 1], [1, 5, 5, 1]])
    assert taken(ended) == ([1, 3, 2], [1, 3, 1, 3, 1, 3, 2])


def test_groups_side_by_side_stop_by_their_own_return():
    groups = [group(1, stop_at=5), group(1), group(1, keep="best"), group(2, stop_at=9)]
    curves, ended, kept = played(groups, [[5, 6, 7, 8]] * 5)
    assert curves.stopped.tolist() == [True, False, False, False, False]
    assert taken(ended)[0] == [1, 3, 3, 3, 3] and taken(kept)[0] == [1, 3, 3, 3, 3]


def test_a_run_stops_at_the_evaluation_behind_a_number_that_is_not_finite():
    """It spent what it did before that number, and its policy may be the best one."""
    curves = Curves([group(3, keep="best")], 4)
    for point, column in enumerate(np.transpose([[1, 2, 9, 9], [1, 2, 3, 4], [1, 7, 5, 9]])):
        learned = np.where([True, False, True], np.minimum(point, [1, 9, 2]), point)
        broken = np.array([point >= 2, False, point >= 3])
        curves.add(column.astype(float), 10 * learned + 5, learned, lambda point=point: moment(point, 3, 3), broken)
    ended, kept = curves.finished(moment(3, 3, 3))
    assert curves.stopped.tolist() == [True, False, True] and curves.updates.tolist() == [1, 3, 2]
    np.testing.assert_array_equal(curves.returns, [[1, 2, 9, 9], [1, 2, 3, 4], [1, 7, 5, 9]])
    np.testing.assert_array_equal(curves.steps, [[5, 15, 15, 15], [5, 15, 25, 35], [5, 15, 25, 25]])
    assert taken(ended)[0] == [2, 3, 3] and taken(kept)[0] == [2, 3, 3]
    assert curves.kept_steps.tolist() == [15, 35, 25]


def test_curves_that_end_early_are_as_long_as_the_others():
    curves = Curves([group(1, stop_at=5)], 7)
    for point in range(2):
        curves.add(np.array([6.0 + point]), point, point, lambda point=point: moment(point, 1, 1))
    assert curves.stopped.all()
    np.testing.assert_array_equal(curves.returns, [[6, 7, 7, 7, 7, 7, 7]])
    np.testing.assert_array_equal(curves.steps, [[0, 1, 1, 1, 1, 1, 1]])

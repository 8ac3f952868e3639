"""Laws of an early end: a run that stops is one whose budget ended there, and no other run notices."""

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.curves import area_under_curve
from jaxrl_ft.training import devices, stretch
from jaxrl_ft.training.evaluation.outcomes import evaluate_runs
from jaxrl_ft.training.keys import seeds_of

UPDATES = 8
CONSTANT = ft.Method(optimizer=ft.Adam(schedule=ft.SCHEDULES["constant"]))
OTHERS = ("params", "statistics", "opt_state", "env_steps", "curve", "curve_steps", "kept_steps")


@pytest.fixture(scope="module")
def tune(agents, target, tiny):
    """A function that fine-tunes the tiny agents, evaluated after every update."""

    def tuned(method=CONSTANT, updates=UPDATES, of=agents, **changes):
        steps = updates * tiny.algo.steps_per_update() * method.population + method.spent()
        budget = {"steps": steps, "num_evals": updates + 1, "eval_episodes": 4, "seed": 1}
        return ft.finetune(of, target, method, **budget | changes)

    return tuned


@pytest.fixture(scope="module")
def whole(tune):
    """The agents after the whole budget."""
    return tune()


def stops(curve, stop_at):
    """The column at which each run stops, or the last one."""
    reached = curve >= stop_at
    second = np.pad(reached[:, 1:] & reached[:, :-1], ((0, 0), (1, 0)))
    return np.where(second.any(axis=1), second.argmax(axis=1), curve.shape[1] - 1)


def between(curve):
    """A return at which some runs stop long before the end and some never do."""
    highest = np.sort(np.minimum(curve[:, 1:-1], curve[:, :-2]).max(axis=1))
    return float((highest[1] + highest[2]) / 2)


@pytest.fixture(scope="module")
def stop_at(whole):
    return between(whole.curve)


@pytest.fixture(scope="module")
def stopped(tune, stop_at):
    return tune(stop_at=stop_at)


def row(agents, run, names=OTHERS):
    return {name: tree.take(getattr(agents, name), run) for name in names}


def learned(agents, run):
    """What a run learned; the share of its budget, which the optimizer's state says too, is left out."""
    found = row(agents, run, OTHERS[:3])
    return {**found, "opt_state": found["opt_state"]._replace(progress=0.0)}


def test_a_run_that_stops_is_one_whose_budget_ended_there(stopped, whole, stop_at, tune, same):
    columns = stops(whole.curve, stop_at)
    early = np.flatnonzero(columns < UPDATES)
    assert 0 < len(early) < 4
    for run in early:
        at = columns[run]
        ended = tune(updates=int(at))
        assert same(learned(stopped, run), learned(ended, run))
        assert stopped.env_steps[run] == ended.env_steps[run]
        assert same(stopped.curve[run, : at + 1], ended.curve[run])
        assert same(stopped.curve_steps[run, : at + 1], ended.curve_steps[run])


def test_no_other_run_notices(stopped, whole, stop_at, same):
    going = np.flatnonzero(stops(whole.curve, stop_at) == UPDATES)
    assert 0 < len(going) < 4
    for run in going:
        assert same(row(stopped, run), row(whole, run))
    assert same(whole.kept_steps, whole.curve_steps[:, -1])


def test_behind_a_stop_the_curve_is_flat_and_nothing_is_spent(stopped, whole, stop_at, agents):
    for run, at in enumerate(stops(whole.curve, stop_at)):
        place = np.minimum(np.arange(UPDATES + 1), at)
        np.testing.assert_array_equal(stopped.curve[run], whole.curve[run, place])
        np.testing.assert_array_equal(stopped.curve_steps[run], whole.curve_steps[run, place])
        area = area_under_curve(whole.curve[run, : at + 1], whole.curve_steps[run, : at + 1])
        np.testing.assert_allclose(area_under_curve(stopped.curve, stopped.curve_steps)[run], area)
    np.testing.assert_array_equal(stopped.env_steps - agents.env_steps, stopped.curve_steps[:, -1])
    np.testing.assert_array_equal(stopped.kept_steps, stopped.curve_steps[:, -1])


def test_the_report_says_when_runs_stopped_and_the_repr_what_they_spent(stopped, whole, stop_at):
    found = stops(whole.curve, stop_at) < UPDATES
    steps = sorted({int(stopped.curve_steps[found, -1].min()), int(stopped.curve_steps[found, -1].max())})
    when = " to ".join(map(str, steps))
    line = f"stopped at a greedy return of {stop_at:g} twice in a row: {found.sum()} of 4 runs, after {when} env steps"
    assert any(told.startswith(line) for told in stopped.report)
    assert any(f"the last, taken at {min(steps)} to 512 env steps" in told for told in stopped.report)
    assert any(told.endswith(f"target in all {min(steps)} to 512") for told in stopped.report)
    assert not any("stopped" in told or "policy kept" in told for told in whole.report)


def test_a_run_stops_after_as_many_evaluations_as_it_has_patience_for(tune, agents):
    for patience, often in ((1, "once"), (3, "3 times in a row")):
        tuned = tune(stop_at=0.0, patience=patience)
        np.testing.assert_array_equal(tuned.env_steps - agents.env_steps, 64 * (patience - 1))
        assert any(line.startswith(f"stopped at a greedy return of 0 {often}: 4 of 4 runs") for line in tuned.report)


def test_training_ends_once_all_have_stopped(tune, agents):
    moments = []
    tuned = tune(stop_at=0.0, callback=moments.append)
    assert [moment.updates for moment in moments] == [0, 0, 1]
    np.testing.assert_array_equal(tuned.curve_steps, np.tile([0] + [64] * UPDATES, (4, 1)))
    np.testing.assert_array_equal(tuned.env_steps - agents.env_steps, 64)
    assert tuned.status == ("ok",) * 4 and tuned.trainable == agents.num_parameters


def test_what_comes_of_a_run_behind_its_stop_is_told_to_nobody(tune, whole, stop_at):
    moments = []
    tune(stop_at=stop_at, callback=moments.append)
    for at, moment in enumerate(moments[2:], 1):
        columns = np.minimum(stops(whole.curve, stop_at), at)
        np.testing.assert_array_equal(moment.returns, whole.curve[np.arange(4), columns])
        for name in ("rollout/num", "policy/entropy"):
            np.testing.assert_array_equal(np.isnan(moment.metrics[name]), columns < at, err_msg=name)
    assert at == UPDATES


@pytest.mark.slow
def test_turns_of_runs_that_have_stopped_are_left_out(source, tiny, monkeypatch, same):
    """Sixteen runs a core are turns of four; those that go on fill fewer and fewer, and have the bits that they had."""
    num = 16 * devices.mesh().size
    budget = {"seeds": num, "steps": 640, "num_evals": 11, "eval_episodes": 4, "patience": 1}
    plain = ft.pretrain(source, algo=tiny.algo, network=tiny.network, **budget)
    stop_at = float(np.median(plain.curve[:, 1:].max(axis=1)))
    turns, run = [], stretch.stretch.placed

    def counted(*args):
        each = np.asarray(args[3]).reshape(devices.mesh().size, 4, 4)
        turns.append(int(each.any(axis=2).sum(axis=1).max()))
        return run(*args)

    monkeypatch.setattr(stretch.stretch, "placed", counted)
    packed = ft.pretrain(source, algo=tiny.algo, network=tiny.network, **budget, stop_at=stop_at)
    monkeypatch.setattr(stretch, "packed", lambda going: None)
    spread = ft.pretrain(source, algo=tiny.algo, network=tiny.network, **budget, stop_at=stop_at)
    assert 4 >= max(turns) > min(turns)
    assert all(same(getattr(packed, name), getattr(spread, name)) for name in OTHERS)


def test_streams_do_not_depend_on_a_stop_that_is_not_reached(tune, whole, same):
    tuned = tune(stop_at=500.0)
    assert all(same(getattr(tuned, name), getattr(whole, name)) for name in OTHERS)
    assert any("twice in a row: 0 of 4 runs" in line and "after" not in line for line in tuned.report)


def test_the_best_policy_is_the_one_with_the_highest_point_of_the_curve(tune, whole, target, same):
    best = tune(keep="best")
    for name in ("curve", "curve_steps", "env_steps", "trainable"):
        assert same(getattr(best, name), getattr(whole, name)), name
    place = whole.curve.argmax(axis=1)
    assert (place < UPDATES).any()
    np.testing.assert_array_equal(best.kept_steps, whole.curve_steps[np.arange(4), place])
    tasks, seeds = tree.repeat(target, 4), seeds_of(1, 4, numbers=np.arange(4))
    for run, at in enumerate(place):
        outcome = evaluate_runs(best.algo, best.policies, tasks, seeds, episodes=4, stream=int(at))
        assert outcome.episode_return[run].mean() == whole.curve[run, at]
        if at:
            assert same(learned(best, run), learned(tune(updates=int(at)), run))
    low, high = sorted({int(best.kept_steps.min()), int(best.kept_steps.max())})
    assert f"policy kept: the best of its evaluations, taken at {low} to {high} env steps on the task" in best.report
    assert f"the policies are those at {low} to {high} steps" in repr(best) and "those at" not in repr(whole)


def test_the_optimizer_goes_on_from_the_state_of_the_policy_that_is_kept(tune, whole, target, tiny, same):
    """What comes after the best is forgotten: `keep_adam` goes on as after a budget that ended there."""
    best = tune(keep="best")
    run = int(np.flatnonzero(whole.curve.argmax(axis=1))[0])
    ended = tune(updates=int(whole.curve[run].argmax()))
    after = [ft.finetune(one, target, "keep_adam", seed=2, **tiny.budget) for one in (best, ended)]
    assert same(*(tree.take((one.params, one.opt_state), run) for one in after))


def test_pretraining_stops_and_keeps_alike(agents, source, tiny, same):
    budget = {"algo": tiny.algo, "network": tiny.network, "seeds": 4, "seed": 0, **tiny.budget}
    best = ft.pretrain(source, **budget, keep="best", stop_at=500.0)
    place = agents.curve.argmax(axis=1)
    np.testing.assert_array_equal(best.kept_steps, agents.curve_steps[np.arange(4), place])
    for run in range(4):
        ours = agents.params if place[run] == 2 else agents.init_params if not place[run] else None
        assert ours is None or same(tree.take(best.params, run), tree.take(ours, run))
    assert any("0 of 4 seeds" in line for line in best.report)


def test_a_look_is_paid_for_but_the_untouched_policy_neither_stops_nor_stays(tune):
    method = ft.Method(look=ft.Look(probe_episodes=3, probe_steps=50), warm_start=ft.Soften())
    tuned = tune(method, stop_at=0.0, keep="best")
    np.testing.assert_array_equal(tuned.curve_steps[:, :3], np.tile([0, 150, 214], (4, 1)))
    np.testing.assert_array_equal(tuned.curve_steps[:, -1], 214)
    assert set(tuned.kept_steps.tolist()) <= {150, 214}


def test_training_in_a_model_has_no_stop(tune, rows, same):
    method = rows("imagine")
    stopped, plain = tune(method, stop_at=0.0), tune(method, updates=1)
    for name in ("params", "curve_steps"):
        assert same(*(jax.tree.map(lambda leaf: leaf[..., :3], getattr(one, name)) for one in (stopped, plain)))


@pytest.mark.parametrize(
    "method", [ft.Method(finish=ft.Soup(population=2)), ft.Method(control=ft.PBT(population=2, stretches=2, share=0.5))]
)
def test_populations_stop_by_the_policy_that_their_run_would_end_with(method, agents, tune, same):
    two = agents.select([0, 1])
    whole = tune(method, 4, two)
    for run in range(2):
        reached = np.minimum(whole.curve[:, 1:], whole.curve[:, :-1]).max(axis=1)
        stopped = tune(method, 4, two, stop_at=float(reached[run]))
        other = 1 - run
        at = stops(whole.curve, reached[run])
        assert at[run] <= 4 and stopped.curve[run, -1] == whole.curve[run, at[run]]
        if at[other] == 4:
            assert same(row(stopped, other), row(whole, other))
    assert stopped.opt_state is None


REFUSED = [
    ({"stop_at": -1.0}, r"stop_at: -1.0 is not allowed; it must be in \[0, 500\]"),
    ({"stop_at": 501}, r"stop_at: 501 is not allowed; it must be in \[0, 500\]"),
    ({"stop_at": float("nan")}, r"stop_at: nan is not allowed; it must be in \[0, 500\]"),
    ({"stop_at": "475"}, r"stop_at: '475' is not allowed"),
    ({"keep": "bets"}, r"keep: 'bets' is not known; did you mean 'best'\? \(one of: last, best\)"),
    ({"keep": None}, "keep: None is not known"),
    ({"patience": 0}, "patience: 0 is not allowed"),
    ({"patience": 1.5}, "patience: 1.5 is not allowed"),
]


@pytest.mark.parametrize("changes, message", REFUSED)
@pytest.mark.usefixtures("nothing_runs")
def test_what_is_not_allowed_is_refused_before_anything_runs(changes, message, agents, source, target):
    with pytest.raises(ValueError, match=message):
        ft.finetune(agents, target, "full", **changes)
    with pytest.raises(ValueError, match=message):
        ft.pretrain(source, **changes)

"""A run is `ok` only where what it left is finite and most of it was learned from."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.training import loop
from jaxrl_ft.training.evaluation import status
from jaxrl_ft.training.evaluation.episodes import Outcome, expected_return, possible_share
from jaxrl_ft.training.evaluation.faults import Fault
from jaxrl_ft.training.initial_state import Start
from jaxrl_ft.training.loop import Result
from jaxrl_ft.training.preparation import imagine
from jaxrl_ft.training.spec import Budget, finetune_spec

WITHOUT = ft.Method(optimizer=ft.Adam(learning_rate=0.0))


@pytest.fixture(scope="module")
def broken(agents):
    """The agents, the second of which has a parameter that is NaN."""
    params = jax.tree.map(np.copy, agents.params)
    params["policy"]["head"]["bias"][1, 0] = np.nan
    return replace(agents, params=params)


def result(agents, **changes):
    num = agents.num_seeds
    nothing = {"fault": Fault(np.zeros(num, int), np.full(num, -1)), "lost": 0, "finite": {}}
    ended = {"updates": np.full(num, 8), "stopped": np.zeros(num, bool), "kept_steps": agents.kept_steps}
    policy = Policy(agents.params, agents.statistics, agents.network)
    shared = {"opt_state": None, "curve_steps": agents.curve_steps, "delta": {}, "delta_size": 0}
    return Result(**{"policy": policy, "curve": agents.curve, **shared, **nothing, **ended, **changes})


def test_what_makes_a_run_fail_is_said_in_plain_words(agents, broken):
    infinite = np.array([True, True, False, True])
    curve = np.where(np.arange(4)[:, None] == 2, np.nan, agents.curve)
    statistics = {"obs": np.where(np.arange(4)[:, None] == 2, np.inf, np.ones((4, 4)))}
    for changes, expected in (
        ({}, "ok"),
        ({"fault": Fault(np.array([0, 0, 3, 0]), np.array([-1, -1, 16, -1]))}, "non-finite reward in update 17"),
        ({"fault": Fault(np.array([0, 0, 7, 0]), np.full(4, -1)), "curve": curve}, "non-finite parameters"),
        ({"finite": {"optimizer state": infinite}}, "non-finite optimizer state"),
        ({"finite": {"optimizer state": infinite | True, "memory": infinite}}, "non-finite memory"),
        ({"curve": curve}, "non-finite returns"),
        ({"policy": Policy(agents.params, statistics, None)}, "non-finite statistics"),
    ):
        assert status.of_training(result(agents, **changes)) == ("ok", "ok", expected, "ok"), changes
    policy = Policy(broken.params, {}, None)
    assert status.of_training(result(agents, policy=policy))[1] == "non-finite parameters"


def test_a_training_in_which_no_step_was_taken_is_not_ok(tiny, source, agents, same):
    """A coefficient of 1e30 makes every gradient overflow."""
    algo = replace(tiny.algo, vf_coef=1e30)
    with pytest.warns(UserWarning, match=r"agents: not ok: 0 \(non-finite gradient in update 1\), 1 \("):
        never = ft.pretrain(source, algo=algo, network=tiny.network, seeds=tiny.seeds, seed=0, **tiny.budget)
    assert never.status == ("non-finite gradient in update 1",) * 4
    assert not never.env_steps.any() and not never.opt_state.skipped.any()
    assert same(never.params, never.init_params) and never.trainable == 0
    assert any(line.startswith("trains 0 of 251 parameters") for line in never.report)
    assert agents.status == ("ok",) * 4


def test_a_policy_that_is_not_finite_has_no_score(agents, broken, target):
    returns = ft.evaluate(agents, target, episodes=5, seed=4)
    with pytest.warns(UserWarning, match="agents: not finite: 1 of 4; their returns are NaN"):
        found = ft.evaluate(broken, target, episodes=5, seed=4)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(np.delete(found, 1, axis=0), np.delete(returns, 1, axis=0))
    with pytest.raises(ValueError, match="seed: 1 is not allowed; its parameters or statistics are not finite"):
        broken.policy(1)
    assert broken.policy(0)(np.zeros(4)) in (0, 1)


def test_an_untouched_policy_that_is_not_finite_is_not_ok(broken, target, tiny):
    with pytest.warns(UserWarning, match="agents: not ok: 1"):
        untouched = ft.finetune(broken, target, "zero_shot", seed=1, **tiny.budget)
    assert untouched.status == ("ok", "non-finite parameters", "ok", "ok")
    assert np.isnan(untouched.curve[1]).all() and np.isfinite(np.delete(untouched.curve, 1, axis=0)).all()


def test_the_best_of_a_population_is_finite(agents, target):
    """The first member of each run scores best and is NaN in the first run alone."""
    method = ft.Method(control=ft.PBT(population=2))
    spec = finetune_spec(agents.select([0, 1]), target, method, Budget(4096, 1, 3, 4))
    params = jax.tree.map(np.copy, agents.params)
    params["value"]["head"]["bias"][0] = np.nan
    scores = np.array([500.0, 500.0, 10.0, np.nan])
    answer = loop.answer_of(spec, None, Policy(params, {}, agents.network), scores)
    expected = tree.take(params, np.array([2, 1]))
    jax.tree.map(np.testing.assert_array_equal, answer.params, expected)


def test_what_rests_is_not_said_to_train(agents, target, tiny, same):
    """By learning rates of 0, and by starts that never come."""
    options = {"seed": 1, **tiny.budget}
    still = ft.finetune(agents, target, WITHOUT, **options)
    assert same(still.params, agents.params) and still.trainable == 0
    for network in ("actor", "critic"):
        assert f"{network}: kept, rests (unchanged in all runs): all 6 leaves" in still.report
    assert "trains 0 numbers for 251 parameters (0.0%)" in still.report
    for rates in (ft.Rates(policy=0.0), ft.Rates(policy_start=1.0)):
        tuned = ft.finetune(agents, target, ft.Method(optimizer=ft.Adam(rates=rates)), **options)
        assert same(tuned.params["policy"], agents.params["policy"])
        assert "actor: kept, rests (unchanged in all runs): all 6 leaves" in tuned.report
        assert "critic: kept, trains: all 6 leaves" in tuned.report
        assert tuned.trainable == tree.size(tree.take(agents.params["value"], 0))


def test_episodes_that_are_not_finite_do_not_enter_the_share_of_the_possible(source):
    lengths, ended = np.array([[50, 50], [50, 50]]), np.ones((2, 2), bool)
    outcome = Outcome(np.array([[50.0, np.nan], [np.nan, np.nan]]), lengths, ended)
    returns = expected_return(outcome, source)
    np.testing.assert_allclose(returns, [50.0, np.nan])
    np.testing.assert_allclose(possible_share(returns, 0.0, 500.0), [0.1, 0.0])


def test_a_round_of_imagination_that_diverges_is_forgotten(monkeypatch):
    """A return of NaN in the model is below every other, and leaves the learning rate a number."""
    policy = Policy({"x": np.zeros(3)}, {}, None)
    rounds = iter([([1.0, 1.0, 1.0], [np.nan, 300.0, 100.0]), ([2.0, 2.0, 2.0], [250.0, np.nan, 50.0])])
    begun = []

    def train(alone, start, latest, rows, number):
        begun.append(latest.params["x"].tolist())
        values, returns = next(rounds)
        found = {1: "non-finite observation in update 3"} if number else {}
        return imagine.Round(Policy({"x": np.array(values)}, {}, None), np.array(returns), found)

    monkeypatch.setattr(imagine, "train_alone", train)
    monkeypatch.setattr(imagine, "reached_by", lambda *_: np.array([np.nan, 200.0, 200.0]))
    start = Start(policy, None, None, None)
    found = imagine.in_rounds(None, start, np.ones(3, bool), 2, goal=np.full(3, 475.0))
    assert begun == [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    assert found[0].params["x"].tolist() == [2.0, 1.0, 0.0]
    assert found[1].tolist() == [250.0, 300.0, 200.0]
    assert found[2] == {1: "non-finite observation in update 3"}

"""Laws of `search`: what it trains on, what a score is, and that points of one method share a program."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core.curves import area_under_curve
from jaxrl_ft.envs.catalogue import near
from jaxrl_ft.sweeps.plan import make_plan
from jaxrl_ft.sweeps.search import quest
from jaxrl_ft.training.spec import Budget, finetune_spec

RATE = "optimizer.learning_rate"
SPACE = {RATE: "1e-4:1e-2:log"}
BUDGET = Budget(steps=512, seed=4, num_evals=3, eval_episodes=4)
OPTIONS = {"kind": "random", "trials": 3, "seeds": 2, "budget": BUDGET}


def planned(agents, target, space=SPACE, methods=("full", "lora"), **options):
    return quest(agents, {"long": target}, methods, space, **{**OPTIONS, **options}).limited(4)


@pytest.fixture(scope="module")
def trials(agents, target):
    return list(planned(agents, target).trials())


def test_a_score_is_the_mean_area_of_its_fine_tunes(agents, target, trials):
    search = planned(agents, target)
    assert list(search.validation) == ["long@0.9", "long@0.6"]
    for trial in (trials[1], trials[-1]):
        areas = {}
        for name, task in search.validation.items():
            method = ft.METHODS[trial.proposal.method]
            method = replace(method, optimizer=replace(method.optimizer, learning_rate=trial.proposal.point[RATE]))
            # Twice the two agents, which is as wide as the program of the search.
            tuned = ft.finetune(agents.select([0, 1, 0, 1]), task, method, **BUDGET._asdict())
            areas[name] = area_under_curve(tuned.curve, tuned.curve_steps)[:2].mean()
        assert trial.scores == pytest.approx(areas)
        assert trial.score == pytest.approx(np.mean(list(areas.values())))
        assert (trial.num_runs, trial.num_failed) == (4, 0)


def test_env_steps_are_those_that_are_planned(agents, target, trials):
    assert sum(trial.env_steps for trial in trials) == planned(agents, target).env_steps == 6 * 4 * 512


def test_nothing_that_the_report_uses_is_trained_on(agents, target, monkeypatch):
    reported = [agents.source, target, *(task for _, task in ft.held_out_grid(agents.source, target))]
    cells = []
    planning = "jaxrl_ft.sweeps.trials.make_plan"
    monkeypatch.setattr(planning, lambda given, *rest: cells.extend(given) or make_plan(given, *rest))
    list(planned(agents, target, trials=1).trials())
    assert len(cells) == 4
    assert not any(near(cell.task, task) for cell in cells for task in reported)


def test_all_points_and_longer_rounds_are_the_programs_of_the_first(agents, target, trials, compilations):
    search = planned(agents, target, methods=["full"], kind="halving", budget=BUDGET._replace(steps=2304))
    assert [num for num, _ in search.searches["full"].rounds] == [9, 3, 1]
    compilations.reset()
    longer = list(search.trials())
    assert len({trial.proposal.steps for trial in longer}) == 3
    assert not compilations.names


def test_what_was_cut_off_is_gone_on_with_bit_for_bit(agents, target, trials):
    again = list(planned(agents, target).trials(trials[:4]))
    assert again == trials[4:]


def test_the_best_of_every_method_is_found_by_name(agents, target, trials):
    search = planned(agents, target)
    for name, method in search.found(trials).items():
        mine = [trial for trial in trials if name.startswith(f"{trial.proposal.method}+")]
        winner = max(mine, key=lambda trial: trial.score)
        assert method.optimizer.learning_rate == winner.proposal.point[RATE]
        assert name == f"{winner.proposal.method}+learning_rate={winner.proposal.point[RATE]:g}"


def test_the_door_gives_rows_and_tells_of_every_trial(agents, target, tiny):
    told = []
    found = ft.search(
        agents, {"long": target}, ["full"], SPACE, trials=2, seeds=2, seed=4, callback=told.append, **tiny.budget
    )
    assert [row["trial"] for row in found.trials] == [0, 1] and len(told) == 2
    assert [row["score"] for row in found.trials] == [trial.score for trial in told]
    assert found.env_steps == sum(row["env_steps"] for row in found.trials)
    assert set(found.trials[0]) >= {"method", "round", "steps", RATE, "runs", "failed", "score of long@0.9"}
    again = ft.search(
        agents,
        {"long": target},
        ["full"],
        SPACE,
        trials=2,
        seeds=2,
        seed=4,
        finished=told,
        callback=told.append,
        **tiny.budget,
    )
    assert (again.methods, again.trials) == (found.methods, found.trials)
    assert len(told) == 2


def test_a_trial_with_a_run_that_is_not_finite_loses(agents, target):
    broken = jax.tree.map(np.copy, agents.params)
    broken["policy"]["head"]["kernel"][1] = np.nan
    search = planned(replace(agents, params=broken), target, trials=1)
    trials = list(search.trials())
    assert [(trial.num_failed, np.isnan(trial.score)) for trial in trials] == [(2, True)] * 2
    assert search.found(trials) == {}


MISTAKES = {
    "kind": ({"kind": "randon"}, "search: 'randon' is not known; did you mean 'random'"),
    "trials": ({"trials": 0}, "trials: 0 is not allowed"),
    "seeds": ({"seeds": 0}, "seeds: 0 is not allowed"),
    "field": ({"space": {"optimizer.learning_rat": "1:2"}}, "did you mean 'optimizer.learning_rate'"),
    "out of range": ({"space": {RATE: "-1:1"}}, "learning_rate"),
    "no validation": ({"validation": {}}, "validation: empty"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_before_anything_compiles(name, agents, target, nothing_runs):
    changed, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message):
        planned(agents, target, **changed)


def test_a_validation_task_of_the_report_is_refused(agents, target, nothing_runs):
    _, between = ft.held_out_grid(agents.source, target)[0]
    almost = ft.make_task("CartPole-v1", half_length=1.01)
    for task, told in ((agents.source, "source"), (target, "long"), (between, "held out of long"), (almost, "long")):
        with pytest.raises(ValueError, match=rf"validation: 'mine' is not allowed; the report uses it \({told}\)"):
            planned(agents, target, validation={"mine": task})
    assert planned(agents, target, validation={"mine": ft.make_task("CartPole-v1", half_length=0.9)})


def test_optuna_is_missed_at_once(agents, target, nothing_runs, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"jaxrl_ft\[hpo\]"):
        planned(agents, target, kind="optuna")


def test_points_of_one_structure_are_checked_once_and_others_by_themselves(agents, target, monkeypatch):
    lora = ft.METHODS["lora"]
    finetune_spec(agents, target, lora, BUDGET)
    monkeypatch.setattr(jax, "eval_shape", lambda *_: pytest.fail("traced again"))
    for rate in (1e-4, 2e-4):
        faster = replace(lora, optimizer=replace(lora.optimizer, learning_rate=rate))
        finetune_spec(agents, target, faster, BUDGET)
    with pytest.raises(pytest.fail.Exception, match="traced again"):
        finetune_spec(agents, target, replace(lora, adapter=replace(lora.adapter, rank=3)), BUDGET)

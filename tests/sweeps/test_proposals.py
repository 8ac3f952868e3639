"""Laws of searches, driven by a known score in the place of training."""

import importlib.util
import itertools
import math

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.methods.spaces import dimensions
from jaxrl_ft.sweeps import optuna_proposals, proposals
from jaxrl_ft.sweeps.proposals import Halving, Round, Search, Trial, best, driven, halved, plan_rounds

RATE, BEST_RATE = "optimizer.learning_rate", 2e-3
KINDS = proposals.SEARCHES
SPACE = {RATE: "1e-4:1e-2:log"}


def distance(trial):
    return abs(math.log(trial.proposal.point[RATE] / BEST_RATE))


def tried(proposal, score=None):
    value = -(math.log(proposal.point[RATE] / BEST_RATE) ** 2) if score is None else score
    return Trial(proposal, value, {"task": value}, 2, int(math.isnan(value)), proposal.steps)


def evaluate(asked):
    # In another order than asked, as programs finish.
    yield from (tried(proposal) for proposal in reversed(asked))


def made(kind, trials=18, seed=3, storage=None, space=SPACE):
    methods = {name: ft.METHODS[name] for name in ("full", "lora")}
    found = {}
    for name, own in dimensions(methods, space).items():
        rounds = plan_rounds(kind, own, trials, 900, seed, lambda steps: True)
        found[name] = (
            optuna_proposals.TPE(name, own, rounds, seed, storage)
            if kind == "optuna"
            else {"random": Search, "halving": Halving}[kind](name, own, rounds, seed)
        )
    return found


def of(trials, method):
    return sorted((t for t in trials if t.proposal.method == method), key=lambda trial: trial.proposal.number)


def test_rounds_of_halving_are_hyperbands_brackets():
    # Algorithm 1 of Li et al. 2018 with R = 81, eta = 3 and so B / R = 5: brackets s = 4, 2 and 0.
    assert halved(5, 81, 5) == ((81, 1), (27, 3), (9, 9), (3, 27), (1, 81))
    assert halved(5, 81, 3) == ((15, 9), (5, 27), (1, 81))
    assert halved(5, 81, 1) == ((5, 81),)


def test_halving_costs_no_more_than_its_budget_and_ends_at_full_length():
    for trials, rounds, eta in itertools.product(range(1, 60), range(1, 5), (2, 3, 4)):
        found = halved(trials, 10**6, rounds, eta)
        assert sum(num * (steps - 1) for num, steps in found) <= trials * 10**6
        assert found[-1].steps == 10**6 and found[-1].num >= 1
        for before, after in itertools.pairwise(found):
            assert after.num == before.num // eta and abs(eta * before.steps - after.steps) <= eta


def test_rounds_are_fewer_where_the_first_would_be_too_short():
    own = dimensions({"full": ft.METHODS["full"]}, SPACE)["full"]
    for least, num in ((1, 3), (200, 2), (500, 1)):
        assert len(plan_rounds("halving", own, 9, 900, 0, lambda steps, least=least: steps >= least)) == num


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_space_is_tried_once_as_a_whole(kind):
    own = dimensions({"lora": ft.METHODS["lora"]}, {"adapter.rank": "1:5"})["lora"]
    assert plan_rounds(kind, own, 20, 900, 0, lambda steps: True) == (Round(5, 900),)


def test_halving_begins_with_no_more_points_than_there_are():
    own = dimensions({"lora": ft.METHODS["lora"]}, {"adapter.rank": "1:20"})["lora"]
    rounds = plan_rounds("halving", own, 18, 900, 0, lambda steps: True)
    assert rounds == ((20, 100), (18, 300), (6, 900))


@pytest.mark.parametrize("kind", KINDS)
def test_every_trial_of_the_plan_is_tried_once_and_the_best_is_found(kind):
    searches = made(kind)
    trials = list(driven(searches, [], evaluate))
    assert len({trial.proposal[:2] for trial in trials}) == len(trials)
    for name, search in searches.items():
        mine = of(trials, name)
        assert [trial.proposal.number for trial in mine] == list(range(sum(num for num, _ in search.rounds)))
        assert [trial.proposal.steps for trial in mine] == [steps for num, steps in search.rounds for _ in range(num)]
        assert distance(best(mine)) == min(map(distance, mine)) < 0.4
        assert mine[0].proposal.point == {RATE: ft.METHODS[name].optimizer.learning_rate}
        assert sum(trial.env_steps for trial in mine) <= 18 * 900


def test_the_best_third_of_each_round_goes_on():
    mine = of(driven(made("halving"), [], evaluate), "full")
    rounds = [[trial for trial in mine if trial.proposal.round == index] for index in range(3)]
    assert [len(found) for found in rounds] == [54, 18, 6]
    for before, after in itertools.pairwise(rounds):
        points = [trial.proposal.point[RATE] for trial in sorted(before, key=distance)]
        assert {trial.proposal.point[RATE] for trial in after} == set(points[: len(after)])


def test_what_is_not_finite_loses():
    def broken(asked):
        return [tried(one, math.nan if one.point[RATE] > 1e-3 else None) for one in asked]

    for kind in KINDS:
        mine = of(driven(made(kind), [], broken), "full")
        assert best(mine).proposal.point[RATE] <= 1e-3
        if kind == "halving":
            last = [trial for trial in mine if trial.proposal.round == 2]
            assert all(math.isfinite(trial.score) for trial in last)
    assert best([tried(trial.proposal, math.nan) for trial in mine]) is None


def test_longer_runs_tell_more_than_better_scores_of_shorter_ones():
    short, long = (of(driven(made("halving"), [], evaluate), "full")[i].proposal for i in (0, -1))
    assert best([tried(short, 9.0), tried(long, 1.0)]).proposal == long


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_tries_the_same_and_another_does_not(kind):
    one, other, third = (of(driven(made(kind, seed=seed), [], evaluate), "full") for seed in (3, 3, 4))
    assert one == other
    assert len({trial.proposal.point[RATE] for trial in one} & {t.proposal.point[RATE] for t in third}) < len(one) / 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0, 1, 9, 17, 20, 35])
def test_a_search_that_was_cut_off_repeats_nothing_and_finds_the_same(kind, kept):
    whole = list(driven(made(kind), [], evaluate))
    before = list(itertools.islice(driven(made(kind), [], evaluate), kept))
    after = list(driven(made(kind), before, evaluate))
    assert not {trial.proposal[:2] for trial in before} & {trial.proposal[:2] for trial in after}
    for name in ("full", "lora"):
        assert of([*before, *after], name) == of(whole, name)


def test_a_trial_of_another_point_is_not_taken():
    first = next(driven(made("random"), [], evaluate))
    other = first._replace(proposal=first.proposal._replace(point={RATE: 5e-3}), score=1e9)
    again = list(driven(made("random"), [other], evaluate))
    assert first in again and len(again) == 36


def test_optuna_draws_near_to_what_is_good():
    mine = of(driven(made("optuna", trials=40), [], evaluate), "full")
    assert np.mean([distance(trial) for trial in mine[24:]]) < 0.6 * np.mean([distance(trial) for trial in mine[1:8]])


def test_optunas_study_holds_every_trial_once(tmp_path):
    import optuna

    path = tmp_path / "study.sqlite3"
    before = list(itertools.islice(driven(made("optuna", trials=9, storage=path), [], evaluate), 17))
    after = driven(made("optuna", trials=9, storage=path), before, evaluate)
    mine = of([*before, *(one._replace(score=math.nan) for one in after)], "lora")
    made("optuna", trials=9, storage=path)["lora"].proposals(mine)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    told = optuna.load_study(study_name="lora", storage=storage).get_trials()
    storage.engine.dispose()
    assert [trial.user_attrs[optuna_proposals.INDEX] for trial in told] == list(range(9))
    for ours, theirs in zip(mine, told):
        assert theirs.params == ours.proposal.point and theirs.state.name == "COMPLETE"
        assert theirs.value == ours.value


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    line = r'^search: needs the package optuna, which is not installed; python -m pip install "jaxrl_ft\[hpo\]"$'
    with pytest.raises(ValueError, match=line):
        optuna_proposals.check()

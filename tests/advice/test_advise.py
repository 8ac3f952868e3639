"""Advice at the public door: what it may choose from, what it refuses, and the evidence that travels with it."""

import contextlib
import csv
import dataclasses
import io
import json

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft import train
from jaxrl_ft.advice.advise import INSTEAD, recipe
from jaxrl_ft.advice.evidence import leaderboard
from jaxrl_ft.commands.settings import resolve
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import floats

TINY = [
    *("--algo.num-envs", "4", "--algo.num-steps", "16", "--algo.num-epochs", "2", "--algo.num-minibatches", "2"),
    *("--network.width", "8", "--seeds", "4", "--pretrain-steps", "256", "--finetune-steps", "2048"),
]


@pytest.fixture(scope="module")
def advice(agents, target):
    return ft.advise(agents, target, ["full", "lora", "imagine"])


def test_the_advice_is_among_what_was_named_and_can_be_followed(advice, agents, target, tiny):
    assert advice.method in ("full", "lora", "imagine", "zero_shot")
    assert {row.method for row in advice.evidence} == {"full", "lora", "imagine", "zero_shot"}
    assert advice.recipe == recipe(advice.method)
    assert ft.METHODS.name(advice.method) == advice.method
    assert "probe:" in str(advice) and str(int(advice.env_steps.max())) in str(advice).replace(",", "")


def test_agents_are_untouched_and_equal_seeds_advise_alike(advice, agents, target):
    before = {name: np.array(leaf) for name, leaf in tree.flatten(agents.params).items()}
    again = ft.advise(agents, target, ["full", "lora", "imagine"])
    assert str(again) == str(advice)
    assert all(np.array_equal(before[name], leaf) for name, leaf in tree.flatten(agents.params).items())


def test_what_has_not_changed_is_not_trained_on(agents):
    advice = ft.advise(agents, agents.source)
    assert advice.method == "zero_shot" and "no difference" in advice.reason
    assert advice.recipe == ft.METHODS["zero_shot"]


def test_methods_that_learn_a_model_can_be_left_out(agents, target):
    advice = ft.advise(agents, target, models=False)
    named = {row.method for row in advice.evidence}
    assert named.isdisjoint({"imagine", "imagine_both", "imagine_scratch"})
    assert named >= {"full", "scratch", "lora", "zero_shot"}


REFUSED = [
    ({"methods": []}, "methods: nothing is left to choose from; give names"),
    ({"methods": ["imagine"], "models": False}, "nothing is left to choose from, once those that learn a model"),
    ({"methods": ["imagin"]}, "method: 'imagin' is not known; did you mean 'imagine'"),
    ({"methods": "imagine"}, "methods: 'imagine' is not allowed; it must be a sequence"),
    ({"methods": ["norm"]}, "methods: there is no evidence of 'norm'"),
    ({"models": "no"}, "models: 'no'"),
    ({"keep_source": -0.1}, "keep_source: -0.1 is not allowed"),
    ({"steps": 1000}, "steps: 1000 is not allowed; the probe that advice rests on may take 1600"),
    ({"seed": -1}, "seed: -1 is not allowed"),
    ({"target": "CartPole-v1"}, "target: 'CartPole-v1' is not allowed"),
    ({"target": ft.make_task("Pendulum-v1")}, "do not fit agents"),
]


@pytest.mark.parametrize("changes, message", REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_what_is_not_allowed_is_refused_before_anything_runs(changes, message, agents, target, nothing_runs):
    with pytest.raises(ValueError, match=message):
        ft.advise(agents, **{"target": target, **changes})


def test_environments_without_evidence_are_refused_with_what_to_compare(agents, target, nothing_runs):
    elsewhere = ft.make_task("MountainCar-v0")
    there = dataclasses.replace(agents, source=elsewhere, task=elsewhere)
    message = "target: MountainCar-v0 is not allowed; the runs that advice rests on are of CartPole alone"
    with pytest.raises(ValueError, match=message) as refusal:
        ft.advise(there, ft.make_task("MountainCar-v0", force=0.0007))
    assert str(refusal.value).endswith("as in ft.compare(agents, {'target': target}, ['full', 'lora', 'soften'])")
    assert set(INSTEAD) <= set(ft.METHODS)
    with pytest.raises(ValueError, match="target: MountainCar-v0 is not allowed"):
        ft.advise(dataclasses.replace(agents, source=elsewhere), target)


def test_the_evidence_is_complete():
    known = leaderboard()
    assert set(known.methods) == set(ft.METHODS) - {"zero_shot", "norm"}
    assert (
        set(ft.shifts_of("CartPole-v1"))
        >= set(known.shifts)
        >= {*list(ft.SHIFTS)[:12], "noisy-sensors", "delayed-actions"}
    )
    assert known.areas.shape == (len(known.methods), len(known.shifts), 16)
    assert np.isfinite(known.areas[:, :12]).all()
    for name in ("full", "scratch", "imagine", "lora", "kl", "soften"):
        assert np.isfinite(known.areas[known.methods.index(name)]).all(), name
    missing = np.isnan(known.areas).any(axis=2)
    np.testing.assert_array_equal(missing, np.isnan(known.areas).all(axis=2))
    np.testing.assert_array_equal(missing, np.isnan(known.ends))
    np.testing.assert_array_equal(missing, np.isnan(known.kept))
    assert known.areas[~missing].min() >= 0 and known.areas[~missing].max() <= 1
    assert all(set(settings) <= set(floats(ft.METHODS[name])) for name, settings in known.settings.items())


def test_a_recipe_has_the_numbers_that_the_evidence_is_of():
    settings = leaderboard().settings["lora"]
    assert settings and all(floats(recipe("lora"))[path] == value for path, value in settings.items())
    unchanged = {path: value for path, value in floats(recipe("lora")).items() if path not in settings}
    assert unchanged == {path: value for path, value in floats(ft.METHODS["lora"]).items() if path not in settings}
    assert recipe("zero_shot") == ft.METHODS["zero_shot"]


def run(*argv):
    """Exit status, stdout and stderr of the command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = train.main(list(argv))
    return status, out.getvalue(), err.getvalue()


MISTAKES = [
    ("--advise --penalty l2", "penalty: is not allowed with --advise"),
    ("--advise --method lora --method.adapter.rank 2", "method.*: is not allowed with --advise"),
    ("--advise --method lor", "method: 'lor' is not known; did you mean 'lora'"),
    ("--advise --method norm", "methods: there is no evidence of 'norm'"),
    (
        "--advise --finetune-steps 1768",
        "steps: 1768 is not allowed; the probe that advice rests on may take 1792",
    ),
    ("--advise --keep-source 2", "keep_source: 2.0 is not allowed; it must be in [0, 1]"),
    (
        "--advise --source Pendulum-v1 --target.g 15",
        "advise: Pendulum-v1 is not allowed; the runs that advice rests on are of CartPole alone. Compare methods "
        "instead, as in --method full lora soften without --advise",
    ),
    ("--keep-source 0.5", "keep_source: 0.5 is not allowed without --advise"),
]


@pytest.mark.parametrize(("line", "what"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_mistakes_are_answered_in_one_line_before_anything_happens(line, what, tmp_path, monkeypatch, compilations):
    monkeypatch.chdir(tmp_path)
    status, stdout, stderr = run(*line.split())
    assert (status, stdout, stderr.count("\n")) == (2, "", 1)
    assert stderr.startswith(f"error: {what}")
    assert list(tmp_path.iterdir()) == [] and compilations.names == []


def test_without_advice_nothing_changes():
    settings = resolve([])
    assert settings.candidates is None and ft.RECOMMENDED in settings.methods
    advised = resolve(["--advise", "--method", "lora", "soften", "--optimizer", "nadamw"])
    assert advised.candidates == ("lora", "soften")
    assert list(advised.methods) == ["zero_shot", "scratch", "full"]
    assert advised.optimizer == ft.OPTIMIZERS["nadamw"]


def test_the_command_probes_follows_the_advice_and_tells_whether_it_held(undrawn, tmp_path):
    out = tmp_path / "run"
    flags = ["--advise", "--method", "lora", "l2sp", "--shift", "giant-pole", "--out", str(out)]
    with undrawn():
        status, stdout, stderr = run(*TINY, *flags)
    assert status == 0, stderr
    told = json.loads((out / "advice.json").read_text())
    assert told["method"] in ("lora", "l2sp"), "tiny agents keep hardly any return on such a pole"
    assert {row["method"] for row in told["evidence"]} == {"lora", "l2sp", "zero_shot"}
    with (out / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = list(dict.fromkeys(row["method"] for row in rows))
    assert names[:3] == ["zero_shot", "scratch", "full"] and names[3].split("+")[0] == told["method"]
    spent = {name: {int(row["env_steps"]) for row in rows if row["method"] == name} for name in names}
    assert spent["full"] == spent["scratch"] == {2048}
    # What the probe took is paid from the budget in whole updates, and whole updates fill up the rest.
    assert max(told["env_steps"]) % 64 and spent[names[3]] == {2048}
    assert f"Advice before training: {told['method']}" in stdout and "The advice " in stdout
    assert "The advice " in (out / "report.md").read_text()
    assert list(json.loads((out / "config.json").read_text())["methods"]) == names
    assert "advised: training" in stderr

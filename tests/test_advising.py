"""Advice at the public door: what it may choose from, what it refuses, and the evidence that travels with it."""

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.analysis.evidence import leaderboard
from jaxrl_ft.commands.advising import recipe


@pytest.fixture(scope="module")
def advice(agents, target):
    return ft.advise(agents, target, ["full", "lora", "imagine"])


def test_the_advice_is_among_what_was_named_and_can_be_followed(advice, agents, target, tiny):
    assert advice.method in ("full", "lora", "imagine", "zero_shot")
    assert {row.method for row in advice.evidence} == {"full", "lora", "imagine", "zero_shot"}
    assert advice.recipe == recipe(advice.method)
    assert ft.METHODS.name(advice.method) == advice.method
    assert "probe:" in str(advice) and str(int(advice.env_steps.max())) in str(advice).replace(",", "")


def test_agents_are_untouched_and_equal_seeds_advise_alike(advice, agents, target, same):
    before = {name: np.array(leaf) for name, leaf in _flat(agents).items()}
    again = ft.advise(agents, target, ["full", "lora", "imagine"])
    assert str(again) == str(advice)
    assert all(np.array_equal(before[name], leaf) for name, leaf in _flat(agents).items())


def _flat(agents):
    from jaxrl_ft.core import tree

    return tree.flatten(agents.params)


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
    ({"steps": 1000}, "steps: 1000 is not allowed; the probe that advice rests on may take 1576"),
    ({"seed": -1}, "seed: -1 is not allowed"),
    ({"target": "CartPole-v1"}, "task: 'CartPole-v1' is not allowed"),
    ({"target": ft.make_task("Pendulum-v1")}, "do not fit agents"),
]


@pytest.mark.parametrize("changes, message", REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_what_is_not_allowed_is_refused_before_anything_runs(changes, message, agents, target, nothing_runs):
    with pytest.raises(ValueError, match=message):
        ft.advise(agents, **{"target": target, **changes})


def test_the_evidence_is_complete():
    known = leaderboard()
    assert set(known.methods) == set(ft.METHODS) - {"zero_shot", "norm"}
    assert set(known.shifts) == set(ft.SHIFTS)
    assert known.areas.shape == (len(known.methods), len(known.shifts), 16)
    assert np.isfinite(known.areas[:, :12]).all()
    for name in ("full", "scratch", "imagine", "lora", "kl", "soften"):
        assert np.isfinite(known.areas[known.methods.index(name)]).all(), name
    missing = np.isnan(known.areas).any(axis=2)
    np.testing.assert_array_equal(missing, np.isnan(known.areas).all(axis=2))
    np.testing.assert_array_equal(missing, np.isnan(known.ends))
    np.testing.assert_array_equal(missing, np.isnan(known.kept))
    assert known.areas[~missing].min() >= 0 and known.areas[~missing].max() <= 1
    assert all(set(settings) <= set(_floats(name)) for name, settings in known.settings.items())


def _floats(name):
    from jaxrl_ft.core.config import floats

    return floats(ft.METHODS[name])


def test_a_recipe_has_the_numbers_that_the_evidence_is_of():
    settings = leaderboard().settings["lora"]
    assert settings and all(_as(recipe("lora"))[path] == value for path, value in settings.items())
    unchanged = {path: value for path, value in _as(recipe("lora")).items() if path not in settings}
    assert unchanged == {path: value for path, value in _floats("lora").items() if path not in settings}
    assert recipe("zero_shot") == ft.METHODS["zero_shot"]


def _as(method):
    from jaxrl_ft.core.config import floats

    return floats(method)

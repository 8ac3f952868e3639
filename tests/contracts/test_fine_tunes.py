"""Contracts that every row of METHODS keeps in a real fine-tune: of a few by default, of all in the slow tests."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.training import loop

QUICK = ["zero_shot", "scratch", "full", "keep_adam", "imagine", "lora", "kl", "weight_clipping", "wise"]
"""Rows of five training programs."""
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ft.METHODS if name not in QUICK]
RENEWING = ("ShrinkPerturb", "HeadReset")
"""Warm starts after which the greedy policy is another."""


@pytest.fixture(scope="module")
def norm_agents(tiny, source):
    network = replace(tiny.network, layer_norm=True)
    return ft.pretrain(source, algo=tiny.algo, network=network, seeds=tiny.seeds, seed=0, **tiny.budget)


@pytest.fixture(scope="module")
def tuned_of(finetuned, rows, enough, agents, norm_agents_lazily, target, tiny):
    """A function from a row to the agents it was given, and those it made of them."""
    known = {}

    def pair(name):
        if name != "norm":
            return agents, finetuned(name)
        if name not in known:
            given = norm_agents_lazily()
            budget = {**tiny.budget, "steps": enough(rows(name))}
            known[name] = given, ft.finetune(given, target, name, seed=1, **budget)
        return known[name]

    return pair


@pytest.fixture(scope="module")
def norm_agents_lazily(request):
    return lambda: request.getfixturevalue("norm_agents")


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_a_fine_tune_ends_well_within_its_budget(name, tuned_of, rows, enough, target, tiny):
    method, (given, tuned) = rows(name), tuned_of(name)
    assert tuned.status == ("ok",) * tiny.seeds
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((tuned.params, tuned.statistics, tuned.curve)))
    assert tuned.task is target and tuned.source is given.source and tuned.method == method

    looked = 1 if method.spent_before() else 0
    per_update = tiny.algo.steps_per_update() * method.population
    updates = -(-(enough(method) - method.spent()) // per_update)
    points = len(loop.evaluation_updates(updates, tiny.budget["num_evals"]))
    assert tuned.curve.shape == tuned.curve_steps.shape == (tiny.seeds, points + looked)
    assert np.all(tuned.curve_steps[:, 0] == 0)
    assert np.all(np.diff(tuned.curve_steps) > 0)
    if looked:
        assert np.all(tuned.curve_steps[:, 1] == method.spent_before())

    spent = np.unique(tuned.env_steps - given.env_steps)
    assert len(spent) == 1
    if method.trains:
        assert enough(method) <= spent[0] < enough(method) + per_update
        assert spent[0] == tuned.curve_steps[0, -1]
    else:
        assert spent[0] == 0


@pytest.mark.parametrize("name", [name for name in [*QUICK, *SLOW] if getattr(name, "values", name) != ("norm",)])
def test_the_curve_begins_with_what_acts_before_anything_is_paid(name, tuned_of, finetuned, rows):
    method, (_, tuned) = rows(name), tuned_of(name)
    zero_shot, fresh = (finetuned(other).curve[:, 0] for other in ("zero_shot", "scratch"))
    if isinstance(method.warm_start, ft.Scratch):
        np.testing.assert_array_equal(tuned.curve[:, 0], fresh)
        return
    renewed = type(method.warm_start).__name__ in RENEWING and not method.spent_before()
    assert np.array_equal(tuned.curve[:, 0], zero_shot) is not renewed


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_only_what_the_report_counts_has_trained(name, tuned_of, rows, same):
    method, (given, tuned) = rows(name), tuned_of(name)
    before, after = tree.flatten(given.params), tree.flatten(tuned.params)
    if not method.trains:
        assert same(given.params, tuned.params) and tuned.trainable == 0
        return
    kept = [path for path, leaf in after.items() if path in before and same(leaf, before[path])]
    moved = [path for path in after if path not in kept]
    assert moved and tuned.trainable > 0
    unchanged = method.warm_start == ft.WarmStart() and not method.look.steps and not method.finish.acts
    if method.adapter.plain and unchanged and method.control.population == 1:
        # Whole leaves train or rest, so that what moved is exactly what is counted.
        assert sum(after[path][0].size for path in moved) == tuned.trainable


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_the_report_says_what_became_of_every_part(name, tuned_of, rows):
    report = tuned_of(name)[1].report
    if not rows(name).trains:
        assert "actor and critic: the agents' own, untouched" in report
        return
    beginnings = ("method:", "actor:", "critic:", "optimizer", "normaliser", "schedule:", "entropy:", "replay:",
                  "trains", "env steps")  # fmt: skip
    for beginning in beginnings:
        assert any(line.startswith(beginning) for line in report), (beginning, report)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ft.METHODS))
def test_fine_tuned_agents_come_back_from_disk_and_train_on(name, tuned_of, rows, target, tiny, tmp_path, same):
    tuned = tuned_of(name)[1]
    ft.save(tuned, tmp_path / "agents")
    loaded = ft.load(tmp_path / "agents")
    for part in ("params", "statistics", "init_params", "opt_state", "curve", "curve_steps", "env_steps"):
        assert same(getattr(loaded, part), getattr(tuned, part)), part
    again, once = (
        ft.finetune(each, target, "full", seed=5, **{**tiny.budget, "steps": 128}) for each in (loaded, tuned)
    )
    assert again.status == ("ok",) * tiny.seeds
    assert same(again.params, once.params)

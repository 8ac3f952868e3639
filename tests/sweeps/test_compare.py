"""Laws of comparisons: every run a row, paired by agent and seed, with zero-shot and scratch always among them."""

from functools import partial

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.sweeps import directory
from jaxrl_ft.training import devices

TINY = {"steps": 512, "num_evals": 3, "eval_episodes": 4, "episodes": 4, "held_out_episodes": 2}


@pytest.fixture(scope="module")
def result(agents, target):
    two = agents.select([0, 1])
    mine = {"mine": ft.Method(optimizer=ft.Adam(learning_rate=1e-4))}
    named = {name: ft.METHODS[name] for name in ("full", "adamw")}
    return ft.compare(two, {"long": target}, mine | named, seeds=4, seed=1, layout="exact", **TINY)


def test_every_run_is_a_row_and_the_two_references_are_added(result):
    assert [(row["method"], row["run"]) for row in result.runs] == [
        (method, run) for method in ("zero_shot", "scratch", "mine", "full", "adamw") for run in range(4)
    ]
    assert {row["target"] for row in result.runs} == {"long"}
    assert all(row["agent"] == row["run"] % 2 and row["seed"] == 1 for row in result.runs)
    assert result.curves.shape == result.curve_steps.shape == (20, 3)
    assert {row["status"] for row in result.runs} == {"ok"}


def test_env_steps_and_trainable_parameters_are_each_methods_own(result):
    spent = {row["method"]: row["env_steps"] for row in result.runs}
    assert spent == {"zero_shot": 0, "scratch": 512, "mine": 512, "full": 512, "adamw": 512}
    assert {row["method"]: row["trainable_parameters"] for row in result.runs}["zero_shot"] == 0
    assert {row["total_parameters"] for row in result.runs} == {251}


def test_hyperparameters_are_in_the_rows(result):
    rates = {row["method"]: row["hyperparameters"].get("optimizer.learning_rate") for row in result.runs}
    assert (
        rates["zero_shot"] is None
        and np.isclose(rates["mine"], 1e-4)
        and np.isclose(rates["full"], ft.Adam().learning_rate)
    )


def test_a_cell_is_the_fine_tune_of_agent_i_mod_s(result, agents, target, same, tiny):
    # in the exact layout, as the cell shared its batch: in the fast one bits depend on the width
    with devices.laid_out("exact"):
        alone = ft.finetune(agents.select([0, 1, 0, 1]), target, "full", seed=1, **tiny.budget)
    cell = result.agents("full", "long")
    assert same(cell.params, alone.params)
    np.testing.assert_array_equal(result.curves[12:16], alone.curve)
    np.testing.assert_array_equal(result.curve_steps[12:16], alone.curve_steps)


def test_runs_are_paired_by_agent_and_seed(result):
    start = result.curves.reshape(5, 4, 3)[:, :, 0]
    np.testing.assert_array_equal(start[0], start[2])
    np.testing.assert_array_equal(start[0], start[3])
    assert not np.array_equal(start[0], start[1])
    for row, curve in zip(result.runs, result.curves):
        assert row["jumpstart_return"] == curve[0]


def test_the_jumpstart_is_where_training_starts_and_only_who_knew_the_source_can_forget_it(agents, target):
    budget = {"steps": 1024, "num_evals": 3, "eval_episodes": 4, "episodes": 2, "held_out_episodes": 1}
    methods = {"reset": ft.Method(look=ft.Look(steps=8), warm_start=ft.HeadReset()), "fresh": ft.METHODS["scratch"]}
    result = ft.compare(agents, {"long": target}, methods, seed=1, **budget)
    curves = {name: result.curves[[row["method"] == name for row in result.runs]] for name in ("zero_shot", "reset")}
    cell = result.agents("reset", "long")
    assert cell.curve_steps[0, :2].tolist() == [0, 64], "the untouched policy stands before what the look cost"
    np.testing.assert_array_equal(curves["reset"][:, 0], curves["zero_shot"][:, 0])
    starts = [row["jumpstart_return"] for row in result.runs if row["method"] == "reset"]
    np.testing.assert_array_equal(starts, cell.curve[:, 1])
    assert not np.array_equal(starts, cell.curve[:, 0])
    for row in result.runs:
        assert row["from_scratch"] == (row["method"] in ("scratch", "fresh"))
        assert [row[name] for name in ("eval_episodes", "episodes", "held_out_episodes")] == [4, 2, 1]
    lost = {row["method"]: row["forgetting"] for row in result.summary().rows}
    assert np.isnan(lost["scratch"]) and np.isnan(lost["fresh"]) and np.isfinite(lost["reset"])


def test_returns_are_those_of_evaluate(result, agents, target, source):
    cell = result.agents("mine", "long")
    rows = [row for row in result.runs if row["method"] == "mine"]
    for column, task in (("target_return", target), ("source_return", source)):
        expected = ft.evaluate(cell, task, episodes=4, seed=1).mean(axis=1)
        np.testing.assert_allclose([row[column] for row in rows], expected)
    zero = [row for row in result.runs if row["method"] == "zero_shot"]
    assert all(row["source_return"] == row["source_return_before"] for row in zero)


def test_held_out_returns_are_means_over_the_grid(result, source, target):
    cell = result.agents("full", "long")
    grid = ft.held_out_grid(source, target)
    each = {kind: [ft.evaluate(cell, task, episodes=2, seed=1).mean(axis=1) for k, task in grid if k == kind]
            for kind in ("interpolation", "extrapolation")}  # fmt: skip
    rows = [row for row in result.runs if row["method"] == "full"]
    for kind, found in each.items():
        np.testing.assert_allclose([row[f"held_out_{kind}"] for row in rows], np.mean(found, axis=0))
    every = np.mean(each["interpolation"] + each["extrapolation"], axis=0)
    np.testing.assert_allclose([row["held_out_return"] for row in rows], every)


def test_cells_are_found_by_name(result):
    assert result.agents("zero-shot", "long") is result.cells["zero_shot", "long"]
    with pytest.raises(ValueError, match="target: 'lang' is not known; did you mean 'long'"):
        result.agents("full", "lang")
    with pytest.raises(ValueError, match="lora"):
        result.agents("lora", "long")


def test_given_held_out_tasks_take_the_place_of_the_grid_and_watchers_hear_of_every_cell(agents, target):
    heard = []
    tasks = {"long": [("extrapolation", ft.make_task("CartPole-v1", half_length=2.0))]}
    result = ft.compare(
        agents, {"long": target}, [], seed=1, held_out=tasks,
        callback=lambda method, name, moment: heard.append((method, name, moment is None)), **TINY,
    )  # fmt: skip
    assert all(np.isnan(row["held_out_interpolation"]) for row in result.runs)
    assert all(row["held_out_return"] == row["held_out_extrapolation"] for row in result.runs)
    assert [(m, n) for m, n, done in heard if done] == [("zero_shot", "long"), ("scratch", "long")]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"methods": ["fulll"]}, "method: 'fulll' is not known; did you mean 'full'"),
        ({"methods": "full"}, "must be a sequence of names"),
        ({"targets": {}}, "targets: empty"),
        ({"seeds": 0}, "seeds: 0"),
        ({"steps": -1}, "steps: -1"),
        ({"episodes": 0}, "episodes: 0"),
        ({"held_out_episodes": 1.5}, "held_out_episodes: 1.5"),
        ({"num_evals": 1}, "num_evals: 1"),
        ({"methods": ["probe_soften"], "steps": 512}, "steps: 512 is not allowed; it must exceed the 512 steps"),
    ],
)
def test_bad_arguments_are_refused_before_anything_compiles(changes, message, agents, target, nothing_runs):
    with pytest.raises(ValueError, match=message):
        ft.compare(agents, **{"targets": {"long": target}, "methods": ["full"], **changes})


def test_a_comparison_goes_on_from_its_finished_cells(agents, target, tiny, tmp_path, monkeypatch, same):
    budget = {**tiny.budget, "episodes": 2, "held_out_episodes": 1, "seed": 3}
    whole = ft.compare(agents, {"long": target}, ["full"], **budget)
    call = partial(ft.compare, agents, {"long": target}, ["full"], **budget, checkpoint=tmp_path / "c")
    keep, kept = directory.keep, []

    def cut_off(*args):
        kept.append(keep(*args))
        if len(kept) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(directory, "keep", cut_off)
        with pytest.raises(KeyboardInterrupt):
            call()
    again = call()
    assert again.runs == whole.runs and same(again.curves, whole.curves)
    assert all(again.cells[cell] == whole.cells[cell] for cell in whole.cells)
    with pytest.raises(ValueError, match=r"checkpoint: .* holds another plan, which differs in 'specs'"):
        call(steps=576)

"""The bars of the library's calls: on a terminal and in a notebook, nowhere else, and no bit depends on them."""

import builtins
import io
import os
import sys
import types

import numpy as np
import pytest
from rich.console import Console

import jaxrl_ft as ft
from jaxrl_ft.training.progress import bars, display
from jaxrl_ft.training.progress.moments import Progress, means


@pytest.fixture
def terminal(monkeypatch):
    """What is written to a terminal in the place of stderr."""
    stream = io.StringIO()
    monkeypatch.setattr(display, "standard_error", lambda: Console(file=stream, force_terminal=True, width=120))
    return stream


def test_pretraining_and_fine_tuning_show_a_bar_and_keep_their_bits(
    terminal, tiny, source, target, agents, finetuned, same
):
    heard = []
    shown = ft.pretrain(
        source, algo=tiny.algo, network=tiny.network, seeds=tiny.seeds, seed=0, callback=heard.append, **tiny.budget
    )
    assert same(shown.params, agents.params) and [moment.updates for moment in heard] == [0, 0, 4, 8]
    written = terminal.getvalue()
    assert all(words in written for words in ("pretraining", "training", "done", "env steps/s", "━"))
    tuned = ft.finetune(agents, target, "full", seed=1, **tiny.budget)
    assert same(tuned.params, finetuned("full").params)
    assert "fine-tuning" in terminal.getvalue()[len(written) :]
    written = terminal.getvalue()
    ft.finetune(agents, target, "full", seed=1, progress=False, **tiny.budget)
    ft.finetune(agents, target, "zero_shot", seed=1, **tiny.budget)
    assert terminal.getvalue() == written


def test_many_episodes_show_a_bar_that_ends_at_their_number(terminal, agents, target):
    few = ft.evaluate(agents, target, episodes=16)
    assert terminal.getvalue() == ""
    many = ft.evaluate(agents, target, episodes=40)
    assert "evaluating" in terminal.getvalue() and "40/40" in terminal.getvalue()
    np.testing.assert_array_equal(many[:, :16], few)
    written = terminal.getvalue()
    np.testing.assert_array_equal(ft.evaluate(agents, target, episodes=40, progress=False), many)
    assert terminal.getvalue() == written


def moment(done):
    return Progress("training", done, 4, 100 * done, {})


@pytest.mark.parametrize("number", [2, bars.MOST + 1])
def test_cells_have_a_bar_each_and_many_share_one(terminal, number):
    heard = []
    cells = {("lora", f"target {i}"): 400 * (i % 2) for i in range(number)}
    with bars.cell_bars(True, cells, lambda *told: heard.append(told)) as told:
        for cell, steps in cells.items():
            if steps:
                told(*cell, moment(2))
            told(*cell, None)
    last = terminal.getvalue().split("\x1b[2K")[-1]
    assert ("lora on target 1" in last) == (number == 2) and (f"{number} cells" in last) == (number > 2)
    assert "done" in terminal.getvalue().rsplit("cells", 1)[-1] and len(heard) == number + number // 2
    assert [told[:2] for told in heard if told[2] is None] == list(cells)


@pytest.mark.parametrize("number", [2, bars.MOST + 1])
def test_a_run_that_stops_is_named_once_with_its_cell(terminal, number):
    cells = {("lora", f"target {i}"): 400 for i in range(number)}
    with bars.cell_bars(True, cells, None) as told:
        for broken in ({}, {3: "non-finite reward in update 2"}, {3: "non-finite reward in update 2"}):
            told("lora", "target 1", moment(2)._replace(not_finite=broken))
    assert terminal.getvalue().count("lora on target 1: run 3 stops: non-finite reward in update 2") == 1


def test_a_file_or_a_log_gets_nothing_whatever_the_environment_says_of_colours(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with bars.one_bar(True, "one", 400, None) as told, bars.counting_bar(True, "two", 4) as done:
        assert told is None and done is None
    monkeypatch.setattr(sys, "stderr", None)
    with bars.one_bar(True, "one", 400, print) as told:
        assert told is print
    assert capsys.readouterr() == ("", "")


def waiting(descriptor):
    """What can be read without waiting."""
    while True:
        try:
            yield os.read(descriptor, 2**12)
        except BlockingIOError:
            return


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals in the standard library")
def test_a_pseudo_terminal_gets_bars(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    master, slave = os.openpty()
    os.set_blocking(master, False)
    with os.fdopen(slave, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with bars.one_bar(True, "one", 400, None) as told:
            told(moment(1))
        with bars.counting_bar(True, "two", 4) as done:
            done(3)
        written = b"".join(waiting(master)).decode()
    os.close(master)
    assert all(words in written for words in ("one", "done", "two", "3/4", "━", "\x1b["))


class ZMQInteractiveShell:
    """The class by whose name rich knows a notebook."""


@pytest.mark.parametrize("widgets", [False, True], ids=["lines", "widgets"])
def test_a_notebook_gets_bars_or_lines_where_it_has_no_widgets(widgets, monkeypatch):
    shown = []
    module = types.ModuleType("IPython.display")
    module.display = lambda *values, **_: shown.extend(values)
    module.clear_output = lambda *_: None
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(display.importlib.util, "find_spec", lambda name: widgets or None)
    output = types.ModuleType("ipywidgets")
    output.Output = Output
    monkeypatch.setitem(sys.modules, "ipywidgets", output)
    with bars.one_bar(True, "one", 400, None) as told:
        told(moment(1))
    text = " ".join(str(getattr(value, "text", value)) for value in shown)
    assert ("one: training" in text) == (not widgets) and any(isinstance(value, Output) for value in shown) == widgets
    with bars.counting_bar(True, "two", 4) as done:
        assert (done is not None) == widgets


class Output:
    """A stand-in for the widget that holds what is shown."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def clear_output(self, **_):
        pass


def test_what_is_neither_true_nor_false_is_refused(agents, source, target, nothing_runs):
    space = {"optimizer.learning_rate": [1e-3]}
    for call in (
        lambda: ft.pretrain(source, progress=3),
        lambda: ft.finetune(agents, target, progress="no"),
        lambda: ft.compare(agents, {"long": target}, ["full"], progress=None),
        lambda: ft.evaluate(agents, target, progress=3),
        lambda: ft.search(agents, {"long": target}, ["full"], space, progress=3),
    ):
        with pytest.raises(ValueError, match="progress: "):
            call()


def test_means_are_over_updates_and_those_of_episodes_over_episodes_and_of_runs_that_learn():
    sums = {name: np.array(values) for name, values in {
        "loss/policy": [4.0, 8.0, 8.0, 1.0], "rollout/num": [2.0, 0.0, 1.0, 1.0],
        "rollout/episode_return": [10.0, 0.0, 3.0, 1.0],
    }.items()}  # fmt: skip
    found = means(sums, 4, np.array([True, True, False]))
    np.testing.assert_array_equal(found["loss/policy"], [1.0, 2.0, np.nan])
    np.testing.assert_array_equal(found["rollout/num"], [0.5, 0.0, np.nan])
    np.testing.assert_array_equal(found["rollout/episode_return"], [5.0, np.nan, np.nan])
    assert means({}, 0, np.ones(3, bool)) == {}


def test_a_part_of_a_moment_numbers_its_runs_from_its_first():
    whole = Progress("training", 1, 2, 800, {}, not_finite={0: "a", 2: "b", 3: "c"})
    part = whole.part(slice(2, 4), slice(4, 8), 6, 0.5)
    assert part.not_finite == {6: "b", 7: "c"} and part.first_run == 6
    assert whole.part(slice(1, 2), slice(2, 4), 0, 0.25).not_finite == {}


def test_a_moment_holds_what_was_measured(agents, target, tiny, finetuned):
    moments = []
    tuned = ft.finetune(agents, target, "full", seed=1, callback=moments.append, **tiny.budget)
    evaluated = [moment for moment in moments if moment.returns is not None]
    np.testing.assert_array_equal(np.stack([moment.returns for moment in evaluated], axis=1), tuned.curve)
    assert [moment.step for moment in evaluated] == tuned.curve_steps[0].tolist()
    assert moments[-1].metrics["loss/policy"].shape == (4,) and np.isfinite(moments[-1].metrics["kl"]).all()
    assert (moments[-1].metrics["rollout/episode_length"] > 1).all()

"""Trackers: what they are sent, and that no fault of theirs reaches a run."""

import threading
import warnings

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft import train
from jaxrl_ft.store.trackers import TRACKERS, base
from jaxrl_ft.training.progress.moments import Progress


class Sent(base.Writer):
    def __init__(self, sent, fault):
        self.sent, self.fault = sent, fault

    def write(self, step, metrics):
        self.fault("write")
        self.sent.append((step, metrics))

    def close(self):
        self.fault("close")
        self.sent.append("closed")


class Memory(ft.Tracker):
    """A tracker that keeps what it is sent, and fails as it is told."""

    package, extra = "numpy", "none"

    def __init__(self, fault=lambda where: None):
        super().__init__()
        self.runs, self.fault, self.threads = {}, fault, set()

    def open(self, stage, step):
        self.threads.add(threading.current_thread())
        self.fault("open")
        return Sent(self.runs.setdefault(stage, [step]), self.fault)


NOTHING = np.array([np.nan, np.nan])
"""Of episodes, none of which ended, or of runs that stopped."""


def moment(updates=4, **changes):
    metrics = {"loss/policy": np.array([1.0, 3.0]), **dict.fromkeys(("rollout/episode_return", "kl"), NOTHING)}
    return Progress("training", updates, 8, 64, metrics, 32 * updates, np.array([5.0, 9.0]))._replace(**changes)


def test_means_and_ends_of_a_moment_are_sent_from_another_thread():
    with Memory() as tracker:
        tracker(Progress("compiling", 0, 8, 0, {}))
        tracker(moment())
        tracker("lora", "long", moment(2))
        tracker("lora", "long", None)
    numbers = {"evaluation/episode_return": 7.0, "evaluation/episode_return_min": 5.0, "loss/policy": 2.0}
    numbers["evaluation/episode_return_max"] = 9.0
    assert tracker.runs == {"": [128, (128, numbers), "closed"], "long+lora": [64, (64, numbers), "closed"]}
    assert threading.current_thread() not in tracker.threads
    tracker(moment(6))
    tracker.close()
    assert tracker.runs[""][3:] == [(192, numbers), "closed"]


@pytest.fixture(scope="module")
def compared(agents, target):
    """A function from a callback to the comparison that it was told of."""
    tiny = {"seeds": 4, "steps": 256, "num_evals": 3, "eval_episodes": 4, "episodes": 4, "held_out_episodes": 2}
    tasks = {"long": [("extrapolation", target)]}
    return lambda callback: ft.compare(agents, {"long": target}, ["full"], held_out=tasks, callback=callback, **tiny)


@pytest.fixture(scope="module")
def without(compared):
    return compared(None)


def test_a_comparison_sends_every_cell_its_own_curve(compared, without, same):
    with Memory() as tracker:
        result = compared(tracker)
    assert list(tracker.runs) == ["long+scratch", "long+full"] and same(result.curves, without.curves)
    for stage, sent in tracker.runs.items():
        cell = result.agents(stage.removeprefix("long+"), "long")
        assert [step for step, _ in sent[1:-1]] == cell.curve_steps[0].tolist()
        means = [numbers["evaluation/episode_return"] for _, numbers in sent[1:-1]]
        np.testing.assert_allclose(means, cell.curve.mean(axis=0))
        assert {"loss/policy", "kl", "rollout/num"} <= set(sent[-2][1])


@pytest.mark.parametrize("where", ["open", "write", "close"])
def test_a_tracker_that_fails_is_warned_of_once_and_changes_no_bit(where, compared, without, same):
    def fault(place):
        if place == where:
            raise ConnectionError("the server\nis down")

    tracker = Memory(fault)
    message = r"tracker: Memory: ConnectionError: the server is down; the run goes on without it"
    with pytest.warns(UserWarning, match=message) as caught, tracker:
        result = compared(tracker)
        tracker.close()
        tracker.close()
    assert len(caught) == 1
    assert result.runs == without.runs or same([a.params for a in result.cells.values()],
                                               [a.params for a in without.cells.values()])  # fmt: skip
    assert same([a.params for a in result.cells.values()], [a.params for a in without.cells.values()])


def test_a_tracker_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr(base, "CLOSING", 0.05)
    monkeypatch.setattr(base, "WAITING", 2)
    held = threading.Event()
    tracker = Memory(lambda where: held.wait(60) and None)
    with pytest.warns(UserWarning, match="Memory: is too slow, and what comes now is not sent") as caught:
        for number in range(10):
            tracker(moment(number))
        tracker.close()
    held.set()
    assert len(caught) == 1
    tracker = Memory(lambda where: None)
    held.clear()
    tracker.fault = lambda where: held.wait(60) and None
    tracker(moment())
    with pytest.warns(UserWarning, match=r"Memory: did not answer within 0 s"):
        tracker.close()
    held.set()


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_one_line_with_how_to_install_it(name, monkeypatch, capsys, tmp_path, nothing_runs):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    package, extra = TRACKERS[name].package, TRACKERS[name].extra
    line = f'tracker: needs the package {package}, which is not installed; python -m pip install "jaxrl_ft[{extra}]"'
    with pytest.raises(ValueError) as error:
        TRACKERS[name](*[tmp_path] * (name == "tensorboard"))
    assert str(error.value) == line
    assert train.main(["--tracker", name, "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == f"error: {line}\n" and not (tmp_path / "run").exists()


def test_an_unknown_tracker_is_refused(capsys, tmp_path, nothing_runs):
    assert train.main(["--tracker", "tensorbord", "--out", str(tmp_path / "run")]) == 2
    assert "tracker: 'tensorbord' is not known; did you mean 'tensorboard'" in capsys.readouterr().err


def test_extras_install_the_packages_that_trackers_need():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(ft.__file__).parent.parent / "pyproject.toml").read_text())["project"]
    for tracker in TRACKERS.values():
        (requirement,) = project["optional-dependencies"][tracker.extra]
        assert requirement.startswith(tracker.package)


def test_no_warning_where_nothing_fails():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Memory() as tracker:
            tracker(moment())

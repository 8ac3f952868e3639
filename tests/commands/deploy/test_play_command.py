"""`python -m jaxrl_ft.deploy play`: whose films it makes, where they act, and how it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.exported import kind, random_agents

import jaxrl_ft as ft
from jaxrl_ft.commands.deploy.main import main
from jaxrl_ft.commands.deploy.tasks import changed_task
from jaxrl_ft.deploy import play
from jaxrl_ft.store import run_directory


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The directory of a run: 2 pretrained agents, and 3 runs of each method on a longer pole."""
    path = run_directory.create(tmp_path_factory.mktemp("runs") / "run", run_directory.TRAIN)
    agents = kind("ppo")[0]
    ft.save(agents, run_directory.source_path(path))
    for number, name in enumerate(("imagine", "full", "scratch", "zero_shot"), 1):
        tuned = random_agents(agents.task, agents.algo, agents.network, seeds=3, seed=number)
        tuned = replace(tuned, task=ft.make_task("CartPole-v1", half_length=1.5))
        ft.save(tuned, run_directory.agents_path(path, name, "longer pole"))
    return path


@pytest.fixture
def filmed(monkeypatch):
    """What was asked of `play`."""
    asked = []

    def noted(agents, out, task, **numbers):
        asked.append((agents, task.describe(), numbers))
        return out

    monkeypatch.setattr(play, "play", noted)
    return asked


def test_base_scratch_and_the_method_stand_beside_each_other(run, filmed, capsys):
    assert main(["play", str(run), "-o", "a.gif", "--seed", "5", "--fps", "9", "--max-steps", "70"]) == 0
    ((shown, task, numbers),) = filmed
    assert list(shown) == ["base", "scratch", "imagine"] and task == "CartPole-v1 half_length=1.5"
    assert numbers == {"agent": None, "seed": 5, "fps": 9, "max_steps": 70}
    assert shown["base"] == kind("ppo")[0].select(np.array([0, 1, 0]))
    assert shown["scratch"] == ft.load(run_directory.agents_path(run, "scratch", "longer pole"))
    assert capsys.readouterr().out == "base, scratch, imagine on CartPole-v1 half_length=1.5: a.gif\n"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--method", "scratch"], ["base", "scratch"]),
        (["--method", "full", "--task", "long-pole"], ["base", "scratch", "full"]),
        (["--method", "source"], ["source"]),
    ],
)
def test_methods_and_tasks_can_be_named(run, filmed, words, names):
    assert main(["play", str(run), *words]) == 0
    assert list(filmed[0][0]) == names
    assert filmed[0][1] == {"scratch": "CartPole-v1 half_length=1.5", "full": "CartPole-v1 half_length=1"}.get(
        words[1], "CartPole-v1"
    )


def test_saved_agents_stand_alone(run, filmed):
    assert main(["play", str(run_directory.source_path(run))]) == 0
    assert list(filmed[0][0]) == ["source"]


def test_tasks_in_words():
    source, usual = ft.make_task("CartPole-v1"), ft.make_task("CartPole-v1", force=5.0)

    def told(*words):
        return changed_task("task", words, source, usual).describe()

    assert told() == "CartPole-v1 force=5" and told("source") == "CartPole-v1"
    assert told("long-pole", "half-length=2", "flip_actions=true") == "CartPole-v1 half_length=2 flip_actions=1"
    assert told("obs_offset=[1,0,0,0]") == "CartPole-v1 obs_offset=(1, 0, 0, 0)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "long-pol"], "error: task: 'long-pol' is not known; did you mean 'long-pole'?"),
        (["--task", "heavy-bob"], "error: shift: 'heavy-bob' is not allowed for CartPole-v1"),
        (["--task", "half_length=x"], "error: task: half_length=x is not allowed; a value is a number"),
        (["--task", "half_length=-1"], "error: task: half_length: -1 is not allowed"),
        (["--task", "half_lenth=1"], "error: task: quantity: 'half_lenth' is not known; did you mean"),
        (["-o", "a.avi"], "error: out: 'a.avi' is not allowed; it must end in one of"),
        (["--fps", "0"], "error: fps: 0 is not allowed"),
        (["--agent", "3"], "error: agent: 3 is not allowed"),
        (["--method", "imagin"], "error: run: "),
    ],
)
def test_mistakes_are_one_line(run, capsys, words, message, nothing_runs):
    assert main(["play", str(run), *words]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith(message), told

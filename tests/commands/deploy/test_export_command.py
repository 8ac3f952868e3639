"""`python -m jaxrl_ft.deploy export`: which agents it takes of a run, and how it refuses."""

import json
import re
import subprocess
import sys

import pytest
from helpers.exported import kind, random_agents

import jaxrl_ft as ft
from jaxrl_ft.commands.deploy.main import SUBCOMMANDS, main
from jaxrl_ft.store import run_directory, runs

NAMES = ("imagine", "full", "scratch", "zero_shot")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The directory of a run with agents of four methods, each with a digest of its own."""
    path = run_directory.create(tmp_path_factory.mktemp("runs") / "run", run_directory.TRAIN)
    agents = kind("ppo")[0]
    ft.save(agents, run_directory.source_path(path))
    for number, name in enumerate(NAMES, 1):
        tuned = random_agents(agents.task, agents.algo, agents.network, seed=number)
        ft.save(tuned, run_directory.agents_path(path, name, "long pole"))
    return path


def card(out):
    return json.loads((out / "card.json").read_text())


def test_it_takes_the_method_that_was_asked_for_and_knows_the_parent(run, tmp_path, capsys):
    words = ["export", str(run), "-o", str(tmp_path / "out"), "--to", "numpy", "c", "--episodes", "0", "--seed", "1"]
    assert main(words) == 0
    assert "card.json, card.md, " in capsys.readouterr().out
    found = card(tmp_path / "out")
    assert found["agents_sha256"] == ft.load(run_directory.agents_path(run, "imagine", "long pole")).digest
    assert found["parent_sha256"] == kind("ppo")[0].digest and found["seeds"]["exported"] == 1
    assert set(found["files"]) == {"policy.npz", "policy_numpy.py", "policy.h"}


def test_every_method_can_be_named(run):
    for name in NAMES:
        found = runs.find(run, name, "long pole")
        assert found.path.name == f"long_pole+{name}" and found.agents == runs.find(run, name).agents
    assert runs.find(run, "source").agents == kind("ppo")[0] and runs.find(run, "source").parent is None
    saved = runs.find(run_directory.source_path(run))
    assert saved.agents == kind("ppo")[0] and saved.parent is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "imagin"], "error: run: .* holds no agents of method 'imagin'; did you mean .*imagine"),
        (["--target", "short"], "error: run: .* holds no agents of target 'short'"),
        (["--to", "nunpy"], r"error: to: 'nunpy' is not known; did you mean 'numpy'\?"),
        (["--seed", "first"], "error: seed: 'first' is not allowed"),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, capsys, words, message):
    assert main(["export", str(run), "-o", str(tmp_path / "out"), "--episodes", "0", *words]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert re.match(message, told), told
    assert not list(tmp_path.iterdir())


def test_a_path_without_agents_is_one_line(tmp_path, capsys):
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: run: ")
    empty = run_directory.create(tmp_path / "run", run_directory.TRAIN)
    ft.save(kind("ppo")[0], run_directory.source_path(empty))
    with pytest.raises(ValueError, match=r"holds no fine-tuned agents; --method source"):
        runs.find(empty)
    with pytest.raises(ValueError, match=r"is not the directory of a run, which alone has methods"):
        runs.find(run_directory.source_path(empty), "full")


def test_help_comes_without_jax():
    code = (
        "import sys\nfrom jaxrl_ft.commands.deploy.main import main\n"
        "assert main(['--help']) == 0 and main(['export', '--help']) == 0 and 'jax' not in sys.modules"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(name in told for name in SUBCOMMANDS) and "stablehlo" in told

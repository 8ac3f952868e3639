"""`python -m jaxrl_ft.deploy compress`: a folder with bundles, a table, raw numbers and the figure."""

import csv
import json

import numpy as np
import pytest
from helpers.exported import kind

import jaxrl_ft as ft
from jaxrl_ft.commands.deploy import compress as flags
from jaxrl_ft.commands.deploy.main import main
from jaxrl_ft.deploy.compression import door, folder, measure
from jaxrl_ft.deploy.compression.catalogue import COMPRESSIONS


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("agents") / "agents"
    ft.save(kind("ppo")[0], path)
    return path


@pytest.fixture
def unplayed(monkeypatch):
    """Evaluations that take no time."""
    monkeypatch.setattr(measure, "episode_returns", lambda agents, task, **_: np.full((agents.num_seeds, 2), 7.0))
    monkeypatch.setattr(folder, "write_figure", lambda draw, path: path.write_bytes(b"figure"))


def test_it_writes_a_bundle_for_each_and_what_was_measured(saved, tmp_path, capsys, unplayed):
    out = tmp_path / "out"
    assert main(["compress", str(saved), "--with", "int8", "prune-90", "-o", str(out), "--episodes", "2"]) == 0
    told = capsys.readouterr().out
    assert "before" in told and "int8" in told and "prune_90" in told and "pareto.png" in told
    assert {p.name for p in out.iterdir()} == {
        "int8", "prune_90", "compressed.md", "compressed.json", "returns.csv", "pareto.png", "jaxrl_ft_run.json"
    }  # fmt: skip
    facts = json.loads((out / "compressed.json").read_text())
    assert list(facts) == ["before", "int8", "prune_90"] and facts["int8"]["returns"]["source"]["iqm"] == 7.0
    assert facts["int8"]["bytes"] < 0.3 * facts["before"]["bytes"]
    with (out / "returns.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 and rows[0] == {"compression": "before", "task": "source", "seed": "0", "return": "7.0"}
    assert "| prune_90 |" in (out / "compressed.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--with", "int9"], "error: compression: 'int9' is not known; did you mean 'int8'"),
        (["--with", "int8", "delta"], "error: base: is missing; delta stores what differs"),
        (["--steps", "0"], "error: steps: 0 is not allowed"),
        (["--episodes", "-1"], "error: episodes: -1 is not allowed"),
        (["--method", "full"], "error: run: "),
    ],
)
def test_mistakes_are_one_line(words, message, saved, tmp_path, capsys, nothing_runs):
    assert main(["compress", str(saved), "-o", str(tmp_path / "out"), *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith(message) and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_else_is_refused_before_anything_runs(saved, tmp_path, capsys, nothing_runs):
    (tmp_path / "mine.txt").write_text("")
    assert main(["compress", str(saved), "-o", str(tmp_path)]) == 2
    assert "it exists and no earlier run made it" in capsys.readouterr().err


def test_the_flags_have_the_usual_numbers_of_the_door():
    assert (flags.USUAL_STEPS, flags.USUAL_EPISODES, flags.USUAL_SEED) == (door.STEPS, door.EPISODES, door.SEED)


def test_help_names_every_compression(capsys):
    assert main(["compress", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    missing = [name for name in COMPRESSIONS if name.replace("_", "-") not in told]
    assert not missing


@pytest.mark.slow
def test_a_run_is_compressed_by_every_one(tmp_path, agents, target, tiny, capsys):
    tuned = ft.finetune(agents, target, "lora", seed=1, **tiny.budget)
    found = door.compress_all(tuned, list(COMPRESSIONS), steps=2560, base=agents, episodes=4, progress=False)
    path = folder.write(tmp_path / "out", found)
    assert {one.name for one in found} == set(COMPRESSIONS)
    assert (path / "pareto.png").stat().st_size > 1000
    for one in found:
        read = ft.load_compressed(path / one.name, base=agents)
        returns = ft.evaluate(read, target, episodes=4)
        np.testing.assert_allclose(returns.mean(axis=1), one.after.returns["target"], rtol=1e-6)
        assert set(one.after.returns) == {"source", "target", "held-out"}
        ft.save(one.agents, tmp_path / "again")
        assert ft.load(tmp_path / "again") == one.agents

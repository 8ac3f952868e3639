"""`sweep --search`: what it leaves, that it goes on where it was cut off, and one line for every mistake."""

import csv
import importlib.util

import pytest

import jaxrl_ft as ft
from jaxrl_ft import sweep
from jaxrl_ft.commands import search_run
from jaxrl_ft.sweeps import directory
from jaxrl_ft.training import finetune

SPACE = ["--space", "optimizer.learning-rate=1e-4:1e-2:log"]
FLAGS = ["--shifts", "long-pole", "--methods", "adamw", "--seeds", "4", "--steps", "512", "--search-seeds", "2", *SPACE]
RATE = "optimizer.learning_rate"


@pytest.fixture(scope="module")
def words(saved, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "out"
    return [*FLAGS, "--search", "optuna", "--trials", "9", "--agents", str(saved), "--out", str(out)], out


@pytest.fixture(scope="module")
def cut(words):
    """The directory after Ctrl-C at the sixth trial, and the trials that it held then."""

    write, patch = directory.write_trial, pytest.MonkeyPatch()
    written = []

    def write_and_press(*args):
        write(*args)
        written.append(args)
        if len(written) == 6:
            raise KeyboardInterrupt

    patch.setattr(directory, "write_trial", write_and_press)
    assert sweep.main(words[0]) == 130
    patch.undo()
    return words[1], {file.name: file.read_bytes() for file in (words[1] / "search").glob("*.json")}


@pytest.fixture(scope="module")
def finished(words, cut, undrawn):
    trained = []
    together, patch = finetune.finetune_together, pytest.MonkeyPatch()
    patch.setattr(finetune, "finetune_together", lambda cells, *rest: trained.extend(cells) or together(cells, *rest))
    with undrawn():
        assert sweep.main(words[0]) == 0
    patch.undo()
    return words[1], trained


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_what_was_cut_off_is_gone_on_with_and_nothing_is_repeated(cut, finished):
    out, before = cut
    assert len(before) == 6
    assert {name: (out / "search" / name).read_bytes() for name in before} == before
    assert len(list((out / "search").glob("*.json"))) == 9
    searched = [cell for cell in finished[1] if cell.agents.num_seeds == 2]
    assert len(searched) == 3 * 2


def test_the_search_is_that_of_the_library(finished, agents):
    own = ft.make_task("CartPole-v1", "long-pole")
    held_out = {"long-pole": ft.held_out_tasks("CartPole-v1", "long-pole")}
    found = ft.search(
        agents, {"long-pole": own}, ["adamw"], {RATE: "1e-4:1e-2:log"}, kind="optuna", trials=9, seeds=2, steps=512,
        seed=2**30, held_out=held_out,
    )  # fmt: skip
    rows = read(finished[0] / "search.csv")
    assert [float(row[RATE]) for row in rows] == [row[RATE] for row in found.trials]
    assert [float(row["score"]) for row in rows] == [row["score"] for row in found.trials]
    assert {row["method"] for row in read(finished[0] / "runs.csv")} == {
        "zero_shot", "scratch", "full", "adamw", *found.methods,
    }  # fmt: skip


def test_what_was_found_runs_on_the_target_with_other_seeds_and_the_report_tells_the_search(finished):
    out, trained = finished
    target = ft.make_task("CartPole-v1", "long-pole")
    compared = [cell for cell in trained if cell.agents.num_seeds == 4]
    assert {cell.task.describe() for cell in compared} == {target.describe()}
    seeds = {(row["seed"], row["finetune_seed"]) for row in read(out / "runs.csv")}
    assert seeds == {("0", str(2**31))}
    text = (out / "report.md").read_text()
    assert f"A search tried 9 points in {9 * 4 * 512:,} env steps" in text
    assert "`adamw`: optimizer.learning_rate=" in text and "search.csv" in (out / "report.html").read_text()
    assert (out / "search" / "optuna.sqlite3").exists()


def test_another_search_in_the_directory_is_refused(finished, words, capsys):
    before = (finished[0] / "search.csv").read_bytes()
    for other in (["--trials", "10"], ["--search", "random"], ["--search-seeds", "1"]):
        rest = list(words[0])
        if other[0] in rest:
            del rest[rest.index(other[0]) : rest.index(other[0]) + 2]
        assert sweep.main([*rest, *other]) == 2
        assert "holds another plan, which differs in 'search'" in capsys.readouterr().err
    assert (finished[0] / "search.csv").read_bytes() == before


def test_a_dry_run_tells_the_search_and_writes_nothing(saved, tmp_path, capsys):
    out = tmp_path / "none"
    flags = [*FLAGS, "--search", "halving", "--trials", "3", "--agents", str(saved), "--out", str(out)]
    assert sweep.main([*flags, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "Search: 3 trials of adamw on 2 validation tasks (long-pole@0.9, long-pole@0.6) with 2 agents" in told
    assert f"{3 * 4 * 512:,} env steps" in told
    assert not out.exists()


def test_a_point_that_is_not_finite_is_named(capsys):
    proposal = search_run.proposals.Proposal("lora", 3, 0, 512, {RATE: 0.0021})
    trial = search_run.Trial(proposal, float("nan"), {"a": float("nan")}, 8, 2, 4096)
    line = search_run.progress_line(trial, 3, 9)
    assert line == "[search 3/9] lora optimizer.learning_rate=0.0021: loses; 2 of 8 runs failed"


MISTAKES = {
    "no space": (["--search", "random"], "search: needs --space, such as optimizer.learning-rate=1e-4:1e-2:log"),
    "no search": (SPACE, "space: is not allowed without --search"),
    "unknown search": (["--search", "randon", *SPACE], "did you mean 'random'"),
    "grid": (["--search", "random", *SPACE, "--grid", "optimizer.beta1=0.5"], "grid: is not allowed with --search"),
    "no range": (["--search", "random", "--space", "optimizer.learning-rate"], "space: 'optimizer.learning-rate' is"),
    "unknown field": (["--search", "random", "--space", "optimizer.learning-rat=1:2"], "'optimizer.learning_rate'"),
    "backwards": (["--search", "random", "--space", "optimizer.learning-rate=2:1"], "it must be low < high"),
    "out of range": (["--search", "random", "--space", "optimizer.learning-rate=-1:1"], "learning_rate"),
    "no trials": (["--search", "random", *SPACE, "--trials", "0"], "trials: 0 is not allowed"),
    "no runs": (["--search", "random", *SPACE, "--search-seeds", "0"], "search_seeds: 0 is not allowed"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(name, tmp_path, capsys, nothing_runs):
    flags, message = MISTAKES[name]
    assert sweep.main([*flags, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_optuna_one_line_says_what_to_install(tmp_path, capsys, nothing_runs, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "optuna" else real(name, *rest)
    )
    assert sweep.main(["--search", "optuna", *SPACE, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert 'python -m pip install "jaxrl_ft[hpo]"' in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()

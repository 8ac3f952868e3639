"""The command `sweep`: what it leaves, that it goes on where it was cut off, and one line for every mistake."""

import csv
import json
import re

import pytest

from jaxrl_ft import sweep
from jaxrl_ft.commands.sweep_settings import resolve
from jaxrl_ft.core import machine
from jaxrl_ft.envs.named_shifts import shifts_of
from jaxrl_ft.training import finetune

FLAGS = ["--shifts", "long-pole", "weak-motor", "--methods", "adamw", "--seeds", "4", "--steps", "512"]


@pytest.fixture(scope="module")
def words(saved, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "out"
    return [*FLAGS, "--agents", str(saved), "--grid", "optimizer.learning-rate=1e-3,3e-3", "--out", str(out)], out


@pytest.fixture(scope="module")
def first(words):
    assert sweep.main(words[0]) == 0
    return words[1]


def test_every_run_is_a_row(first):
    with (first / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    methods = ["zero_shot", "scratch", "full", "adamw+learning_rate=0.001", "adamw"]
    assert [(row["target"], row["method"], row["run"]) for row in rows] == [
        (target, method, str(run)) for target in ("long-pole", "weak-motor") for method in methods for run in range(4)
    ]
    rates = {row["method"]: row["hyperparameters.optimizer.learning_rate"] for row in rows}
    assert float(rates["adamw+learning_rate=0.001"]) == pytest.approx(1e-3)
    assert "weak-motor" in (first / "report.md").read_text()


def test_what_was_finished_is_not_done_again(first, words, undrawn, monkeypatch, capsys):
    numbers = sorted((first / "cells").glob("*.json"))
    kept = {file.name: file.read_bytes() for file in numbers}
    before = (first / "runs.csv").read_bytes()
    numbers[3].write_bytes(numbers[3].read_bytes().replace(b'"auc": ', b'"auc": 1', 1))
    (first / "agents" / "long-pole+adamw" / "arrays.safetensors").write_bytes(b"")
    trained = []
    together = finetune.finetune_together

    def counted(cells, *args):
        trained.append(len(cells))
        return together(cells, *args)

    monkeypatch.setattr(finetune, "finetune_together", counted)
    capsys.readouterr()
    with undrawn():
        assert sweep.main(words[0]) == 0
    assert 0 < sum(trained) < len(numbers)
    said = capsys.readouterr()
    assert "8 cells are finished already" in said.err
    assert "000003.json: is damaged (its SHA-256 is another); its cell runs again" in said.err
    assert "arrays.safetensors: is damaged" in said.err
    assert len(said.out.splitlines()) <= 40 and "Over 2 targets, " in said.out
    assert str(first / "report.html") in said.out
    assert {file.name: file.read_bytes() for file in (first / "cells").glob("*.json")} == kept
    assert (first / "runs.csv").read_bytes() == before


def test_a_dry_run_says_what_would_run_and_writes_nothing(words, saved, tmp_path, capsys):
    flags = [*words[0][:-1], str(tmp_path / "none"), "--dry-run"]
    assert sweep.main(flags) == 0
    told = capsys.readouterr().out
    assert "40 runs in 10 cells" in told and "1 programs that learn" in told and "MB" in told
    assert not (tmp_path / "none").exists()


MISTAKES = {
    "empty grid": (["--grid", "optimizer.learning-rate="], "grid: 'optimizer.learning-rate=' is not allowed"),
    "unknown field": (["--grid", "optimizer.learning-rat=1"], "did you mean 'optimizer.learning_rate'"),
    "bad value": (["--grid", "optimizer.learning-rate=fast"], "'fast' is not allowed; it must be a number"),
    "out of range": (["--grid", "optimizer.learning-rate=-1"], "learning_rate"),
    "unknown method": (["--methods", "loar"], "did you mean 'lora'"),
    "unknown shift": (["--shifts", "long-poel"], "did you mean 'long-pole'"),
    "memory": (["--memory-limit", "lots"], "memory_limit: 'lots' is not allowed"),
    "flag that is gone": (["--distributed"], "--distributed: is not a flag any more; --ray shares a sweep"),
    "its companion": (["--num_processes=2"], "--num-processes: is not a flag any more; --ray shares a sweep"),
    "no address": (["--ray", "host"], "ray: 'host' is not allowed; it must be HOST:PORT"),
    "odd port": (["--ray=host:99999"], "ray: 'host:99999' is not allowed; it must be HOST:PORT"),
    "other address": (["--ray", "ray://host:1"], "ray: 'ray://host:1' is not allowed; it must be HOST:PORT"),
    "no CPUs": (["--ray", "--cpus-per-worker", "0"], "cpus_per_worker: 0 is not allowed"),
    "shared dry run": (["--ray", "--dry-run"], "dry_run: is not allowed with --ray"),
    "two seeds": (["--seed", "1", "--seed", "2"], "seed: is given twice; it takes one value"),
    "pretrained twice": (["--agents", "here", "--pretrain-steps", "9"], "pretrain_steps: is not allowed with --agents"),
    "two ranges": (
        ["--search", "random", "--space", "optimizer.eps=1e-8:1e-7", "--space", "optimizer.eps=1e-6:1e-5"],
        "space: 'optimizer.eps' is given twice",
    ),
    "no agents": (["--agents", "nowhere"], "agents: "),
    "what a target lacks": (["--methods", "norm"], "matches no parameter"),
    "what a grid makes of it": (
        ["--methods", "net2wider", "--grid", "warm_start.width=64,4"],
        "warm_start.width: 4 is below the pretrained network's 64 (net2wider+width=4)",
    ),
    "what a search may try": (
        ["--methods", "lora", "--search", "random", "--space", "adapter.rank=1,99"],
        "adapter.rank: 99 is above",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(name, tmp_path, capsys, nothing_runs):
    flags, message = MISTAKES[name]
    assert sweep.main([*flags, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_is_named_in_several_places_adds_up(saved):
    words = "--shifts long-pole --methods lora --grid optimizer.learning-rate=1e-3,3e-3 --shifts=weak-motor long-pole"
    words += f" --grid optimizer.beta1=0.8 --grid optimizer.learning-rate=1e-2,1e-3 --methods=adamw --agents {saved}"
    settings = resolve(words.split())
    assert list(settings.targets) == ["long-pole", "weak-motor"]
    points = [f"+learning_rate={rate}+beta1=0.8" for rate in ("0.001", "0.003", "0.01")]
    assert list(settings.methods)[3:] == [name + point for name in ("lora", "adamw") for point in points]
    assert list(resolve(["--shifts", "long-pole", "--shifts", "all"]).targets) == list(shifts_of("CartPole-v1"))
    assert settings.command.words == tuple(words.split()) and "pretrain_steps" not in settings.plan()


def test_the_report_tells_how_long_given_agents_were_pretrained(first):
    assert "512" in re.search(r"env steps before fine-tuning.*", (first / "report.md").read_text())[0]


def test_another_plan_is_refused_and_nothing_is_overwritten(first, words, capsys):
    before = {file.name: file.read_bytes() for file in first.iterdir() if file.is_file()}
    assert sweep.main([*words[0], "--seed", "1"]) == 2
    assert "holds another plan, which differs in 'seed'" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in first.iterdir() if file.is_file()} == before


def test_a_limit_below_one_run_is_refused(words, tmp_path, capsys):
    assert sweep.main([*words[0][:-1], str(tmp_path / "out"), "--memory-limit", "1K"]) == 2
    assert "memory_limit: 1K is not allowed; one run takes" in capsys.readouterr().err


def test_the_plan_is_json_that_tells_the_methods(first):
    plan = json.loads((first / "plan.json").read_text())["content"]
    assert plan["methods"]["adamw+learning_rate=0.001"]["optimizer"]["learning_rate"] == 1e-3


def test_other_versions_or_agents_are_refused_or_mixed_and_told(first, words, undrawn, monkeypatch, capsys):
    cell = sorted((first / "cells").glob("*.json"))[0]
    kept, versions = cell.read_bytes(), machine.versions()
    monkeypatch.setattr(machine, "versions", lambda: {**versions, "optax": "9.9.9"})
    before = {file: file.read_bytes() for file in first.rglob("*") if file.is_file()}
    assert sweep.main(words[0]) == 2
    assert f"optax: {versions['optax']} then, 9.9.9 now" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in first.rglob("*") if file.is_file()} == before
    cell.unlink()
    with undrawn():
        assert sweep.main([*words[0], "--allow-changes"]) == 0
    told = f"optax: 9.9.9 (1 cells) and {versions['optax']} (9 cells)"
    assert told in (first / "report.md").read_text()
    cell.write_bytes(kept)

"""The command in a report gives the same settings, and `--from-run` repeats a run."""

import dataclasses
import json
import shlex

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.commands import output, settings, sweep_settings
from jaxrl_ft.store import checkpoints, run_directory

CHOICES = [
    ["--shift long-pole", "--shift weak_motor --target.gravity 20", "--target.obs-offset 1 0 -0.5 0", ""],
    ["--source Pendulum-v1 --target.g 15", ""],
    ["--method lora --method.adapter.rank 2", "--method critic-reset", ""],
    ["--adapter partial --method.adapter.pattern '/(head|dense_0)/'", ""],
    ["--seed 4294967295", "--seed=7", ""],
    ["--algo.gamma 0.97 --network.width 32", "--algo.num_envs 16", ""],
    ["--out 'my run'", "--out \"it's $HOME\"", ""],
    ["--optimizer nadamw --optimizer.learning-rate 1e-3", "--optimizer.schedule.final=1", ""],
]  # fmt: skip
SWEEP = ["--shifts", "long-pole", "weak-motor", "--methods", "adamw", "--grid", "optimizer.learning-rate=1e-3,3e-3"]


def meaning(found):
    return json.loads(run_directory.as_json(found.plan())), found.flags, found.target_text


def words(shell, program):
    """The words of a shell line behind its variables and its program."""
    told = shlex.split(shell)
    place = told.index("python")
    assert " ".join(told[place : place + 3]) == program
    return told[:place], told[place + 3 :]


@pytest.mark.parametrize("seed", range(8))
def test_the_command_of_a_report_gives_equal_settings(seed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(seed)
    chosen = [options[rng.integers(len(options))] for options in CHOICES]
    if chosen[1]:
        chosen[0] = ""
    if "--method" in chosen[2]:
        chosen[3] = ""
    found = settings.resolve(shlex.split(" ".join(chosen)))
    variables, again = words(found.command.shell(), "python -m jaxrl_ft.train")
    assert meaning(settings.resolve(again)) == meaning(found)
    assert all(line.startswith(("JAX_", "XLA_FLAGS=")) for line in variables)


def test_variables_that_change_numbers_stand_before_the_command(monkeypatch):
    monkeypatch.setenv("JAX_DEFAULT_MATMUL_PRECISION", "high est")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    variables, _ = words(settings.resolve([]).command.shell(), "python -m jaxrl_ft.train")
    assert "JAX_DEFAULT_MATMUL_PRECISION=high est" in variables
    assert not any("CACHE" in line for line in variables)


@pytest.fixture
def earlier(tmp_path):
    """The directory of a run, as far as its settings."""
    line = [
        "--method",
        "lora",
        "--method.adapter.rank",
        "2",
        "--seed",
        "3",
        "--shift",
        "weak-motor",
        "--algo.gamma",
        "0.9",
    ]
    found = settings.resolve([*line, "--out", str(tmp_path / "earlier")])
    run_directory.create(found.out)
    output.write_config(found)
    return found


def test_a_run_is_repeated_with_the_same_settings_elsewhere(earlier, tmp_path):
    again = settings.resolve(["--from-run", str(earlier.out), "--out", str(tmp_path / "again")])
    assert again.plan() == earlier.plan() and again.out == tmp_path / "again"
    assert dataclasses.replace(again.flags, out=None) == dataclasses.replace(earlier.flags, out=None)
    assert "--from-run" not in again.command.words and str(earlier.out) not in again.command.words
    assert settings.resolve([f"--from_run={earlier.out}"]).plan() == earlier.plan()


def test_a_flag_with_two_names_is_one_flag(earlier, tmp_path):
    again = ["--from-run", str(earlier.out), "--out", str(tmp_path / "again")]
    runs = [settings.resolve([*again, name, "2048"]) for name in ("--steps", "--finetune_steps")]
    assert [run.flags.steps for run in runs] == [2048, 2048]
    assert runs[0].command.words == runs[1].command.words
    run_directory.create(runs[1].out)
    output.write_config(runs[1])
    assert settings.resolve(["--from-run", str(runs[1].out), "--steps", "1024"]).flags.steps == 1024


def test_other_flags_override_those_of_the_run(earlier):
    again = settings.resolve(["--from-run", str(earlier.out), "--seed", "4", "--method", "full", "--algo.gamma=0.8"])
    assert (again.flags.seed, list(again.methods), again.algo.gamma) == (4, ["zero_shot", "scratch", "full"], 0.8)
    assert again.target.describe() == earlier.target.describe()


def test_what_means_something_else_now_is_not_repeated(earlier):
    file = earlier.out / "config.json"
    recorded = json.loads(file.read_text())
    recorded["methods"]["lora+rank=2"]["optimizer"]["learning_rate"] = 0.5
    file.write_text(json.dumps(recorded))
    with pytest.raises(ValueError, match=r"^from_run: .* its command line gives another 'methods' here"):
        settings.resolve(["--from-run", str(earlier.out)])
    assert settings.resolve(["--from-run", str(earlier.out), "--seed", "5"]).flags.seed == 5


def test_what_no_run_made_is_refused(earlier, tmp_path):
    for resolve, path, told in (
        (settings.resolve, tmp_path, "is not the directory of a run"),
        (settings.resolve, tmp_path / "nowhere", "is not the directory of a run"),
        (sweep_settings.resolve, earlier.out, "python -m jaxrl_ft.train made it"),
    ):
        with pytest.raises(ValueError, match=f"^from_run: .*{told}"):
            resolve(["--from-run", str(path)])


def test_given_agents_are_taken_from_the_copy_of_the_run(saved, agents, tmp_path):
    found = settings.resolve(
        ["--agents", str(saved), "--method", "full", "--seeds", "4", "--out", str(tmp_path / "run")]
    )
    run_directory.create(found.out)
    output.write_config(found)
    checkpoints.save(agents, run_directory.source_path(found.out))
    again = settings.resolve(["--from-run", str(found.out)])
    assert again.flags.agents == str(found.out) and again.plan() == found.plan()
    assert any("a copy is in `agents/source`" in note for note in found.command.notes(found.out))


def test_a_sweep_is_repeated_too(saved, tmp_path):
    found = sweep_settings.resolve([*SWEEP, "--agents", str(saved), "--seeds", "4", "--out", str(tmp_path / "sweep")])
    run_directory.create(found.out)
    output.write_config(found)
    checkpoints.save(ft.load(saved), run_directory.source_path(found.out))
    again = sweep_settings.resolve(["--from-run", str(found.out)])
    assert run_directory.as_json(again.plan()) == run_directory.as_json(found.plan())
    _, line = words(found.command.shell(), "python -m jaxrl_ft.sweep")
    assert sweep_settings.resolve(line).plan() == found.plan()
    assert sweep_settings.resolve(["--from-run", str(found.out), "--steps", "512"]).flags.steps == 512

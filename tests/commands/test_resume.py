"""`--resume` goes on with a run where it was cut off, and ends with the files of one that was not."""

import json
import signal

import pytest

from jaxrl_ft import sweep, train
from jaxrl_ft.commands import output, sweep_settings
from jaxrl_ft.commands.settings import resolve
from jaxrl_ft.core import machine
from jaxrl_ft.sweeps import directory
from jaxrl_ft.training.stretch import Pace

COMMANDS = {
    "train": (train, ["--shift", "long-pole", "--method", "adamw", "--steps", "512"]),
    "sweep": (sweep, ["--shifts", "long-pole", "--methods", "adamw", "--seeds", "4", "--steps", "512"]),
}


def flags_of(name, saved):
    return [*COMMANDS[name][1], "--agents", str(saved), *(["--seeds", "4"] if name == "train" else [])]


@pytest.fixture(scope="module")
def whole(saved, undrawn, tmp_path_factory):
    """A function from a command to the directory of a run that was never cut off."""
    known = {}

    def run(name):
        if name not in known:
            known[name] = tmp_path_factory.mktemp(name) / "whole"
            with undrawn():
                assert COMMANDS[name][0].main([*flags_of(name, saved), "--out", str(known[name])]) == 0
        return known[name]

    return run


def assert_same_files(ours, theirs, name):
    """Two runs of a command left equal tables, curves, metrics and agents."""
    found = [path.relative_to(theirs) for folder in ("agents", "curves") for path in (theirs / folder).rglob("*.*")]
    assert len(found) > 6
    for file in [*found, "runs.csv", "table.tex", *["metrics.jsonl"] * (name == "train")]:
        assert (ours / file).read_bytes() == (theirs / file).read_bytes(), file


def interrupted_after(number, monkeypatch):
    """Ctrl-C comes once so many cells are finished."""
    keep, kept = directory.keep, []

    def kept_and_interrupted(*args):
        kept.append(keep(*args))
        if len(kept) == number:
            raise KeyboardInterrupt
        return kept[-1]

    monkeypatch.setattr(directory, "keep", kept_and_interrupted)


def interrupted_within(number, monkeypatch):
    """SIGTERM comes in such a call of the program that trains."""
    took, calls = Pace.took, []

    def taken_and_interrupted(*args):
        took(*args)
        calls.append(args)
        if len(calls) == number:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Pace, "took", taken_and_interrupted)


INTERRUPTED = {"between cells": (interrupted_after, 130), "within one": (interrupted_within, 143)}
WHERE = [pytest.param("between cells", marks=pytest.mark.slow), "within one"]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_goes_on_to_the_files_of_one_that_was_not_cut_off(
    name, where, whole, saved, undrawn, tmp_path, capsys, monkeypatch
):
    command, flags, (interrupt, status) = COMMANDS[name][0], flags_of(name, saved), INTERRUPTED[where]
    cut = tmp_path / "cut"
    with undrawn():
        with monkeypatch.context() as patch:
            interrupt(2, patch)
            assert command.main([*flags, "--out", str(cut)]) == status
        assert f"--resume {cut}` goes on from there" in capsys.readouterr().err
        assert command.main(["--resume", str(cut)]) == 0
    assert_same_files(cut, whole(name), name)
    assert not (cut / output.CHECKPOINTS).exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_is_repeated_to_equal_files(name, whole, undrawn, tmp_path):
    with undrawn():
        assert COMMANDS[name][0].main(["--from-run", str(whole(name)), "--out", str(tmp_path / "again")]) == 0
    assert_same_files(tmp_path / "again", whole(name), name)


def begun(tmp_path):
    """A directory in which `train` was called and did nothing yet."""
    out = tmp_path / "begun"
    settings = resolve(["--seeds", "3", "--out", str(out)])
    output.run_directory.create(out, "train")
    output.write_config(settings)
    return out


def test_a_sweep_may_go_on_with_other_workers(tmp_path):
    out = tmp_path / "begun"
    settings = sweep_settings.resolve(["--seeds", "3", "--ray", "gone:1", "--out", str(out)])
    output.run_directory.create(out, "sweep")
    output.write_config(settings)
    flags = sweep_settings.resolve(["--resume", str(out), "--ray", "here:2", "--cpus-per-worker", "2"]).flags
    assert (flags.seeds, flags.ray, flags.cpus_per_worker) == (3, "here:2", 2)
    assert sweep_settings.resolve(["--resume", str(out)]).flags.ray == "gone:1"


def test_a_resumed_run_has_the_settings_of_its_beginning(tmp_path):
    out = begun(tmp_path)
    settings = resolve(["--resume", str(out)])
    assert settings.command.resumed and settings.out == out and settings.flags.seeds == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resume", "{}", "--seeds", "4"], "resume: takes one directory and no other flag but --ray"),
        (["--resume"], "resume: takes one directory"),
        (["--resume", "nowhere"], "resume: 'nowhere' is not the directory of a run"),
    ],
)
def test_what_cannot_go_on_is_refused(words, message, tmp_path, capsys, nothing_runs):
    out = begun(tmp_path)
    assert train.main([word.format(out) for word in words]) == 2
    assert message in capsys.readouterr().err


def test_other_versions_and_other_programs_are_refused(tmp_path, capsys, monkeypatch, nothing_runs):
    out, versions = begun(tmp_path), machine.versions()
    assert sweep.main(["--resume", str(out)]) == 2
    assert "python -m jaxrl_ft.train made it" in capsys.readouterr().err
    monkeypatch.setattr(machine, "versions", lambda: {**versions, "flax": "9"})
    assert train.main(["--resume", str(out)]) == 2
    assert f"was begun with flax {versions['flax']}, and this is 9" in capsys.readouterr().err
    assert json.loads((out / "config.json").read_text())["flags"]["seeds"] == 3

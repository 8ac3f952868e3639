"""The help of the commands: some thirty flags first, and every flag and name on request."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jaxrl_ft as ft
from jaxrl_ft import sweep, train
from jaxrl_ft.commands.options import AXES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def width_of_a_terminal(monkeypatch):
    """How lines are broken, which differs between terminals."""
    monkeypatch.setenv("COLUMNS", "80")


def test_help_lists_every_name_and_needs_neither_gymnax_nor_matplotlib(tmp_path):
    code = (
        "import sys; from jaxrl_ft.train import main; status = main(['--help-all']); "
        "print([name for name in ('gymnax', 'matplotlib', 'pandas') if name in sys.modules]); sys.exit(status)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("[]\n")
    for table in (ft.METHODS, ft.SHIFTS, ft.ALGOS, *AXES.values()):
        for name in table:
            assert f"  {name:<22} {table.text(name)}\n" in done.stdout
    for flag in ("--warm-start NAME", "--algo.gamma FLOAT", "--target.half-length FLOAT", "--network.width INT"):
        assert flag in done.stdout
    assert "--method.warm-start.scale FLOAT" in done.stdout, "the flags are those of the recommended method"
    assert not re.search(r"\bbases?\b", done.stdout), "the code's word for the pretrained agent"


def flags_of(command, *argv):
    """What a command prints, and the flags in it with their defaults."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert command.main(list(argv)) == 0
    text = out.getvalue()
    flags = re.split(r"(?m)^[│ ] ?(?=--?[a-z])", text)[1:]
    defaults = (re.search(r"\(default: ([^)]*)\)", " ".join(flag.replace("│", "").split())) for flag in flags)
    return text, {flag.split()[0].strip(","): found and found[1] for flag, found in zip(flags, defaults)}


@pytest.mark.parametrize("command", [train, sweep], ids=["train", "sweep"])
def test_the_first_help_is_short_and_part_of_the_whole(command):
    first_text, first = flags_of(command, "--help")
    whole_text, whole = flags_of(command, "--help-all")
    assert len(first) <= 31 and len(first_text.splitlines()) < 155 and "--help-all" in first
    assert first.items() <= whole.items() and len(whole) > len(first)
    for name in (*ft.METHODS, *ft.SHIFTS):
        assert re.search(rf"\b{name}\b", first_text) and ft.SHIFTS.text("long-pole") in whole_text
    assert ("--seeds", "16") in first.items()


def test_the_first_help_has_the_defaults_of_the_method_that_is_named():
    _, of_lora = flags_of(train, "--method", "lora", "--help")
    _, of_full = flags_of(train, "--help", "--method", "full")
    rates = [of["--method.optimizer.learning-rate"] for of in (of_lora, of_full)]
    assert rates == [str(ft.METHODS[name].optimizer.learning_rate) for name in ("lora", "full")]
    _, of_both = flags_of(train, "--method", "lora", "full", "--help")
    assert "--method.optimizer.learning-rate" not in of_both and "--optimizer.learning-rate" in of_both

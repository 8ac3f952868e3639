"""Command lines of every flag with hostile values: a status, one line or the parser's box, never a traceback."""

import contextlib
import dataclasses
import io

import pytest
from helpers import hostile
from hypothesis import strategies as st

import jaxrl_ft as ft
from jaxrl_ft import doctor, sweep, train
from jaxrl_ft.commands.deploy import main as deploy
from jaxrl_ft.commands.options import Flags
from jaxrl_ft.commands.sweep_settings import SweepFlags
from jaxrl_ft.sweeps import cluster

NAMES = {"imports": "import"}
CONFIGS = {"method": ft.METHODS["imagine"], "algo": ft.PPO(), "network": ft.MLP(), "optimizer": ft.Adam()}


def flags(kind):
    return [NAMES.get(field.name, field.name) for field in dataclasses.fields(kind)]


def dotted(*names):
    return [".".join([name, *path]) for name in names for path in hostile.paths(CONFIGS[name])]


QUANTITIES = [f"target.{name}" for name in ft.make_task("CartPole-v1").quantities]
COMMANDS = {
    "train": (train.main, [], [*flags(Flags), *QUANTITIES, *dotted(*CONFIGS)]),
    "sweep": (sweep.main, [], [*flags(SweepFlags), *dotted("algo", "network", "optimizer")]),
    **{f"deploy {name}": (deploy.main, [name], flags(kind)) for name, kind in deploy.SUBCOMMANDS.items()},
    "doctor": (doctor.main, [], ["help", "x"]),
}
TEXTS = (
    "", " ", "x", "0", "1", "-1", "2", "7", "1.5", "-0.5", "1e-3", "1e39", "1e400", "nan", "inf", "-inf", "None",
    "9" * 30, "9" * 5000, "x" * 5000, "é\u202e", "a\nb", "\ud800", "../x", "/", "-", "--", "=", "{}", "[1]", "*",
    "True", "(1,2)", "%s", "CartPole-v1", "Acrobot-v1", "ppo", "dqn", "lora", "full", "all", "long-pole", "cnn", "adam",
    "kl", "none", "highest", "optimizer.learning-rate=1e-3,1e-2", "optimizer.learning-rate=nan", "a=b", "4G", "numpy",
    "random", "optimizer.learning-rate=1e-4:1e-2:log", "optuna", "exact", "tensorboard", "best", "false",
)  # fmt: skip


def lines():
    """A command, and up to three of its flags, each with up to two values."""
    values = st.lists(st.one_of(st.sampled_from(TEXTS), st.integers().map(str), st.floats().map(str)), max_size=2)
    return st.one_of(
        st.tuples(st.just(name), st.lists(st.tuples(st.sampled_from(known), values), max_size=3))
        for name, (_, _, known) in COMMANDS.items()
    )


def check(name, given):
    """Run the command line; it ends as a command may."""
    main, first, _ = COMMANDS[name]
    argv = [*first, *(word for flag, values in given for word in (f"--{flag.replace('_', '-')}", *values))]
    told = io.StringIO()
    try:
        with hostile.limited(), contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
            status = main(argv)
    except hostile.ReachedError:
        return 0
    except SystemExit as error:
        status = error.code
    text = told.getvalue()
    parsers = "usage: " in text or "-----" in text or "╭─" in text
    assert status in (0, 1, 2) and "Traceback" not in text
    assert not status or parsers or (text.count("\n") == 1 and text.startswith("error: ")), text[:3000]
    return status


@pytest.mark.parametrize("examples", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_a_command_line_is_refused_in_one_line_or_trains(examples, tmp_path, monkeypatch, compilations):
    def stop(*_, **__):
        raise hostile.ReachedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "run", stop)
    monkeypatch.setattr(cluster, "joined", stop)
    monkeypatch.setattr(doctor, "look", lambda: doctor.Machine((3, 11), {}))
    seen = []
    compilations.reset()
    with hostile.stopped_at_the_door(monkeypatch):
        hostile.fuzz(lines(), lambda name, given: seen.append(check(name, given)), examples)
    # gymnax computes a number where one of its environments is imported.
    assert not set(compilations.names) - {"convert_element_type"}
    assert {0, 2} <= set(seen)

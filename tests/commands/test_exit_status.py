"""SIGINT and SIGTERM end a command alike: in one line, with a status, and a word of what was finished, if anything."""

import gc
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import jaxrl_ft as ft
from jaxrl_ft import sweep, train
from jaxrl_ft.commands import exit_status

PRETRAIN = ("jaxrl_ft.training.finetune.pretrain", "jaxrl_ft.sweeps.plan.pretrain")
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
KEPT = "interrupted; what was finished is in {0}, and `python -m jaxrl_ft.{1} --resume {0}` goes on from there"
NOTHING = "interrupted; nothing was finished"


@pytest.fixture(params=STATUS, ids=lambda number: number.name)
def interrupt(request):
    """A function that the process sends itself a signal in, with the status that is due."""

    def send(*_, **__):
        signal.raise_signal(request.param)

    return send, STATUS[request.param]


def last_line(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def test_nothing_is_said_to_be_finished_before_it_is(interrupt, tmp_path, monkeypatch, capsys):
    send, status = interrupt
    before = [signal.getsignal(number) for number in STATUS]
    for place in PRETRAIN:
        monkeypatch.setattr(place, send)
    for command in (train, sweep):
        assert command.main(["--out", str(tmp_path / command.__name__)]) == status
        assert last_line(capsys) == NOTHING
    monkeypatch.setattr("jaxrl_ft.commands.settings.resolve", send)
    assert (train.main([]), last_line(capsys)) == (status, "interrupted")
    assert [signal.getsignal(number) for number in STATUS] == before


def test_pretrained_agents_are_something(interrupt, agents, saved, tmp_path, monkeypatch, capsys):
    send, status = interrupt
    for place in PRETRAIN:
        monkeypatch.setattr(place, lambda *_, **__: agents)
    monkeypatch.setattr("jaxrl_ft.sweeps.compare.compare", send)
    monkeypatch.setattr("jaxrl_ft.sweeps.compare.Study.spread", send)
    monkeypatch.setattr(sweep, "most_runs", lambda *_: 4)
    for command in (train, sweep):
        out = tmp_path / command.__name__
        assert command.main(["--out", str(out)]) == status
        assert last_line(capsys) == KEPT.format(out, command.__name__.split(".")[1])
        assert ft.load(out / "agents" / "source").num_seeds == 4
        again = tmp_path / f"{command.__name__} of given agents"
        assert command.main(["--out", str(again), "--agents", str(saved)]) == status
        assert last_line(capsys) == NOTHING


def test_an_error_inside_a_run_is_shown_with_its_traceback(saved, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("inside")

    monkeypatch.setattr("jaxrl_ft.sweeps.compare.compare", broken)
    monkeypatch.setattr("jaxrl_ft.sweeps.compare.Study.spread", broken)
    for place in PRETRAIN:
        monkeypatch.setattr(place, broken)
    monkeypatch.setattr(sweep, "most_runs", lambda *_: 4)
    for command in (train, sweep):
        for flags in ([], ["--agents", str(saved)]):
            with pytest.raises(ValueError, match="inside"):
                command.main([*flags, "--out", str(tmp_path / command.__name__ / str(len(flags)))])


def test_what_is_ignored_stays_ignored(tmp_path, monkeypatch, capsys):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        monkeypatch.setattr(
            "jaxrl_ft.commands.settings.resolve", lambda _: signal.raise_signal(signal.SIGTERM) or sys.exit(7)
        )
        assert train.main([]) == 7
    finally:
        signal.signal(signal.SIGTERM, before)


TINY = "--seeds 4 --pretrain-steps 409600000 --method lora --algo.num-steps 16 --network.width 8"
SWEEP = "--seeds 4 --shifts weak-motor --methods lora kl net2wider --steps 512 --agents {}"
SEARCH = f"{SWEEP} --search random --trials 8 --search-seeds 2 --space optimizer.learning-rate=1e-4:1e-2:log"
MOMENTS = {
    # Programs that are in the cache are ready, and training has begun, before the signal is there.
    "compiling": ("train", TINY, "pretraining: compiling", (NOTHING, KEPT)),
    "pretraining": ("train", TINY, "pretraining: training", (KEPT,)),
    "sweep": ("sweep", SWEEP, r"\[1/", (KEPT,)),
    "search": ("sweep", SEARCH, r"\[search 1/", (KEPT,)),
}


def start(command, flags, out):
    words = [sys.executable, "-m", f"jaxrl_ft.{command}", *flags, "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(Path(ft.__file__).parent.parent)}
    return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)


def stopped(process, number, said):
    """The exit status and the last line of a process that gets a signal once it has said something."""
    for line in process.stderr:
        if said(line) if callable(said) else re.match(said, line):
            process.send_signal(number)
            break
    rest = process.communicate(timeout=300)[1]
    assert "Traceback" not in rest
    return process.returncode, rest.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_process_ends_in_one_line_wherever_it_is(moment, number, saved, tmp_path):
    command, flags, said, lines = MOMENTS[moment]
    out = tmp_path / "out"
    process = start(command, flags.format(saved).split(), out)
    status, last = stopped(process, number, said)
    assert status == STATUS[number] and last in [line.format(out, command) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)
def test_a_sweep_on_workers_leaves_no_process(number, saved, tmp_path):
    out = tmp_path / "out"
    process = start("sweep", [*SWEEP.format(saved).split(), "--ray"], out)
    started = set()

    def said(line):
        started.update(psutil.Process(process.pid).children(recursive=True))
        return re.match(r"\[1/", line)

    status, line = stopped(process, number, said)
    assert (status, line) == (STATUS[number], KEPT.format(out, "sweep"))
    assert len(started) > 2 and not psutil.wait_procs(started, timeout=30)[1]


@pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)
def test_a_library_that_raises_an_interruption_of_its_own_leaves_the_status(number, capsys):
    def command(argv, ending):
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None

    assert exit_status.run(command, []) == STATUS[number]
    assert last_line(capsys) == "interrupted"


@pytest.mark.parametrize("number", STATUS, ids=lambda number: number.name)
def test_an_interruption_that_a_callback_of_the_collector_loses_ends_the_command_all_the_same(number, capsys):
    losses: list[str] = []

    def lose(phase, _):
        if phase == "start" and not losses:
            losses.append(phase)
            signal.raise_signal(number)

    def command(*_):
        gc.collect()
        for _ in range(2000):
            time.sleep(0.01)

    gc.callbacks.append(lose)
    try:
        assert exit_status.run(command, []) == STATUS[number]
    finally:
        gc.callbacks.remove(lose)
    assert losses and capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("closed", [True, False])
def test_what_a_terminal_cannot_show_ends_no_command(closed):
    """A standard output that is closed, or that has no letter for what is printed."""
    code = "import sys; from jaxrl_ft.commands import exit_status, output\n"
    code += "sys.exit(exit_status.run(lambda *_: print('caf\\u00e9', output.width()), []))"
    command = [sys.executable, "-c", code]
    if closed:
        command = [sys.executable, "-c", f"import os; os.close(1); os.execv({command[0]!r}, {command!r})"]
    paths = os.pathsep.join(sys.path)
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"" if closed else b"caf\\xe9 ")

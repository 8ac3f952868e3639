"""`sweep --distributed`: two processes leave what one leaves, bit for bit, and one that is killed is missed at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import jaxrl_ft as ft
from jaxrl_ft.sweeps import directory

pytestmark = pytest.mark.slow
FLAGS = ["--shifts", "weak-motor", "--methods", "adamw", "--seeds", "8", "--steps", "512"]
MAIN = """
import sys, threading, time
from jaxrl_ft import sweep
from jaxrl_ft.commands import sweep_output
from jaxrl_ft.sweeps.sharing import Dealer, Help

sending, dealing = Help.finished, Dealer.deal
held, asked, asked_twice = [], [], threading.Event()

def stall(self, *cell):
    if held:
        print("holds a cell back", flush=True)
        time.sleep(1000)
    held.append(cell)
    sending(self, *cell)

def deal(self, number):
    if number == 0:
        asked_twice.wait()
    else:
        asked.append(number)
        if len(asked) == 2:
            asked_twice.set()
    return dealing(self, number)

modes, *flags = sys.argv[1:]
if "stalls" in modes:
    Help.finished = stall
if "waits" in modes:
    Dealer.deal = deal
if "reports" not in modes:
    sweep_output.write_report = lambda *_: None
sys.exit(sweep.main(flags))
"""
"""The command: process 1 may stop with its second cell, and process 0 let it have two before it takes any itself."""


class Sweep:
    """Starts processes of one tiny sweep, each on one device, in an empty directory of its own."""

    def __init__(self, path):
        self._path, self._started = path, 0

    def start(self, out, *flags, mode=""):
        self._started += 1
        place = self._path / str(self._started)
        place.mkdir()
        variables = {
            "JAX_NUM_CPU_DEVICES": "1",
            "JAX_COMPILATION_CACHE_DIR": str(self._path / "cache"),
            "PYTHONPATH": os.pathsep.join([str(Path(ft.__file__).parent.parent), *sys.path]),
        }
        command = [sys.executable, "-c", MAIN, mode, *FLAGS, "--agents", str(self._path / "agents"), "--out", str(out)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*command, *flags], env=os.environ | variables, cwd=place, **pipes)

    def both(self, out, port, modes=("waits", "")):
        """Process 0, which writes to `out`, and process 1, which is told to write elsewhere."""
        flags = ["--distributed", "--coordinator", f"localhost:{port}", "--num-processes", "2", "--process-id"]
        places = (out, out.with_name(f"{out.name} of process 1"))
        return [self.start(places[i], *flags, str(i), mode=modes[i]) for i in range(2)]


def ended(process):
    """Status and what was said on stderr."""
    said = process.communicate()[1]
    return process.returncode, said


def left(out):
    """Every file of cells and agents with its bytes."""
    return {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*/*") if file.is_file()}


@pytest.fixture(scope="module")
def world(agents, tmp_path_factory):
    path = tmp_path_factory.mktemp("distributed")
    ft.save(agents, path / "agents")
    return Sweep(path)


@pytest.fixture(scope="module")
def alone(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "out"
    status, said = ended(world.start(out))
    assert status == 0, said
    return out


def test_two_processes_leave_what_one_leaves(world, alone, tmp_path, free_port):
    first, second = (ended(process) for process in world.both(tmp_path / "out", free_port))
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert "shared by 2 processes" in first[1]
    assert left(tmp_path / "out") == left(alone)
    assert os.listdir(tmp_path) == ["out"]


def test_a_killed_process_is_missed_at_once_and_the_same_command_goes_on(world, alone, tmp_path, free_port):
    out = tmp_path / "out"
    first, second = world.both(out, free_port, ("waits", "stalls"))
    assert second.stdout.readline() == "holds a cell back\n"
    second.kill()
    status, said = ended(first)
    second.communicate()
    assert status == 1
    assert [line for line in said.splitlines() if "rror" in line or "Traceback" in line] == [
        f"error: process 1 of 2 (counted from 0) was lost; process 0 keeps what was finished in {out}, and the same "
        "commands go on from there"
    ]
    kept = left(out)
    assert 0 < sum(name.startswith("cells") for name in kept) < 4
    status, said = ended(world.start(out))
    assert status == 0 and "finished already" in said
    assert left(out) == left(alone) and kept.items() <= left(out).items()


def test_a_killed_first_process_is_missed_at_once(world, tmp_path, free_port):
    first, second = world.both(tmp_path / "out", free_port, ("waits", "stalls"))
    assert second.stdout.readline() == "holds a cell back\n"
    first.kill()
    first.communicate()
    status, said = ended(second)
    assert status == 1 and said.count("\n") == 2 and "error: process 0 of 2 (counted from 0) was lost; " in said


def test_a_directory_in_use_ends_all_processes_and_stays_as_it_is(world, alone, tmp_path, free_port):
    before = left(alone)
    with directory.claimed(alone):
        first, second = (ended(process) for process in world.both(alone, free_port))
    assert (first[0], second[0]) == (2, 1)
    assert first[1].splitlines()[-1] == f"error: out: {str(alone)!r} is in use by another process"
    assert f"process 0 of 2 (counted from 0) ended: out: {str(alone)!r} is in use" in second[1].splitlines()[-1]
    assert left(alone) == before


def test_processes_with_different_plans_do_nothing(world, tmp_path, free_port):
    flags = ["--distributed", "--coordinator", f"localhost:{free_port}", "--num-processes", "2", "--process-id"]
    both = [world.start(tmp_path / "out", *flags, str(i), "--seed", str(i)) for i in range(2)]
    for status, said in map(ended, both):
        assert status == 2 and "process 1 differs from process 0 in the plan's seed: " in said.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_the_report_is_made_once_from_all_runs(world, tmp_path, free_port):
    alone, out = tmp_path / "alone", tmp_path / "out"
    assert ended(world.start(alone, mode="reports"))[0] == 0
    assert [ended(process)[0] for process in world.both(out, free_port, ("reports waits", "reports"))] == [0, 0]
    assert (out / "runs.csv").read_bytes() == (alone / "runs.csv").read_bytes()
    assert (out / "report.html").exists()

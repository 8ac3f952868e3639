"""Processes that come together: they know each other, refuse strangers and disagreement, and say why they failed."""

import os
import socket
import subprocess
import sys
import threading

import pytest

from jaxrl_ft.sweeps import processes
from jaxrl_ft.sweeps.links import Link

TOKEN = "0123456789abcdef"
FACTS = {"jax": "1", "devices": "2 cpu"}


def gather(*facts, before=None, seconds=5, monkeypatch):
    """What becomes of each process that brings some facts, process 0 first, as if they had met."""
    monkeypatch.setattr(processes, "CONNECTING", seconds)
    found = [None] * len(facts)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()

        def one(number):
            try:
                if number:
                    found[number] = processes._join(address, TOKEN, number, len(facts), facts[number])
                else:
                    found[0] = processes._welcome(listener, TOKEN, len(facts), facts[0])
            except ValueError as error:
                found[number] = str(error)

        if before:
            before(address)
        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(facts)) if facts[number]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return found


def close(*teams):
    for link in (link for team in teams for link in team.links):
        link.close()


def test_each_link_leads_to_the_process_of_its_number(monkeypatch):
    first, *others = gather(FACTS, FACTS, FACTS, FACTS, monkeypatch=monkeypatch)
    assert [team.number for team in (first, *others)] == [0, 1, 2, 3]
    for number, link in enumerate(first.links, 1):
        link.send({"to": number}, bytes([number]))
        assert others[number - 1].links[0].receive() == ({"to": number}, bytes([number]))
        others[number - 1].links[0].send(number)
        assert link.receive() == (number, b"")
    close(first, *others)


def test_processes_that_disagree_all_learn_who_differs_in_what(monkeypatch):
    found = gather(FACTS, FACTS, FACTS | {"jax": "2"}, monkeypatch=monkeypatch)
    assert found == ["distributed: process 2 differs from process 0 in jax: 2 against 1"] * 3


def test_strangers_are_turned_away(monkeypatch):
    strangers = []

    def disturb(address):
        for words in ({"token": "guess", "number": 1, "facts": FACTS}, {"number": 1}, [1]):
            strangers.append(Link(socket.create_connection(address), "process 0"))
            strangers[-1].send(words)
        strangers.append(Link(socket.create_connection(address), "process 0"))
        strangers[-1]._connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")

    first, second = gather(FACTS, FACTS, before=disturb, monkeypatch=monkeypatch)
    second.links[0].send("me")
    assert first.links[0].receive() == ("me", b"")
    for stranger in strangers:
        with pytest.raises(ConnectionError):
            stranger.receive()
        stranger.close()
    close(first, second)


def test_one_that_does_not_connect_is_named(monkeypatch):
    first = gather(FACTS, None, seconds=0.5, monkeypatch=monkeypatch)[0]
    assert first == "distributed: processes [1] met process 0, but do not reach its port"


SAID = {
    "ValueError: coordinator_address should be defined.": "give --coordinator HOST:PORT",
    "F1 client.h:80] Terminating process. absl::Status: DEADLINE_EXCEEDED: Deadline Exceeded": "not all processes met",
    "absl::Status: INVALID_ARGUMENT: Unexpected task registered with task=2": "num_processes must be equal on all",
    "absl::Status: ALREADY_EXISTS: Aborted connect attempt": "the same id",
    "Traceback\nRuntimeError: no such cluster\n": "distributed: RuntimeError: no such cluster",
    "[Gloo] Rank 0 is connected\nJaxRuntimeError: Gloo AllGather failed: timed out": "cannot reach each other: Jax",
    "": "without a word",
}


@pytest.mark.parametrize("said", SAID)
def test_a_failed_meeting_is_explained_in_one_line(said, monkeypatch, tmp_path):
    program = tmp_path / "meeting.py"
    program.write_text(f"import sys\nsys.stderr.write({said!r})\nsys.exit(1)\n")
    monkeypatch.setattr(processes.meeting, "__file__", str(program))
    with pytest.raises(ValueError) as error:
        processes.start("host:1234", 2, 0, dict)
    assert SAID[said] in str(error.value) and "\n" not in str(error.value)


def test_without_a_job_jax_finds_none_and_the_flags_are_named():
    with pytest.raises(ValueError, match=r"no job of SLURM, MPI or Kubernetes was found.*--coordinator HOST:PORT"):
        processes.start(None, None, None, dict)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_nobody_comes(number, free_port, monkeypatch):
    monkeypatch.setattr(processes, "SECONDS", 2)
    with pytest.raises(ValueError, match=f"not all processes met at localhost:{free_port} within 2 s"):
        processes.start(f"localhost:{free_port}", 2, number, dict)


JOBS = {
    "slurm": {
        "SLURM_JOB_ID": "77",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": "{}",
        "SLURM_LOCALID": "{}",
    },
    "open mpi": {
        "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": "{}",
        "OMPI_COMM_WORLD_LOCAL_RANK": "{}",
    },
}
MEMBER = """
from jaxrl_ft.engine import processes
team = processes.start(None, None, None, lambda: {"jax": 1})
for link in team.links:
    link.send(team.number)
    print(team.number, team.count, link.receive()[0])
"""


@pytest.mark.parametrize("job", JOBS)
def test_the_variables_of_a_job_are_enough(job, free_port):
    members = []
    for number in range(2):
        variables = {name: text.format(number) for name, text in JOBS[job].items()}
        variables |= {"JAX_COORDINATOR_PORT": str(free_port), "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", MEMBER]
        members.append(subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.PIPE, text=True))
    assert [member.communicate()[0].strip() for member in members] == ["0 2 1", "1 2 0"]

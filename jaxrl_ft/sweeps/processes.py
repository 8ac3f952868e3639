"""Several processes as one team: process 0 has a link to every other one; each computes on devices of its own."""

import contextlib
import hmac
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jaxrl_ft.sweeps import meeting
from jaxrl_ft.sweeps.links import Link

Facts = Mapping[str, Any]
SECONDS = 300
"""How long to wait for the other processes, as JAX does."""
CONNECTING = 60
"""How long processes that have met may take to connect."""
_GREETING = 2**20


@dataclass(frozen=True)
class Team:
    """What a process knows of all of them."""

    number: int = 0
    count: int = 1
    links: tuple[Link, ...] = ()
    """of process 0 to processes 1, 2, ...; of any other one to process 0"""


def start(coordinator: str | None, count: int | None, number: int | None, facts: Callable[[], Facts]) -> Team:
    """The team, once all processes have met and found that they agree.

    Args:
        coordinator: `HOST:PORT` of process 0. What is left out here and of the next two is found in the variables of
            SLURM, Open MPI, another MPI by mpi4py, or Kubernetes.
        count: processes.
        number: of this process, from 0.
        facts: JSON values by name that must be the same on all; called when it is known which devices are this
            process's own.

    Raises:
        ValueError: not every process came, or they disagree.
    """
    with _listener(coordinator) as listener:
        words = {"port": listener.getsockname()[1], "token": secrets.token_hex(16)}
        met = _meet(coordinator, count, number, words)
        for name, value in met["visible"].items():
            jax.config.update(name, value)
        mine = json.loads(json.dumps(facts()))
        first = met["words"][0]
        if met["number"]:
            host = met["coordinator"].rsplit(":", 1)[0].strip("[]")
            return _join((host, first["port"]), first["token"], met["number"], met["count"], mine)
        return _welcome(listener, first["token"], met["count"], mine)


def name_of(number: int, count: int) -> str:
    """A process, for messages."""
    return f"process {number} of {count} (counted from 0)"


def _listener(coordinator: str | None) -> socket.socket:
    """A socket that takes connections on a free port; from this machine alone where all processes are on it."""
    if coordinator and coordinator.rsplit(":", 1)[0] in ("localhost", "127.0.0.1"):
        return socket.create_server(("127.0.0.1", 0))
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _meet(coordinator: str | None, count: int | None, number: int | None, words: Facts) -> dict[str, Any]:
    """What `meeting.meet` finds.

    Raises:
        ValueError: it failed; the message says why.
    """
    request = {"coordinator": coordinator, "count": count, "number": number, "seconds": SECONDS, "words": words}
    # Flags and devices that the user chose are for the process that computes.
    variables = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1", "XLA_FLAGS": ""}
    command = [sys.executable, "-P", str(Path(meeting.__file__))]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        # An MPI library may talk to its launcher over descriptors that it inherits.
        program = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=errors, env=variables, text=True, close_fds=False
        )
        try:
            with contextlib.suppress(BrokenPipeError):
                print(json.dumps(request), file=program.stdin, flush=True)
            status = program.wait()
        finally:
            program.kill()
            program.communicate()
        out.seek(0)
        errors.seek(0)
        if status:
            raise ValueError(f"distributed: {_reason(errors.read(), coordinator)}")
        return json.loads(out.read().splitlines()[-1])


def _reason(said: str, coordinator: str | None) -> str:
    """Why a meeting failed, from what JAX said last."""
    where = f" at {coordinator}" if coordinator else ""
    last = ([line.strip() for line in said.splitlines() if line.strip()] or ["the meeting ended without a word"])[-1]
    if "Gloo" in last:
        return f"the processes met{where}, but cannot reach each other: {last}"
    if "should be defined" in said or "must be defined" in said:
        return (
            "no job of SLURM, MPI or Kubernetes was found that tells the processes; give --coordinator HOST:PORT, "
            "--num-processes and --process-id"
        )
    if "DEADLINE_EXCEEDED" in said:
        return f"not all processes met{where} within {SECONDS} s; each of them needs the same command and its own id"
    if "Unexpected task" in said:
        return f"this process has an id that the coordinator{where} does not expect; num_processes must be equal on all"
    if "ALREADY_EXISTS" in said:
        return f"another process with the same id came{where}"
    return last


def _join(address: tuple[str, int], token: str, number: int, count: int, facts: Facts) -> Team:
    """The team of a process other than the first.

    Raises:
        ValueError: process 0 cannot be reached, or found that the processes disagree.
    """
    try:
        link = Link(_connected(address), name_of(0, count))
        link.send({"token": token, "number": number, "facts": facts})
        link.wait_at_most(2 * CONNECTING)
        problem = link.receive(_GREETING)[0]
        link.wait_at_most(None)
    except OSError as error:
        raise ValueError(f"distributed: process 0 does not answer at {address[0]}:{address[1]}: {error}") from None
    if problem:
        link.close()
        raise ValueError(problem)
    return Team(number, count, (link,))


def _connected(address: tuple[str, int]) -> socket.socket:
    until = time.monotonic() + CONNECTING
    while True:
        try:
            return socket.create_connection(address, CONNECTING)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _welcome(listener: socket.socket, token: str, count: int, facts: Facts) -> Team:
    """The team of process 0, once all others have connected.

    Raises:
        ValueError: one of them did not, or disagrees.
    """
    links: dict[int, Link] = {}
    problems = []
    until = time.monotonic() + CONNECTING
    while len(links) < count - 1:
        try:
            listener.settimeout(max(until - time.monotonic(), 0.0))
            link = Link(listener.accept()[0], "a process")
        except OSError:
            missing = sorted(set(range(1, count)) - set(links))
            problems.append(f"distributed: processes {missing} met process 0, but do not reach its port")
            break
        number, theirs = _greeted(link, token)
        if not 0 < number < count or number in links:
            link.close()
            continue
        link.name = name_of(number, count)
        links[number] = link
        problems += [
            f"distributed: process {number} differs from process 0 in {text}" for text in _differ(facts, theirs)
        ]
    for link in links.values():
        link.send(problems[0] if problems else "")
    if problems:
        for link in links.values():
            link.close()
        raise ValueError(problems[0])
    return Team(0, count, tuple(links[number] for number in sorted(links)))


def _greeted(link: Link, token: str) -> tuple[int, Facts]:
    """Number and facts of who has connected; 0 for a stranger."""
    try:
        link.wait_at_most(CONNECTING / 4)
        words = link.receive(_GREETING)[0]
        link.wait_at_most(None)
        known = hmac.compare_digest(str(words["token"]), token)
        return (int(words["number"]), dict(words["facts"])) if known else (0, {})
    except (OSError, TypeError, KeyError, ValueError):
        return 0, {}


def _differ(ours: Facts, theirs: Facts) -> list[str]:
    """What differs, in words."""
    names = [*ours, *(name for name in theirs if name not in ours)]
    return [
        f"{name}: {theirs.get(name)} against {ours.get(name)}" for name in names if ours.get(name) != theirs.get(name)
    ]

"""Processes that do nothing but save are killed at random instants; what is there is one save or the next, whole.

    python -m helpers.killed_saves DIRECTORY KILLS SEED

Forks for each kill, which costs no import. Every other kill comes at a random time, within a write or between two; the
others before a random operation on files, such as a rename. Prints how many kills there were, and how many came between
the two renames of a save, when the old bundle lies beside its place.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from jaxrl_ft.core import bundle

OPERATIONS = 26
"""On files, in two saves."""


def save(path, number):
    bundle.write_bundle(path, {"x": np.full(20_000, number)}, {"number": number})


def die_at(operation, folder):
    """Let this process kill itself before the operation of this number, from 1, that it does on files of a folder."""
    left = [operation]

    def hook(event, arguments):
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir") and str(arguments[0]).startswith(folder):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def killed(path, first, seconds=0.0, operation=0):
    """Save number after number in a fork that is killed; returns the last number whose save returned.

    Args:
        path: of the bundle.
        first: number of the first save, which is not killed.
        seconds: after it at which the fork is killed, where `operation` is 0.
        operation: the operation on files after it before which the fork is killed.
    """
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        for number in range(first, first + 10**6):
            save(path, number)
            os.write(tell, number.to_bytes(8, "little"))
            if number == first and operation:
                die_at(operation, str(path.parent))
    os.close(tell)
    with open(told, "rb") as stream:
        begun = stream.read(8)
        if not operation:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        rest = stream.read()
    os.waitpid(child, 0)
    return int.from_bytes((begun + rest)[-8:], "little")


def found(path):
    """The number of the bundle in its place, or else of the newest whole one beside it; and whether it was beside."""
    beside = not path.exists()
    whole = []
    for folder in path.parent.iterdir() if beside else [path]:
        try:
            arrays, metadata = bundle.read_bundle(folder)
        except ValueError:
            if not beside:
                raise
            continue
        assert (arrays["x"] == metadata["number"]).all()
        whole.append(metadata["number"])
    return max(whole), beside


def main(directory, kills, seed):
    path, draw, done, aside = Path(directory) / "b", random.Random(seed), 0, 0
    for kill in range(kills):
        instant = {"operation": draw.randint(1, OPERATIONS)} if kill % 2 else {"seconds": draw.uniform(0.0, 0.02)}
        done = killed(path, done + 1, **instant)
        number, beside = found(path)
        assert number in (done, done + 1), (number, done)
        aside += beside
    print(kills, aside)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

"""Runs of this package that are killed, in forks of a process that has loaded it.

    python -m helpers.killed_runs

Reads a line of JSON for each run, the arguments of `forked`, and answers with one of what that returns. A fork imports
nothing anew, so that an instant of it is one of the run itself.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOADED = ("matplotlib.pyplot", "jaxrl_ft.sweeps.compare", "jaxrl_ft.store.checkpoints", "jaxrl_ft.analysis.report.html",
          "jaxrl_ft.commands.output", "jaxrl_ft.commands.sweep_settings", "jaxrl_ft.training.finetune")  # fmt: skip


def pretrain(words):
    """Pretrain the suite's tiny agents, with a checkpoint after every stretch."""
    import jaxrl_ft as ft

    algo = ft.PPO(num_envs=4, num_steps=16, num_epochs=2, num_minibatches=2)
    settings = {"seeds": 4, "seed": 0, "steps": 512, "num_evals": 3, "eval_episodes": 4, "checkpoint_every": 0.0}
    ft.pretrain(ft.make_task("CartPole-v1"), algo=algo, network=ft.MLP(width=8), checkpoint=words[0], **settings)
    return 0


def command(name):
    return lambda words: importlib.import_module(f"jaxrl_ft.{name}").main(words)


CALLS = {"pretrain": pretrain, "train": command("train"), "sweep": command("sweep")}


def holds_a_bundle(folder):
    try:
        return any(folder.rglob("manifest.json"))
    except OSError:
        # Folders come and go under it.
        return False


def forked(what, words, seconds, behind):
    """Run in a fork that is killed after so many seconds.

    Args:
        what: one of `CALLS`.
        words: its arguments; the last one is the directory that it writes to.
        seconds: from the start, or from the first bundle in the directory.
        behind: whether they count from there.

    Returns: whether it was killed, how long it ran, and when the first bundle was there.
    """
    began, child, folder, first = time.monotonic(), os.fork(), Path(words[-1]), None
    if not child:
        status = 1
        try:
            status = CALLS[what](words)
        finally:
            os._exit(status)
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        now = time.monotonic() - began
        if first is None and holds_a_bundle(folder):
            first = now
        start = first if behind else 0.0
        if start is not None and now - start > seconds:
            os.kill(child, 9)
            ended = os.waitpid(child, 0)
            break
        time.sleep(0.001)
    status = os.waitstatus_to_exitcode(ended[1])
    if status not in (0, -9):
        raise RuntimeError(f"{what} ended with {status}")
    return status != 0, time.monotonic() - began, first


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for name in LOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        answers.write(json.dumps(forked(*json.loads(line))) + "\n")
        answers.flush()


class Runs:
    """The process that forks; for use as a context."""

    def __enter__(self):
        paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        environment = os.environ | {"PYTHONPATH": paths, "JAXRL_FT_STORED_PROGRAMS": "1"}
        words = [sys.executable, "-m", "helpers.killed_runs"]
        self._errors = tempfile.TemporaryFile("w+")
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors, "text": True}
        self._process = subprocess.Popen(words, env=environment, **streams)
        return self

    def __exit__(self, *_):
        self._process.communicate()
        self._errors.close()

    def __call__(self, what, words, seconds=600.0, behind=False):
        """See `forked`."""
        self._process.stdin.write(json.dumps([what, words, seconds, behind]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            self._errors.seek(0)
            raise AssertionError(self._errors.read()[-3000:])
        return json.loads(answer)


if __name__ == "__main__":
    main()

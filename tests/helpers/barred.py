"""A process without a network and without what no user needs to have installed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("optuna", "ray", "pandas", "pyarrow", "tensorboardX", "wandb", "mlflow", "IPython", "ipywidgets", "torch",
          "hypothesis", "beartype", "rliable", "stable_baselines3", "onnx", "onnxruntime")  # fmt: skip
BAR = f"""
import socket, sys

found = list(sys.meta_path)

class Rest:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            return None
        return next(filter(None, (finder.find_spec(name, path, target) for finder in found)), None)

    def find_distributions(self, *args, **kwargs):
        for finder in found:
            if hasattr(finder, "find_distributions"):
                yield from finder.find_distributions(*args, **kwargs)

sys.meta_path[:] = [Rest()]

def refused(*args, **kwargs):
    raise AssertionError("a socket was about to be used")

for name in ("connect", "connect_ex", "bind", "sendto"):
    setattr(socket.socket, name, refused)
for name in ("create_connection", "getaddrinfo", "gethostbyname"):
    setattr(socket, name, refused)
"""


def python(code, *argv, flags=("-W", "error"), cores=None, timeout=600, present=(), **environment):
    """Run code in a process of its own that is barred from sockets and extras; returns what it printed.

    Args:
        code: the program.
        argv: its words.
        flags: of Python.
        cores: numbers of those that it may use.
        timeout: in seconds.
        present: extras that are there all the same.
        environment: variables on top of those of this process.
    """
    bar = BAR.replace(repr(EXTRAS), repr(tuple(name for name in EXTRAS if name not in present)))
    bound = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **environment}
    call = [sys.executable, *flags, "-c", bar + code, *argv]
    done = subprocess.run(call, capture_output=True, text=True, env=variables, timeout=timeout, preexec_fn=bound)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout

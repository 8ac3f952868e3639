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

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())

def refused(*args, **kwargs):
    raise AssertionError("a socket was about to be used")

for name in ("connect", "connect_ex", "bind", "sendto"):
    setattr(socket.socket, name, refused)
for name in ("create_connection", "getaddrinfo", "gethostbyname"):
    setattr(socket, name, refused)
"""


def python(code, *argv, flags=("-W", "error"), cores=None, timeout=600, **environment):
    """Run code in a process of its own that is barred from sockets and extras; returns what it printed."""
    bound = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **environment}
    call = [sys.executable, *flags, "-c", BAR + code, *argv]
    done = subprocess.run(call, capture_output=True, text=True, env=variables, timeout=timeout, preexec_fn=bound)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout

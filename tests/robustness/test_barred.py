"""Without a network, without extras and with warnings as errors."""

import pytest
from helpers import barred


def test_every_public_name_loads_without_extras_a_network_or_a_warning():
    code = "import jaxrl_ft as ft\nprint(len([getattr(ft, name) for name in dir(ft)]))"
    assert int(barred.python(code)) > 100


def test_the_bar_holds():
    for code in ("import optuna", "import wandb.sdk", "socket.socket().connect(('127.0.0.1', 9))",
                 "import warnings; warnings.warn('x')"):  # fmt: skip
        with pytest.raises(AssertionError, match=r"No module named|a socket was about|UserWarning"):
            barred.python(code)


MAIN_JOB = """
import json, sys
from jaxrl_ft import train
status = train.main(sys.argv[1:])
print(json.dumps(status))
"""
PLOTTING = ("pandas",)
"""What gymnax needs of seaborn, which it plots with."""
TINY = (
    "--seeds 2 --pretrain-steps 512 --steps 2048 --method lora --algo.num-envs 4 --algo.num-steps 16 --network.width 8"
)


@pytest.mark.slow
def test_the_main_job_runs_without_extras_a_network_or_a_warning(tmp_path):
    told = barred.python(MAIN_JOB, *TINY.split(), "--out", str(tmp_path / "run"), present=PLOTTING)
    assert told.splitlines()[-1] == "0"
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(tmp_path):
    for name in ("first", "again"):
        barred.python(MAIN_JOB, *TINY.split(), "--out", str(tmp_path / name), present=PLOTTING)
    assert contents(tmp_path / "first") == contents(tmp_path / "again")
    assert len(contents(tmp_path / "first")) > 3


def contents(out):
    files = [out / "runs.csv", *sorted((out / "agents").glob("**/*.safetensors"))]
    return {str(file.relative_to(out)): file.read_bytes() for file in files}

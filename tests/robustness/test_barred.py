"""Without a network, without extras and with warnings as errors; and two processes write equal files."""

import os

import pytest
from helpers import barred

TINY = [
    *("--algo.num-envs", "4", "--algo.num-steps", "16", "--algo.num-epochs", "2", "--algo.num-minibatches", "2"),
    *("--network.width", "8", "--seeds", "2", "--pretrain-steps", "256", "--steps", "1024", "--shift", "long-pole"),
]
TRAIN = "from jaxrl_ft import train\nsys.exit(train.main(sys.argv[1:]))"
LIBRARY = """
import jaxrl_ft as ft
agents = ft.pretrain(ft.make_task("CartPole-v1"), network=ft.MLP(width=8), seeds=2, steps=1024, num_evals=2)
print(ft.evaluate(agents, agents.source, episodes=4).shape)
"""


def test_every_public_name_loads_without_extras_a_network_or_a_warning():
    code = "import jaxrl_ft as ft\nprint(len([getattr(ft, name) for name in dir(ft)]))"
    assert int(barred.python(code)) > 100


def test_the_bar_holds():
    for code in ("import optuna", "import wandb.sdk", "socket.socket().connect(('127.0.0.1', 9))",
                 "import warnings; warnings.warn('x')"):  # fmt: skip
        with pytest.raises(AssertionError, match=r"No module named|a socket was about|UserWarning"):
            barred.python(code)


@pytest.mark.slow
def test_the_command_and_a_call_pass_without_extras_a_network_or_a_warning(tmp_path):
    assert barred.python(LIBRARY).strip() == "(2, 4)"
    assert "Report: " in barred.python(TRAIN, *TINY, "--out", str(tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_processes_with_one_core_and_with_all_write_equal_files(tmp_path):
    every = os.sched_getaffinity(0)
    for name, cores in (("one", {min(every)}), ("all", every)):
        barred.python(TRAIN, *TINY, "--out", str(tmp_path / name), cores=cores, JAX_NUM_CPU_DEVICES="2")
    one, all_ = tmp_path / "one", tmp_path / "all"
    files = [path.relative_to(one) for folder in ("agents", "curves") for path in (one / folder).rglob("*.*")]
    assert len(files) > 12
    for file in [*files, "runs.csv", "metrics.jsonl", "table.tex"]:
        assert (one / file).read_bytes() == (all_ / file).read_bytes(), file

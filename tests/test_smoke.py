"""The public API and both commands, once each at tiny size, on whatever versions are installed; needs pytest alone.

python -m pytest -m slow tests/test_smoke.py
"""

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft import sweep, train

pytestmark = pytest.mark.slow

TINY = [
    *("--algo.num-envs", "4", "--algo.num-steps", "16", "--algo.num-epochs", "2", "--algo.num-minibatches", "2"),
    *("--network.width", "8", "--seeds", "2", "--pretrain-steps", "256"),
]
SHORT = {"steps": 256, "num_evals": 2, "eval_episodes": 2}


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_the_public_api(id, tiny, tmp_path):
    task = ft.make_task(id)
    agents = ft.pretrain(task, algo=tiny.algo, network=tiny.network, seeds=2, **SHORT)
    ft.save(agents, tmp_path / "agents")
    agents = ft.load(tmp_path / "agents")
    tuned = ft.finetune(agents, task, "lora", **SHORT)
    assert np.isfinite(ft.evaluate(tuned, task, episodes=3)).all()
    assert tuned.policy(1)(np.zeros((3, task.obs_size))).shape[0] == 3
    result = ft.compare(agents, {"same": task}, ["l2sp"], seeds=2, episodes=2, **SHORT)
    assert {row["method"] for row in result.runs} == {"zero_shot", "scratch", "l2sp"}
    assert {row["status"] for row in result.runs} == {"ok"}


def test_train(tmp_path):
    words = ["--shift", "weak-motor", "--method", "full", "--finetune-steps", "256", "--out", str(tmp_path / "run")]
    assert train.main([*TINY, *words]) == 0
    assert (tmp_path / "run" / "report.html").stat().st_size > 0


def test_sweep(saved, tmp_path):
    words = ["--agents", str(saved), "--shifts", "weak-motor", "--methods", "l2sp", "--seeds", "4", "--steps", "256"]
    assert sweep.main([*words, "--out", str(tmp_path / "sweep")]) == 0
    assert (tmp_path / "sweep" / "report.html").stat().st_size > 0

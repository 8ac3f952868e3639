"""A thousand calls of the program leave no memory and no file behind."""

import gc

import psutil
import pytest

import jaxrl_ft as ft
from jaxrl_ft.training import stretch

CALLS, WARM = 1000, 200


@pytest.mark.slow
def test_a_thousand_calls_leave_nothing_behind(source, tiny, tmp_path, monkeypatch):
    """One update each, with a checkpoint every second; what JAX allocates at first is not counted."""
    process, seen = psutil.Process(), []
    monkeypatch.setattr(stretch.Pace, "took", lambda *_: seen.append(0) or (len(seen) == WARM and measure()))
    measured = []

    def measure():
        gc.collect()
        measured.append((process.memory_info().rss, process.num_fds()))

    ft.pretrain(
        source,
        algo=tiny.algo,
        network=tiny.network,
        seeds=tiny.seeds,
        steps=CALLS * tiny.algo.steps_per_update(),
        num_evals=21,
        eval_episodes=4,
        checkpoint=tmp_path / "c",
        checkpoint_every=1.0,
    )
    measure()
    assert len(seen) == CALLS
    (before, files), (after, left) = measured
    print(f"{(after - before) / 1e6:.2f} MB, {left - files} file descriptors")
    assert after - before < 10e6 and left <= files

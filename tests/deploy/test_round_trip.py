"""A policy of Stable-Baselines3 comes in, is fine-tuned, and leaves by every door as the same policy."""

import importlib
import shutil
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_whole_round_trip(tmp_path):
    for package in ("torch", "stable_baselines3", "gymnasium", "onnxruntime"):
        pytest.importorskip(package)
    shutil.which("gcc") or pytest.skip("needs gcc")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        script = importlib.import_module("round_trip")
    found = script.measured(tmp_path, methods=("full",))
    assert found["in"]["self-check"] == f"self-check: all {script.NUM_OBS} actions are the same"
    ours = found["full"]["return here, this seed"]
    assert ours["mean"] > found["in"]["target: return here"]["high"]
    assert set(found["full"]["doors"]) == set(script.FORMATS)
    for name, door in found["full"]["doors"].items():
        there = door["return in gymnasium"]
        assert door["further apart than a tie"] == 0 and door["actions that differ"] <= 2, name
        assert there["low"] <= ours["high"] and ours["low"] <= there["high"], (name, there, ours)

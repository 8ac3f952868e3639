"""The evidence that travels with the package is what the results say."""

import importlib
from pathlib import Path

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.advice.evidence import LEADERBOARD

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def advise():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXPERIMENTS))
        yield importlib.import_module("advise")


def test_the_evidence_is_written_by_the_script(advise):
    assert LEADERBOARD.read_text(encoding="utf-8") == advise.written()


def test_unseen_shifts_are_neither_named_ones_nor_those_of_tuning(advise):
    tasks = advise.unseen_shifts()
    assert tasks == advise.unseen_shifts() and len(tasks) == 10
    known = [dict(ft.SHIFTS[name].physics) for name in ft.shifts_of("CartPole-v1")] + list(
        importlib.import_module("methods").DEVELOPMENT.values()
    )
    for physics in tasks.values():
        assert physics not in known
        assert ft.make_task("CartPole-v1", **physics).checked()
    low, high = np.log(advise.MILD)
    for name, physics in tasks.items():
        moved = [abs(np.log(physics[q] / usual)) for q, usual in advise.PHYSICS.items() if q in physics]
        assert len(moved) == 2
        if not name.startswith("strong"):
            assert all(low - 1e-3 <= size <= high + 1e-3 for size in moved)

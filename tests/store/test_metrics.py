"""Metrics as JSON lines: what a line holds, and that a file goes on as if it had never been cut off."""

import json

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.store.metrics import MetricsFile
from jaxrl_ft.training.progress.moments import Progress

STAGES = [{"phase": "pretraining"}]
STAGES += [{"phase": "fine-tuning", "method": method, "target": "long"} for method in ("full", "lora")]


def moment(updates, first_run=0, returns=True):
    metrics = {"loss/value": np.array([0.1, np.nan], np.float32), "kl": np.array([updates, np.inf])}
    found = np.array([updates + 0.5, 3.0]) if returns else None
    return Progress("training", updates, 8, 64 * updates, metrics, 32 * updates, found, first_run)


def write(path, moments):
    file = MetricsFile(path)
    for stage, updates in moments:
        file.record(stage, moment(updates))
    return path


ALL = [(STAGES[0], u) for u in (0, 4, 8)] + [(stage, u) for u in (0, 2, 4) for stage in STAGES[1:]]


def test_a_line_says_where_it_is_and_lists_runs(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.record(STAGES[1], moment(4, first_run=2))
    file.record(STAGES[1], Progress("compiling", 0, 8, 0, {}))
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert list(json.loads(line).items()) == [
        ("phase", "fine-tuning"), ("method", "full"), ("target", "long"), ("first_run", 2), ("update", 4),
        ("step", 128), ("evaluation/episode_return", [4.5, 3.0]), ("kl", [4.0, None]), ("loss/value", [0.1, None]),
    ]  # fmt: skip


@pytest.mark.parametrize("cut", range(len(ALL)))
@pytest.mark.parametrize("back", [0, 1, 3])
def test_a_file_that_goes_on_equals_one_that_was_not_cut_off(cut, back, tmp_path):
    whole = write(tmp_path / "whole", ALL).read_bytes()
    path = write(tmp_path / "cut", ALL[:cut])
    with path.open("ab") as file:
        file.write(whole.splitlines(keepends=True)[cut][: 40 * (cut % 2)])
    # A checkpoint may be older than the last lines, within a training or a batch of them.
    begin = max(3 if cut > 3 else 0, cut - back)
    write(path, ALL[begin:])
    assert path.read_bytes() == whole


def test_parts_of_a_cell_are_trainings_of_their_own(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for first in (0, 2):
        file.record(STAGES[1], moment(4, first_run=first))
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("odd", [b"\xff\xfe\n", b"[]\n", b'{"update": "x"}\n', b"{\n", b"\n", b'{"update": 1}'])
def test_what_is_no_whole_line_is_removed(odd, tmp_path):
    path = write(tmp_path / "metrics.jsonl", ALL[:2])
    kept = path.read_bytes()
    path.write_bytes(kept + odd)
    MetricsFile(path)
    assert path.read_bytes() == kept


def test_a_training_that_goes_on_leaves_the_file_of_one_that_was_not_cut_off(tmp_path, agents, target, tiny):
    def tuned(name, stop=None):
        file = MetricsFile(tmp_path / f"{name}.jsonl")

        def told(moment):
            file.record(STAGES[1], moment)
            if stop is not None and moment.updates == stop:
                raise KeyboardInterrupt

        saving = {"checkpoint": tmp_path / name, "checkpoint_every": 0.0}
        return ft.finetune(agents, target, "full", seed=1, callback=told, **saving, **tiny.budget)

    tuned("whole")
    for stop in (4, 8):
        with pytest.raises(KeyboardInterrupt):
            tuned("cut", stop)
    tuned("cut")
    lines = (tmp_path / "whole.jsonl").read_text().splitlines()
    assert (tmp_path / "cut.jsonl").read_text().splitlines() == lines and len(lines) == 3
    assert len(json.loads(lines[-1])["loss/policy"]) == 4

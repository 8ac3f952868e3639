"""Trackers with the packages themselves, offline; those of wandb and MLflow run where they are installed."""

import importlib
import importlib.util
import json
import warnings
from importlib.metadata import version

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.training.progress.moments import Progress


def installed(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


def moments():
    for updates in (0, 4, 8):
        metrics = {"loss/policy": np.array([0.5, 1.5]) + updates}
        yield Progress("training", updates, 8, 64, metrics, 32 * updates, np.array([updates, updates + 2.0]))


EXPECTED = {
    "loss/policy": [(0, 1.0), (128, 5.0), (256, 9.0)],
    "evaluation/episode_return": [(0, 1.0), (128, 5.0), (256, 9.0)],
    "evaluation/episode_return_min": [(0, 0.0), (128, 4.0), (256, 8.0)],
    "evaluation/episode_return_max": [(0, 2.0), (128, 6.0), (256, 10.0)],
}


def told(tracker):
    with tracker:
        for moment in moments():
            tracker("lora", "long pole/1", moment)


def events(folder):
    """The numbers of the event files in a folder, by name, read as TFRecords."""
    proto = importlib.import_module("tensorboardX.proto.event_pb2")
    found = {}
    for path in sorted(folder.glob("events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            event = proto.Event.FromString(data[at + 12 : at + 12 + length])
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
            at += 16 + length
    return found


def test_tensorboard_reads_back(tmp_path):
    told(ft.TensorBoard(tmp_path))
    assert events(tmp_path / "long_pole_1+lora") == EXPECTED
    with ft.TensorBoard(tmp_path / "alone") as tracker:
        tracker(next(moments()))
    assert set(events(tmp_path / "alone")) == set(EXPECTED)


def test_tensorboard_hides_what_a_training_that_goes_on_does_again(tmp_path):
    proto = importlib.import_module("tensorboardX.proto.event_pb2")
    with ft.TensorBoard(tmp_path) as tracker:
        tracker(list(moments())[1])
    data = next(tmp_path.glob("events*")).read_bytes()
    assert proto.SessionLog.START.to_bytes(1, "little") in data and events(tmp_path)["loss/policy"] == [(128, 5.0)]


def logged(data):
    """The records of a file of wandb, which are in blocks as LevelDB writes its log."""
    at, whole = 7, b""
    while at + 7 <= len(data):
        if 2**15 - at % 2**15 < 7:
            at += 2**15 - at % 2**15
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole, at = whole + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):
            yield whole
            whole = b""


@installed("wandb")
def test_wandb_offline_reads_back(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        told(ft.WandB("project", "group", tmp_path, {"command": "x"}))
        record = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    records = [record.FromString(one) for one in logged(file.read_bytes())]
    run = next(one.run for one in records if one.WhichOneof("record_type") == "run")
    found = {}
    for one in (one for one in records if one.WhichOneof("record_type") == "history"):
        row = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in one.history.item}
        for name in EXPECTED:
            found.setdefault(name, []).append((row["_step"], row[name]))
    assert found == EXPECTED
    assert (run.project, run.display_name, run.run_group) == ("project", "long pole/1+lora", "group")


@installed("mlflow")
def test_mlflow_in_a_local_store_reads_back(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
        tracking = importlib.import_module("mlflow.tracking")
        told(ft.MLflow("project", "group", uri, {"command": "x" * 10_000}))
        client = tracking.MlflowClient(uri)
        experiment = client.get_experiment_by_name("project")
        (run,) = client.search_runs([experiment.experiment_id])
        assert run.info.run_name == "long pole/1+lora" and run.info.status == "FINISHED"
        assert run.data.tags["group"] == "group" and run.data.params["command"].startswith("xxx")
        for name, points in EXPECTED.items():
            assert [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)] == points


def test_a_tracker_of_a_place_that_cannot_be_written_is_warned_of(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match=r"tracker: TensorBoard: (NotADirectoryError|FileExistsError)"):
        told(ft.TensorBoard(tmp_path / "file"))
    assert version("tensorboardX")

"""Files of a running sweep: its plan, one for each finished cell and trial, and a lock while it runs."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np

from jaxrl_ft.core.files import Json
from jaxrl_ft.core.types import Leaf
from jaxrl_ft.store import run_directory
from jaxrl_ft.sweeps.proposals import Proposal, Trial

PLAN, CELLS, LOCK = "plan.json", "cells", "lock"
SEARCH, STUDY = "search", "optuna.sqlite3"


@contextmanager
def claimed(path: Path) -> Iterator[Path]:
    """The directory, for as long as the context lasts in this process alone; it must exist.

    Raises:
        ValueError: another process has it.
    """
    lock = filelock.FileLock(path / LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise ValueError(f"out: {str(path)!r} is in use by another process") from error
    try:
        yield path
    finally:
        lock.release()


def check_plan(path: Path, plan: Mapping[str, Json]) -> None:
    """Refuse a directory that holds another plan; write no file.

    Raises:
        ValueError: it does; the first part that differs is named.
    """
    file = path / PLAN
    if not file.exists():
        return
    try:
        theirs = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"out: {str(file)!r} cannot be read: {error}") from None
    ours = json.loads(run_directory.as_json(plan))
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        if ours.get(name) != theirs.get(name):
            raise ValueError(f"out: {str(path)!r} holds another plan, which differs in {name!r}; give another one")


def write_plan(path: Path, plan: Mapping[str, Json]) -> None:
    """Write the plan into the directory, which must hold no other."""
    check_plan(path, plan)
    (path / CELLS).mkdir(exist_ok=True)
    run_directory.write_json(path / PLAN, plan)


def digest(tree_of_arrays: Mapping[str, Leaf]) -> str:
    """The SHA-256 of arrays by name: equal for equal names, shapes, types and bits alone."""
    found = hashlib.sha256()
    for name in sorted(tree_of_arrays):
        leaf = np.ascontiguousarray(tree_of_arrays[name])
        found.update(f"{name} {leaf.shape} {leaf.dtype} ".encode())
        found.update(leaf.tobytes())
    return found.hexdigest()


def write_cell(path: Path, number: int, cell: Mapping[str, Json]) -> None:
    """Write a finished cell, whole or not at all."""
    run_directory.write_json(path / CELLS / f"{number:06d}.json", cell)


def cells(path: Path) -> dict[int, dict[str, Json]]:
    """The finished cells by number; a number that was not finite is NaN."""
    return {
        int(file.stem): read_back(json.loads(file.read_text())) for file in sorted((path / CELLS).glob("[0-9]*.json"))
    }


def read_back(cell: dict[str, Json]) -> dict[str, Json]:
    """The cell that was written as this JSON, in which NaN is null; in place."""
    for row in cell["rows"]:
        row.update({name: math.nan for name, value in row.items() if value is None})
    return cell


def anything_finished(path: Path) -> bool:
    """Whether a cell, or a trial of a search, is finished."""
    return any([*(path / CELLS).glob("[0-9]*.json"), *(path / SEARCH).glob("*-[0-9]*.json")])


def study_path(path: Path) -> Path:
    """The SQLite file of optuna, beside the trials."""
    return path / SEARCH / STUDY


def write_trial(path: Path, trial: Trial) -> None:
    """Write a finished trial of a search, whole or not at all."""
    (path / SEARCH).mkdir(exist_ok=True)
    fields = {**trial._asdict(), "proposal": trial.proposal._asdict()}
    run_directory.write_json(path / SEARCH / f"{trial.proposal.method}-{trial.proposal.number:06d}.json", fields)


def trials(path: Path) -> list[Trial]:
    """The finished trials; a score that was not finite is NaN."""
    found = []
    for file in sorted((path / SEARCH).glob("*-[0-9]*.json")):
        fields = json.loads(file.read_text())
        scores = {task: math.nan if score is None else score for task, score in fields["scores"].items()}
        score = math.nan if fields["score"] is None else fields["score"]
        found.append(Trial(**{**fields, "proposal": Proposal(**fields["proposal"]), "score": score, "scores": scores}))
    return found

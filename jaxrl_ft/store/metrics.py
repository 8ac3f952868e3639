"""Metrics of a run as JSON lines: one object for every moment of a training at which its metrics are known.

    {"phase": "fine-tuning", "method": "lora", "target": "long-pole", "first_run": 0, "update": 32, "step": 16384,
     "evaluation/episode_return": [500.0, 493.1], "loss/policy": [-0.012, -0.009], ...}

`step` counts the environment steps of each run, what its method paid before training included. Lists are by run, from
`first_run` on, those of `loss/`, `rollout/` and their like by member of a population; NaN and infinities are null.
No line holds a time, so that equal runs write equal files.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from jaxrl_ft.core.files import Json, write_text
from jaxrl_ft.training.progress.moments import Progress

METRICS = "metrics.jsonl"
RETURN = "evaluation/episode_return"
_STAGE = ("phase", "method", "target", "first_run")
_Stage: TypeAlias = tuple[Json, ...]


class MetricsFile:
    """A file that gets a line for every moment; lines of a training that goes on from an earlier moment are replaced.

    Args:
        path: of the file. If it is there, whole lines are kept, and one that was cut off is removed.

    Raises:
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: dict[_Stage, int] = {}
        """the last update of each training in the file"""
        if path.exists():
            text = path.read_text(encoding="utf-8", errors="replace")
            lines = [line for line in text.splitlines(keepends=True) if _read(line) is not None]
            if "".join(lines) != text:
                write_text(path, "".join(lines))
            for line in lines:
                self._note(_read(line) or {})

    def record(self, stage: Mapping[str, str], moment: Progress) -> None:
        """Write a line.

        Args:
            stage: `phase`, and `method` and `target` where there are any.
            moment: of its training; one that measured nothing has no line.

        Raises:
            OSError: the file cannot be written.
        """
        values = measured(moment)
        if not values:
            return
        row = {**stage, "first_run": moment.first_run, "update": moment.updates, "step": moment.step}
        row |= {name: _plain(column) for name, column in values.items()}
        self._cut(row)
        with self._path.open("ab") as file:
            file.write(f"{json.dumps(row, allow_nan=False)}\n".encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        self._note(row)

    def _cut(self, row: Mapping[str, Json]) -> None:
        """Remove the lines of the same training from this moment on, as after a checkpoint that is older than they."""
        if self._last.get(_stage(row), -1) < row["update"]:
            return
        lines = self._path.read_text(encoding="ascii").splitlines(keepends=True)
        kept = [line for line in lines if not _follows(_read(line) or {}, row)]
        write_text(self._path, "".join(kept))

    def _note(self, row: Mapping[str, Json]) -> None:
        self._last[_stage(row)] = row["update"]


def measured(moment: Progress) -> dict[str, np.ndarray]:
    """All that a moment measured, by name, the return of evaluations first."""
    returns = {} if moment.returns is None else {RETURN: moment.returns}
    return {**returns, **{name: moment.metrics[name] for name in sorted(moment.metrics)}}


def _stage(row: Mapping[str, Json]) -> _Stage:
    return tuple(row.get(name) for name in _STAGE)


def _follows(line: Mapping[str, Json], row: Mapping[str, Json]) -> bool:
    """Whether a line is of the training of `row` and not before it."""
    return _stage(line) == _stage(row) and bool(line["update"] >= row["update"])


def _read(line: str) -> dict[str, Json] | None:
    """The object of a whole line; None for anything else."""
    try:
        row = json.loads(line) if line.endswith("\n") else None
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("update"), int) else None


def _plain(values: np.ndarray) -> list[float | None]:
    # As text a float32 has the fewest digits that give it back.
    return [float(str(value)) if np.isfinite(value) else None for value in values]

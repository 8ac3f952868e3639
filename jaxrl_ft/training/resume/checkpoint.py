"""Checkpoints of one training in a directory of bundles: the newest whole one is where a call goes on.

A checkpoint is a folder named by the updates done. The last two are kept, so that one that is damaged leaves another,
and the best one: a call goes on from there once those behind it are removed by hand.
"""

import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.bundle import METADATA, Arrays, read_bundle, remove_bundle, write_bundle
from jaxrl_ft.core.files import Json, claimed
from jaxrl_ft.core.json_files import parse_json

KEPT = 2
"""Checkpoints that are kept besides the best one, the newest ones."""
EVERY = 10.0
"""Seconds between two checkpoints by default."""
LONGEST = 1e9
"""Seconds between two checkpoints at most."""
_KIND = "training"


class Checkpoint:
    """Where a training writes how far it is.

    Args:
        path: of a directory that exists.
        every: seconds between two checkpoints.
        identity: all that decides the numbers of the training, as JSON.
    """

    def __init__(self, path: Path, every: float, identity: Mapping[str, Json]) -> None:
        # As JSON gives it back, with lists in the place of tuples.
        self._path, self._every, self._identity = path, every, json.loads(json.dumps(dict(identity)))
        self._last = time.monotonic()
        self._scores: dict[str, float] = {}

    @property
    def due(self) -> bool:
        """Whether the last checkpoint, or the start, is long enough ago."""
        return time.monotonic() - self._last >= self._every

    def write(self, arrays: Mapping[str, np.ndarray], position: Mapping[str, int], score: float = -math.inf) -> None:
        """Write a checkpoint, and remove those that are neither among the last ones nor the best.

        Args:
            arrays: all that the rest of the training reads, by name.
            position: where it is; `at` is the number of updates done.
            score: the larger the better, the first of equals; minus infinity where it is not known.
        """
        known = score if math.isfinite(score) else None
        metadata = {"kind": _KIND, "identity": self._identity, "position": dict(position), "score": known}
        write_bundle(self._path / f"{position['at']:010d}", arrays, metadata)
        self._scores[f"{position['at']:010d}"] = -math.inf if known is None else known
        found = self._folders()
        scores = {folder: self._score(folder) for folder in reversed(found)}
        best = max(scores, key=scores.__getitem__)
        for old in found[KEPT:]:
            if old != best or not math.isfinite(scores[best]):
                remove_bundle(old)
        self._last = time.monotonic()

    def _score(self, folder: Path) -> float:
        """The score of a checkpoint, whose file is read once; minus infinity where it is not known."""
        if folder.name not in self._scores:
            try:
                score = parse_json(folder / METADATA, (folder / METADATA).read_bytes()).get("score")
            except (OSError, ValueError):
                score = None
            self._scores[folder.name] = score if isinstance(score, float) else -math.inf
        return self._scores[folder.name]

    def newest(self) -> tuple[Arrays, dict[str, int]] | None:
        """The arrays and the position of the newest checkpoint that is whole; None where there is none.

        Raises:
            ValueError: it is of another training; the first part that differs is named.
        """
        for folder in self._folders():
            try:
                arrays, metadata = read_bundle(folder)
            except ValueError as error:
                warnings.warn(f"checkpoint: {error}; an earlier one is taken, if there is one", stacklevel=2)
                continue
            if metadata.get("kind") != _KIND:
                raise ValueError(f"checkpoint: {str(folder)!r} holds {metadata.get('kind')!r}, not a training")
            differs = _difference(metadata["identity"], self._identity)
            if differs:
                raise ValueError(
                    f"checkpoint: {str(self._path)!r} is of another training, which differs in {differs}; give "
                    "another path"
                )
            return arrays, metadata["position"]
        return None

    def _folders(self) -> list[Path]:
        """The folders of checkpoints, the newest first."""
        return sorted(self._path.glob("[0-9]*"), reverse=True)


@contextmanager
def opened(path: str | Path, every: float, identity: Mapping[str, Json]) -> Iterator[Checkpoint]:
    """The checkpoint of a call for as long as the context lasts, in this process alone.

    Args:
        path: the directory, which is made where it is not there.
        every: as in `Checkpoint`.
        identity: as in `Checkpoint`.

    Raises:
        ValueError: it is not a directory, cannot be made, or is in use by another process.
    """
    directory = made(path)
    with claimed(directory, "checkpoint"):
        yield Checkpoint(directory, every, identity)


def made(path: str | Path) -> Path:
    """The directory, made where it is not there.

    Raises:
        ValueError: it is not a directory, or cannot be made.
    """
    directory = Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"checkpoint: {str(path)!r} cannot be used: {error.strerror}") from error
    return directory


def check(path: object, every: object) -> None:
    """Refuse a checkpoint that is no path, and an interval that is no number of seconds.

    Raises:
        ValueError: one of them is.
    """
    if path is not None:
        checks.path("checkpoint", path)
    checks.number("checkpoint_every", every, 0.0, LONGEST, "s")


def _difference(theirs: Json, ours: Json, name: str = "") -> str:
    """The dotted name of the first part that differs, with both values; empty where none does."""
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        pairs = [_difference(*pair, f"{name}[{i}]") for i, pair in enumerate(zip(theirs, ours))]
        return next(filter(None, pairs), "")
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in dict.fromkeys([*ours, *theirs]):
            found = _difference(theirs.get(key), ours.get(key), f"{name}.{key}".lstrip("."))
            if found:
                return found
        return ""
    return "" if theirs == ours else f"{name} ({checks.shown(theirs)} there, {checks.shown(ours)} here)"

"""What all trackers share: metrics go to them from a thread of their own, and no fault of theirs reaches a run."""

import atexit
import queue
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import ClassVar, Self

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.store.metrics import RETURN, measured
from jaxrl_ft.training.progress.moments import Progress

WAITING = 10_000
"""Records that wait for a slow tracker at most; more are dropped."""
CLOSING = 30.0
"""Seconds that closing waits for what is on its way."""


class Writer(ABC):
    """One curve of a tracker: what it calls a run."""

    @abstractmethod
    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send numbers of a moment.

        Args:
            step: environment steps of each run.
            metrics: by name.
        """

    @abstractmethod
    def close(self) -> None:
        """Send what is left."""


class Tracker(ABC):
    """A callback of `ft.pretrain`, `ft.finetune` and `ft.compare` that sends metrics to an experiment tracker.

    Means over runs are sent, and of evaluations also the lowest and the highest run. Every method on every target of a
    comparison is a run of the tracker, so that their curves lie over each other. A tracker that fails, or that is too
    slow, is warned of once, and training goes on without it, to the same bits. `close` sends what is left, as the end
    of a `with` block and of the process do.
    """

    package: ClassVar[str]
    """the package that sends"""
    extra: ClassVar[str]
    """the extra of this package that installs it"""

    def __init__(self) -> None:
        self._sender: _Sender | None = None

    @classmethod
    def check(cls, field: str = "tracker") -> None:
        """Refuse a tracker whose package is missing.

        Args:
            field: what the user calls it.

        Raises:
            ValueError: it is; says how to install it.
        """
        checks.package(field, cls.package, cls.extra)

    @abstractmethod
    def open(self, stage: str, step: int) -> Writer:
        """A run of the tracker; called on the thread that sends.

        Args:
            stage: its name, such as `long-pole+lora`; empty for a call that trains one method alone.
            step: of what comes first; more than 0 where a training goes on.
        """

    def record(self, stage: str, moment: Progress) -> None:
        """Send what a moment measured, if anything; returns at once.

        Args:
            stage: as in `open`.
            moment: of its training.
        """
        metrics = means(moment)
        if not metrics:
            return
        if self._sender is None:
            self._sender = _Sender(self)
            atexit.register(self.close)
        self._sender.put((stage, moment.step, metrics))
        self._warn(self._sender.problem())

    def __call__(self, *told: str | Progress | None) -> None:
        """Record a moment, as a callback of one training or of a comparison."""
        *cell, moment = told
        if isinstance(moment, Progress):
            self.record("+".join(str(name) for name in reversed(cell)), moment)

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        if self._sender is not None:
            self._sender.finish()
            self._warn(self._sender.problem())
            self._sender = None
            atexit.unregister(self.close)

    def _warn(self, problem: str) -> None:
        if problem:
            warnings.warn(f"tracker: {type(self).__name__}: {problem}; the run goes on without it", stacklevel=3)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def means(moment: Progress) -> dict[str, float]:
    """The means of a moment over its runs; what no run has a number for is left out, as behind the stop of all."""
    found = {name: _mean(values) for name, values in measured(moment).items()}
    if moment.returns is not None and len(moment.returns) > 1:
        found |= {f"{RETURN}_min": float(moment.returns.min()), f"{RETURN}_max": float(moment.returns.max())}
    return {name: value for name, value in found.items() if not np.isnan(value)}


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if known.size else float("nan")


class _Sender:
    """The thread that sends, with what waits for it."""

    def __init__(self, tracker: Tracker) -> None:
        self._open = tracker.open
        self._waiting: queue.Queue[tuple[str, int, dict[str, float]] | None] = queue.Queue(WAITING)
        self._problem, self._told = "", False
        self._thread = threading.Thread(target=self._send, name=type(tracker).__name__, daemon=True)
        self._thread.start()

    def put(self, record: tuple[str, int, dict[str, float]] | None) -> None:
        """Add a record to what waits, or None for the end."""
        if not self._thread.is_alive():
            return
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self._problem = self._problem or "is too slow, and what comes now is not sent"

    def problem(self) -> str:
        """What went wrong, the first time that it is asked for after it did."""
        if self._told or not self._problem:
            return ""
        self._told = True
        return self._problem

    def finish(self) -> None:
        """Wait until everything is sent, for some seconds at most."""
        self.put(None)
        self._thread.join(CLOSING)
        if self._thread.is_alive():
            self._problem = self._problem or f"did not answer within {CLOSING:.0f} s"

    def _send(self) -> None:
        writers: dict[str, Writer] = {}
        try:
            while (record := self._waiting.get()) is not None:
                stage, step, metrics = record
                if stage not in writers:
                    writers[stage] = self._open(stage, step)
                writers[stage].write(step, metrics)
        except Exception as error:
            self._problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        for writer in writers.values():
            try:
                writer.close()
            except Exception as error:
                self._problem = self._problem or f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

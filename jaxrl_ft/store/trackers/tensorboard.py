"""TensorBoard: event files, written by tensorboardX, which needs no TensorFlow."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from jaxrl_ft.core.files import Json
from jaxrl_ft.store.run_directory import file_name
from jaxrl_ft.store.trackers.base import Tracker, Writer


class TensorBoard(Tracker):
    """Write event files for TensorBoard: `tensorboard --logdir PATH` shows them (extra `tensorboard`).

    Args:
        path: the directory; every method on every target of a comparison has a folder in it.

    Raises:
        ValueError: tensorboardX is not installed.
    """

    package, extra = "tensorboardX", "tensorboard"

    def __init__(self, path: str | Path) -> None:
        self.check()
        super().__init__()
        self._path = Path(path)

    @classmethod
    def of_command(cls, project: str, run: str, directory: Path, config: Mapping[str, Json]) -> Self:
        """The tracker of a command: event files in a folder `tensorboard` of the directory."""
        return cls(directory / "tensorboard")

    def open(self, stage: str, step: int) -> Writer:
        """An event file; steps of earlier ones in its folder from here on are no longer shown."""
        path = self._path / file_name(stage) if stage else self._path
        module = importlib.import_module(self.package)
        return _Events(module.SummaryWriter(str(path), purge_step=step or None))


class _Events(Writer):
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send numbers of a moment."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Send what is left."""
        self._writer.close()

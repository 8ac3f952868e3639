"""Weights & Biases."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from jaxrl_ft.core.files import Json
from jaxrl_ft.store.trackers.base import Tracker, Writer


class WandB(Tracker):
    """Send metrics to Weights & Biases (extra `wandb`); `WANDB_MODE=offline` keeps them on this machine.

    Args:
        project: the project.
        run: the name of the run, or of the group of runs of a comparison; without it wandb makes one up.
        path: where wandb keeps its files, in a folder `wandb`; without it the current directory.
        config: what wandb shows as the run's configuration.

    Raises:
        ValueError: wandb is not installed.
    """

    package, extra = "wandb", "wandb"

    def __init__(
        self,
        project: str = "jaxrl_ft",
        run: str | None = None,
        path: str | Path | None = None,
        config: Mapping[str, Json] | None = None,
    ) -> None:
        self.check()
        super().__init__()
        self._project, self._run, self._path, self._config = project, run, path, dict(config or {})

    @classmethod
    def of_command(cls, project: str, run: str, directory: Path, config: Mapping[str, Json]) -> Self:
        """The tracker of a command: runs whose files lie in the directory."""
        return cls(project, run, directory, config)

    def open(self, stage: str, step: int) -> Writer:
        """A run of its own, whatever others the process has."""
        wandb = importlib.import_module(self.package)
        run = wandb.init(
            project=self._project,
            name=stage or self._run,
            group=self._run if stage else None,
            dir=None if self._path is None else str(self._path),
            config={**self._config, "stage": stage} if stage else self._config,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        return _Run(run)


class _Run(Writer):
    def __init__(self, run: Any) -> None:
        self._run = run

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send numbers of a moment."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()

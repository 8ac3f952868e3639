"""MLflow."""

import importlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from jaxrl_ft.core.files import Json
from jaxrl_ft.store.trackers.base import Tracker, Writer

_LONGEST = 500
"""Characters of a parameter at most; the server's limit."""


class MLflow(Tracker):
    """Send metrics to MLflow (extra `mlflow`).

    Args:
        project: the experiment.
        run: the name of the run, and the tag `group` of the runs of a comparison; without it MLflow makes one up.
        uri: of the tracking server or store, such as `http://localhost:5000`; without it what MLFLOW_TRACKING_URI says.
        config: what MLflow shows as the run's parameters.

    Raises:
        ValueError: mlflow is not installed.
    """

    package, extra = "mlflow", "mlflow"

    def __init__(
        self,
        project: str = "jaxrl_ft",
        run: str | None = None,
        uri: str | None = None,
        config: Mapping[str, Json] | None = None,
    ) -> None:
        self.check()
        super().__init__()
        self._project, self._run, self._uri, self._config = project, run, uri, dict(config or {})

    @classmethod
    def of_command(cls, project: str, run: str, directory: Path, config: Mapping[str, Json]) -> Self:
        """The tracker of a command: runs on the server or in the store that MLFLOW_TRACKING_URI names."""
        return cls(project, run, None, config)

    def open(self, stage: str, step: int) -> Writer:
        """A run of its own, whatever is active in the process."""
        client = importlib.import_module("mlflow.tracking").MlflowClient(self._uri)
        experiment = client.get_experiment_by_name(self._project)
        number = client.create_experiment(self._project) if experiment is None else experiment.experiment_id
        tags = {"group": self._run, "stage": stage} if stage and self._run else {}
        run = client.create_run(number, run_name=stage or self._run, tags=tags).info.run_id
        for name, value in self._config.items():
            client.log_param(run, name, str(value)[:_LONGEST])
        return _Run(client, run)


class _Run(Writer):
    def __init__(self, client: Any, run: str) -> None:
        self._client, self._run = client, run
        self._metric = importlib.import_module("mlflow.entities").Metric

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send numbers of a moment."""
        now = int(1000 * time.time())
        self._client.log_batch(self._run, [self._metric(name, value, now, step) for name, value in metrics.items()])

    def close(self) -> None:
        """Send what is left."""
        self._client.set_terminated(self._run)

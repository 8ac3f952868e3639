"""What records the metrics of several trainings: a file in a directory of results, and trackers."""

from collections.abc import Mapping, Sequence

from jaxrl_ft.store.metrics import MetricsFile
from jaxrl_ft.store.trackers.base import Tracker
from jaxrl_ft.training.progress.moments import Progress

PRETRAINING, FINE_TUNING = "pretraining", "fine-tuning"


class Recorder:
    """What gets every moment of a command's trainings.

    Args:
        file: of the directory; None where it has none.
        trackers: that get the same.
    """

    def __init__(self, file: MetricsFile | None, trackers: Sequence[Tracker]) -> None:
        self._file, self._trackers = file, trackers

    @property
    def records(self) -> bool:
        """Whether anything is recorded."""
        return self._file is not None or bool(self._trackers)

    def pretraining(self, moment: Progress) -> None:
        """Record a moment of pretraining."""
        self._record({"phase": PRETRAINING}, PRETRAINING, moment)

    def cell(self, method: str, target: str, moment: Progress | None) -> None:
        """Record a moment of a fine-tune; the end of one holds nothing new."""
        if moment is not None:
            stage = {"phase": FINE_TUNING, "method": method, "target": target}
            self._record(stage, f"{target}+{method}", moment)

    def _record(self, stage: Mapping[str, str], name: str, moment: Progress) -> None:
        if self._file is not None:
            self._file.record(stage, moment)
        for tracker in self._trackers:
            tracker.record(name, moment)

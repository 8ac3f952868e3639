"""The calls of a callback while training goes on."""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxrl_ft.training.evaluation import faults
from jaxrl_ft.training.evaluation.faults import Fault
from jaxrl_ft.training.progress.moments import Callback, Progress
from jaxrl_ft.training.spec import Spec


class Reports:
    """The calls of a callback, of the runs of several groups together.

    Args:
        callback: to call, if any.
        specs: of each group; all have one budget.
    """

    def __init__(self, callback: Callback | None, specs: Sequence[Spec]) -> None:
        self._callback, self._specs = callback, specs
        self._known = 0

    def compiling(self, paid: int) -> None:
        """Report that nothing runs yet.

        Args:
            paid: environment steps of each run that are no updates.
        """
        self._call("compiling", 0, paid, {}, None, {})

    def moment(
        self, updates: int, paid: int, means: Mapping[str, np.ndarray], returns: np.ndarray | None, found: Fault
    ) -> None:
        """Report updates.

        Args:
            updates: done so far.
            paid: as in `compiling`.
            means: the metrics, [M] or more, which fill up the program.
            returns: of an evaluation, [R] or more, or None.
            found: of every run, [R].
        """
        broken = faults.texts(found)
        self._known = len(broken)
        self._call("training", updates, paid, means, returns, broken)

    def if_new(self, updates: int, paid: int, found: Fault) -> None:
        """Report that another run has a fault, if one has; without metrics, as it depends on the clock when that is."""
        if np.count_nonzero(found.quantity) > self._known:
            self.moment(updates, paid, {}, None, found)

    def _call(
        self,
        phase: str,
        updates: int,
        paid: int,
        means: Mapping[str, np.ndarray],
        returns: np.ndarray | None,
        broken: Mapping[int, str],
    ) -> None:
        if self._callback is None:
            return
        spec, runs = self._specs[0], sum(spec.num_runs for spec in self._specs)
        members = sum(spec.num_members for spec in self._specs)
        trimmed = {name: values[:members] for name, values in means.items()}
        returns = None if returns is None else returns[:runs]
        spent = updates * spec.env_steps_per_update
        self._callback(
            Progress(phase, updates, spec.num_updates, spent * runs, trimmed, paid + spent, returns, not_finite=broken)
        )

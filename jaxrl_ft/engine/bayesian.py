"""The one door to optuna, which is an extra: points that a tree-structured Parzen estimator proposes."""

import importlib
import importlib.util
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_ft.engine.proposing import Search, Trial
from jaxrl_ft.methods.spaces import Dimension, Point, Range, rounded

INDEX = "trial"
"""The attribute that tells which of our trials one of optuna's is"""


def check() -> None:
    """Refuses to go on without optuna.

    Raises:
        ValueError: it is not installed; says how to.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ValueError('search: optuna is not installed; python -m pip install "jaxrl_ft[hpo]"')


@dataclass(frozen=True)
class TPE(Search):
    """Tree-structured Parzen estimator (Bergstra et al. 2011, NIPS 24) by optuna, in batches.

    A batch is asked for as a whole, each of its points with those before it counted as bad (a constant liar), so that
    they differ. Its sampler has a seed for every trial, and sees batches that are finished alone; so a search that is
    gone on with proposes what it would have proposed.
    """

    storage: Path | None = None
    """the SQLite file that keeps the study, under the method's name; in memory without"""

    def proposals(self, finished: Sequence[Trial]) -> list[Any]:
        """What to try next, nothing at the end, when the study holds every trial."""
        found = super().proposals(finished)
        if not found:
            with self._study(finished):
                pass
        return found

    def points(self, index: int, num: int, finished: Sequence[Trial]) -> list[Point]:
        """The points of a round; the method's own is the very first."""
        own = None if finished else self.dimensions.own()
        first = [] if own is None else [own]
        with self._study(finished) as (optuna, study):
            numbers = range(len(finished) + len(first), len(finished) + num)
            return [*first, *(self._asked(optuna, study, number) for number in numbers)]

    def _asked(self, optuna: Any, study: Any, number: int) -> Point:
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        trial = study.ask(self._distributions(optuna))
        trial.set_user_attr(INDEX, number)
        return {path: _shown(value, self.dimensions.of[path]) for path, value in trial.params.items()}

    def _distributions(self, optuna: Any) -> dict[str, Any]:
        kinds = optuna.distributions
        return {
            path: kinds.CategoricalDistribution(dimension)
            if not isinstance(dimension, Range)
            else (kinds.IntDistribution if self.dimensions.whole(path) else kinds.FloatDistribution)(
                dimension.low, dimension.high, log=dimension.log
            )
            for path, dimension in self.dimensions.of.items()
        }

    @contextmanager
    def _study(self, finished: Sequence[Trial]) -> Iterator[tuple[Any, Any]]:
        """optuna and the study, which then holds these trials; what was asked for by a call that was cut off failed."""
        optuna: Any = importlib.import_module("optuna")
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = None if self.storage is None else optuna.storages.RDBStorage(f"sqlite:///{self.storage}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study = optuna.create_study(
                    storage=storage, study_name=self.method, direction="maximize", load_if_exists=True
                )
                self._tell(optuna, study, finished)
                yield optuna, study
        finally:
            optuna.logging.set_verbosity(verbosity)
            if storage is not None:
                storage.engine.dispose()

    def _tell(self, optuna: Any, study: Any, finished: Sequence[Trial]) -> None:
        state = optuna.trial.TrialState
        alive = [trial for trial in study.get_trials() if trial.state in (state.RUNNING, state.COMPLETE)]
        held = {trial.user_attrs.get(INDEX): trial for trial in alive}
        for number, trial in enumerate(finished):
            known = held.get(number)
            if known is None:
                study.add_trial(self._complete(optuna, trial))
            elif known.state == state.RUNNING:
                study.tell(known.number, trial.value)
        for known in alive:
            if known.state == state.RUNNING and known.user_attrs.get(INDEX, math.inf) >= len(finished):
                study.tell(known.number, state=state.FAIL)

    def _complete(self, optuna: Any, trial: Trial) -> Any:
        """A finished trial that optuna was not asked for, or has lost."""
        return optuna.trial.create_trial(
            params=trial.proposal.point,
            distributions=self._distributions(optuna),
            value=trial.value,
            user_attrs={INDEX: trial.proposal.number},
        )


def _shown(value: Any, dimension: Dimension) -> Any:
    """The value as its name tells it."""
    if not isinstance(value, float) or not isinstance(dimension, Range):
        return value
    return min(max(rounded(value, dimension.log), dimension.low), dimension.high)

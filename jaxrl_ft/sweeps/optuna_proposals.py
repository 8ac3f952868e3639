"""The one door to optuna, which is an extra: points that a tree-structured Parzen estimator proposes."""

import importlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.methods.spaces import Dimension, Point, rounded
from jaxrl_ft.sweeps.proposals import Proposal, Search, Trial

INDEX = "trial"
"""The attribute of an optuna trial that holds the number of ours"""

Optuna: TypeAlias = Any
"""The module optuna, which a search imports when it starts, and objects of its classes."""


def check() -> None:
    """Refuse to search without optuna.

    Raises:
        ValueError: it is not installed; says how to.
    """
    checks.package("search", "optuna", "hpo")


@dataclass(frozen=True)
class TPE(Search):
    """Tree-structured Parzen estimator (Bergstra et al. 2011, NIPS 24) by optuna, in batches.

    A batch is asked for as a whole, each of its points with those before it counted as bad (a constant liar), so that
    they differ. What is proposed follows from the finished trials and the seed alone: the sampler sees a study in
    memory that is made from them, and has a seed for every trial.
    """

    storage: Path | None = None
    """the SQLite file that gets every finished trial, in a study with the method's name, for optuna's own tools"""

    def proposals(self, finished: Sequence[Trial]) -> list[Proposal]:
        """What to try next; an empty list at the end."""
        if self.storage is not None and finished:
            self._keep(finished)
        return super().proposals(finished)

    def points(self, index: int, num: int, finished: Sequence[Trial]) -> list[Point]:
        """The points of a round; the method's own is the very first."""
        own = None if finished else self.dimensions.own()
        first = [] if own is None else [own]
        with _quiet() as optuna:
            study = optuna.create_study(direction="maximize")
            study.add_trials([self._complete(optuna, trial) for trial in finished])
            numbers = range(len(finished) + len(first), len(finished) + num)
            return [*first, *(self._asked(optuna, study, number) for number in numbers)]

    def _asked(self, optuna: Optuna, study: Optuna, number: int) -> Point:
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        values = study.ask(self._distributions(optuna)).params
        return {path: _shown(values[path], dimension) for path, dimension in self.dimensions.of.items()}

    def _distributions(self, optuna: Optuna) -> dict[str, Optuna]:
        kinds = optuna.distributions
        return {
            path: kinds.CategoricalDistribution(dimension)
            if isinstance(dimension, tuple)
            else (kinds.IntDistribution if self.dimensions.whole(path) else kinds.FloatDistribution)(
                dimension.low, dimension.high, log=dimension.log
            )
            for path, dimension in self.dimensions.of.items()
        }

    def _complete(self, optuna: Optuna, trial: Trial) -> Optuna:
        """A finished trial as optuna's; NaN is no value to it, and minus infinity is worse than all."""
        return optuna.trial.create_trial(
            params=trial.proposal.point,
            distributions=self._distributions(optuna),
            value=trial.value,
            user_attrs={INDEX: trial.proposal.number},
        )

    def _keep(self, finished: Sequence[Trial]) -> None:
        """Write these trials into the file."""
        with _quiet() as optuna:
            storage = optuna.storages.RDBStorage(f"sqlite:///{self.storage}")
            try:
                study = optuna.create_study(
                    storage=storage, study_name=self.method, direction="maximize", load_if_exists=True
                )
                held = {trial.user_attrs.get(INDEX) for trial in study.get_trials(deepcopy=False)}
                missing = [trial for trial in finished if trial.proposal.number not in held]
                study.add_trials([self._complete(optuna, trial) for trial in missing])
            finally:
                storage.engine.dispose()


@contextmanager
def _quiet() -> Iterator[Optuna]:
    """optuna with its log limited to warnings, and without its warning that a constant liar is experimental."""
    optuna: Optuna = importlib.import_module("optuna")
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(verbosity)


def _shown(value: object, dimension: Dimension) -> object:
    """The value as its name tells it."""
    if not isinstance(value, float) or isinstance(dimension, tuple):
        return value
    return min(max(rounded(value, dimension.log), dimension.low), dimension.high)

"""Write how far a training is, and go on from there."""

from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np

from jaxrl_ft.training.control import Controller
from jaxrl_ft.training.evaluation.curves import Curves, Snapshot
from jaxrl_ft.training.resume.checkpoint import Checkpoint
from jaxrl_ft.training.resume.held import Held, arrays_of, names_under, restored
from jaxrl_ft.training.stretch import Sums
from jaxrl_ft.training.update import Run, State


class Place(NamedTuple):
    """How far a training is."""

    finished: int
    """updates at the last point that was evaluated, or at which a control acted; -1 before the first"""
    at: int
    """updates done"""
    paid: int
    """environment steps of each run that were no updates"""


class Saving:
    """Writes the checkpoints of one training, and reads the newest.

    Args:
        checkpoint: where; None for nowhere.
        controller: of the training; it goes on from what is read.
        curves: of the training; they go on from what is read.

    Raises:
        ValueError: the newest checkpoint is of another training.
    """

    def __init__(self, checkpoint: Checkpoint | None, controller: Controller, curves: Curves) -> None:
        self._checkpoint, self._controller, self._curves = checkpoint, controller, curves
        self._newest = None if checkpoint is None else checkpoint.newest()

    @property
    def resumes(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self._newest is not None

    def write(self, run: Run, place: Place, state: State, at: int, sums: Sums, now: bool = False) -> None:
        """Write a checkpoint, if one is due.

        Args:
            run: with the numbers of the control.
            place: of the last evaluation.
            state: after so many updates.
            at: updates done.
            sums: of the metrics over the updates since the last evaluation.
            now: write it even where none is due.
        """
        if self._checkpoint is not None and (now or self._checkpoint.due):
            numbers = (run.optimizer, run.penalty)
            held = Held(state, numbers, self._controller.measured, self._curves.made, sums)
            self._checkpoint.write(arrays_of(held), place._replace(at=at)._asdict(), self._curves.latest)

    def read(self, run: Run, state: State, now: Snapshot) -> tuple[Run, State, Place, Sums]:
        """The run, the state, the place and the sums to go on from; called where there are any.

        Args:
            run: of the training.
            state: before the first update.
            now: what the runs have before the first update.
        """
        if self._newest is None:
            raise ValueError("checkpoint: there is none")
        arrays, place = self._newest
        curves = self._curves.like(names_under(arrays, "curves"), jax.device_get(now))
        sums = dict.fromkeys(names_under(arrays, "sums"), np.zeros(0))
        like = Held(state, (run.optimizer, run.penalty), self._controller.measured, curves, sums)
        held = restored(arrays, like)
        self._controller.go_on(held.controller)
        self._curves.go_on(held.curves)
        optimizer, penalty = held.numbers
        return replace(run, optimizer=optimizer, penalty=penalty), held.state, Place(**place), held.sums

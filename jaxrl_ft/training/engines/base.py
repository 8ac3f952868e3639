"""What the loop of a training asks for: environments that are stepped, runs that learn, and evaluations."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from jaxrl_ft.core.policy import Policy
from jaxrl_ft.envs.task import Task
from jaxrl_ft.training.collect import World
from jaxrl_ft.training.initial_state import Given
from jaxrl_ft.training.keys import Seeds
from jaxrl_ft.training.spec import Spec
from jaxrl_ft.training.stretch import Pace, Sums
from jaxrl_ft.training.update import Run, State


class Engine(Protocol):
    """How runs train: one compiled program that steps and learns, or the host that steps and programs that learn."""

    def begin(self, runs: Given) -> tuple[World, Run, State, Policy]:
        """As `initial_state.begin`."""
        ...

    def advance(
        self,
        world: World,
        run: Run,
        state: State,
        start: int,
        stop: int,
        pace: Pace | None = None,
        sums: Sums | None = None,
        after: Callable[[State, int, Sums], None] | None = None,
        going: np.ndarray | None = None,
    ) -> tuple[State, Policy, Sums]:
        """As `stretch.advance`."""
        ...

    def mean_return(self, spec: Spec, policy: Policy, where: tuple[Task, Seeds], point: int) -> np.ndarray:
        """Mean greedy return [R] of every run's policy; equal points meet equal episodes.

        Args:
            spec: what the runs share.
            policy: of every run, leaves [R, ...].
            where: task, seed and number of every run.
            point: number of the evaluation.
        """
        ...

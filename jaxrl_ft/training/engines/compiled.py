"""The usual engine: compiled programs step the environments too."""

import numpy as np

from jaxrl_ft.core.policy import Policy
from jaxrl_ft.envs.task import Task
from jaxrl_ft.training import devices
from jaxrl_ft.training.evaluation.outcomes import evaluate_runs
from jaxrl_ft.training.initial_state import begin
from jaxrl_ft.training.keys import Seeds
from jaxrl_ft.training.spec import Spec
from jaxrl_ft.training.stretch import advance


class Compiled:
    """Rollouts, updates and evaluations in compiled programs; see `Engine`."""

    begin = staticmethod(begin)
    advance = staticmethod(advance)

    @staticmethod
    def mean_return(spec: Spec, policy: Policy, where: tuple[Task, Seeds], point: int) -> np.ndarray:
        """Mean greedy return of every run's policy on its task, [R]."""
        num = len(where[1].seeds)
        policy, (tasks, seeds) = devices.put((policy, where), num)
        outcome = evaluate_runs(spec.algo, policy, tasks, seeds, episodes=spec.eval_episodes, stream=point)
        return np.asarray(outcome.episode_return[:num].mean(axis=1))


COMPILED = Compiled()

"""What a method pays to learn of the target before its first update."""

import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.envs.task import Task
from jaxrl_ft.training.evaluation.episodes import Outcome, expected_return, possible_share, tells_apart
from jaxrl_ft.training.evaluation.outcomes import evaluate_runs
from jaxrl_ft.training.keys import PROBE_STREAM
from jaxrl_ft.training.spec import Spec


def probed_share(spec: Spec, base: Policy, chance: np.ndarray) -> np.ndarray:
    """How far the base's first episodes on the target are from chance towards the best return, [R].

    It is NaN where no episode ended and all rewards were equal.

    Args:
        spec: the fine-tune.
        base: leaves [R, ...].
        chance: return of a policy without skill, [R].
    """
    outcome = _play(spec, base, spec.task)
    reached = possible_share(expected_return(outcome, spec.task), chance, spec.task.return_range[1])
    return np.where(tells_apart(outcome), reached, np.nan)


def chance(spec: Spec, fresh: Policy) -> np.ndarray:
    """Return of networks just initialised on the source, [R], estimated from as many steps as the probe takes."""
    return expected_return(_play(spec, fresh, spec.source), spec.source)


def _play(spec: Spec, policy: Policy, task: Task) -> Outcome:
    """The first episodes of a probe, by samples, [R, E]."""
    look, num = spec.method.look, spec.num_runs
    return evaluate_runs(
        spec.algo,
        policy,
        tree.repeat(task, num),
        spec.seeds,
        look.probe_episodes,
        greedy=False,
        stream=PROBE_STREAM,
        max_steps=look.probe_steps,
    )

"""Whether a run may enter statistics: `ok`, or in plain words what went wrong."""

import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.training.evaluation import faults
from jaxrl_ft.training.loop import Result

OK = "ok"


def of_training(result: Result) -> tuple[str, ...]:
    """The status of each run of a training: `ok` where no number was met that is not finite, and none is left."""
    stopped, statuses = faults.texts(result.fault), []
    for i, status in enumerate(of_policies(result.policy, result.curve)):
        wrong = [f"non-finite {name}" for name, finite in result.finite.items() if not finite[i]]
        statuses.append(stopped.get(i, next(iter(wrong), OK) if status == OK else status))
    return tuple(statuses)


def of_policies(policy: Policy, curve: np.ndarray) -> tuple[str, ...]:
    """The status of each policy, leaves [R, ...], with these returns [R, K]: `ok` where all numbers are finite."""
    parts = {"parameters": policy.params, "statistics": policy.statistics, "returns": curve}
    finite = {name: tree.finite_runs(part, len(curve)) for name, part in parts.items()}
    return tuple(next((f"non-finite {name}" for name in parts if not finite[name][i]), OK) for i in range(len(curve)))

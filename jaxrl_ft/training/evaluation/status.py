"""Whether a run may enter statistics: `ok`, or in plain words what went wrong."""

import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.training.loop import Result
from jaxrl_ft.training.spec import Spec

OK = "ok"


def of_training(spec: Spec, result: Result) -> tuple[str, ...]:
    """The status of each run of a training.

    A run is `ok` where all numbers that it left are finite, and at most half of the gradient steps up to its stop were
    skipped and at most half of its rows left out, as non-finite ones are.

    Args:
        spec: what ran.
        result: what it left.
    """
    statuses, gradient_steps = [], int(spec.algo.gradient_steps_per_update()) * spec.method.population
    for i, status in enumerate(of_policies(result.policy, result.curve)):
        rows, steps = (int(result.updates[i]) * each for each in (spec.env_steps_per_update, gradient_steps))
        wrong = [name for name, finite in result.finite.items() if not finite[i]]
        if status == OK and wrong:
            status = f"non-finite {wrong[0]}"
        elif status == OK and 2 * result.skipped[i] > steps:
            status = f"{result.skipped[i]:,} of {steps:,} gradient steps skipped"
        elif status == OK and 2 * result.left_out[i] > rows:
            status = f"{result.left_out[i]:,} of {rows:,} rows not finite"
        statuses.append(status)
    return tuple(statuses)


def of_policies(policy: Policy, curve: np.ndarray) -> tuple[str, ...]:
    """The status of each policy, leaves [R, ...], with these returns [R, K]: `ok` where all numbers are finite."""
    parts = {"parameters": policy.params, "statistics": policy.statistics, "returns": curve}
    finite = {name: tree.finite_runs(part, len(curve)) for name, part in parts.items()}
    return tuple(next((f"non-finite {name}" for name in parts if not finite[name][i]), OK) for i in range(len(curve)))

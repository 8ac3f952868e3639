"""What may end a training early, and which policy it may return, checked before anything compiles."""

from jaxrl_ft.core import checks
from jaxrl_ft.envs.task import Task

KEPT = {
    "last": "the policy after the last update",
    "best": "the evaluated policy with the highest mean greedy return, the first of equals",
}
"""Which of its evaluated policies a run may return."""

PATIENCE = 2
"""Evaluations in a row that must reach the return to stop at, by default."""


def check_stop_at(stop_at: float | None, task: Task, field: str = "stop_at") -> None:
    """Refuse a return to stop at that no episode of the task can have.

    Raises:
        ValueError: it is out of range.
    """
    if stop_at is not None:
        checks.number(field, stop_at, *task.return_range)


def check_kept(keep: str, field: str = "keep") -> None:
    """Refuse what is not in `KEPT`.

    Raises:
        ValueError: it is not.
    """
    checks.choice(field, keep, KEPT)

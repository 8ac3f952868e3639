"""Checks of tasks by name, and of tasks by target that are only ever evaluated on."""

from collections.abc import Iterable, Mapping
from typing import cast

from jaxrl_ft.core import checks
from jaxrl_ft.envs.shifts import EXTRAPOLATION, INTERPOLATION
from jaxrl_ft.envs.task import Task, check_is_task


def check_tasks(field: str, value: object) -> None:
    """Refuse what is not tasks by name.

    Raises:
        ValueError: it is something else, or one of them is no task.
    """
    checks.kind(field, value, Mapping, "tasks by name")
    for name, task in cast(Mapping[str, object], value).items():
        check_is_task(f"{field}.{name}", task)


def check_held_out(value: object, targets: Mapping[str, Task]) -> None:
    """Refuse what is not held-out tasks by target, each with its kind; None stands for none.

    Raises:
        ValueError: it is something else, or of a target that is not there.
    """
    checks.kind("held_out", {} if value is None else value, Mapping, "values by name")
    for name, rows in cast(Mapping[str, object], value or {}).items():
        field = f"held_out.{checks.choice('held_out', name, targets)}"
        checks.sequence(field, rows, "pairs of a kind and a task")
        for row in cast(Iterable[object], rows):
            if not isinstance(row, (tuple, list)) or len(row) != 2:
                raise ValueError(f"{field}: {checks.shown(row)} is not allowed; it must be a kind and a task")
            checks.choice(field, row[0], (INTERPOLATION, EXTRAPOLATION))
            check_is_task(field, row[1])

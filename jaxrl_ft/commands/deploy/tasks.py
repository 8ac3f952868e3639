"""A task in words on a command line: a shift of an environment, and quantities by name."""

import json
from collections.abc import Sequence

from jaxrl_ft.core import checks
from jaxrl_ft.core.files import Json
from jaxrl_ft.envs.named_shifts import SHIFTS, shift_of, shifts_of
from jaxrl_ft.envs.task import Task

AS_IT_IS = "source"
"""In the place of a shift: none."""


def changed_task(field: str, words: Sequence[str], source: Task, usual: Task) -> Task:
    """The task that words ask for, from left to right.

    Args:
        field: what the user calls them.
        words: names of shifts, such as `long-pole`, and quantities, such as `half_length=1.5`; or `source` alone.
        source: what they change.
        usual: the task without a word.

    Raises:
        ValueError: no shift of this environment and no quantity of it has that name, or a value is not allowed.
    """
    if not words:
        return usual
    changes: dict[str, Json] = {}
    for word in words:
        name, given, value = word.partition("=")
        if given:
            changes[name.replace("-", "_")] = _value(field, name, value)
        elif name != AS_IT_IS or len(words) > 1:
            if name not in SHIFTS:
                raise checks.unknown(field, name, [AS_IT_IS, *shifts_of(source.id)])
            changes |= shift_of(source.id, name).physics
    try:
        return source.changed(**changes)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def _value(field: str, name: str, text: str) -> Json:
    """A number, a list of numbers, true or false."""
    try:
        return json.loads(text, parse_constant=float)
    except ValueError:
        raise ValueError(
            f"{field}: {name}={text} is not allowed; a value is a number, true, false, or a list such as [1,2]"
        ) from None

"""Every shift by name, in whichever module its row stands."""

from jaxrl_ft.core import checks
from jaxrl_ft.envs import classic_shifts as _classic_shifts  # noqa: F401 (its rows are found by name)
from jaxrl_ft.envs import game_shifts as _game_shifts  # noqa: F401 (likewise)
from jaxrl_ft.envs.shifts import SHIFTS as SHIFTS
from jaxrl_ft.envs.shifts import Shift


def shifts_of(id: str) -> tuple[str, ...]:
    """The names of the shifts of an environment; none where it has none."""
    checks.kind("id", id, str, "the name of an environment")
    return tuple(name for name, shift in SHIFTS.items() if id in shift.environments)


def shift_of(id: str, name: str) -> Shift:
    """A shift of an environment.

    Raises:
        ValueError: no shift has this name, or it is of other environments.
    """
    shift = SHIFTS[name]
    if id not in shift.environments:
        own = shifts_of(id)
        listed = f"those of {id} are {', '.join(own)}" if own else f"{id} has none"
        where = " and ".join(shift.environments)
        raise ValueError(f"shift: {checks.shown(name)} is not allowed for {id}; it changes {where}, and {listed}")
    return shift

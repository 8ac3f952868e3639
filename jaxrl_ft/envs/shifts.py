"""The named changes from a source to a target, and which tasks are held out beside each; here those of CartPole."""

import dataclasses
from collections.abc import Mapping

from jaxrl_ft.core.table import Table

INTERPOLATION = "interpolation"
EXTRAPOLATION = "extrapolation"
DEFAULT_SHIFT = "flipped-actions"
"""One where plain fine-tuning loses to scratch."""
CARTPOLES = {"CartPole-v1": 500, "CartPole-v0": 200}
"""The episode limit of each CartPole."""


@dataclasses.dataclass(frozen=True)
class Shift:
    """A change of a task's physics, sensors or actions.

    Attributes:
        physics: the quantities of the target that differ from the source's.
        held_out: (kind, quantities) of each held-out task, on top of the target's; None for the grid between and
            beyond source and target that `held_out_grid` makes.
        environments: the ids that it changes.
    """

    physics: Mapping[str, object]
    held_out: tuple[tuple[str, Mapping[str, object]], ...] | None = None
    environments: tuple[str, ...] = tuple(CARTPOLES)


def grid(
    name: str, between: tuple[object, ...], beyond: tuple[object, ...]
) -> tuple[tuple[str, Mapping[str, object]], ...]:
    """The held-out tasks of a shift, from the values of one quantity between source and target, and beyond."""
    rows = [(INTERPOLATION, {name: value}) for value in between]
    return (*rows, *((EXTRAPOLATION, {name: value}) for value in beyond))


SHIFTS: Table[Shift] = Table("shift", separator="-")
"""Whole once `named_shifts` is loaded, from where all but the modules of its rows take it."""

SHIFTS.add("long-pole", Shift({"half_length": 1.0}), "a pole twice as long")
SHIFTS.add("longer-pole", Shift({"half_length": 1.5}), "a pole 3 times as long")
SHIFTS.add("double-long-pole", Shift({"half_length": 2.0}), "a pole 4 times as long")
SHIFTS.add("giant-pole", Shift({"half_length": 3.0}), "a pole 6 times as long")
SHIFTS.add(
    "long-heavy-weak",
    Shift({"half_length": 1.0, "gravity": 19.6, "force": 5.0}),
    "a pole twice as long, under twice the gravity, with half the force",
)
SHIFTS.add(
    "slow-controller",
    # past 0.101 s the oracle fails, unless the pole is longer: a single push turns it by nearly its threshold
    Shift(
        {"tau": 0.1},
        (*grid("tau", (0.03, 0.05, 0.07), (0.101,)), (EXTRAPOLATION, {"tau": 0.12, "half_length": 1.0})),
    ),
    "an action every 0.1 s, 5 times as rare",
)
SHIFTS.add("flipped-actions", Shift({"flip_actions": True}), "left pushes right, and right pushes left")
SHIFTS.add("biased-sensors", Shift({"obs_offset": (1.0, -1.0, 0.5, 1.0)}), "a constant offset on every sensor")
SHIFTS.add("weak-motor", Shift({"force": 2.0}), "a fifth of the force")
# below 0.7 N the oracle fails in some episodes
SHIFTS.add("feeble-motor", Shift({"force": 1.0}, grid("force", (6.0, 3.0, 1.5), (0.8, 0.7))), "a tenth of the force")
SHIFTS.add("strong-gravity", Shift({"gravity": 50.0}), "5 times the gravity")
SHIFTS.add(
    "heavy-cart",
    # at 20 kg the oracle fails in some episodes
    Shift({"cart_mass": 10.0}, grid("cart_mass", (2.0, 4.0, 7.0), (12.0, 14.0))),
    "a cart 10 times as heavy",
)
SHIFTS.add("noisy-sensors", Shift({"obs_noise": 0.1}), "normal noise of 0.1 on every sensor")
SHIFTS.add(
    "permuted-sensors", Shift({"obs_permutation": (2, 3, 0, 1)}), "the pole's sensors where the cart's were, and back"
)
SHIFTS.add("delayed-actions", Shift({"action_delay": 3}), "every action takes effect 3 steps late")
SHIFTS.add(
    "scaled-sensors", Shift({"obs_scale": (3.0, 3.0, 0.3, 0.3)}), "the cart's sensors times 3, the pole's times 0.3"
)

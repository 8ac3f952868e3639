"""Every control by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.control.base import Control, Generators, Measures, Numbers
from jaxrl_ft.methods.control.gap_decay import GapDecay
from jaxrl_ft.methods.control.pbt import PBT
from jaxrl_ft.methods.control.strength import Strength

__all__ = ["CONTROLS", "PBT", "Control", "GapDecay", "Generators", "Measures", "Numbers", "Strength"]

CONTROLS: Table[Control] = Table("control")
CONTROLS.add("none", Control(), "changes none of the method's numbers")
CONTROLS.add("strength", Strength(), "sets penalty and learning rate by the return of a paid zero-shot probe")
CONTROLS.add(
    "gap_decay", GapDecay(), "raises weight decay while training return exceeds validation return, else lowers it"
)
CONTROLS.add("pbt", PBT(), "evolves a population over learning rate and penalty coefficient (arXiv:1711.09846)")

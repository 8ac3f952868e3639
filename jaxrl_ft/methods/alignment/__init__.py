"""Every alignment by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.alignment.base import Alignment, Experience, Realignment
from jaxrl_ft.methods.alignment.reading import Realign

__all__ = ["ALIGNMENTS", "Alignment", "Experience", "Realign", "Realignment"]

ALIGNMENTS: Table[Alignment] = Table("alignment")
ALIGNMENTS.add("none", Alignment(), "leaves sensors and actions as they are")
ALIGNMENTS.add("realign", Realign(), "undoes changes of sensors and actions that a paid look at the target shows")

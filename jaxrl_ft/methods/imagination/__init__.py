"""Every imagination by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.imagination.base import Imagination
from jaxrl_ft.methods.imagination.model import Model, fit

__all__ = ["IMAGINATIONS", "Imagination", "Model", "fit"]

IMAGINATIONS: Table[Imagination] = Table("imagination")
IMAGINATIONS.add("none", Imagination(), "trains on the target alone")
IMAGINATIONS.add(
    "linear",
    Imagination(steps=20_480),
    "trains in a linear model of the target first (Dyna, doi:10.1145/122344.122377)",
)
IMAGINATIONS.add(
    "linear_both",
    Imagination(steps=20_480, source_share=0.5, rounds=4),
    "trains in linear models of source and target first (Dyna, doi:10.1145/122344.122377)",
)

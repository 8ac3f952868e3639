"""Every source of experience by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.data.base import Data
from jaxrl_ft.methods.data.jump_start import JumpStart
from jaxrl_ft.methods.data.physics import Between, Mixture
from jaxrl_ft.methods.data.replay import Replay

__all__ = ["DATA", "Between", "Data", "JumpStart", "Mixture", "Replay"]

DATA: Table[Data] = Table("data")
DATA.add("target", Data(), "collects on the target alone")
DATA.add("mixture", Mixture(), "collects in some environments on the source")
DATA.add("between", Between(), "draws the physics of each environment between source and target (arXiv:1710.06537)")
DATA.add("replay", Replay(), "puts stored source experience in every minibatch (arXiv:1811.11682)")
DATA.add(
    "jump_start",
    JumpStart(),
    "lets the pretrained policy act first in every episode, for ever fewer steps (arXiv:2204.02372)",
)
DATA.add(
    "jump_start_curriculum",
    JumpStart(curriculum=1.0),
    "as jump_start, for fewer steps whenever the return rises (arXiv:2204.02372)",
)

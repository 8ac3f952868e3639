"""Every look by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.look.base import Look

__all__ = ["LOOKS", "Look"]

LOOKS: Table[Look] = Table("look")
LOOKS.add("none", Look(), "takes no step on the target before training")
LOOKS.add("short", Look(steps=32), "takes 256 paid steps on the target before training")
LOOKS.add("long", Look(steps=64), "takes 512 paid steps on the target before training")
LOOKS.add("probe", Look(probe_episodes=8), "measures the pretrained policy's return on the target in 8 paid episodes")
LOOKS.add("short_and_probe", Look(steps=32, probe_episodes=8), "takes the steps of short, then the episodes of probe")

"""What is done between gradient steps: every intervention by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.interventions.intervention import Intervention, Outcome
from jaxrl_ft.methods.interventions.renewals import ContinualBackprop, PeriodicResets, ReDo
from jaxrl_ft.methods.interventions.weights import NormalizeProject, SoftShrinkPerturb, WeightClipping

__all__ = [
    "INTERVENTIONS",
    "ContinualBackprop",
    "Intervention",
    "NormalizeProject",
    "Outcome",
    "PeriodicResets",
    "ReDo",
    "SoftShrinkPerturb",
    "WeightClipping",
]

INTERVENTIONS: Table[Intervention] = Table("intervention")
INTERVENTIONS.add("none", Intervention(), "nothing between gradient steps")
INTERVENTIONS.add("redo", ReDo(), "dormant units recycled every few updates (arXiv:2302.12902)")
INTERVENTIONS.add("continual_backprop", ContinualBackprop(), "the least useful units renewed (arXiv:2306.13812)")
INTERVENTIONS.add(
    "soft_shrink_perturb", SoftShrinkPerturb(), "weights shrunk and perturbed each step (arXiv:2306.13812)"
)
INTERVENTIONS.add("weight_clipping", WeightClipping(), "weights bounded after each step (arXiv:2407.01704)")
INTERVENTIONS.add("normalize_project", NormalizeProject(), "kernels held at their first norm (arXiv:2407.01800)")
INTERVENTIONS.add("head_resets", PeriodicResets(), "output layers redrawn now and then (arXiv:2205.07802)")
INTERVENTIONS.add(
    "critic_resets",
    PeriodicResets(groups="value", layers=65),
    "the whole critic redrawn now and then (arXiv:2205.07802)",
)

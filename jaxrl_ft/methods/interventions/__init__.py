"""Every intervention by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.interventions.base import Intervention, Outcome
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
INTERVENTIONS.add("none", Intervention(), "does nothing between gradient steps")
INTERVENTIONS.add("redo", ReDo(), "recycles dormant units every few updates (arXiv:2302.12902)")
INTERVENTIONS.add(
    "continual_backprop",
    ContinualBackprop(),
    "renews the least useful hidden units, a few at a time (arXiv:2306.13812)",
)
INTERVENTIONS.add(
    "soft_shrink_perturb",
    SoftShrinkPerturb(),
    "shrinks and perturbs the weights after each gradient step (arXiv:2306.13812)",
)
INTERVENTIONS.add("weight_clipping", WeightClipping(), "clips the weights after each gradient step (arXiv:2407.01704)")
INTERVENTIONS.add(
    "normalize_project", NormalizeProject(), "holds the norm of every weight matrix where it started (arXiv:2407.01800)"
)
INTERVENTIONS.add(
    "head_resets", PeriodicResets(), "resets the output layers several times during the budget (arXiv:2205.07802)"
)
INTERVENTIONS.add(
    "critic_resets",
    PeriodicResets(groups="value", layers=65),
    "resets the whole critic several times during the budget (arXiv:2205.07802)",
)

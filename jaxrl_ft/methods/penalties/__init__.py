"""PENALTIES: what holds the policy, by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.penalties.parameter_penalties import EWC, L1, L1SP, L2, L2SP, MAS, Absolute, L2Init, Quadratic
from jaxrl_ft.methods.penalties.penalty import Penalty, Source
from jaxrl_ft.methods.penalties.policy_penalties import KL, Churn, Cloning, Divergence, Features, InFeR

__all__ = [
    "EWC",
    "KL",
    "L1",
    "L1SP",
    "L2",
    "L2SP",
    "MAS",
    "PENALTIES",
    "Absolute",
    "Churn",
    "Cloning",
    "Divergence",
    "Features",
    "InFeR",
    "L2Init",
    "Penalty",
    "Quadratic",
    "Source",
]

PENALTIES: Table[Penalty] = Table("penalty")
PENALTIES.add("none", Penalty(), "nothing holds the policy")
PENALTIES.add("l1", L1(), "the size of the parameters")
PENALTIES.add("l1sp", L1SP(), "distance from the base (the L1 sibling of arXiv:1802.01483)")
PENALTIES.add("l2", L2(), "the squared size of the parameters")
PENALTIES.add("l2sp", L2SP(), "squared distance from the base (arXiv:1802.01483)")
PENALTIES.add("l2init", L2Init(), "squared distance from the first parameters (arXiv:2308.11958)")
PENALTIES.add("ewc", EWC(), "squared distance from the base, weighted by Fisher information (arXiv:1612.00796)")
PENALTIES.add("mas", MAS(), "squared distance from the base, weighted by sensitivity (arXiv:1711.09601)")
PENALTIES.add("kl", KL(), "divergence from the base on target states (arXiv:1803.03835)")
PENALTIES.add("kl_reverse", KL(direction="reverse"), "divergence towards the base on target states (arXiv:1909.08593)")
PENALTIES.add("cloning", Cloning(), "divergence from the base on its own source states (arXiv:2402.02868)")
PENALTIES.add("features", Features(), "squared distance of hidden activations from the base's (arXiv:1901.09229)")
PENALTIES.add("infer", InFeR(), "a random subspace of the first network's features stays (arXiv:2204.09560)")
PENALTIES.add("churn", Churn(), "divergence from the policy one gradient step before (arXiv:2506.00592)")

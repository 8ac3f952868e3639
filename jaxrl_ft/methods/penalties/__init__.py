"""Every penalty by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.penalties.base import Penalty, Source
from jaxrl_ft.methods.penalties.parameter_penalties import EWC, L1, L1SP, L2, L2SP, MAS, Absolute, L2Init, Quadratic
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
PENALTIES.add("none", Penalty(), "penalises nothing")
PENALTIES.add("l1", L1(), "penalises the sum of absolute weights")
PENALTIES.add(
    "l1sp", L1SP(), "penalises absolute distance from the pretrained weights (the L1 sibling of arXiv:1802.01483)"
)
PENALTIES.add("l2", L2(), "penalises the sum of squared weights")
PENALTIES.add("l2sp", L2SP(), "penalises squared distance from the pretrained weights (arXiv:1802.01483)")
PENALTIES.add("l2init", L2Init(), "penalises squared distance from the weights before pretraining (arXiv:2308.11958)")
PENALTIES.add(
    "ewc",
    EWC(),
    "penalises squared distance from the pretrained weights, weighted by Fisher information (arXiv:1612.00796)",
)
PENALTIES.add(
    "mas",
    MAS(),
    "penalises squared distance from the pretrained weights, weighted by their effect on outputs (arXiv:1711.09601)",
)
PENALTIES.add("kl", KL(), "penalises KL divergence from the pretrained policy on target states (arXiv:1803.03835)")
PENALTIES.add(
    "kl_reverse",
    KL(direction="reverse"),
    "penalises reverse KL divergence from the pretrained policy on target states (arXiv:1909.08593)",
)
PENALTIES.add(
    "cloning", Cloning(), "penalises KL divergence from the pretrained policy on source states (arXiv:2402.02868)"
)
PENALTIES.add(
    "features",
    Features(),
    "penalises squared distance of hidden activations from the pretrained ones (arXiv:1901.09229)",
)
PENALTIES.add(
    "infer",
    InFeR(),
    "penalises change of random projections of the last hidden layer since before pretraining (arXiv:2204.09560)",
)
PENALTIES.add("churn", Churn(), "penalises divergence from the policy one gradient step earlier (arXiv:2506.00592)")

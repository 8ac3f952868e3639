"""Every warm start by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.warm_starts.base import Probe, WarmStart, refuse_other_shapes
from jaxrl_ft.methods.warm_starts.growth import Net2Deeper, Net2Wider
from jaxrl_ft.methods.warm_starts.starts import CriticReset, HeadReset, Scratch, ShrinkPerturb, Soften

__all__ = [
    "WARM_STARTS",
    "CriticReset",
    "HeadReset",
    "Net2Deeper",
    "Net2Wider",
    "Probe",
    "Scratch",
    "ShrinkPerturb",
    "Soften",
    "WarmStart",
    "refuse_other_shapes",
]

WARM_STARTS: Table[WarmStart] = Table("warm start")
WARM_STARTS.add("keep", WarmStart(), "starts from the pretrained agent as it is")
WARM_STARTS.add("scratch", Scratch(), "starts from a fresh network")
WARM_STARTS.add("soften", Soften(), "scales the policy's last layer down, so that it explores again")
WARM_STARTS.add(
    "critic_reset", CriticReset(), "keeps the pretrained policy and starts with a fresh critic (arXiv:2205.07802)"
)
WARM_STARTS.add(
    "shrink_perturb", ShrinkPerturb(), "shrinks the pretrained weights and adds a fresh network's (arXiv:1910.08475)"
)
WARM_STARTS.add("head_reset", HeadReset(), "resets the output layers of policy and critic (arXiv:2205.07802)")
WARM_STARTS.add(
    "policy_head_reset", HeadReset(critic=False), "resets the output layer of the policy (arXiv:2205.07802)"
)
WARM_STARTS.add("last_k_reset", HeadReset(k=2), "resets the last k layers of policy and critic (arXiv:2205.07802)")
WARM_STARTS.add(
    "net2wider", Net2Wider(), "adds units to every hidden layer without changing the outputs (arXiv:1511.05641)"
)
WARM_STARTS.add("net2deeper", Net2Deeper(), "adds a hidden layer that is the identity at first (arXiv:1511.05641)")

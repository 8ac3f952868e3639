"""Where a fine-tune starts: every warm start by name."""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.warm_starts.growth import Net2Deeper, Net2Wider
from jaxrl_ft.methods.warm_starts.starts import CriticReset, HeadReset, Scratch, ShrinkPerturb, Soften
from jaxrl_ft.methods.warm_starts.warm_start import Probe, WarmStart, refuse_other_shapes

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
WARM_STARTS.add("keep", WarmStart(), "the base as it is")
WARM_STARTS.add("scratch", Scratch(), "a fresh network")
WARM_STARTS.add("soften", Soften(), "the policy's last layer scaled down, so that exploration returns")
WARM_STARTS.add("probe_soften", Soften(probe_episodes=8), "softened by the return that a paid probe measures")
WARM_STARTS.add("critic_reset", CriticReset(), "a fresh critic beside the base's policy (arXiv:2205.07802)")
WARM_STARTS.add("shrink_perturb", ShrinkPerturb(), "the base shrunk and mixed with a fresh network (arXiv:1910.08475)")
WARM_STARTS.add("head_reset", HeadReset(), "fresh output layers of policy and critic (arXiv:2205.07802)")
WARM_STARTS.add("policy_head_reset", HeadReset(critic=False), "a fresh output layer of the policy (arXiv:2205.07802)")
WARM_STARTS.add("last_k_reset", HeadReset(k=2), "the last k layers of policy and critic fresh (arXiv:2205.07802)")
WARM_STARTS.add("net2wider", Net2Wider(), "more units in every hidden layer, the same function (arXiv:1511.05641)")
WARM_STARTS.add("net2deeper", Net2Deeper(), "one more layer, the identity at first (arXiv:1511.05641)")

"""A method: one choice on each axis. METHODS is data; a new row is a new method."""

from jaxrl_ft.core.config import config
from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.adapters import ADAPTERS, Adapter, Full, InputAffine, LastK, LoRA, Partial
from jaxrl_ft.methods.optimizers import Adam, Optimizer
from jaxrl_ft.methods.penalties import KL, L2SP, L2Init, Penalty
from jaxrl_ft.methods.rates import Rates
from jaxrl_ft.methods.warm_starts import CriticReset, Scratch, ShrinkPerturb, Soften, WarmStart


@config
class Method:
    """A complete fine-tuning recipe."""

    warm_start: WarmStart = WarmStart()
    """where it starts"""
    adapter: Adapter = Full()
    """what trains"""
    penalty: Penalty = Penalty()
    """what holds it"""
    optimizer: Optimizer = Adam()
    """how it steps"""
    trains: bool = True
    """whether it takes any update; without, the base is evaluated untouched"""


METHODS: Table[Method] = Table("method")
RECOMMENDED = "probe_soften"
ALWAYS = ("zero_shot", "scratch")
"""The methods that stand beside every other."""

# Small deltas want a larger rate than full fine-tuning ("LoRA without regret", Thinking Machines Lab 2025, says tenfold
# for language models); this one has not been tuned.
_SMALL = Adam(learning_rate=6e-3)

METHODS.add("zero_shot", Method(trains=False), "the base, untouched")
METHODS.add("scratch", Method(warm_start=Scratch()), "a fresh policy on the same budget")
METHODS.add("full", Method(), "every parameter trains from the base")
METHODS.add("head", Method(adapter=Partial(pattern="/head/"), optimizer=_SMALL), ADAPTERS.text("head"))
METHODS.add("bias", Method(adapter=Partial(pattern="/bias$"), optimizer=_SMALL), ADAPTERS.text("bias"))
METHODS.add("last_k", Method(adapter=LastK(k=2)), ADAPTERS.text("last_k"))
METHODS.add("lora", Method(adapter=LoRA(), optimizer=_SMALL), ADAPTERS.text("lora"))
METHODS.add("input_affine", Method(adapter=InputAffine(), optimizer=_SMALL), ADAPTERS.text("input_affine"))
METHODS.add("critic_reset", Method(warm_start=CriticReset()), "full, with a fresh critic (arXiv:2205.07802)")
METHODS.add(
    "critic_warmup",
    Method(optimizer=Adam(rates=Rates(policy_start=0.1))),
    "full, but for the first tenth of the budget the critic trains alone",
)
METHODS.add("soften", Method(warm_start=Soften()), "full, from a policy whose last layer is scaled by 0.1")
METHODS.add(
    "probe_soften",
    Method(warm_start=Soften(probe_episodes=8)),
    "full, softened by the zero-shot return that a paid probe measures",
)
METHODS.add("shrink_perturb", Method(warm_start=ShrinkPerturb()), "full, from the base shrunk and perturbed")
METHODS.add("l2sp", Method(penalty=L2SP()), "full, held to the base by squared distance (arXiv:1802.01483)")
METHODS.add("l2init", Method(penalty=L2Init()), "full, held to the first parameters (arXiv:2308.11958)")
METHODS.add("kl", Method(penalty=KL()), "full, held to the base policy by divergence (arXiv:1803.03835)")
METHODS.add(
    "discriminative",
    Method(optimizer=Adam(rates=Rates(layer_decay=1 / 2.6))),
    "full, with rates that fall by 2.6 a layer from the output down (arXiv:1801.06146)",
)

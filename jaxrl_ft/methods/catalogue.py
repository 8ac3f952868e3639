"""METHODS: every way to fine-tune that has a name. It is data; a new row is a new method.

Most rows put one member of one axis in the place of plain fine-tuning's, and take its name and text from that axis'
table; the rest are recipes of several parts.
"""

from collections.abc import Mapping
from typing import Any

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.adapters import ADAPTERS, Partial
from jaxrl_ft.methods.control import CONTROLS, GapDecay, Strength
from jaxrl_ft.methods.data import DATA, Between
from jaxrl_ft.methods.finish import FINISHES
from jaxrl_ft.methods.imagination import Imagination
from jaxrl_ft.methods.interventions import INTERVENTIONS
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.optimizers import OPTIMIZERS, Adam
from jaxrl_ft.methods.optimizers.keeping import Keep
from jaxrl_ft.methods.optimizers.rates import AutoRGN, Rates
from jaxrl_ft.methods.penalties import KL, L2SP, PENALTIES
from jaxrl_ft.methods.warm_starts import WARM_STARTS, Soften, WarmStart

AXES: Mapping[str, Table[Any]] = {
    "warm_start": WARM_STARTS,
    "adapter": ADAPTERS,
    "penalty": PENALTIES,
    "optimizer": OPTIMIZERS,
    "intervention": INTERVENTIONS,
    "data": DATA,
    "control": CONTROLS,
    "finish": FINISHES,
}
"""The axes of a method that have members by name, each with their table."""

METHODS: Table[Method] = Table("method")
RECOMMENDED = "imagine"
ALWAYS = ("zero_shot", "scratch")
"""The methods that stand beside every other."""

# Small deltas want a larger rate than full fine-tuning ("LoRA without regret", Thinking Machines Lab 2025, says tenfold
# for language models).
_SMALL = Adam(learning_rate=6e-3)


def _rows(axis: str, table: Table[Any], names: str, **others: Any) -> None:
    """Rows that differ from `full` in one member of one axis."""
    for name in names.split():
        METHODS.add(name, Method(**{axis: table[name]}, **others), table.text(name))


METHODS.add("zero_shot", Method(trains=False), "the base, untouched")
METHODS.add("scratch", Method(warm_start=WARM_STARTS["scratch"]), "a fresh policy on the same budget")
METHODS.add("full", Method(), "every parameter trains from the base")

_rows("adapter", ADAPTERS, "head bias norm", optimizer=_SMALL)
_rows("adapter", ADAPTERS, "last_k first_layer")
METHODS.add("freeze_head", Method(adapter=Partial(pattern="^[a-z]+/(?!head/)")), "all but the output layers train")
METHODS.add(
    "gradual_unfreezing",
    Method(optimizer=Adam(rates=Rates(layer_start=0.1))),
    "one more layer trains every tenth of the budget, from the output down (arXiv:1801.06146)",
)
METHODS.add(
    "lp_ft",
    Method(optimizer=Adam(rates=Rates(body_start=0.2))),
    "the output layers train for a fifth of the budget, then everything (arXiv:2202.10054)",
)
METHODS.add(
    "discriminative",
    Method(optimizer=Adam(rates=Rates(layer_decay=1 / 2.6))),
    "rates that fall by 2.6 a layer from the output down (arXiv:1801.06146)",
)
METHODS.add(
    "auto_rgn",
    Method(optimizer=Adam(rates=AutoRGN())),
    "rates that follow each tensor's relative gradient norm (surgical, arXiv:2210.11466)",
)
METHODS.add(
    "critic_warmup",
    Method(optimizer=Adam(rates=Rates(policy_start=0.1))),
    "for the first tenth of the budget the critic trains alone (arXiv:2402.02868)",
)
_rows("adapter", ADAPTERS, "lora rslora dora random_subspace sparse ia3 input_affine output_affine", optimizer=_SMALL)
_rows("adapter", ADAPTERS, "bottleneck residual plasticity progressive")

_rows("warm_start", WARM_STARTS, "soften probe_soften critic_reset head_reset shrink_perturb")
_rows("warm_start", WARM_STARTS, "net2wider net2deeper")
METHODS.add(
    "realign",
    Method(look_steps=32, warm_start=WarmStart(align=True)),
    "sensors and actions read in the source's terms, as a paid look at the target tells them",
)
METHODS.add(
    "realign_soften",
    Method(look_steps=32, warm_start=Soften(align=True, probe_episodes=8)),
    "realigned, then softened by the return that a paid probe measures",
)
METHODS.add(
    "imagine",
    Method(look_steps=64, warm_start=Soften(align=True), imagination=Imagination(steps=20_480)),
    "realigned and softened after a paid look, then trained in a linear model of it before the target (Dyna)",
)
METHODS.add(
    "imagine_both",
    Method(
        look_steps=64,
        warm_start=Soften(),
        imagination=Imagination(steps=20_480, source_share=0.5, rounds=4),
        penalty=PENALTIES["cloning"],
    ),
    "softened, trained in linear models of source and target, then held to the base on source states",
)
METHODS.add(
    "imagine_scratch",
    Method(look_steps=64, warm_start=WARM_STARTS["scratch"], imagination=Imagination(steps=20_480)),
    "a fresh policy trained in a linear model of a paid look before the target (Dyna)",
)
METHODS.add("entropy_bonus", Method(ent_coef=0.01), "an entropy bonus in fine-tuning alone (exploration at transfer)")

_rows("penalty", PENALTIES, "l1 l1sp l2 l2sp l2init ewc mas kl kl_reverse cloning features infer churn")

_rows("optimizer", OPTIMIZERS, "nadam adamw nadamw adam_ns adam_rel cautious adaptive_decay trac")
_rows("optimizer", OPTIMIZERS, "muon schedule_free mechanize prodigy dog")
METHODS.add(
    "keep_adam",
    Method(keep=Keep(first_moment=1.0, second_moment=1.0, step_count=1.0)),
    "Adam's moments and step count go on from pretraining",
)
METHODS.add(
    "kl_rate",
    Method(optimizer=Adam(desired_kl=0.01)),
    "a learning rate that follows the policy's divergence in each step (rsl_rl, rl_games)",
)
METHODS.add(
    "target_kl", Method(optimizer=Adam(target_kl=0.02)), "an update ends when the policy has moved too far in it"
)

_rows("intervention", INTERVENTIONS, "redo continual_backprop soft_shrink_perturb weight_clipping normalize_project")
_rows("intervention", INTERVENTIONS, "head_resets critic_resets")

_rows("data", DATA, "mixture between replay jump_start jump_start_curriculum")

_rows("finish", FINISHES, "wise soup")

METHODS.add(
    "strength",
    Method(warm_start=WarmStart(probe_episodes=8), penalty=KL(), control=Strength()),
    "held by divergence as strongly as the probed zero-shot return deserves",
)
METHODS.add(
    "gap_decay",
    Method(data=Between(spread=0.2), control=GapDecay(), optimizer=Adam(weight_decay=1e-2)),
    CONTROLS.text("gap_decay"),
)
METHODS.add("pbt", Method(penalty=L2SP(coef=1e-4), control=CONTROLS["pbt"]), CONTROLS.text("pbt"))

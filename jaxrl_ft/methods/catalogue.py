"""METHODS: every way to fine-tune that has a name. It is data; a new row is a new method.

Most rows put one member of one axis in the place of plain fine-tuning's, and take its name and text from that axis'
table; the rest are recipes of several parts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxrl_ft.core import checks
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.methods.adapters import ADAPTERS, Partial
from jaxrl_ft.methods.alignment import ALIGNMENTS, Realign
from jaxrl_ft.methods.control import CONTROLS, GapDecay, Strength
from jaxrl_ft.methods.data import DATA, Between
from jaxrl_ft.methods.finish import FINISHES
from jaxrl_ft.methods.imagination import IMAGINATIONS
from jaxrl_ft.methods.interventions import INTERVENTIONS
from jaxrl_ft.methods.look import LOOKS
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.optimizers import OPTIMIZERS, Adam
from jaxrl_ft.methods.optimizers.keeping import Keep
from jaxrl_ft.methods.optimizers.rates import AutoRGN, Rates
from jaxrl_ft.methods.penalties import KL, L2SP, PENALTIES
from jaxrl_ft.methods.warm_starts import WARM_STARTS, Soften

AXES: Mapping[str, Table[Any]] = {
    "look": LOOKS,
    "warm_start": WARM_STARTS,
    "alignment": ALIGNMENTS,
    "imagination": IMAGINATIONS,
    "adapter": ADAPTERS,
    "penalty": PENALTIES,
    "optimizer": OPTIMIZERS,
    "intervention": INTERVENTIONS,
    "data": DATA,
    "control": CONTROLS,
    "finish": FINISHES,
}
"""The axes of a method, each with the table of its members."""

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


METHODS.add("zero_shot", Method(trains=False), "does not train: the pretrained agent as it is")
METHODS.add("scratch", Method(warm_start=WARM_STARTS["scratch"]), "trains a fresh policy on the same budget")
METHODS.add("full", Method(), "trains every parameter of the pretrained agent")

_rows("adapter", ADAPTERS, "head bias norm", optimizer=_SMALL)
_rows("adapter", ADAPTERS, "last_k first_layer")
METHODS.add("freeze_head", Method(adapter=Partial(pattern="^[a-z]+/(?!head/)")), "trains all but the output layers")
METHODS.add(
    "gradual_unfreezing",
    Method(optimizer=Adam(rates=Rates(layer_start=0.1))),
    "trains one more layer every tenth of the budget, from the output down (arXiv:1801.06146)",
)
METHODS.add(
    "lp_ft",
    Method(optimizer=Adam(rates=Rates(body_start=0.2))),
    "trains the output layers for a fifth of the budget, then everything (arXiv:2202.10054)",
)
METHODS.add(
    "discriminative",
    Method(optimizer=Adam(rates=Rates(layer_decay=1 / 2.6))),
    "divides the learning rate by 2.6 for each layer from the output down (arXiv:1801.06146)",
)
METHODS.add(
    "auto_rgn",
    Method(optimizer=Adam(rates=AutoRGN())),
    "scales the learning rate of each weight tensor by its relative gradient norm (arXiv:2210.11466)",
)
METHODS.add(
    "critic_warmup",
    Method(optimizer=Adam(rates=Rates(policy_start=0.1))),
    "trains the critic alone for the first tenth of the budget (arXiv:2402.02868)",
)
_rows("adapter", ADAPTERS, "lora rslora dora random_subspace sparse ia3 input_affine output_affine", optimizer=_SMALL)
_rows("adapter", ADAPTERS, "bottleneck residual plasticity progressive")

_rows("warm_start", WARM_STARTS, "soften")
METHODS.add(
    "probe_soften",
    Method(look=LOOKS["probe"], warm_start=Soften()),
    "softens less, the more return a paid probe of the target measures",
)
_rows("warm_start", WARM_STARTS, "critic_reset head_reset shrink_perturb")
_rows("warm_start", WARM_STARTS, "net2wider net2deeper")
METHODS.add(
    "realign",
    Method(look=LOOKS["short"], alignment=Realign()),
    "undoes changes of sensors and actions that a paid look at the target shows",
)
METHODS.add(
    "realign_soften",
    Method(look=LOOKS["short_and_probe"], warm_start=Soften(), alignment=Realign()),
    "as realign, then softens less, the more return a paid probe of the target measures",
)
METHODS.add(
    "imagine",
    Method(look=LOOKS["long"], warm_start=Soften(), alignment=Realign(), imagination=IMAGINATIONS["linear"]),
    "realigns and softens after a paid look at the target, trains in a linear model of it, then on the target (Dyna)",
)
METHODS.add(
    "imagine_both",
    Method(
        look=LOOKS["long"],
        warm_start=Soften(),
        imagination=IMAGINATIONS["linear_both"],
        penalty=PENALTIES["cloning"],
    ),
    "softens, trains in linear models of source and target, then with the penalty cloning on the target",
)
METHODS.add(
    "imagine_scratch",
    Method(look=LOOKS["long"], warm_start=WARM_STARTS["scratch"], imagination=IMAGINATIONS["linear"]),
    "as imagine, from a fresh policy (Dyna)",
)
METHODS.add("entropy_bonus", Method(ent_coef=0.01), "adds an entropy bonus, so that the policy explores")

_rows("penalty", PENALTIES, "l1 l1sp l2 l2sp l2init ewc mas kl kl_reverse cloning features infer churn")

_rows("optimizer", OPTIMIZERS, "nadam adamw nadamw adam_ns adam_rel cautious adaptive_decay trac")
_rows("optimizer", OPTIMIZERS, "muon schedule_free mechanize prodigy dog")
METHODS.add(
    "keep_adam",
    Method(keep=Keep(first_moment=1.0, second_moment=1.0, step_count=1.0, rate_factor=1.0)),
    "keeps Adam's moments and step count from pretraining",
)
METHODS.add(
    "kl_rate",
    Method(optimizer=Adam(desired_kl=0.01)),
    "lowers the learning rate while updates move the policy too far, else raises it (rsl_rl, rl_games)",
)
METHODS.add(
    "target_kl",
    Method(optimizer=Adam(target_kl=0.02)),
    "ends an update's gradient steps once the policy has moved too far in it",
)

_rows("intervention", INTERVENTIONS, "redo continual_backprop soft_shrink_perturb weight_clipping normalize_project")
_rows("intervention", INTERVENTIONS, "head_resets critic_resets")

_rows("data", DATA, "mixture between replay jump_start jump_start_curriculum")

_rows("finish", FINISHES, "wise soup")

METHODS.add(
    "strength",
    Method(look=LOOKS["probe"], penalty=KL(), control=Strength()),
    "as kl, the more strongly, the more return a paid zero-shot probe measures",
)
METHODS.add(
    "gap_decay",
    Method(data=Between(spread=0.2), control=GapDecay(), optimizer=Adam(weight_decay=1e-2)),
    CONTROLS.text("gap_decay"),
)
METHODS.add("pbt", Method(penalty=L2SP(coef=1e-4), control=CONTROLS["pbt"]), CONTROLS.text("pbt"))


def resolve_method(method: str | Method | None) -> Method:
    """The method of a name, the method itself, or the recommended one for None.

    Raises:
        ValueError: no method of this name, or a field of the method is not allowed.
    """
    if method is None:
        method = RECOMMENDED
    chosen = METHODS[method] if isinstance(method, str) else method
    check_config(chosen, "method", Method)
    return chosen


def named_methods(methods: Sequence[str] | Mapping[str, Method]) -> dict[str, Method]:
    """The methods by name: those of these names, or those that are given.

    Raises:
        ValueError: one name in the place of a sequence, a name that is not known, or a method that is not allowed.
    """
    checks.sequence("methods", methods)
    given = methods if isinstance(methods, Mapping) else {METHODS.name(name): METHODS[name] for name in methods}
    return {name: resolve_method(method) for name, method in given.items()}

"""A method: one choice on each axis of fine-tuning."""

from dataclasses import replace
from typing import Any

from jaxrl_ft.core.config import config, floats
from jaxrl_ft.methods.adapters import Adapter, Full
from jaxrl_ft.methods.alignment import Alignment
from jaxrl_ft.methods.control import Control
from jaxrl_ft.methods.data import Data
from jaxrl_ft.methods.finish import Finish
from jaxrl_ft.methods.imagination import Imagination
from jaxrl_ft.methods.interventions import Intervention
from jaxrl_ft.methods.look import Look
from jaxrl_ft.methods.optimizers import Adam, Optimizer
from jaxrl_ft.methods.optimizers.keeping import Keep
from jaxrl_ft.methods.penalties import Penalty
from jaxrl_ft.methods.warm_starts import WarmStart


@config
class Method:
    """A complete fine-tuning recipe: one member of each axis, and beside the axes `keep`, `ent_coef` and `trains`."""

    look: Look = Look()
    """steps and episodes on the target before training, paid from the budget"""
    warm_start: WarmStart = WarmStart()
    """parameters that training starts from"""
    alignment: Alignment = Alignment()
    """how the target's sensors and actions are read in the source's terms"""
    imagination: Imagination = Imagination()
    """training in a learned model of the target before training on the target"""
    keep: Keep = Keep()
    """parts of the optimizer's state that are kept; no axis of its own"""
    adapter: Adapter = Full()
    """what trains, and in which form"""
    penalty: Penalty = Penalty()
    """term of the loss that holds it near the source policy"""
    optimizer: Optimizer = Adam()
    """optimizer of the gradient steps"""
    intervention: Intervention = Intervention()
    """change of the parameters between gradient steps"""
    data: Data = Data()
    """tasks, guides and stored rows that experience comes from"""
    control: Control = Control()
    """changes of its numbers by measurements"""
    finish: Finish = Finish()
    """change of the parameters after training"""
    ent_coef: float | None = None
    """coefficient of the entropy bonus in the place of the algorithm's own"""
    trains: bool = True
    """whether it takes updates; if not, the pretrained agent is evaluated as it is"""

    @property
    def population(self) -> int:
        """Fine-tunes of each base that share the budget."""
        return self.control.population * self.finish.population

    @property
    def source_steps(self) -> int:
        """Environment steps of source experience that penalty and data need."""
        return max(self.penalty.source_steps, self.data.source_steps)

    @property
    def keeps(self) -> bool:
        """Whether any part of the optimizer's state is kept."""
        return any(floats(self.keep).values())

    @property
    def needs(self) -> dict[str, tuple[str, ...]]:
        """What its parts ask for, as `rl.Algorithm.lacks` and `Network.lacks` name it, by the name of the part."""
        parts = {name: getattr(self, name).needs for name in ("warm_start", "optimizer", "intervention")}
        return {**parts, "ent_coef": () if self.ent_coef is None else ("ent_coef",)}

    def spent(self) -> int:
        """Environment steps of each run on the target for look, probe and validation."""
        return self.spent_before() + self.control.spent() if self.trains else 0

    def spent_before(self) -> int:
        """Environment steps of each run on the target before the first update."""
        return self.look.spent()

    def without_paying(self) -> "Method":
        """The method of the same training program that neither looks, probes, realigns nor imagines before it."""
        return replace(self, look=Look(), alignment=Alignment(), imagination=Imagination())

    @staticmethod
    def upgraded(fields: dict[str, Any]) -> dict[str, Any]:
        """The JSON fields of a method, those of version 0.1 moved to the parts that have them now."""
        warm_start = dict(fields.get("warm_start") or {})
        probe = {name: warm_start.pop(name) for name in ("probe_episodes", "probe_steps") if name in warm_start}
        align = warm_start.pop("align", False)
        if "look_steps" not in fields and not probe:
            return fields
        look = {"type": "Look", "steps": fields.get("look_steps", 0), **probe}
        alignment = {"type": "Realign" if align else "Alignment"}
        rest = {name: value for name, value in fields.items() if name != "look_steps"}
        return {**rest, "warm_start": warm_start, "look": look, "alignment": alignment}

    def training_optimizer(self) -> Optimizer:
        """The optimizer of the training program: nothing absent, and counts by entry where moments are voided."""
        reduced = self.optimizer.reduced()
        return replace(reduced, per_entry=True) if self.intervention.resets else reduced

    def check(self) -> None:
        """Refuse combinations that make no sense.

        Raises:
            ValueError: names the part, and the reason.
        """
        part, grows = type(self.intervention).__name__, self.warm_start.grows
        refused = {
            f"intervention: {part} acts on parameters, and a {type(self.adapter).__name__} adapter trains others; "
            "use full, partial or last_k": self.intervention.hooks and not self.adapter.plain,
            f"keep: moments are those of every parameter, and a {type(self.adapter).__name__} adapter trains others; "
            "use full": self.keeps and not self.adapter.trains_all,
            f"keep: moments are those of the pretrained network, which {type(self.warm_start).__name__} grows": (
                self.keeps and grows
            ),
            f"penalty: {type(self.penalty).__name__} is anchored to the pretrained parameters, which "
            f"{type(self.warm_start).__name__} grows": self.penalty.anchored and grows,
            f"finish: {type(self.finish).__name__} goes back to the pretrained parameters, which "
            f"{type(self.warm_start).__name__} grows": self.finish.anchored and grows,
            f"control: {type(self.control).__name__} keeps the best of a population, and "
            f"{type(self.finish).__name__} averages one; use one of the two": (
                self.control.population > 1 and self.finish.population > 1
            ),
            f"alignment: {type(self.alignment).__name__} needs a look at the target; give look.steps": (
                self.alignment.acts and not self.look.steps
            ),
            "imagination.steps: a model needs a look at the target; give look.steps": (
                self.imagination.acts and not self.look.steps
            ),
            f"imagination.steps: imagined training and {type(self.warm_start).__name__}, which grows the network, "
            "are not combined": self.imagination.acts and grows,
            f"control: {type(self.control).__name__} follows a probe of the target; give look.probe_episodes": (
                self.control.needs_probe and not self.look.measures
            ),
            f"control: {type(self.control).__name__} compares training tasks with validation tasks of one range; "
            "use data between": (self.control.needs_range and not self.data.uses_source),
        }
        for reason, wrong in refused.items():
            if wrong:
                raise ValueError(reason)

"""Fine-tuning of reinforcement-learning policies in JAX; the public API, loaded on first use.

    import jaxrl_ft as ft

Importing the package imports no jax.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from jaxrl_ft.advice.advise import advise
    from jaxrl_ft.advice.choice import Advice
    from jaxrl_ft.envs.catalogue import held_out_grid, held_out_tasks, make_task, validation_tasks
    from jaxrl_ft.envs.shifts import SHIFTS, Shift
    from jaxrl_ft.envs.task import Task
    from jaxrl_ft.methods.adapters import (
        ADAPTERS,
        IA3,
        Adapter,
        Bottleneck,
        DoRA,
        Full,
        InputAffine,
        LastK,
        LoRA,
        OutputAffine,
        Partial,
        PlasticityInjection,
        ProgressiveColumn,
        RandomSubspace,
        ResidualPolicy,
        Sparse,
    )
    from jaxrl_ft.methods.alignment import ALIGNMENTS, Alignment, Realign
    from jaxrl_ft.methods.catalogue import METHODS, RECOMMENDED
    from jaxrl_ft.methods.control import CONTROLS, PBT, Control, GapDecay, Strength
    from jaxrl_ft.methods.data import DATA, Between, Data, JumpStart, Mixture, Replay
    from jaxrl_ft.methods.finish import FINISHES, Finish, Prune, Soup, WiSE
    from jaxrl_ft.methods.imagination import IMAGINATIONS, Imagination
    from jaxrl_ft.methods.interventions import (
        INTERVENTIONS,
        ContinualBackprop,
        Intervention,
        NormalizeProject,
        PeriodicResets,
        ReDo,
        SoftShrinkPerturb,
        WeightClipping,
    )
    from jaxrl_ft.methods.look import LOOKS, Look
    from jaxrl_ft.methods.method import Method
    from jaxrl_ft.methods.optimizers import (
        ADOPT,
        OPTIMIZERS,
        SGD,
        TRAC,
        Adam,
        AdaptiveDecay,
        AdEMAMix,
        DoG,
        DoWG,
        Mechanize,
        Muon,
        Optimizer,
        Prodigy,
        RMSProp,
        ScheduleFree,
    )
    from jaxrl_ft.methods.optimizers.keeping import Keep
    from jaxrl_ft.methods.optimizers.rates import SCHEDULES, AutoRGN, Rates, Schedule
    from jaxrl_ft.methods.penalties import (
        EWC,
        KL,
        L1,
        L1SP,
        L2,
        L2SP,
        MAS,
        PENALTIES,
        Churn,
        Cloning,
        Features,
        InFeR,
        L2Init,
        Penalty,
    )
    from jaxrl_ft.methods.spaces import Range
    from jaxrl_ft.methods.warm_starts import (
        WARM_STARTS,
        CriticReset,
        HeadReset,
        Net2Deeper,
        Net2Wider,
        Scratch,
        ShrinkPerturb,
        Soften,
        WarmStart,
    )
    from jaxrl_ft.nets.mlp import MLP
    from jaxrl_ft.rl.ppo import ALGOS, PPO
    from jaxrl_ft.store.checkpoints import load, save
    from jaxrl_ft.sweeps.compare import compare
    from jaxrl_ft.sweeps.results import Comparison
    from jaxrl_ft.sweeps.search import Searched, search
    from jaxrl_ft.training.agents import Agents
    from jaxrl_ft.training.evaluation.evaluate import evaluate
    from jaxrl_ft.training.finetune import finetune, pretrain
    from jaxrl_ft.training.weights.wrap import wrap

_MODULES = {
    "advice.choice": "Advice",
    "advice.advise": "advise",
    "training.agents": "Agents",
    "sweeps.compare": "compare",
    "training.evaluation.evaluate": "evaluate",
    "training.finetune": "finetune pretrain",
    "sweeps.results": "Comparison",
    "sweeps.search": "Searched search",
    "training.weights.wrap": "wrap",
    "envs.catalogue": "held_out_grid held_out_tasks make_task validation_tasks",
    "envs.shifts": "SHIFTS Shift",
    "envs.task": "Task",
    "methods.adapters": (
        "ADAPTERS IA3 Adapter Bottleneck DoRA Full InputAffine "
        "LastK LoRA OutputAffine Partial PlasticityInjection ProgressiveColumn RandomSubspace "
        "ResidualPolicy Sparse "
    ),
    "methods.alignment": "ALIGNMENTS Alignment Realign",
    "methods.catalogue": "METHODS RECOMMENDED",
    "methods.control": "CONTROLS PBT Control GapDecay Strength",
    "methods.data": "DATA Between Data JumpStart Mixture Replay",
    "methods.finish": "FINISHES Finish Prune Soup WiSE",
    "methods.interventions": (
        "INTERVENTIONS ContinualBackprop Intervention NormalizeProject PeriodicResets ReDo SoftShrinkPerturb "
        "WeightClipping "
    ),
    "methods.optimizers.keeping": "Keep",
    "methods.imagination": "IMAGINATIONS Imagination",
    "methods.look": "LOOKS Look",
    "methods.method": "Method",
    "methods.optimizers": (
        "ADOPT OPTIMIZERS SGD TRAC AdEMAMix Adam AdaptiveDecay "
        "DoG DoWG Mechanize Muon Optimizer Prodigy RMSProp "
        "ScheduleFree "
    ),
    "methods.penalties": "EWC KL L1 L1SP L2 L2SP MAS PENALTIES Churn Cloning Features InFeR L2Init Penalty",
    "methods.optimizers.rates": "SCHEDULES AutoRGN Rates Schedule",
    "methods.spaces": "Range",
    "methods.warm_starts": (
        "WARM_STARTS CriticReset HeadReset Net2Deeper Net2Wider Scratch ShrinkPerturb Soften WarmStart "
    ),
    "nets.mlp": "MLP",
    "rl.ppo": "ALGOS PPO",
    "store.checkpoints": "load save",
}
_PUBLIC = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "ADAPTERS",
    "ADOPT",
    "ALGOS",
    "ALIGNMENTS",
    "CONTROLS",
    "DATA",
    "EWC",
    "FINISHES",
    "IA3",
    "IMAGINATIONS",
    "INTERVENTIONS",
    "KL",
    "L1",
    "L1SP",
    "L2",
    "L2SP",
    "LOOKS",
    "MAS",
    "METHODS",
    "MLP",
    "OPTIMIZERS",
    "PBT",
    "PENALTIES",
    "PPO",
    "RECOMMENDED",
    "SCHEDULES",
    "SGD",
    "SHIFTS",
    "TRAC",
    "WARM_STARTS",
    "AdEMAMix",
    "Adam",
    "Adapter",
    "AdaptiveDecay",
    "Advice",
    "Agents",
    "Alignment",
    "AutoRGN",
    "Between",
    "Bottleneck",
    "Churn",
    "Cloning",
    "Comparison",
    "ContinualBackprop",
    "Control",
    "CriticReset",
    "Data",
    "DoG",
    "DoRA",
    "DoWG",
    "Features",
    "Finish",
    "Full",
    "GapDecay",
    "HeadReset",
    "Imagination",
    "InFeR",
    "InputAffine",
    "Intervention",
    "JumpStart",
    "Keep",
    "L2Init",
    "LastK",
    "LoRA",
    "Look",
    "Mechanize",
    "Method",
    "Mixture",
    "Muon",
    "Net2Deeper",
    "Net2Wider",
    "NormalizeProject",
    "Optimizer",
    "OutputAffine",
    "Partial",
    "Penalty",
    "PeriodicResets",
    "PlasticityInjection",
    "Prodigy",
    "ProgressiveColumn",
    "Prune",
    "RMSProp",
    "RandomSubspace",
    "Range",
    "Rates",
    "ReDo",
    "Realign",
    "Replay",
    "ResidualPolicy",
    "Schedule",
    "ScheduleFree",
    "Scratch",
    "Searched",
    "Shift",
    "ShrinkPerturb",
    "SoftShrinkPerturb",
    "Soften",
    "Soup",
    "Sparse",
    "Strength",
    "Task",
    "WarmStart",
    "WeightClipping",
    "WiSE",
    "advise",
    "compare",
    "evaluate",
    "finetune",
    "held_out_grid",
    "held_out_tasks",
    "load",
    "make_task",
    "pretrain",
    "save",
    "search",
    "validation_tasks",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'jaxrl_ft' has no attribute {name!r}")
    # The devices are set before the first call, whichever it is, as JAX keeps those that it starts with.
    importlib.import_module("jaxrl_ft.training.devices").prepare()
    value = getattr(importlib.import_module(f"jaxrl_ft.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_PUBLIC)

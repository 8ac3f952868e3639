"""Fine-tuning of reinforcement-learning policies in JAX; the public API, loaded on first use.

    import jaxrl_ft as ft

Importing the package imports no jax.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxrl_ft.engine.agents import Agents
    from jaxrl_ft.engine.comparison import Comparison, compare
    from jaxrl_ft.engine.evaluation import evaluate
    from jaxrl_ft.engine.learning import finetune, pretrain
    from jaxrl_ft.engine.wrapping import wrap
    from jaxrl_ft.envs.catalogue import held_out_grid, held_out_tasks, make_task
    from jaxrl_ft.envs.shifts import SHIFTS
    from jaxrl_ft.envs.task import Task
    from jaxrl_ft.methods.adapters import ADAPTERS, Full, InputAffine, LastK, LoRA, Partial
    from jaxrl_ft.methods.method import METHODS, RECOMMENDED, Method
    from jaxrl_ft.methods.optimizers import OPTIMIZERS, SGD, Adam, RMSProp
    from jaxrl_ft.methods.penalties import KL, L1, L2, L2SP, PENALTIES, L2Init
    from jaxrl_ft.methods.rates import SCHEDULES, Rates, Schedule
    from jaxrl_ft.methods.warm_starts import WARM_STARTS, CriticReset, Scratch, ShrinkPerturb, Soften
    from jaxrl_ft.nets.mlp import MLP
    from jaxrl_ft.rl.ppo import ALGOS, PPO
    from jaxrl_ft.store.checkpoints import load, save

_MODULES = {
    "engine.agents": "Agents",
    "engine.comparison": "Comparison compare",
    "engine.evaluation": "evaluate",
    "engine.learning": "finetune pretrain",
    "engine.wrapping": "wrap",
    "envs.catalogue": "held_out_grid held_out_tasks make_task",
    "envs.shifts": "SHIFTS",
    "envs.task": "Task",
    "methods.adapters": "ADAPTERS Full InputAffine LastK LoRA Partial",
    "methods.method": "METHODS RECOMMENDED Method",
    "methods.optimizers": "OPTIMIZERS SGD Adam RMSProp",
    "methods.penalties": "KL L1 L2 L2SP PENALTIES L2Init",
    "methods.rates": "SCHEDULES Rates Schedule",
    "methods.warm_starts": "WARM_STARTS CriticReset Scratch ShrinkPerturb Soften",
    "nets.mlp": "MLP",
    "rl.ppo": "ALGOS PPO",
    "store.checkpoints": "load save",
}
_PUBLIC = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "ADAPTERS",
    "ALGOS",
    "KL",
    "L1",
    "L2",
    "L2SP",
    "METHODS",
    "MLP",
    "OPTIMIZERS",
    "PENALTIES",
    "PPO",
    "RECOMMENDED",
    "SCHEDULES",
    "SGD",
    "SHIFTS",
    "WARM_STARTS",
    "Adam",
    "Agents",
    "Comparison",
    "CriticReset",
    "Full",
    "InputAffine",
    "L2Init",
    "LastK",
    "LoRA",
    "Method",
    "Partial",
    "RMSProp",
    "Rates",
    "Schedule",
    "Scratch",
    "ShrinkPerturb",
    "Soften",
    "Task",
    "compare",
    "evaluate",
    "finetune",
    "held_out_grid",
    "held_out_tasks",
    "load",
    "make_task",
    "pretrain",
    "save",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'jaxrl_ft' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"jaxrl_ft.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_PUBLIC)

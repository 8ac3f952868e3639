"""Parameters of flax: CleanRL's msgpack files, SBX zips, and trees of arrays by name, kernels [in, out] as here."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from jaxrl_ft.core.types import PyTree
from jaxrl_ft.store.foreign.found import Found, Layer, behind_trunk, float_array, listed

LIBRARY = "flax"


def layers_in_order(what: str, tree: Mapping[str, PyTree], notes: list[str]) -> list[Layer]:
    """The layers of a module by the numbers in their names, convolutions first, the one without a number last.

    Raises:
        ValueError: it holds anything else.
    """
    inner = tree.get("params", tree)
    if not isinstance(inner, Mapping):
        raise ValueError(f"{what}: its params are no dict of layers")
    found: dict[str, Layer] = {}
    for name, entry in inner.items():
        if not isinstance(entry, Mapping) or set(entry) != {"kernel", "bias"}:
            raise ValueError(
                f"{what}: holds {name!r}, which is no layer; policies of dense layers and convolutions are read"
            )
        kernel, bias = (float_array(f"{what}: {name}/{part}", entry[part], notes) for part in ("kernel", "bias"))
        if kernel.ndim not in (2, 3, 4):
            raise ValueError(f"{what}: holds a kernel that is no layer's here: {name!r} {kernel.shape}")
        found[str(name)] = (kernel, bias)
    numbers = {name: [int(number) for number in re.findall(r"\d+", name)] for name in found}
    # Flax numbers convolutions and dense layers apart; convolutions come first.
    return [found[name] for name in sorted(found, key=lambda n: (found[n][0].ndim != 4, not numbers[n], numbers[n]))]


def is_module(tree: PyTree) -> bool:
    """Whether a tree is the parameters of one flax module of dense layers."""
    inner = tree.get("params", tree) if isinstance(tree, Mapping) else None
    return isinstance(inner, Mapping) and any(
        isinstance(entry, Mapping) and "kernel" in entry for entry in inner.values()
    )


def of_module(what: str, tree: Mapping[str, PyTree]) -> Found:
    """The policy of one module, such as the Q-network of CleanRL's dqn_jax.py.

    Raises:
        ValueError: it is no MLP.
    """
    notes: list[str] = []
    layers = layers_in_order(what, tree, notes)
    found = Found("flax parameters of one network", "dqn", layers, "relu", notes=notes)
    found.told = "assumed, as CleanRL's dqn_jax.py has it"
    found.notes.append(f"algorithm: dqn, {found.told}")
    return found


def of_list(what: str, trees: Sequence[PyTree]) -> Found:
    """The policy of a list of modules, perhaps behind a dict of settings, as CleanRL's scripts for flax write.

    Raises:
        ValueError: it is another kind of policy.
    """
    settings = next((entry for entry in trees if isinstance(entry, Mapping) and not _holds_arrays(entry)), {})
    modules = [entry for entry in trees if _holds_arrays(entry)]
    if len(modules) == 1 and not is_module(modules[0]):
        modules = in_order(modules[0])
    script = str(settings.get("exp_name", "")) or "its script is not told"
    if len(modules) == 1:
        found = of_module(what, modules[0])
    elif len(modules) == 3 and all(isinstance(module, Mapping) for module in modules):
        found = _with_trunk(what, modules)
    else:
        raise ValueError(
            f"{what}: holds {len(modules)} networks ({script}), as DDPG and TD3 do; PPO, A2C, DQN and SAC are read"
        )
    found.made_by = f"CleanRL (flax, {script})"
    return found


def in_order(tree: Mapping[str, PyTree]) -> list[PyTree]:
    """The entries of a list that flax wrote as a dict from 0 on."""
    return [tree[key] for key in sorted(tree, key=lambda key: (len(str(key)), str(key)))]


def is_list(tree: PyTree) -> bool:
    """Whether a tree is a list, or one that flax wrote as a dict from 0 on."""
    numbered = isinstance(tree, Mapping) and set(tree) == {str(i) for i in range(len(tree))} and bool(tree)
    return isinstance(tree, list) or numbered


def _with_trunk(what: str, modules: Sequence[Mapping[str, PyTree]]) -> Found:
    """Policy and critic of one layer each behind one trunk."""
    notes: list[str] = []
    trunk, actor, critic = (layers_in_order(what, module, notes) for module in modules)
    told = "assumed, as CleanRL's scripts with a trunk have it"
    found = Found(made_by=LIBRARY, algo="ppo", activation="relu", told=told, **behind_trunk(trunk, actor, critic))
    found.notes = [*notes, *found.notes, f"algorithm: ppo, {told}"]
    return found


def _holds_arrays(tree: PyTree) -> bool:
    if isinstance(tree, Mapping):
        return any(_holds_arrays(entry) for entry in tree.values())
    return isinstance(tree, np.ndarray) and tree.ndim > 0


def grouped(what: str, tree: Mapping[str, PyTree]) -> str:
    """What groups a tree has, in words, for messages."""
    return f"{what}: holds {listed(tree)}"

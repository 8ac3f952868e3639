"""What a file or a mapping turns out to hold: told from its content, never from its name."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.store import zoo
from jaxrl_ft.store.foreign import cleanrl, containers, flax_trees, sbx, stable_baselines
from jaxrl_ft.store.foreign.found import Found, listed

Given: TypeAlias = str | Path | Mapping[str, PyTree]
"""A file, or arrays by name."""
_WRAPPERS = ("state_dict", "model_state_dict", "model", "agent", "policy_state_dict")


def found_in(given: Given) -> tuple[str, Found]:
    """What messages call a policy, and what it turns out to be.

    Raises:
        ValueError: it cannot be read; the message says what was found.
    """
    if isinstance(given, Mapping):
        return "policy", _of_tree("policy", "a dict of arrays", _as_arrays(given))
    checks.kind("policy", given, (str, Path), "a path, or a dict of arrays")
    checks.path("policy", given)
    if zoo.is_named(given):
        raise ValueError(f"policy: {str(given)!r} is not allowed; ft.load({str(given)!r}) gives agents of the zoo")
    content = containers.read(Path(given))
    if content.kind != "Stable-Baselines3 zip":
        return str(given), _of_tree(str(given), content.kind, content.tree)
    of_zip = sbx.of_zip if sbx.is_sbx(content.tree) else stable_baselines.of_zip
    return str(given), of_zip(str(given), content.tree)


def _as_arrays(tree: PyTree) -> PyTree:
    """The tree with what can be taken for arrays as such, torch's tensors among them."""
    if isinstance(tree, Mapping):
        return {name: _as_arrays(entry) for name, entry in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_as_arrays(entry) for entry in tree]
    # A tensor of torch that gradients are taken of gives no array.
    tree = tree.detach().cpu() if hasattr(tree, "detach") else tree
    return np.asarray(tree) if hasattr(tree, "__array__") else tree


def _of_tree(what: str, kind: str, tree: PyTree) -> Found:
    """The policy of arrays by name.

    Raises:
        ValueError: they are those of no policy that is known.
    """
    if flax_trees.is_list(tree):
        entries = tree if isinstance(tree, list) else flax_trees.in_order(tree)
        dotted = any(str(name).endswith(".weight") for entry in entries if isinstance(entry, dict) for name in entry)
        return cleanrl.of_several(what, entries) if dotted else flax_trees.of_list(what, entries)
    if not isinstance(tree, Mapping):
        raise ValueError(f"{what}: is a {kind} of a {type(tree).__name__}, and not of arrays by name")
    inner = tree.get("params")
    if "policy" in tree and isinstance(tree["policy"], (Mapping, list, tuple)):
        return _of_groups(what, tree)
    if isinstance(inner, Mapping) and "policy" in inner:
        return _of_groups(what, inner)
    if flax_trees.is_module(tree):
        return flax_trees.of_module(what, tree)
    wrapper = next((name for name in _WRAPPERS if isinstance(tree.get(name), Mapping)), None)
    if wrapper is not None:
        found = _of_tree(what, kind, tree[wrapper])
        found.notes.append(f"{wrapper}: is what was read; left out: {listed([n for n in tree if n != wrapper])}")
        return found
    if stable_baselines.is_state(tree):
        return stable_baselines.of_state(what, tree)
    if any(str(name).endswith(".weight") for name in tree):
        return cleanrl.of_state(what, tree)
    raise ValueError(f"{what}: is a {kind} of {listed(tree)}; these names tell no policy that is known")


def _of_groups(what: str, tree: Mapping[str, PyTree]) -> Found:
    """The policy of networks by group, as `ft.wrap` takes them and `agents.params` has them."""
    for group in tree:
        checks.choice(what, group, ("policy", "value"))
    policy, value = tree["policy"], tree.get("value")
    log_alpha, twin = None, None
    if isinstance(policy, Mapping):
        policy, log_alpha = dict(policy), policy.get("log_alpha")
        policy.pop("log_alpha", None)
    if isinstance(value, Mapping):
        value, twin = dict(value), value.get("twin")
        value.pop("twin", None)
    algo = "sac" if twin is not None or log_alpha is not None else "ppo"
    notes = [f"algorithm: {algo}, assumed"]
    return Found("arrays by group", algo, policy, "tanh", value=value, twin=twin, log_alpha=log_alpha, notes=notes)

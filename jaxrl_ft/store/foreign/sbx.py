"""Policies of SBX, the JAX implementation of Stable-Baselines3's algorithms, whose zips hold flax parameters.

SBX writes its policy as one pickle inside of the JSON settings. That pickle is read as data (`pickles.read`): its
arrays are taken, everything else in it is a name, and nothing is run.
"""

import base64
import binascii
import re
from collections.abc import Mapping

import numpy as np

from jaxrl_ft.core.types import PyTree
from jaxrl_ft.store.foreign import containers, pickles
from jaxrl_ft.store.foreign.flax_trees import layers_in_order
from jaxrl_ft.store.foreign.found import Found, Layer, activation, beside, float_array, listed
from jaxrl_ft.store.foreign.pickled_arrays import array, as_mapping, is_array
from jaxrl_ft.store.foreign.pickles import Inert, Made
from jaxrl_ft.store.foreign.stable_baselines import bounds

LIBRARY = "SBX"
_MODULES = {"sbx.ppo.policies": "ppo", "sbx.dqn.policies": "dqn", "sbx.sac.policies": "sac"}
_DEFAULTS = {"ppo": "tanh", "dqn": "relu", "sac": "relu"}
_CLASSES = ("PPOPolicy", "DQNPolicy", "SACPolicy")
_LOG_STD = {"min_log_std": -20.0, "max_log_std": 2.0}
_DEEPEST = 16


def is_sbx(files: Mapping[str, bytes]) -> bool:
    """Whether a zip of Stable-Baselines3's form is one of SBX, which has no state dict of torch."""
    return b'"policy"' in files["data"] and b"sbx." in files["data"]


def of_zip(what: str, files: Mapping[str, bytes]) -> Found:
    """The policy of a zip.

    Args:
        what: the file's name, for messages.
        files: its members.

    Raises:
        ValueError: it is of an algorithm that is not known here, or no MLP.
    """
    settings = containers.plain_json(f"{what}: data", files["data"])
    policy = _policy(what, settings)
    module, _, name = policy.name.rpartition(".")
    if module not in _MODULES or name not in _CLASSES:
        raise ValueError(f"{what}: is a policy of class {policy.name[:80]!r}; PPO, DQN and SAC of SBX are read")
    algo, notes = _MODULES[module], list[str]()
    state = as_mapping(policy.state)
    if state is None:
        raise ValueError(f"{what}: its policy has no state")
    if state.get("use_sde") is True:
        raise ValueError(f"{what}: explores by gSDE (use_sde), whose noise depends on features; no policy here has it")
    modules = {key: _params(what, key, state[key]) for key in ("actor_state", "vf_state", "qf_state") if key in state}
    found = {"ppo": _actor_critic, "dqn": _q_network, "sac": _soft}[algo](what, modules, notes)
    named = _named_activation(what, settings)
    found.activation = named or _DEFAULTS[algo]
    found.told = "told by the file" if named else f"assumed, the default of its {algo}"
    if algo == "sac":
        space = settings.get("action_space")
        found.bounds = bounds(space) if isinstance(space, dict) else None
        found.log_alpha = _temperature(what, settings)
    if isinstance(settings.get("gamma"), float):
        found.settings["gamma"] = settings["gamma"]
    found.notes = [
        *notes,
        *found.notes,
        f"algorithm: {algo}, told by the file",
    ]
    return found


def _policy(what: str, settings: Mapping[str, PyTree]) -> Made:
    """The inert policy that the settings hold."""
    found = _inert(what, settings, "policy")
    if not isinstance(found, Made):
        raise ValueError(f"{what}: its policy is no object")
    if found.name == "copyreg.__newobj__":
        raise ValueError(f"{what}: its policy is written in a form of an older protocol")
    return found


def _inert(what: str, settings: Mapping[str, PyTree], name: str) -> Inert:
    entry = settings.get(name)
    text = entry.get(":serialized:") if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise ValueError(f"{what}: its settings hold no {name}")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{what}: {name} is no base64 ({error})") from None
    return pickles.read(data, f"{what}: {name}")


def _params(what: str, key: str, value: Inert) -> dict[str, PyTree]:
    """The parameters of a train state, as nested dicts of arrays."""
    state = as_mapping(value.state) if isinstance(value, Made) else None
    params = None if state is None else as_mapping(state.get("params"))
    if params is None:
        raise ValueError(f"{what}: {key} of its policy holds no parameters")
    tree = _plain(f"{what}: {key}", params, 0)
    inner = tree.get("params", tree)
    if not isinstance(inner, dict):
        raise ValueError(f"{what}: {key} of its policy holds no layers")
    return inner


def _plain(what: str, value: Inert, depth: int) -> PyTree:
    entries = as_mapping(value)
    if depth > _DEEPEST:
        raise ValueError(f"{what}: is nested more than {_DEEPEST} deep")
    if entries is not None:
        return {str(key): _plain(f"{what}/{key}", entry, depth + 1) for key, entry in entries.items()}
    if not is_array(value):
        raise ValueError(f"{what}: is no array")
    return array(what, value)


def _actor_critic(what: str, modules: Mapping[str, dict[str, PyTree]], notes: list[str]) -> Found:
    actor, critic = _modules(what, modules, "actor_state", "vf_state")
    log_std = actor.pop("log_std", None)
    policy, value = (layers_in_order(what, module, notes) for module in (actor, critic))
    log_std = None if log_std is None else float_array(f"{what}: log_std", log_std, notes)
    return Found(LIBRARY, "ppo", policy, "tanh", value=value, log_std=log_std)


def _q_network(what: str, modules: Mapping[str, dict[str, PyTree]], notes: list[str]) -> Found:
    (module,) = _modules(what, modules, "qf_state")
    return Found(LIBRARY, "dqn", layers_in_order(what, module, notes), "relu")


def _soft(what: str, modules: Mapping[str, dict[str, PyTree]], notes: list[str]) -> Found:
    actor, critics = _modules(what, modules, "actor_state", "qf_state")
    *hidden, mean, log_std = layers_in_order(what, actor, notes)
    inner = next(iter(critics.values())) if len(critics) == 1 else {}
    pair = layers_in_order(what, inner, notes) if isinstance(inner, dict) else []
    if not pair or any(kernel.ndim != 3 or len(kernel) != 2 for kernel, _ in pair):
        raise ValueError(f"{what}: does not have the two critics that SAC has here")
    first, second = ([(kernel[i], bias[i]) for kernel, bias in pair] for i in range(2))
    layers: list[Layer] = [*hidden, beside(mean, log_std)]
    return Found(LIBRARY, "sac", layers, "relu", value=first, twin=second, actor=dict(_LOG_STD))


def _modules(what: str, modules: Mapping[str, dict[str, PyTree]], *names: str) -> list[dict[str, PyTree]]:
    for name in names:
        if name not in modules:
            raise ValueError(f"{what}: its policy has no {name}; found are {listed(modules)}")
    return [dict(modules[name]) for name in names]


def _temperature(what: str, settings: Mapping[str, PyTree]) -> np.ndarray | None:
    """The logarithm of the learned coefficient of the entropy; None where the file has none that is read."""
    try:
        state = as_mapping(_inert(what, settings, "ent_coef_state").state)
        tree = _plain(what, {} if state is None else state["params"], 0)
    except (ValueError, AttributeError, KeyError):
        return None
    leaf = tree.get("params", tree).get("log_ent_coef")
    return np.reshape(np.asarray(leaf, np.float32), -1)[:1] if isinstance(leaf, np.ndarray) else None


def _named_activation(what: str, settings: Mapping[str, PyTree]) -> str | None:
    kwargs = settings.get("policy_kwargs")
    text = kwargs.get("activation_fn") if isinstance(kwargs, dict) else None
    match = re.search(r"function (?:\w+\.)*(\w+)", str(text)) if text is not None else None
    return None if text is None else activation(what, match[1] if match else str(text)[:60])

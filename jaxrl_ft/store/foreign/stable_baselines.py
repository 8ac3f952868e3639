"""Policies of Stable-Baselines3: zips that `model.save` writes, and state dicts of `model.policy`.

A zip holds state dicts of torch, and settings as JSON in which some values are pickles in base64. Of these the text
that stands beside the pickle is read, such as `<class 'torch.nn.modules.activation.ReLU'>`; no pickle is opened.

Reference: Raffin et al. 2021, "Stable-Baselines3: reliable reinforcement learning implementations", JMLR 22(268).
"""

import re
from collections.abc import Mapping

import numpy as np

from jaxrl_ft.core.types import PyTree
from jaxrl_ft.store.foreign import containers
from jaxrl_ft.store.foreign.found import (
    Found,
    Layer,
    activation,
    behind_trunk,
    beside,
    float_array,
    linear,
    linears,
    listed,
    refuse_rest,
    state_dict,
)

LIBRARY = "Stable-Baselines3"
_DEFAULTS = {"ppo": "tanh", "a2c": "tanh", "dqn": "relu", "sac": "relu"}
"""Activations of MlpPolicy where none is named."""
# Bounds of the log standard deviation in its SAC.
_LOG_STD = {"min_log_std": -20.0, "max_log_std": 2.0}
_EXTRACTORS = tuple(
    f"{part}features_extractor.{layers}." for part in ("", "pi_", "vf_") for layers in ("cnn", "linear")
)
_OLDEST, _NEWEST = (1, 0), (2, 99)


def of_zip(what: str, files: Mapping[str, bytes]) -> Found:
    """The policy of a zip.

    Args:
        what: the file's name, for messages.
        files: its members.

    Raises:
        ValueError: it is of another version, of an algorithm that is not known here, or no MLP.
    """
    settings = containers.plain_json(f"{what}: data", files["data"])
    version = _version(what, files)
    if "policy.pth" not in files:
        raise ValueError(f"{what}: has no policy.pth; found are {listed(sorted(files))}")
    state = _torch(what, "policy.pth", files)
    algo = _algo(what, settings, state)
    found = of_state(what, state, algo, _named_activation(what, settings))
    found.made_by = f"{LIBRARY}{version} zip"
    if settings.get("use_sde") is True:
        raise ValueError(f"{what}: explores by gSDE (use_sde), whose noise depends on features; no policy here has it")
    space = settings.get("action_space")
    if algo == "sac" and isinstance(space, dict):
        found.bounds = bounds(space)
    if algo == "sac":
        _read_temperature(what, files, found)
    for name, ours in (("gamma", "gamma"), ("exploration_final_eps", "epsilon_end")):
        number = settings.get(name)
        if isinstance(number, float) and (name == "gamma" or algo == "dqn"):
            found.settings[ours] = number
    return found


def is_state(state: Mapping[str, PyTree]) -> bool:
    """Whether names of arrays are those of one of its policies."""
    beginnings = ("mlp_extractor.", "q_net.", "actor.latent_pi.", "action_net.", "features_extractor.", "actor.mu.")
    return any(str(name).startswith(beginnings) for name in state)


def of_state(what: str, tree: Mapping[str, PyTree], algo: str | None = None, named: str | None = None) -> Found:
    """The policy of a state dict.

    Args:
        what: the file's name, for messages.
        tree: arrays by name.
        algo: a key of ALGOS, where it is known.
        named: the activation, where it is known.

    Raises:
        ValueError: it is no policy of an MLP.
    """
    notes: list[str] = []
    state = state_dict(what, tree, notes)
    assumed = algo is None
    algo = _algo(what, {}, state) if algo is None else algo
    read = {"dqn": _q_network, "sac": _soft}.get(algo, _actor_critic)
    found = read(what, state)
    found.algo, found.activation = algo, named or _DEFAULTS[algo]
    found.told = "told by the file" if named else f"assumed, the default of its {algo}"
    if any("features_extractor.cnn." in name for name in state):
        _check_images(what, found)
    found.notes = [
        *notes,
        *found.notes,
        f"algorithm: {algo}, assumed" if assumed else f"algorithm: {algo}, told by the file",
    ]
    return found


def _actor_critic(what: str, state: Mapping[str, np.ndarray]) -> Found:
    refuse_rest(what, list(state), ("mlp_extractor.", "action_net.", "value_net.", "log_std", *_EXTRACTORS))
    images = {part: _image_layers(what, state, part) for part in ("", "pi_", "vf_")}
    shared = linears(what, state, "mlp_extractor.shared_net.")
    policy, value = (linears(what, state, f"mlp_extractor.{part}_net.") for part in ("policy", "value"))
    first, second = images["pi_"] or images[""], images["vf_"] or images[""]
    if _same(first, second):
        shared = [*first, *shared]
    else:
        policy, value, shared = [*first, *shared, *policy], [*second, *shared, *value], []
    parts = behind_trunk(
        shared, [*policy, linear(what, state, "action_net")], [*value, linear(what, state, "value_net")]
    )
    log_std = state.get("log_std")
    if log_std is not None and log_std.ndim != 1:
        raise ValueError(
            f"{what}: log_std has shape {log_std.shape}, as gSDE (use_sde) has; no policy here has its noise"
        )
    return Found(made_by=LIBRARY, algo="ppo", activation="tanh", log_std=log_std, channels_first=True, **parts)


def _q_network(what: str, state: Mapping[str, np.ndarray]) -> Found:
    refuse_rest(what, list(state), ("q_net.q_net.", "q_net_target.", *(f"q_net.{name}" for name in _EXTRACTORS)))
    note = "target network: left out; fine-tuning begins with one that equals the network"
    layers = [*_image_layers(what, state, "q_net."), *linears(what, state, "q_net.q_net.")]
    return Found(LIBRARY, "dqn", layers, "relu", notes=[note], channels_first=True)


def _image_layers(what: str, state: Mapping[str, np.ndarray], before: str) -> list[Layer]:
    """The layers of an extractor of images (NatureCNN), convolutions first; none where there is no such extractor.

    Reference: Mnih et al. 2015, doi:10.1038/nature14236, whose network it is.
    """
    name = f"{before}features_extractor"
    return [*linears(what, state, f"{name}.cnn."), *linears(what, state, f"{name}.linear.")]


def _check_images(what: str, found: Found) -> None:
    """Take the activation of an extractor of images, which is relu whatever comes behind it.

    Raises:
        ValueError: hidden layers behind it have another.
    """
    behind = [kernel for kernel, _ in found.policy if kernel.ndim == 2][1:-1]
    if behind and found.activation != "relu":
        raise ValueError(
            f"{what}: has {found.activation} behind an extractor of images with relu; networks here have one activation"
        )
    found.activation, found.told = "relu", "that of its extractor of images"


def _same(first: list[Layer], second: list[Layer]) -> bool:
    pairs = zip((leaf for layer in first for leaf in layer), (leaf for layer in second for leaf in layer))
    return len(first) == len(second) and all(np.array_equal(one, other) for one, other in pairs)


def _soft(what: str, state: Mapping[str, np.ndarray]) -> Found:
    critics = ("critic.qf0.", "critic.qf1.")
    refuse_rest(what, list(state), ("actor.latent_pi.", "actor.mu.", "actor.log_std.", "critic_target.qf", *critics))
    head = beside(linear(what, state, "actor.mu"), linear(what, state, "actor.log_std"))
    first, second = (linears(what, state, name) for name in critics)
    notes = ["target critics: left out; fine-tuning begins with ones that equal the critics"]
    if not second:
        raise ValueError(f"{what}: has one critic (n_critics=1); SAC here has two")
    policy = [*linears(what, state, "actor.latent_pi."), head]
    return Found(LIBRARY, "sac", policy, "relu", value=first, twin=second, actor=dict(_LOG_STD), notes=notes)


def _read_temperature(what: str, files: Mapping[str, bytes], found: Found) -> None:
    """The logarithm of the entropy's coefficient, learned or fixed, into `found`."""
    if "pytorch_variables.pth" not in files:
        return
    variables = _torch(what, "pytorch_variables.pth", files)
    if isinstance(variables.get("log_ent_coef"), np.ndarray):
        found.log_alpha = np.reshape(float_array(what, variables["log_ent_coef"], []), -1)[:1]
    elif isinstance(variables.get("ent_coef_tensor"), np.ndarray):
        fixed = float_array(what, variables["ent_coef_tensor"], [])
        found.log_alpha = np.log(np.maximum(np.reshape(fixed, -1)[:1], 1e-8))
        found.notes.append("temperature: fixed in the file, and learned here")


def _torch(what: str, name: str, files: Mapping[str, bytes]) -> dict[str, PyTree]:
    content = containers.parsed(f"{what}: {name}", files[name])
    if not isinstance(content.tree, dict) or content.kind != "torch file":
        raise ValueError(f"{what}: {name} is no state dict of torch")
    return content.tree


def _version(what: str, files: Mapping[str, bytes]) -> str:
    """The version in words, with a space before it; empty where the file tells none.

    Raises:
        ValueError: it is one whose files are not known.
    """
    text = files.get("_stable_baselines3_version", b"").decode("utf-8", "replace").strip()
    numbers = re.match(r"(\d+)\.(\d+)", text)
    if numbers and not _OLDEST <= (int(numbers[1]), int(numbers[2])) <= _NEWEST:
        raise ValueError(f"{what}: was written by {LIBRARY} {text}; versions 1.0 to 2.x are read")
    return f" {text[:20]}" if numbers else ""


def _algo(what: str, settings: Mapping[str, PyTree], state: Mapping[str, PyTree]) -> str:
    """The key of ALGOS; by the settings where there are some, else by the names of the layers."""
    if any(str(name).startswith("q_net.") for name in state):
        return "dqn"
    if any(str(name).startswith("actor.latent_pi.") for name in state):
        return "sac"
    if any(str(name).startswith("action_net.") for name in state):
        return "a2c" if settings and "clip_range" not in settings else "ppo"
    kinds = {"actor.mu.": "TD3 or DDPG", "quantile_net.": "QR-DQN", "features_extractor.": "a policy of images"}
    kind = next((kind for name, kind in kinds.items() if any(str(key).startswith(name) for key in state)), "a policy")
    raise ValueError(
        f"{what}: is {kind} with the layers {listed(state)}; "
        "PPO, A2C, DQN and SAC with MlpPolicy are read, and the first three with CnnPolicy"
    )


def _named_activation(what: str, settings: Mapping[str, PyTree]) -> str | None:
    kwargs = settings.get("policy_kwargs")
    text = kwargs.get("activation_fn") if isinstance(kwargs, dict) else None
    if not isinstance(text, str):
        return None
    match = re.fullmatch(r"<class '(?:\w+\.)*(\w+)'>", text)
    return activation(what, match[1] if match else text[:60])


def bounds(space: Mapping[str, PyTree]) -> tuple[np.ndarray, np.ndarray] | None:
    """The bounds of actions, from the text of their arrays; None where it is cut short or no list of numbers."""
    found = []
    for name in ("low", "high"):
        numbers = re.findall(r"-?\d+\.?\d*(?:e[+-]?\d+)?", str(space.get(name)))
        whole = re.fullmatch(r"\[[-+\d.e\s,]*\]", str(space.get(name))) is not None
        if not numbers or not whole:
            return None
        found.append(np.array([float(number) for number in numbers], np.float32))
    return found[0], found[1]

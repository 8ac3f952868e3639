"""Policies of CleanRL's files, and other state dicts of torch whose names tell which networks they hold.

Reference: Huang et al. 2022, "CleanRL: high-quality single-file implementations of deep reinforcement learning
algorithms", JMLR 23(274).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jaxrl_ft.core.types import PyTree
from jaxrl_ft.store.foreign.found import (
    Found,
    Layer,
    behind_trunk,
    beside,
    linear,
    linears,
    listed,
    refuse_rest,
    state_dict,
)

LIBRARY = "CleanRL (PyTorch)"
_NO_STATISTICS = (
    "observations: CleanRL's script for continuous actions normalises and clips them, and keeps no statistics in its "
    "file; give normalizer= if yours did"
)
# Its log standard deviation is -1.5 + 3.5 tanh(x), and that of SAC here is x within bounds.
_MIDDLE, _HALF = -1.5, 3.5
_CRITIC = ("critic.", "value.", "vf.", "v_net.", "value_net.")


def of_state(what: str, tree: Mapping[str, PyTree]) -> Found:
    """The policy of a state dict.

    Raises:
        ValueError: its names are those of no known policy.
    """
    notes: list[str] = []
    state = state_dict(what, tree, notes)
    # Torch counts the layers of a Sequential with the activations between them.
    readers: dict[str, Callable[[str, Mapping[str, np.ndarray]], Found]] = {
        "actor_mean.": _gaussian,
        "fc_mean.": lambda what, state: of_soft(what, [state]),
        "actor.": _categorical,
        "network.": _q_network,
        "fc1.": _refused_deterministic,
    }
    for beginning, reader in readers.items():
        if any(name.startswith(beginning) for name in state):
            found = reader(what, state)
            break
    else:
        found = _plain(what, state)
    found.notes = [*notes, *found.notes, _assumed(found)]
    return found


def of_several(what: str, trees: Sequence[PyTree]) -> Found:
    """The policy of a list of state dicts: an actor, and perhaps its critics.

    Raises:
        ValueError: it is no such list.
    """
    if not trees or not all(isinstance(entry, dict) for entry in trees):
        raise ValueError(f"{what}: holds {len(trees)} values, and not state dicts alone")
    notes: list[str] = []
    states = [state_dict(what, entry, notes) for entry in trees]
    if "fc_mean.weight" not in states[0]:
        return _refused_deterministic(what, states[0])
    found = of_soft(what, states)
    found.notes = [*notes, *found.notes, _assumed(found)]
    return found


def of_soft(what: str, states: Sequence[Mapping[str, np.ndarray]]) -> Found:
    """The policy of SAC: the state of its actor, and those of both critics where they are given."""
    actor, critics = states[0], states[1:]
    refuse_rest(what, list(actor), ("fc1.", "fc2.", "fc3.", "fc_mean.", "fc_logstd.", "action_scale", "action_bias"))
    if len(critics) not in (0, 2):
        raise ValueError(f"{what}: holds {len(critics)} critics beside the actor; SAC has two")
    kernel, bias = linear(what, actor, "fc_logstd")
    log_std = (np.float32(_HALF) * kernel, np.float32(_HALF) * bias + np.float32(_MIDDLE))
    found = Found(
        LIBRARY,
        "sac",
        [*_numbered(what, actor), beside(linear(what, actor, "fc_mean"), log_std)],
        "relu",
        actor={"min_log_std": _MIDDLE - _HALF, "max_log_std": _MIDDLE + _HALF},
        notes=["log_std: -1.5 + 3.5 tanh(x) became -1.5 + 3.5 x within -5 and 2, equal near x = 0; means are the same"],
    )
    scale, middle = (np.reshape(actor[name], -1) if name in actor else None for name in ("action_scale", "action_bias"))
    if scale is not None and middle is not None:
        found.bounds = (middle - scale, middle + scale)
    if critics:
        found.value, found.twin = (_of_unit_actions(_numbered(what, critic), scale, middle) for critic in critics)
    return found


def _of_unit_actions(layers: list[Layer], scale: np.ndarray | None, middle: np.ndarray | None) -> list[Layer]:
    """A critic of actions from -1 to 1 that equals one of actions in their own units, a = middle + scale u."""
    if scale is None or middle is None:
        return layers
    (kernel, bias), *rest = layers
    size = len(scale)
    rows = kernel[-size:]
    return [(np.concatenate([kernel[:-size], scale[:, None] * rows]), bias + middle @ rows), *rest]


def _numbered(what: str, state: Mapping[str, np.ndarray]) -> list[Layer]:
    """The layers fc1, fc2, ... of a network."""
    return linears(what, state, "fc")


def _gaussian(what: str, state: Mapping[str, np.ndarray]) -> Found:
    refuse_rest(what, list(state), ("actor_mean.", "actor_logstd", *_CRITIC))
    log_std = state.get("actor_logstd")
    return Found(
        LIBRARY,
        "ppo",
        linears(what, state, "actor_mean."),
        "tanh",
        value=_critic(what, state),
        log_std=None if log_std is None else np.reshape(log_std, -1),
        notes=[_NO_STATISTICS],
    )


def _categorical(what: str, state: Mapping[str, np.ndarray]) -> Found:
    refuse_rest(what, list(state), ("actor.", "log_std", "logstd", *_CRITIC, "network."))
    trunk, log_std = linears(what, state, "network."), state.get("log_std", state.get("logstd"))
    log_std = None if log_std is None else np.reshape(log_std, -1)
    policy = _head(what, state, "actor")
    if not trunk:
        return Found(LIBRARY, "ppo", policy, "tanh", value=_critic(what, state), log_std=log_std)
    parts = behind_trunk(trunk, policy, _head(what, state, "critic"))
    return Found(made_by=LIBRARY, algo="ppo", activation="relu", log_std=log_std, channels_first=True, **parts)


def _head(what: str, state: Mapping[str, np.ndarray], name: str) -> list[Layer]:
    """One layer, or those of a Sequential."""
    return [linear(what, state, name)] if f"{name}.weight" in state else linears(what, state, f"{name}.")


def _q_network(what: str, state: Mapping[str, np.ndarray]) -> Found:
    if any(name.startswith(("actor", "critic")) for name in state):
        return _categorical(what, state)
    refuse_rest(what, list(state), ("network.",))
    return Found(LIBRARY, "dqn", linears(what, state, "network."), "relu", channels_first=True)


def _critic(what: str, state: Mapping[str, np.ndarray]) -> list[Layer] | None:
    prefix = next((prefix for prefix in _CRITIC if any(name.startswith(prefix) for name in state)), None)
    return None if prefix is None else linears(what, state, prefix)


def _refused_deterministic(what: str, state: Mapping[str, np.ndarray]) -> Found:
    raise ValueError(
        f"{what}: holds {listed(state)}, as the deterministic policies of DDPG and TD3 do, or a critic alone; "
        "PPO, A2C, DQN and SAC are read"
    )


def _plain(what: str, state: Mapping[str, np.ndarray]) -> Found:
    """One network whose layers are all that there is, by the numbers in their names, the one without a number last."""
    names = dict.fromkeys(name.rpartition(".")[0] for name in state)
    numbered = [name for name in names if name[-1:].isdecimal()]
    last = [name for name in names if name not in numbered]
    prefixes = {name.rstrip("0123456789") for name in numbered}
    known = {f"{name}.{part}" for name in names for part in ("weight", "bias")}
    if len(names) < 2 or len(prefixes) != 1 or len(last) > 1 or set(state) - known:
        raise ValueError(
            f"{what}: holds {listed(state)}, which tell no policy; give a mapping such as "
            '{"policy": [(kernel, bias), ...], "value": [...]} with kernels [in, out]'
        )
    layers = linears(what, state, prefixes.pop()) + [linear(what, state, name) for name in last]
    return Found("a state dict of torch", "ppo", layers, "tanh", notes=["policy: the one network that there is"])


def _assumed(found: Found) -> str:
    found.told = "assumed from the names of the layers"
    return f"algorithm: {found.algo}, {found.told}"

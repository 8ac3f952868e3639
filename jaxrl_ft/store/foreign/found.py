"""What a file or a mapping of another library turns out to hold, in one form for all of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from jaxrl_ft.core.types import PyTree
from jaxrl_ft.training.weights.foreign_layers import Layers

Layer: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Kernel [in, out] and bias [out], each perhaps with agents before them."""
ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "silu": "swish", "swish": "swish"}
"""Names of other libraries, in small letters, and ours."""
_WORDS = {
    "lstm": "a recurrent network",
    "gru": "a recurrent network",
    "rnn": "a recurrent network",
}
_CONVOLUTION = 4
"""Axes of the kernel of a convolution of images."""
_PREFIXES = re.compile(r"^(module|_orig_mod)\.")


@dataclass
class Found:
    """Networks of one policy, and what their library does around them."""

    made_by: str
    """the library in words, such as `Stable-Baselines3 2.9.2`"""
    algo: str
    """a key of ALGOS"""
    policy: Layers
    """from the input on; of SAC with continuous actions the last one gives means, then log standard deviations"""
    activation: str
    """of the hidden layers"""
    told: str = "assumed"
    """where the activation is from, in words"""
    value: Layers | None = None
    """the critic"""
    shared_trunk: bool = False
    """whether the critic is one layer on the policy's last hidden layer, and `value` is that layer alone"""
    channels_first: bool = False
    """whether the first dense layer behind convolutions reads [channels, height, width], as torch has images"""
    twin: Layers | None = None
    """the second critic of SAC"""
    log_std: np.ndarray | None = None
    """of a Gaussian whose standard deviations do not depend on the observation"""
    log_alpha: np.ndarray | None = None
    """the logarithm of the temperature of SAC"""
    bounds: tuple[np.ndarray, np.ndarray] | None = None
    """least and largest actions of a squashed policy"""
    settings: dict[str, float] = field(default_factory=dict)
    """fields of the algorithm that the file tells"""
    actor: dict[str, float] = field(default_factory=dict)
    """fields of the algorithm's `actor`"""
    notes: list[str] = field(default_factory=list)
    """what was found and assumed, a line each"""


def float_array(what: str, value: PyTree, notes: list[str]) -> np.ndarray:
    """The value as float32; a note is made of numbers that were wider.

    Raises:
        ValueError: it is no array of plain numbers.
    """
    if not isinstance(value, np.ndarray) or (value.dtype.kind not in "bifu" and value.dtype.name != "bfloat16"):
        raise ValueError(f"{what}: {type(value).__name__} is not allowed; it must be an array of plain numbers")
    if value.dtype != np.float32:
        note = f"numbers: {value.dtype} became float32"
        notes += [] if note in notes else [note]
    with np.errstate(over="ignore"):
        return np.asarray(value, np.float32)


def activation(what: str, name: str) -> str:
    """Our name of an activation.

    Raises:
        ValueError: there is none like it here.
    """
    if name.lower() not in ACTIVATIONS:
        raise ValueError(
            f"{what}: has the activation {name!r}; here are {', '.join(sorted(set(ACTIVATIONS.values())))}"
        )
    return ACTIVATIONS[name.lower()]


def state_dict(what: str, tree: Mapping[str, PyTree], notes: list[str]) -> dict[str, np.ndarray]:
    """A torch state dict: arrays by names such as `actor.0.weight`, what a wrapper puts before them taken off.

    Raises:
        ValueError: it holds something else, or layers that are no layers of an MLP.
    """
    found: dict[str, np.ndarray] = {}
    for name, value in tree.items():
        short = str(name)
        while _PREFIXES.match(short):
            short = _PREFIXES.sub("", short)
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.ndim == 0:
            continue
        found[short] = float_array(f"{what}: {short!r}", value, notes)
    for name, leaf in found.items():
        kind = next((words for part, words in _WORDS.items() if part in name.lower()), None)
        kind = "other convolutions than of images" if name.endswith("weight") and leaf.ndim in (3, 5) else kind
        kind = "a recurrent network" if "weight_ih" in name or "weight_hh" in name else kind
        kind = "batch norms" if "running_mean" in name else kind
        if kind is not None:
            raise ValueError(f"{what}: holds {kind} ({name!r}); policies of dense layers and convolutions are read")
    return found


def behind_trunk(trunk: Sequence[Layer], policy: Sequence[Layer], value: Sequence[Layer]) -> PyTree:
    """The fields of `Found` of policy and critic that begin with the same layers, and a note of it.

    Where each is one more layer, the critic stays a head on the policy's hidden layers; hidden layers of its own behind
    shared ones have no form here, and then the shared ones are copied into both.
    """
    if not trunk:
        return {"policy": [*policy], "value": [*value]}
    if len(policy) == len(value) == 1:
        note = "shared trunk: kept; the critic is a head on the policy's hidden layers"
        return {"policy": [*trunk, *policy], "value": [*value], "shared_trunk": True, "notes": [note]}
    note = "shared trunk: copied into policy and critic, which the file trains as one; both act as before"
    return {"policy": [*trunk, *policy], "value": [*trunk, *value], "notes": [note]}


def linears(what: str, state: Mapping[str, np.ndarray], prefix: str) -> list[Layer]:
    """The layers below a prefix in the order of their numbers, as `linear` gives them.

    Raises:
        ValueError: one has no weight or no bias, or is of another kind.
    """
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.(weight|bias)$")
    numbers = sorted({int(match[1]) for name in state if (match := pattern.match(name))})
    return [linear(what, state, f"{prefix}{number}") for number in numbers]


def linear(what: str, state: Mapping[str, np.ndarray], name: str) -> Layer:
    """One layer, its kernel turned to [in, out], or of a convolution to [height, width, in, out].

    Raises:
        ValueError: it has no weight or no bias, or is of another kind.
    """
    weight, bias = (state.get(f"{name}.{part}") for part in ("weight", "bias"))
    if weight is None or bias is None:
        missing = "weight" if weight is None else "bias"
        raise ValueError(f"{what}: layer {name!r} has no {missing}; found are {listed(state)}")
    if weight.ndim == _CONVOLUTION and bias.ndim == 1:
        return weight.transpose(2, 3, 1, 0), bias
    if weight.ndim != 2 or bias.ndim != 1:
        words = "a layer norm, whose epsilon of torch is another" if weight.ndim == 1 else "no linear layer"
        raise ValueError(f"{what}: layer {name!r} is {words}: weight {weight.shape}, bias {bias.shape}")
    return weight.T, bias


def beside(first: Layer, second: Layer) -> Layer:
    """One layer with the outputs of two."""
    return np.concatenate([first[0], second[0]], axis=-1), np.concatenate([first[1], second[1]], axis=-1)


def listed(names: Mapping[str, PyTree] | Sequence[str]) -> str:
    """Names in words, the first few of many."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "") if shown else "none"


def refuse_rest(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse names that no part of a network here has.

    Raises:
        ValueError: there are some; they are named.
    """
    rest = [name for name in names if not name.startswith(tuple(known))]
    if rest:
        raise ValueError(f"{what}: holds parts that no policy here has: {listed(rest)}")

"""The steps of a network, from its tree of parameters."""

import re
from dataclasses import dataclass

import numpy as np

from jaxrl_ft.core.policy import Geometry, Network
from jaxrl_ft.core.types import Params
from jaxrl_ft.deploy.description import (
    Activate,
    Add,
    Dense,
    Floats,
    Gather,
    Join,
    LayerNorm,
    Step,
    Subtract,
)
from jaxrl_ft.deploy.images import windows
from jaxrl_ft.nets import forward

NORM_EPSILON = 1e-6
"""That of flax's layer norm."""
_READ = re.compile(r"(conv|dense|norm|bottleneck|lateral)_\d+|head|lateral_head|residual|offset|column")
_APART = ("twin",)
"""Sub-networks whose outputs are read apart."""


class Steps:
    """Steps in the making."""

    def __init__(self) -> None:
        self.found: list[Step] = []

    def add(self, step: Step) -> int:
        """Append a step; returns the number of its value."""
        self.found.append(step)
        return len(self.found)


@dataclass(frozen=True)
class Value:
    """A value in the making."""

    number: int
    """which one"""
    image: tuple[int, ...] = ()
    """height, width and channels where it is an image; empty where it is a vector"""

    @property
    def places(self) -> int:
        """How many pixels it has; 1 of a vector."""
        return int(np.prod(self.image[:2]))


def network(steps: Steps, params: Params, config: Network, x: int, below: tuple[Value, ...] = ()) -> int:
    """Append the steps of a network; returns the number of its output.

    Args:
        steps: those before.
        params: the tree of one network, as `jaxrl_ft.nets.forward` describes it, with NumPy leaves.
        config: gives the non-linearity, and how convolutions read an observation.
        x: the number of its input.
        below: the hidden activations of all earlier columns, one for each layer.

    Raises:
        ValueError: the tree has an entry that is not known.
    """
    unknown = [n for n, entry in params.items() if isinstance(entry, dict) and not _READ.fullmatch(n)]
    if set(unknown) - set(_APART):
        raise ValueError(f"params: {unknown[0]!r} has no description; stablehlo takes any policy")
    hidden = _hidden(steps, params, config, Value(x, config.image), below)
    if "column" in params:
        pairs = zip(below, hidden, strict=True)
        joined = tuple(_joined(steps, *pair) for pair in pairs) if below else tuple(hidden)
        output = network(steps, params["column"], config, x, joined)
    else:
        output = _dense(steps, params["head"], hidden[-1].number if hidden else x)
        if "lateral_head" in params:
            output = steps.add(Add(output, _dense(steps, params["lateral_head"], below[-1].number)))
    added = {n: network(steps, params[n], config, x) for n in ("residual", "offset") if n in params}
    if len(added) == 2:
        return steps.add(Add(output, steps.add(Subtract(added["residual"], added["offset"]))))
    for name, value in added.items():
        output = steps.add(Add(output, value) if name == "residual" else Subtract(output, value))
    return output


def _hidden(steps: Steps, params: Params, config: Network, x: Value, below: tuple[Value, ...]) -> list[Value]:
    hidden = []
    for i, name in enumerate(forward.hidden_layers(params)):
        x = _layer(steps, params[name], config.geometry(i), x)
        if f"lateral_{i}" in params:
            other = _layer(steps, params[f"lateral_{i}"], config.geometry(i), below[i - 1])
            x = Value(steps.add(Add(x.number, other.number)), x.image)
        if f"norm_{i}" in params:
            scale, bias = (_array(params[f"norm_{i}"][leaf]) for leaf in ("scale", "bias"))
            x = Value(steps.add(LayerNorm(x.number, scale, bias, NORM_EPSILON, x.places)), x.image)
        x = Value(steps.add(Activate(x.number, config.activation)), x.image)
        if f"bottleneck_{i}" in params:
            part = params[f"bottleneck_{i}"]
            down = _dense(steps, part["down"], x.number, x.places)
            up = _dense(steps, part["up"], steps.add(Activate(down, config.activation)), x.places)
            x = Value(steps.add(Add(x.number, up)), x.image)
        hidden.append(x)
    return hidden


def _layer(steps: Steps, layer: Params, geometry: Geometry, x: Value) -> Value:
    """A dense layer, which reads an image as the vector that it is, or a convolution."""
    kernel = layer["kernel"]
    if kernel.ndim == 2:
        return Value(_dense(steps, layer, x.number))
    if len(x.image) != 3 or kernel.shape[2] != x.image[2] or kernel.shape[0] != kernel.shape[1]:
        raise ValueError(f"network: a kernel {kernel.shape} has no description on an image {x.image}")
    numbers, places = windows((x.image[0], x.image[1], x.image[2]), kernel.shape[0], *geometry)
    flat = {**layer, "kernel": np.reshape(kernel, (-1, kernel.shape[-1]))}
    seen = steps.add(Gather(x.number, numbers))
    return Value(_dense(steps, flat, seen, places[0] * places[1]), (*places, kernel.shape[-1]))


def _joined(steps: Steps, below: Value, x: Value) -> Value:
    image = (*x.image[:2], below.image[2] + x.image[2]) if x.image else ()
    return Value(steps.add(Join(below.number, x.number, x.places)), image)


def _dense(steps: Steps, layer: Params, x: int, places: int = 1) -> int:
    kernel = _array(layer["kernel"])
    bias = _array(layer["bias"]) if "bias" in layer else np.zeros(kernel.shape[1], np.float32)
    return steps.add(Dense(x, kernel, bias, places))


def _array(leaf: Floats) -> Floats:
    return np.ascontiguousarray(leaf, np.float32)

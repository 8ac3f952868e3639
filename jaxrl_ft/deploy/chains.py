"""The steps of a network, from its tree of parameters."""

import re

import numpy as np

from jaxrl_ft.core.types import Params
from jaxrl_ft.deploy.description import (
    Activate,
    Add,
    Dense,
    Floats,
    Join,
    LayerNorm,
    Step,
    Subtract,
)

NORM_EPSILON = 1e-6
"""That of flax's layer norm."""
_READ = re.compile(r"(dense|norm|bottleneck|lateral)_\d+|head|lateral_head|residual|offset|column")
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


def network(steps: Steps, params: Params, activation: str, x: int, below: tuple[int, ...] = ()) -> int:
    """Append the steps of a network; returns the number of its output.

    Args:
        steps: those before.
        params: the tree of one network, as `jaxrl_ft.nets.forward` describes it, with NumPy leaves.
        activation: the name of the non-linearity.
        x: the number of its input.
        below: those of the hidden activations of all earlier columns, a number for each layer.

    Raises:
        ValueError: the tree has an entry that is not known.
    """
    unknown = [n for n, entry in params.items() if isinstance(entry, dict) and not _READ.fullmatch(n)]
    if set(unknown) - set(_APART):
        raise ValueError(f"params: {unknown[0]!r} has no description; stablehlo takes any policy")
    hidden = _hidden(steps, params, activation, x, below)
    if "column" in params:
        pairs = zip(below, hidden, strict=True)
        joined = tuple(steps.add(Join(*pair)) for pair in pairs) if below else tuple(hidden)
        output = network(steps, params["column"], activation, x, joined)
    else:
        output = _dense(steps, params["head"], hidden[-1] if hidden else x)
        if "lateral_head" in params:
            output = steps.add(Add(output, _lateral(steps, params["lateral_head"], below[-1])))
    added = {n: network(steps, params[n], activation, x) for n in ("residual", "offset") if n in params}
    if len(added) == 2:
        return steps.add(Add(output, steps.add(Subtract(added["residual"], added["offset"]))))
    for name, value in added.items():
        output = steps.add(Add(output, value) if name == "residual" else Subtract(output, value))
    return output


def _hidden(steps: Steps, params: Params, activation: str, x: int, below: tuple[int, ...]) -> list[int]:
    hidden = []
    for i in range(sum(name.startswith("dense_") for name in params)):
        x = _dense(steps, params[f"dense_{i}"], x)
        if f"lateral_{i}" in params:
            x = steps.add(Add(x, _lateral(steps, params[f"lateral_{i}"], below[i - 1])))
        if f"norm_{i}" in params:
            norm = params[f"norm_{i}"]
            x = steps.add(LayerNorm(x, _array(norm["scale"]), _array(norm["bias"]), NORM_EPSILON))
        x = steps.add(Activate(x, activation))
        if f"bottleneck_{i}" in params:
            part = params[f"bottleneck_{i}"]
            inner = steps.add(Activate(_dense(steps, part["down"], x), activation))
            x = steps.add(Add(x, _dense(steps, part["up"], inner)))
        hidden.append(x)
    return hidden


def _dense(steps: Steps, layer: Params, x: int) -> int:
    return steps.add(Dense(x, _array(layer["kernel"]), _array(layer["bias"])))


def _lateral(steps: Steps, layer: Params, x: int) -> int:
    kernel = _array(layer["kernel"])
    return steps.add(Dense(x, kernel, np.zeros(kernel.shape[1], np.float32)))


def _array(leaf: Floats) -> Floats:
    return np.ascontiguousarray(leaf, np.float32)

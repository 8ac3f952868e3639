"""A trained policy that needs NumPy alone: from observations to actions.

    policy = Policy("policy.npz")
    action = policy(obs)             # obs [..., O]; an index [...], or continuous actions [..., A]
    scores = policy.outputs(obs)     # what the action is made from: logits, values of actions, or means, [..., A]

`policy.npz` holds arrays and a JSON text that says in which order they are used; nothing in it is executed.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

Array = np.ndarray
FORMAT, VERSION = "jaxrl_ft_policy", 1


def swish(x: Array) -> Array:
    """x / (1 + exp(-x)), [...]."""
    result: Array = x / (1 + np.exp(-x))
    return result


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "swish": swish}


def normalize(x: Array, mean: Array, scale: Array, clip: float) -> Array:
    """Return clip((x - mean) scale, -clip, clip)."""
    result: Array = np.minimum(np.maximum((x - mean) * scale, -clip), clip)
    return result


def dense(x: Array, kernel: Array, bias: Array, places: int) -> Array:
    """Return x kernel + bias, at each of the places that follow one another in x."""
    result: Array = (split(x, places) if places > 1 else x) @ kernel
    result += bias
    return result.reshape((*x.shape[:-1], -1)) if places > 1 else result


def gather(x: Array, numbers: Array) -> Array:
    """Return the entries with these numbers, and 0 for the number behind the last one."""
    return np.concatenate([x, np.zeros_like(x[..., :1])], axis=-1)[..., numbers]


def join(x: Array, y: Array, places: int) -> Array:
    """Return at each place x and behind it y."""
    return np.concatenate([split(x, places), split(y, places)], axis=-1).reshape((*x.shape[:-1], -1))


def split(x: Array, places: int) -> Array:
    """Return x [..., places x n] as [..., places, n]."""
    return x.reshape((*x.shape[:-1], places, -1))


def layer_norm(x: Array, scale: Array, bias: Array, epsilon: float, places: int) -> Array:
    """Return (x - E x) / √(E x² - (E x)² + epsilon) scale + bias, over the entries of each place."""
    shape, x = x.shape, split(x, places)
    mean = x.mean(axis=-1, keepdims=True)
    variance = np.maximum((x * x).mean(axis=-1, keepdims=True) - mean * mean, 0)
    result: Array = (x - mean) * (scale / np.sqrt(variance + x.dtype.type(epsilon))) + bias
    return result.reshape(shape)


def dueling(x: Array) -> Array:
    """Q = V + A - mean A of advantages and, as the last entry, the value."""
    advantage = x[..., :-1]
    result: Array = x[..., -1:] + advantage - advantage.mean(axis=-1, keepdims=True)
    return result


OPERATIONS: dict[str, Callable[..., Array]] = {
    "normalize": normalize,
    "dense": dense,
    "activate": lambda x, name: ACTIVATIONS[name](x),
    "layer_norm": layer_norm,
    "gather": gather,
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "join": join,
    "part": lambda x, start, stop: x[..., start:stop],
    "dueling": dueling,
    "squash": lambda x, low, high: low + (high - low) * (np.tanh(x) / 2 + x.dtype.type(0.5)),
}
"""Each step of a policy: arrays [..., n] and what belongs to the step to an array [..., m]."""


class Policy:
    """A policy from observations [..., O] to actions."""

    def __init__(self, path: str | Path | dict[str, Array] = "policy.npz", dtype: type = np.float32) -> None:
        """Read a policy.

        Args:
            path: of the file, or its arrays by name.
            dtype: in which it computes; it was trained in 32 bits.

        Raises:
            ValueError: the file is of another kind or a newer version.
        """
        arrays = dict(path) if isinstance(path, dict) else dict(np.load(path))
        self.program = json.loads(str(arrays["program"]))
        if self.program.get("format") != FORMAT or self.program["version"] > VERSION:
            raise ValueError(f"{path}: is no policy of version {VERSION} or older")
        self.obs_size, self.dtype = int(self.program["obs_size"]), dtype
        self.steps = []
        for i, step in enumerate(self.program["steps"]):
            prefix = f"{i}/"
            fields = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            fields = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in fields.items()}
            of = step["of"]
            fields |= {key: value for key, value in step.items() if key not in ("op", "of")}
            self.steps.append((partial(OPERATIONS[step["op"]], **fields), of))
        self.low, self.high = (arrays[name].astype(dtype) if name in arrays else None for name in ("low", "high"))

    def outputs(self, obs: Array) -> Array:
        """What actions are made from, [..., A]: logits, values of actions, or means.

        Raises:
            ValueError: the last axis of obs has another size.
        """
        obs = np.asarray(obs, self.dtype)
        if obs.ndim == 0 or obs.shape[-1] != self.obs_size:
            raise ValueError(f"obs: shape {obs.shape} is not allowed; the last axis must be {self.obs_size}")
        values = [obs]
        with np.errstate(all="ignore"):
            for step, (first, *others) in self.steps:
                values.append(step(values[first], *[values[i] for i in others]) if others else step(values[first]))
        return values[-1]

    def __call__(self, obs: Array) -> Array:
        """The greedy action: an index [...], or continuous actions [..., A] within their bounds."""
        outputs = self.outputs(obs)
        result: Array
        if self.low is None or self.high is None:
            result = outputs.argmax(axis=-1)
        else:
            result = np.minimum(np.maximum(outputs, self.low), self.high)
        return result

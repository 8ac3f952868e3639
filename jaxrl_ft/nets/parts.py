"""The parts of adapted and grown networks: the inputs and outputs of their layers, and fresh parts to add.

The entries of a network's tree are described in `jaxrl_ft.nets.forward`.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core.types import Key, Params
from jaxrl_ft.nets import forward, initializers

SUB_NETWORKS = ("residual", "offset", "column", "twin")
"""Entries that are whole networks themselves."""


class Roles(NamedTuple):
    """Paths of layers such as `dense_0` or `residual/head`; heads that a column replaces are in none of them."""

    observing: tuple[str, ...]
    """read the observation"""
    reading: tuple[str, ...]
    """read the activations of hidden layers"""
    output: tuple[str, ...]
    """write the network's outputs, the one with the network's own bias first"""


def roles(params: Params) -> Roles:
    """Return the roles of the layers of a network and of its sub-networks.

    A network without hidden layers is a head on a shared trunk, and reads activations.
    """
    hidden = forward.hidden_layers(params)
    laterals = tuple(name for name in params if name.startswith("lateral_") and name != "lateral_head")
    observing, reading = hidden[:1], (*hidden[1:], *laterals)
    output: tuple[str, ...] = ()
    if "column" in params:
        inside = _under("column", roles(params["column"]))
        observing, reading, output = observing + inside.observing, reading + inside.reading, inside.output
    else:
        output = tuple(name for name in ("head", "lateral_head") if name in params)
        reading += output
    for name in ("residual", "offset", "twin"):
        if name in params:
            inside = _under(name, roles(params[name]))
            observing, reading, output = (a + b for a, b in zip((observing, reading, output), inside))
    return Roles(observing, reading, output)


def _under(name: str, inside: Roles) -> Roles:
    return Roles(*(tuple(f"{name}/{path}" for path in paths) for paths in inside))


def networks(params: Params, prefix: str = "") -> Iterator[tuple[str, Params]]:
    """The network and every sub-network in it, each with its path: an empty one, or such as `residual/`."""
    yield prefix, params
    for name in SUB_NETWORKS:
        if name in params:
            yield from networks(params[name], f"{prefix}{name}/")


def innermost(params: Params, name: str) -> tuple[str, Params]:
    """The last network on the chain of entries `name`, with its path: an empty one, or such as `residual/`."""
    prefix = ""
    while name in params:
        prefix, params = f"{prefix}{name}/", params[name]
    return prefix, params


def widths(params: Params) -> tuple[int, ...]:
    """The widths of a network's own hidden layers; of convolutions the numbers of channels."""
    return tuple(int(params[name]["kernel"].shape[-1]) for name in forward.hidden_layers(params))


def matrix_shape(shape: Sequence[int]) -> tuple[int, int]:
    """The rows and columns of a kernel as a matrix: [in, out], or [height x width x in, out] of a convolution."""
    return math.prod(shape[:-1]), shape[-1]


def sizes(params: Params) -> tuple[int, int]:
    """The sizes of a network's input, of an image its channels, and of its output."""
    first = params[(*forward.hidden_layers(params), "head")[0]]
    return int(first["kernel"].shape[-2]), int(params["head"]["kernel"].shape[-1])


def network(key: Key, like: Params, width: int | None = None, head_gain: float = 1.0) -> Params:
    """A fresh plain network with the inputs, outputs, depth and norms of `like`, and its widths or `width`.

    Args:
        key: PRNG key.
        like: the tree of a network.
        width: units in each dense hidden layer; those of `like` without it. Convolutions have those of `like`.
        head_gain: gain of the last layer.
    """
    shapes = [like[name]["kernel"].shape for name in (*forward.hidden_layers(like), "head")]
    for i, shape in enumerate(shapes[:-1] if width is not None else []):
        if len(shape) == 2:
            shapes[i], shapes[i + 1] = (shapes[i][0], width), (width, shapes[i + 1][1])
    return forward.fresh(key, shapes, head_gain, "norm_0" in like)


def silenced(params: Params) -> Params:
    """The network with a zero last layer."""
    return {**params, "head": jax.tree.map(jnp.zeros_like, params["head"])}


def bottleneck(key: Key, size: int, width: int) -> Params:
    """A fresh `bottleneck_i` entry after a layer of `size` units: the identity at first, since `up` is zero.

    With an inner width of its own choice it is also the layer that a deeper network inserts without a change of its
    outputs, whatever the activation. `down` is orthogonal with gain √2.

    Reference: Houlsby et al. 2019, arXiv:1902.00751.
    """
    down = initializers.orthogonal(float(np.sqrt(2)))(key, (size, width))
    return {
        "down": {"kernel": down, "bias": jnp.zeros((width,), jnp.float32)},
        "up": {"kernel": jnp.zeros((width, size), jnp.float32), "bias": jnp.zeros((size,), jnp.float32)},
    }


def column(key: Key, params: Params, width: int) -> Params:
    """A fresh `column` entry for the innermost column of a network; with it, the outputs are what they were.

        h_i = act(W_i h_{i-1} + b_i + U_i [h_{i-1} of all earlier columns]),   U_head = the outputs' layer so far

    The head W is zero at first, which alone differs from the paper's random column; hidden W and U have gain 1 each, so
    that their sum keeps the gain √2 of the other layers.

    Args:
        key: PRNG key.
        params: the tree of a network, perhaps with columns.
        width: units in each dense hidden layer of the new column; its convolutions have the channels of the others.

    Raises:
        ValueError: the network has no hidden layers.

    Reference: Rusu et al. 2016, arXiv:1606.04671, equations 1 and 2, without its optional adapters.
    """
    if not forward.depth(params):
        raise ValueError("a head on a shared trunk has no hidden layers for a column to read")
    keys = jax.random.split(key, forward.depth(params))
    columns = _columns(params)
    last, names = columns[-1], forward.hidden_layers(params)
    fresh = silenced(network(keys[0], last, width))
    for i, (name, subkey) in enumerate(zip(names[1:], keys[1:]), 1):
        gain = float(np.sqrt(0.5))
        fresh[name] = {**fresh[name], "kernel": gain * fresh[name]["kernel"]}
        read = sum(int(node[name]["kernel"].shape[-2]) for node in columns)
        *sides, _, written = fresh[name]["kernel"].shape
        fresh[f"lateral_{i}"] = {"kernel": initializers.orthogonal()(subkey, (*sides, read, written))}
    kernels = [node["kernel"] for node in (last.get("lateral_head"), last["head"]) if node is not None]
    head = {"kernel": fresh["head"]["kernel"], "bias": jnp.array(last["head"]["bias"])}
    return {**fresh, "head": head, "lateral_head": {"kernel": jnp.concatenate(kernels, axis=0)}}


def _columns(params: Params) -> list[Params]:
    return [params, *(_columns(params["column"]) if "column" in params else [])]

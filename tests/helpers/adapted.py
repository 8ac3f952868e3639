"""A network for closed forms of adapters, the programs that adapt it, and its forward pass written out in NumPy."""

import itertools

import jax
import numpy as np

import jaxrl_ft as ft
from helpers.compiling import quick
from helpers.trees import drawn
from jaxrl_ft.nets import forward as nets

NETWORK = ft.MLP(width=8)
LAYERS = ("dense_0", "dense_1", "head")
KEY = jax.random.key(0)
RANDOM = np.random.default_rng(5)


def normal(*shape):
    return (0.5 * RANDOM.standard_normal(shape)).astype(np.float32)


def plain(inputs, outputs, width=8):
    sizes = [inputs, width, width, outputs]
    return {name: {"kernel": normal(*pair), "bias": normal(pair[1])}
            for name, pair in zip(LAYERS, itertools.pairwise(sizes))}  # fmt: skip


OBS = normal(5, 4)
BASE = {"policy": {**plain(4, 2), "log_std": normal(2)}, "value": plain(4, 1)}


network_of = quick(lambda layers, obs: nets.apply(layers, NETWORK, obs)[0])


def outputs(params):
    return [np.asarray(network_of(layers, OBS)) for layers in params.values()]


@quick
def started(adapter, keys, base):
    frozen = adapter.freeze(keys[0], base)
    return frozen, adapter.init(keys[1], frozen)


def start(adapter, base=BASE):
    """What is frozen, and the delta before training, as NumPy arrays."""
    return jax.device_get(started(adapter, (jax.random.key(1), jax.random.key(0)), base))


merge = quick(lambda adapter, frozen, delta: adapter.merge(frozen, delta))


def randomized(delta):
    return drawn(delta, RANDOM)


def forward(layers, x, kernels, scales=(1.0, 1.0, 1.0)):
    x = x.astype(np.float64)
    for name, scale in zip(LAYERS, scales):
        x = (x * scale) @ np.asarray(kernels[name], float) + layers[name]["bias"]
        x = x if name == "head" else np.tanh(x)
    return x

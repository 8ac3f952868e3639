"""What tests of growth grow: networks, and the programs that grow them."""

import functools

import jax
import numpy as np

import jaxrl_ft as ft
from helpers.compiling import quick
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.methods.warm_starts import Probe
from jaxrl_ft.methods.warm_starts.growth import Net2Deeper, Net2Wider

RELU, TANH = ft.MLP(width=6, activation="relu"), ft.MLP(width=6)
NETWORKS = {
    "tanh": TANH,
    "relu": RELU,
    "swish": ft.MLP(width=6, activation="swish"),
    "normed": ft.MLP(width=6, activation="swish", layer_norm=True),
    "shallow": ft.MLP(width=6, depth=1),
    "deep": ft.MLP(width=6, depth=3),
}
WIDER, UNEVEN = Net2Wider(width=12), Net2Wider(width=15, spread=0.3)
GROWTHS = [WIDER, UNEVEN, Net2Deeper(width=5)]
DENSE = Net2Deeper(layer="dense")


@functools.cache
def task(name):
    return ft.make_task(name)


def observations(params):
    size = params["policy"]["dense_0"]["kernel"].shape[0]
    return np.random.default_rng(5).normal(size=(40, size)).astype(np.float32)


def apply(warm, key, base):
    return warm.apply(key, base, None, Probe(1.0))


applied = quick(apply)


def grow(warm, base, seed=0):
    """The base after growth, as NumPy arrays; coefficients and seeds share a program."""
    return jax.device_get(applied(as_arrays(warm), jax.random.key(seed), base))

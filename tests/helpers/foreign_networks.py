"""Layers of networks from elsewhere, and what they put out, in NumPy."""

import itertools

import numpy as np

RNG = np.random.default_rng(5)
OBS = RNG.normal(size=(3, 7, 4)).astype(np.float32)


def forward(layers, x, activation=np.tanh):
    x = np.asarray(x, np.float64)
    for i, (kernel, bias) in enumerate(layers):
        x = x @ np.asarray(kernel, np.float64) + bias
        x = activation(x) if i < len(layers) - 1 else x
    return x


def layers(sizes, stack=()):
    return [(RNG.normal(size=(*stack, a, b)), RNG.normal(size=(*stack, b))) for a, b in itertools.pairwise(sizes)]


def named(prefixes, networks):
    """A state dict of torch: kernels turned, layers counted with the activations between them."""
    return {
        f"{prefix}{2 * i}.{part}": np.float32(leaf.T)
        for prefix, network in zip(prefixes, networks)
        for i, layer in enumerate(network)
        for part, leaf in zip(("weight", "bias"), layer)
    }


ROWS = OBS.reshape(-1, 4)
POLICY, VALUE = layers((4, 8, 8, 2)), layers((4, 8, 8, 1))
STATE = named(("actor.", "critic."), (POLICY, VALUE))
QUIET = {"verbose": False}


def relu(x):
    return np.maximum(x, 0)


def assert_acts_like(agents, network, activation=np.tanh, seen=ROWS):
    """The agents choose at ROWS what the network chooses at what it sees of them."""
    np.testing.assert_array_equal(agents.policy(0)(ROWS), forward(network, seen, activation).argmax(axis=-1))

"""Trees of parameters as NumPy arrays: drawn, and flattened."""

import jax
import numpy as np


def drawn(shapes, rng):
    """A tree of the shapes of another, with normal entries of scale 0.5."""
    return jax.tree.map(lambda leaf: (0.5 * rng.standard_normal(leaf.shape)).astype(np.float32), shapes)


def flat(tree):
    """Every leaf in one vector, by NumPy."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])

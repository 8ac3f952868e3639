"""One small tree of parameters for all optimizers, and one program of steps for each structure of them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from helpers.compiling import quick
from jaxrl_ft.core.config import as_arrays

SHAPES = {
    "policy": {"dense_0": {"kernel": (3, 2)}, "dense_1": {"kernel": (2, 2)}, "head": {"bias": (2,)}},
    "value": {"dense_0": {"kernel": (2, 2)}, "head": {"bias": (3,)}},
}
STEPS = 200


def tree_of(function):
    """A tree of the shapes of this file, every leaf a function of its shape."""
    is_shape = lambda leaf: isinstance(leaf, tuple)  # noqa: E731
    return jax.tree.map(lambda shape: function(shape).astype(np.float32), SHAPES, is_leaf=is_shape)


def draw(seed):
    rng = np.random.default_rng(seed)
    return tree_of(lambda shape: rng.normal(size=shape))


PARAMS, GRADS = draw(0), [draw(seed) for seed in range(1, 9)]
ONES, ZEROS = tree_of(np.ones), tree_of(np.zeros)


def problem(seed=0):
    """Parameters and the curvature of a random quadratic."""
    rng = np.random.default_rng(seed)
    return tree_of(lambda shape: 0.5 * rng.normal(size=shape)), tree_of(lambda shape: rng.uniform(0.1, 2.0, shape))


def quadratic_grads(params, curvature):
    return jax.tree.map(lambda p, c: c * (p - 0.3), params, curvature)


class Place(NamedTuple):
    """Where steps have led."""

    params: Any
    state: Any
    updates: Any
    """the last ones"""
    evaluated: Any
    """the parameters to evaluate"""


@quick
def first_state(optimizer, params):
    return optimizer.build().init(params)


@quick
def advance(optimizer, params, state, curvature, push, progress, budget, kl, num):
    """The place after `num` steps from one progress on, a `budget` long; gradients are the quadratic's and `push`."""
    chain = optimizer.build()

    def step(index, carry):
        params, state, _ = carry
        grads = jax.tree.map(jnp.add, quadratic_grads(params, curvature), push)
        updates, state = chain.update(grads, state, params, progress=progress + index / budget, kl=kl)
        return optax.apply_updates(params, updates), state, updates

    params, state, updates = jax.lax.fori_loop(0, num, step, (params, state, push))
    return Place(params, state, updates, optimizer.evaluation(state, params))


def begin(optimizer, params=PARAMS):
    """The first state, as NumPy arrays: those of jit may be weak in type, and compile the first step once more."""
    return jax.device_get(first_state(as_arrays(optimizer), params))


def go(optimizer, params, state, curvature=None, push=None, progress=0.0, budget=np.inf, kl=0.0, num=1):
    """The place after `num` steps; without a budget at one progress, without a curvature along `push` alone."""
    none = jax.tree.map(np.zeros_like, params)
    terms = [none if term is None else term for term in (curvature, push)]
    numbers = [np.float32(number) for number in (progress, budget, kl)]
    return jax.device_get(advance(as_arrays(optimizer), params, state, *terms, *numbers, num))


def descend(optimizer, params, curvature, num=STEPS):
    """The place after `num` steps on the quadratic, over the whole budget."""
    return go(optimizer, params, begin(optimizer, params), curvature, budget=num, num=num)


def walk(optimizer, points, kls=None, grads=GRADS, start=None):
    """The places after a step at each of the given points of progress."""
    params, state, *_ = start or (PARAMS, begin(optimizer))
    seen = []
    for i, point in enumerate(points):
        kl = 0.0 if kls is None else kls[i]
        seen.append(go(optimizer, params, state, push=grads[i % len(grads)], progress=point, kl=kl))
        params, state, *_ = seen[-1]
    return seen


def gap(one, other):
    return max(np.abs(a - b).max() for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other)))


def leaves(state):
    """The numbers of a group's state by path."""
    paths, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in paths}

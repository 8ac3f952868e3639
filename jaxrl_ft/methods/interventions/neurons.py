"""Hidden units as columns and rows of dense kernels: which there are, fresh ones, and the exchange of some.

A unit's incoming weights are a column of its layer's kernel [in, out] and an entry of the bias; its outgoing weights
are a row of the next layer's kernel. Only `dense_i` and `head` are read; what else a network holds is left alone.
"""

import itertools
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Key

Groups = Literal["both", "policy", "value"]
"""Whose layers are meant: every network's, the policy's or the critic's."""

# The gains with which jaxrl_ft.nets draws its kernels; a test compares them with a fresh network.
_HIDDEN_GAIN = 2**0.5
_HEAD_GAINS = {"policy": 0.01}


class Layer(NamedTuple):
    """A hidden layer by the path of its own parameters and of those that read it."""

    path: str
    """such as `policy/dense_0`"""
    after: str
    """such as `policy/dense_1` or `policy/head`"""


def chains(params: Tree, groups: Groups = "both") -> list[list[str]]:
    """The paths of the dense layers of each network from the input to the head."""
    chosen = [name for name, layers in params.items() if isinstance(layers, dict) and "head" in layers]
    chosen = [name for name in chosen if groups in ("both", name)]
    depths = {name: sum(layer.startswith("dense_") for layer in params[name]) for name in chosen}
    return [[*(f"{name}/dense_{i}" for i in range(depths[name])), f"{name}/head"] for name in chosen]


def dense(params: Tree, groups: Groups = "both") -> list[str]:
    """The paths of all dense layers, heads included."""
    return [path for chain in chains(params, groups) for path in chain]


def hidden(params: Tree, groups: Groups = "both") -> list[Layer]:
    """The hidden layers of the networks."""
    return [Layer(*pair) for chain in chains(params, groups) for pair in itertools.pairwise(chain)]


def gain(path: str) -> float:
    """The gain of the orthogonal initialiser of the layer at `path`."""
    group, name = path.split("/")
    return _HEAD_GAINS.get(group, 1.0) if name == "head" else _HIDDEN_GAIN


def scale(path: str, shape: tuple[int, ...]) -> float:
    """The root mean square of the entries of a fresh kernel [n, m]: gain / √max(n, m).

    The longer side holds orthonormal vectors, so that n m entries have squares that sum to gain² min(n, m).
    """
    return float(gain(path) / max(shape) ** 0.5)


def fresh_units(key: Key, params: Tree, layers: list[Layer], num: int | None = None) -> dict[Layer, jax.Array]:
    """Incoming weights [in, num] of fresh units of each layer, independent of one another; by default one per unit.

    A column of an orthogonal n x m matrix consists of the first n coordinates of a point that is uniform on the sphere
    in max(n, m) dimensions, and such a point is a Gaussian vector over its norm. So each column has exactly the
    distribution that the initialiser gives to one (norm gain if n >= m, else gain √(n/m) in root mean square); only
    the orthogonality between columns is left out.
    """
    flat = tree.flatten(params)
    kernels = {layer: flat[f"{layer.path}/kernel"] for layer in layers}
    draws = _normals(key, {at: (max(kernel.shape), num or kernel.shape[1]) for at, kernel in kernels.items()})
    return {
        layer: gain(layer.path) * (draw / jnp.linalg.norm(draw, axis=0, keepdims=True))[: kernels[layer].shape[0]]
        for layer, draw in draws.items()
    }


def turned(key: Key, matrices: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Other matrices [n, m] of the distribution of the given Haar-distributed ones, for a few products each.

    D has random signs on its diagonal and v is Gaussian; both factors are orthogonal, which keeps the Haar measure.

        X' = (I - 2 v vᵀ / vᵀv) D X     along the longer side of X
    """
    draws = _normals(key, {name: (max(x.shape), 2) for name, x in matrices.items()})
    return {name: _reflect(x, draws[name]) for name, x in matrices.items()}


def _reflect(matrix: jax.Array, draw: jax.Array) -> jax.Array:
    x = matrix.T if matrix.shape[0] < matrix.shape[1] else matrix
    x, v = jnp.where(draw[:, :1] < 0, -x, x), draw[:, 1:]
    x = x - 2.0 / jnp.sum(v**2) * v * jnp.sum(v * x, axis=0, keepdims=True)
    return x.T if matrix.shape[0] < matrix.shape[1] else x


def _normals(key: Key, shapes: dict[Any, tuple[int, ...]]) -> dict[Any, jax.Array]:
    """Gaussian numbers of several shapes from one draw, which compiles far faster than several."""
    like = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    return tree.unravel(jax.random.normal(key, (tree.size(like),), jnp.float32), like) if like else {}


def rough_noise(key: Key, num: int) -> jax.Array:
    """Numbers [num] of mean 0 and variance 1, uniform over 256 levels: four from each random word, for every step."""
    words = jax.random.bits(key, (-(-num // 4),), jnp.uint32)
    levels = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)[:num]
    return (levels.astype(jnp.float32) - 127.5) * math.sqrt(12.0 / (256**2 - 1))


def due(count: jax.Array, period: jax.Array | float) -> jax.Array:
    """Whether the `count`-th update is the first at or past a multiple of `period` >= 1, a bool scalar."""
    return jnp.fmod(jnp.asarray(count, jnp.float32), period) < 1.0


def dormancy(activations: jax.Array) -> jax.Array:
    """The scores [n] of a layer's units from activations [..., n]: E|hᵢ| over the layer's mean of it.

    Reference: Sokar et al. 2023, arXiv:2302.12902, definition 3.1.
    """
    size = jnp.abs(activations).reshape((-1, activations.shape[-1])).mean(axis=0)
    # A layer that is silent throughout has scores of 0, as in the authors' code.
    return size / (size.mean() + 1e-9)


def exchange(
    params: Tree, masks: dict[Layer, jax.Array], fresh: dict[Layer, jax.Array], means: dict[Layer, jax.Array]
) -> tuple[Tree, Tree]:
    """The parameters with some units exchanged for fresh ones without a voice, and the entries whose moments are void.

    From the input on: incoming weights become fresh and the bias 0; outgoing weights become 0, unless the unit that
    they lead to is itself fresh; where means are given, the next bias takes over wₒᵤₜ times the mean of what is lost.
    A corrected bias keeps its moments, as in the code of Dohare et al. 2024.

    Args:
        params: all networks.
        masks: which units go, [width] bools of each layer.
        fresh: incoming weights of the new ones, [in, width] or [in, 1].
        means: mean activations [width], of all layers or of none.
    """
    flat = tree.flatten(params)
    void = {path: jnp.zeros(jnp.shape(leaf), bool) for path, leaf in flat.items()}
    for layer, mask in masks.items():
        kernel, bias, after = f"{layer.path}/kernel", f"{layer.path}/bias", f"{layer.after}/kernel"
        if layer in means:
            lost = jnp.sum(jnp.where(mask, means[layer], 0.0)[:, None] * flat[after], axis=0)
            reads = f"{layer.after}/bias"
            flat[reads] = jnp.where(mask.any(), flat[reads] + lost, flat[reads])
        flat[kernel] = jnp.where(mask, fresh[layer], flat[kernel])
        flat[bias] = jnp.where(mask, 0.0, flat[bias])
        flat[after] = jnp.where(mask[:, None], 0.0, flat[after])
        void[kernel], void[after] = void[kernel] | mask[None], void[after] | mask[:, None]
        void[bias] = void[bias] | mask
    return tree.unflatten(flat), tree.unflatten(void)

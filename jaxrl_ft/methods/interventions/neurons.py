"""Hidden units as columns and rows of kernels: which there are, fresh ones, and the exchange of some.

A unit's incoming weights are a column of its layer's kernel [in, out] and an entry of the bias; its outgoing weights
are a row of the next layer's kernel, or one for each place of an image. A convolution's units are its channels. Only
`conv_i`, `dense_i` and `head` are read; what else a network holds is left alone.
"""

import itertools
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Key
from jaxrl_ft.nets import forward, parts

Groups = Literal["both", "policy", "value"]
"""Whose layers are meant: every network's, the policy's or the critic's."""

# The gains with which jaxrl_ft.nets draws its kernels; a test compares them with a fresh network.
_HIDDEN_GAIN = 2**0.5
_HEAD_GAINS = {"policy": 0.01}


class Layer(NamedTuple):
    """A hidden layer by the path of its own parameters and of those that read it."""

    path: str
    """such as `policy/dense_0`"""
    after: tuple[str, ...]
    """such as `policy/dense_1`, or `policy/head` and the heads of other groups on a shared trunk"""


def chains(params: Tree, groups: Groups = "both") -> list[list[str]]:
    """The paths of the layers of each network from the input to the head."""
    chosen = [name for name, layers in params.items() if isinstance(layers, dict) and "head" in layers]
    chosen = [name for name in chosen if groups in ("both", name)]
    return [[f"{name}/{layer}" for layer in (*forward.hidden_layers(params[name]), "head")] for name in chosen]


def kernels(params: Tree, groups: Groups = "both") -> list[str]:
    """The paths of all layers, heads included."""
    return [path for chain in chains(params, groups) for path in chain]


def hidden(params: Tree, groups: Groups = "both") -> list[Layer]:
    """The hidden layers of the networks."""
    found = [Layer(path, (after,)) for chain in chains(params, groups) for path, after in itertools.pairwise(chain)]
    on_trunk = tuple(f"{group}/head" for group in forward.trunk_readers(params))
    return [Layer(path, after + on_trunk) if after == ("policy/head",) else Layer(path, after) for path, after in found]


def by_unit(kernel: jax.Array, width: int) -> jax.Array:
    """The weights that read a layer of so many units, [places, width, out]: one place, or those of an image."""
    return kernel.reshape((-1, width, kernel.shape[-1]))


def gain(path: str) -> float:
    """The gain of the orthogonal initialiser of the layer at `path`."""
    group, name = path.split("/")
    return _HEAD_GAINS.get(group, 1.0) if name == "head" else _HIDDEN_GAIN


def scale(path: str, shape: tuple[int, ...]) -> float:
    """The root mean square of the entries of a fresh kernel, as a matrix [n, m]: gain / √max(n, m).

    The longer side holds orthonormal vectors, so that n m entries have squares that sum to gain² min(n, m).
    """
    return float(gain(path) / max(parts.matrix_shape(shape)) ** 0.5)


def fresh_units(key: Key, params: Tree, layers: list[Layer], num: int | None = None) -> dict[Layer, jax.Array]:
    """Incoming weights [..., in, num] of fresh units of each layer, independent of each other; by default one per unit.

    A column of an orthogonal n x m matrix consists of the first n coordinates of a point that is uniform on the sphere
    in max(n, m) dimensions, and such a point is a Gaussian vector over its norm. So each column has exactly the
    distribution that the initialiser gives to one (norm gain if n >= m, else gain √(n/m) in root mean square); only
    the orthogonality between columns is left out.
    """
    flat = tree.flatten(params)
    kernels = {layer: flat[f"{layer.path}/kernel"] for layer in layers}
    shapes = {layer: parts.matrix_shape(kernel.shape) for layer, kernel in kernels.items()}
    draws = _normals(key, {layer: (max(shape), num or shape[1]) for layer, shape in shapes.items()})
    fresh = {
        layer: gain(layer.path) * (draw / jnp.linalg.norm(draw, axis=0, keepdims=True))[: shapes[layer][0]]
        for layer, draw in draws.items()
    }
    return {layer: columns.reshape((*kernels[layer].shape[:-1], -1)) for layer, columns in fresh.items()}


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
        fresh: incoming weights of the new ones, [..., in, width] or [..., in, 1].
        means: mean activations [width], of all layers or of none.
    """
    flat = tree.flatten(params)
    void = {path: jnp.zeros(jnp.shape(leaf), bool) for path, leaf in flat.items()}
    for layer, mask in masks.items():
        kernel, bias = f"{layer.path}/kernel", f"{layer.path}/bias"
        columns = mask.reshape((*(1,) * (flat[kernel].ndim - 1), -1))
        flat[kernel] = jnp.where(columns, fresh[layer], flat[kernel])
        flat[bias] = jnp.where(mask, 0.0, flat[bias])
        void[kernel], void[bias] = void[kernel] | columns, void[bias] | mask
        for after in layer.after:
            reading, reads = by_unit(flat[f"{after}/kernel"], mask.size), f"{after}/bias"
            shape = flat[f"{after}/kernel"].shape
            if layer in means:
                lost = jnp.sum(jnp.where(mask, means[layer], 0.0)[None, :, None] * reading, axis=(0, 1))
                flat[reads] = jnp.where(mask.any(), flat[reads] + lost, flat[reads])
            flat[f"{after}/kernel"] = jnp.where(mask[None, :, None], 0.0, reading).reshape(shape)
            gone = jnp.broadcast_to(mask[None, :, None], reading.shape).reshape(shape)
            void[f"{after}/kernel"] = void[f"{after}/kernel"] | gone
    return tree.unflatten(flat), tree.unflatten(void)

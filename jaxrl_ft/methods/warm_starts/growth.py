"""Growth: warm starts that keep the function and add units to a layer, or a layer, to a tree that `nets.mlp` reads.

Reference: Chen, Goodfellow & Shlens 2016, "Net2Net: Accelerating Learning via Knowledge Transfer", arXiv:1511.05641.
"""

import re
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Key
from jaxrl_ft.methods.warm_starts.base import Probe, WarmStart
from jaxrl_ft.nets import mlp, parts

# A column reads the hidden units, and would have to be widened with them.
_WIDENS = re.compile(r"(dense|norm|bottleneck)_\d+|head|log_std|residual|offset")


def wider(key: Key, layers: Tree, width: int, spread: jax.Array | float) -> Tree:
    """The network with `width` units in every hidden layer and the same outputs (Net2WiderNet, arXiv:1511.05641).

    New units are copies of old ones, chosen at random so that the numbers of copies differ by one at most: exact with
    layer norm where the width is a whole multiple. What reads a unit, with weight w, reads its m copies with weights
    s₁ w, ..., sₘ w, where s = 1/m + spread (d - 1/m) and d is uniform on the simplex, drawn for each weight by itself.
    (The paper draws with replacement and has s = 1/m, hence noise beside it. Were one s shared by all the weights that
    read a copy, its gradient would be a multiple of its twin's, and Adam would move both alike.)

    Args:
        key: PRNG key.
        layers: the tree of one MLP.
        width: units of each hidden layer.
        spread: from equal shares (0) to random ones (1).

    Raises:
        ValueError: a layer is wider already, or its function would change; read from shapes alone.
    """
    sizes = parts.widths(layers)
    _check_wider(layers, sizes, width)
    draws = _draws(key, layers, sizes, width)
    grown, below, num_below = dict(layers), None, 0
    for i, size in enumerate(sizes):
        units = _copies(draws[f"units_{i}"], size, width)
        dense = _written(layers[f"dense_{i}"], units)
        grown[f"dense_{i}"] = dense if below is None else _read(draws[f"dense_{i}"], dense, below, num_below, spread)
        if f"norm_{i}" in layers:
            grown[f"norm_{i}"] = _written(layers[f"norm_{i}"], units)
        if f"bottleneck_{i}" in layers:
            block = layers[f"bottleneck_{i}"]
            down = _read(draws[f"bottleneck_{i}"], block["down"], units, size, spread)
            grown[f"bottleneck_{i}"] = {"down": down, "up": _written(block["up"], units)}
        below, num_below = units, size
    if below is not None:
        grown["head"] = _read(draws["head"], layers["head"], below, num_below, spread)
    return grown


def _check_wider(layers: Tree, sizes: tuple[int, ...], width: int) -> None:
    for name in layers:
        if not _WIDENS.fullmatch(name):
            raise ValueError(f"width: a network with the part {name!r} cannot be widened")
    for size in sizes:
        if width < size:
            raise ValueError(f"width: {width} is below the pretrained network's {size}")
        if width % size and "norm_0" in layers:
            raise ValueError(
                f"width: {width} is no whole multiple of the pretrained network's {size}; with layer norm every unit "
                "needs as many copies as any other, or means and variances change"
            )


def _outputs(layer: Tree) -> int:
    return int(layer["kernel"].shape[-1])


def _draws(key: Key, layers: Tree, sizes: tuple[int, ...], width: int) -> dict[str, jax.Array]:
    """Exponential draws for every choice of units, [rounds, size], and for every kernel that reads units."""
    shapes = {f"units_{i}": (-(-(width - size) // size), size) for i, size in enumerate(sizes)}
    shapes |= {f"dense_{i}": (width, width) for i in range(1, len(sizes))} | {"head": (width, _outputs(layers["head"]))}
    blocks = [name for name in layers if name.startswith("bottleneck_")]
    shapes |= {name: (width, _outputs(layers[name]["down"])) for name in blocks}
    like = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    # Drawn at once: the generator is most of what there is to compile.
    draws: dict[str, jax.Array] = tree.unravel(jax.random.exponential(key, (tree.size(like),), jnp.float32), like)
    return draws


def _copies(draws: jax.Array, size: int, width: int) -> jax.Array:
    """For each of `width` units the old one that it copies, [width]: all once, then in rounds of random order."""
    return jnp.concatenate(
        [jnp.arange(size, dtype=jnp.int32), jnp.argsort(draws, axis=-1).reshape(-1).astype(jnp.int32)]
    )[:width]


def _written(layer: Tree, units: jax.Array) -> Tree:
    """The layer with one output for each copied unit."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[..., units], layer)


def _read(draws: jax.Array, layer: Tree, units: jax.Array, size: int, spread: jax.Array | float) -> Tree:
    """The layer that reads copies of `size` units, [size, outputs], in their place; its outputs are the same."""
    # Exponential draws over their sum are uniform on the simplex; the floor keeps that sum off zero.
    draws = jnp.maximum(draws, 1e-6)
    sums = jnp.zeros((size, draws.shape[1]), jnp.float32).at[units].add(draws)
    equal = 1.0 / jnp.zeros((size, 1), jnp.float32).at[units].add(1.0)[units]
    shares = equal + spread * (draws / sums[units] - equal)
    return {**layer, "kernel": jnp.asarray(layer["kernel"])[units] * shares}


def deeper_dense(layers: Tree) -> Tree:
    """The relu network with one more hidden layer, the identity, before its head (Net2DeeperNet, arXiv:1511.05641).

    relu(I relu(x) + 0) = relu(x) as written; no other activation here is the identity on its own outputs.

    Raises:
        ValueError: what enters the head may be negative or would be normalised; read from shapes alone.
    """
    depth = mlp.depth(layers)
    reasons = {
        "norm_0": "what enters the new layer would be normalised",
        f"bottleneck_{depth - 1}": "what enters the new layer may be negative",
        "column": "the column has a layer for each of this one's",
    }
    for name, reason in reasons.items():
        if name in layers:
            raise ValueError(
                f"layer: 'dense' is not allowed for a network with the part {name!r}: {reason} (allowed: 'residual')"
            )
    size = layers["head"]["kernel"].shape[0]
    return {
        **layers,
        f"dense_{depth}": {"kernel": jnp.eye(size, dtype=jnp.float32), "bias": jnp.zeros((size,), jnp.float32)},
    }


def deeper_residual(key: Key, layers: Tree, width: int) -> Tree:
    """The network with a residual block of `width` units, h + up(act(down(h))), after its last hidden layer h.

    `up` is zero, so the block is the identity for every activation. A block that is there already gets the units
    beside its own.

    Args:
        key: PRNG key.
        layers: the tree of one MLP.
        width: units of the block.

    Raises:
        ValueError: the network has no hidden layer.
    """
    depth = mlp.depth(layers)
    if not depth:
        raise ValueError("layer: 'residual' is not allowed for a network without hidden layers")
    name = f"bottleneck_{depth - 1}"
    block = parts.bottleneck(key, parts.widths(layers)[-1], width)
    if name in layers:
        old, down, up = layers[name], block["down"], block["up"]
        down = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=-1), old["down"], down)
        up = {"kernel": jnp.concatenate([old["up"]["kernel"], up["kernel"]]), "bias": old["up"]["bias"]}
        block = {"down": down, "up": up}
    return {**layers, name: block}


@config
class Net2Wider(WarmStart):
    """More units in every hidden layer of policy and critic, and the same function (arXiv:1511.05641).

    See `wider` for how copies come to differ.
    """

    width: int = 128
    """units of each hidden layer; with layer norm a whole multiple of the pretrained network's"""
    spread: float = 1.0
    """from equal shares among the copies of a unit (0, in which they stay alike) to random ones (1)"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"width": (1, 8192), "spread": (0.0, 1.0)}
    grows: ClassVar[bool] = True

    def apply(self, key: Key, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The base with every group widened.

        Raises:
            ValueError: a layer is wider than `width`, or its function would change.
        """
        keys = zip(jax.random.split(key, len(base)), sorted(base))
        return {group: wider(subkey, base[group], self.width, self.spread) for subkey, group in keys}

    def network(self, network: Network) -> Network:
        """The network with the new width in every hidden layer."""
        return network.with_widths(*((self.width,) * len(network.widths(group)) for group in ("policy", "value")))


@config
class Net2Deeper(WarmStart):
    """One more hidden layer in policy and critic that is the identity at first (arXiv:1511.05641).

    A dense layer can be that for relu alone; a residual block can for every activation.
    """

    layer: Literal["residual", "dense"] = "residual"
    """a residual block after the last hidden layer, or a dense layer before the head, for relu"""
    width: int = 64
    """units of the residual block; a dense layer is as wide as the one before it"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"width": (1, 8192)}
    grows: ClassVar[bool] = True

    def apply(self, key: Key, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The base with every group deepened.

        Raises:
            ValueError: the new layer would not be the identity.
        """
        if self.layer == "dense":
            return {group: deeper_dense(layers) for group, layers in base.items()}
        keys = zip(jax.random.split(key, len(base)), sorted(base))
        return {group: deeper_residual(subkey, base[group], self.width) for subkey, group in keys}

    def network(self, network: Network) -> Network:
        """The network with one more hidden layer; the same for a residual block, which networks carry as a part.

        Raises:
            ValueError: a dense layer would be added to a network whose activation is not relu.
        """
        if self.layer == "residual":
            return network
        if network.activation != "relu":
            raise ValueError(
                f"layer: 'dense' is not allowed for a {network.activation} network, in which no such layer is the "
                "identity (allowed: 'residual')"
            )
        widths = [network.widths(group) for group in ("policy", "value")]
        return network.with_widths(*(sizes + sizes[-1:] for sizes in widths))

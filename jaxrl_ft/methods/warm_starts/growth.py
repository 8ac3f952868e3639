"""Growth: warm starts that keep the function and add units to a layer, or a layer, to a tree that `nets.forward` reads.

Reference: Chen, Goodfellow & Shlens 2016, "Net2Net: Accelerating Learning via Knowledge Transfer", arXiv:1511.05641.
"""

import re
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Key
from jaxrl_ft.methods.warm_starts.base import Probe, WarmStart
from jaxrl_ft.nets import forward, parts

# A column reads the hidden units, and would have to be widened with them.
_WIDENS = re.compile(r"(conv|dense|norm|bottleneck)_\d+|head|log_std|residual|offset")


class _Copies(NamedTuple):
    """The units of a layer after it was widened."""

    units: jax.Array
    """the old unit that each copies, [width]"""
    size: int
    """how many old ones there were"""


def wider(key: Key, layers: Tree, width: int, spread: jax.Array | float) -> Tree:
    """The network with `width` units in every dense hidden layer and the same outputs (Net2WiderNet, arXiv:1511.05641).

    New units are copies of old ones, chosen at random so that the numbers of copies differ by one at most: exact with
    layer norm where the width is a whole multiple. What reads a unit, with weight w, reads its m copies with weights
    s₁ w, ..., sₘ w, where s = 1/m + spread (d - 1/m) and d is uniform on the simplex, drawn for each weight by itself.
    (The paper draws with replacement and has s = 1/m, hence noise beside it. Were one s shared by all the weights that
    read a copy, its gradient would be a multiple of its twin's, and Adam would move both alike.) Convolutions keep
    their channels.

    Args:
        key: PRNG key.
        layers: the tree of one network.
        width: units of each dense hidden layer.
        spread: from equal shares (0) to random ones (1).

    Raises:
        ValueError: a layer is wider already, or its function would change; read from shapes alone.
    """
    return _wider(key, layers, width, spread)[0]


def _wider(key: Key, layers: Tree, width: int, spread: jax.Array | float) -> tuple[Tree, _Copies | None]:
    """The wider network, and the units of its last layer; None where it has no hidden layer."""
    sizes = dict(zip(forward.hidden_layers(layers), parts.widths(layers)))
    dense = {name: size for name, size in sizes.items() if layers[name]["kernel"].ndim == 2}
    _check_wider(layers, tuple(dense.values()), width)
    draws = _draws(key, layers, dense, width)
    grown, below = dict(layers), None
    for name, size in dense.items():
        i = name.split("_")[1]
        copies = _Copies(_copies(draws[f"units_{i}"], size, width), size)
        written = _written(layers[name], copies.units)
        grown[name] = written if below is None else _read(draws[name], written, below, spread)
        if f"norm_{i}" in layers:
            grown[f"norm_{i}"] = _written(layers[f"norm_{i}"], copies.units)
        if f"bottleneck_{i}" in layers:
            block = layers[f"bottleneck_{i}"]
            down = _read(draws[f"bottleneck_{i}"], block["down"], copies, spread)
            grown[f"bottleneck_{i}"] = {"down": down, "up": _written(block["up"], copies.units)}
        below = copies
    if below is not None:
        grown["head"] = _read(draws["head"], layers["head"], below, spread)
    return grown, below


def _wider_heads(key: Key, layers: Tree, copies: _Copies, spread: jax.Array | float) -> Tree:
    """A head on a shared trunk, and the heads inside it, that read the copies in the place of the trunk's units."""
    flat = tree.flatten(layers)
    heads = [f"{prefix}head" for prefix, _ in parts.networks(layers)]
    for path, subkey in zip(heads, jax.random.split(key, len(heads))):
        kernel = flat[f"{path}/kernel"]
        draws = jax.random.exponential(subkey, (len(copies.units), kernel.shape[-1]), jnp.float32)
        flat[f"{path}/kernel"] = _read(draws, {"kernel": kernel}, copies, spread)["kernel"]
    return tree.unflatten(flat)


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


def _draws(key: Key, layers: Tree, sizes: dict[str, int], width: int) -> dict[str, jax.Array]:
    """Exponential draws for every choice of units, [rounds, size], and for every kernel that reads units."""
    numbers = [name.split("_")[1] for name in sizes]
    shapes = {f"units_{i}": (-(-(width - size) // size), size) for i, size in zip(numbers, sizes.values())}
    shapes |= {f"dense_{i}": (width, width) for i in numbers[1:]} | {"head": (width, _outputs(layers["head"]))}
    blocks = [f"bottleneck_{i}" for i in numbers if f"bottleneck_{i}" in layers]
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


def _read(draws: jax.Array, layer: Tree, copies: _Copies, spread: jax.Array | float) -> Tree:
    """The layer that reads copies of units, in the place of these; its outputs are the same."""
    units, size = copies
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
    depth = forward.depth(layers)
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
    depth = forward.depth(layers)
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
    """More units in every dense hidden layer of policy and critic, and the same function (arXiv:1511.05641).

    See `wider` for how copies come to differ. Convolutions keep their channels.
    """

    width: int = 128
    """units of each dense hidden layer; with layer norm a whole multiple of the pretrained network's"""
    spread: float = 1.0
    """from equal shares among the copies of a unit (0, in which they stay alike) to random ones (1)"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"width": (1, 8192), "spread": (0.0, 1.0)}
    grows: ClassVar[bool] = True

    def apply(self, key: Key, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The base with every group widened.

        Raises:
            ValueError: a layer is wider than `width`, or its function would change.
        """
        keys, on_trunk = dict(zip(sorted(base), jax.random.split(key, len(base)))), forward.trunk_readers(base)
        grown = {
            group: _wider(keys[group], base[group], self.width, self.spread) for group in base if group not in on_trunk
        }
        wide = {group: layers for group, (layers, _) in grown.items()}
        for group in on_trunk:
            copies = grown["policy"][1]
            assert copies is not None
            wide[group] = _wider_heads(keys[group], base[group], copies, self.spread)
        return wide

    def network(self, network: Network) -> Network:
        """The network with the new width in every dense hidden layer."""
        return network.widened(self.width)


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
        """The base with every group deepened but for heads on a shared trunk, which reads on.

        Raises:
            ValueError: the new layer would not be the identity.
        """
        keys, on_trunk = zip(jax.random.split(key, len(base)), sorted(base)), forward.trunk_readers(base)
        if self.layer == "dense":
            grown = {group: deeper_dense(layers) for group, layers in base.items() if group not in on_trunk}
        else:
            grown = {
                group: deeper_residual(subkey, base[group], self.width)
                for subkey, group in keys
                if group not in on_trunk
            }
        return grown | {group: base[group] for group in on_trunk}

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
        return network.deepened()

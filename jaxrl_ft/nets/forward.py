"""Networks as pure functions of a dict of parameters.

Widths, depth and parts are read from the parameter tree itself; a config says how a fresh network is made, and how the
image lies in an observation. A network's tree holds, for hidden layers i = 0, ..., L - 1:

    conv_i or dense_i   the layer; convolutions [height, width, in, out] come first, and dense layers [in, out] read the
                        last image as a vector, channels last
    norm_i              its layer norm before the activation, over the units or over the channels of each pixel
    bottleneck_i        {"down", "up"}: h ← h + up(act(down(h))) after the activation, of any inner width; of an image
                        over the channels of each pixel
    head                the output layer
    residual, offset    whole networks of the same inputs; outputs ← outputs + residual - offset
    column              a whole network beside this one, whose outputs take the place of this one's; its layer i also
                        reads the hidden activations h_{i-1} of all earlier columns through `lateral_i`, its head those
                        of the last layer through `lateral_head`
    twin                another whole network, such as a second critic, whose outputs are read apart from this one's

All but the layers and `head` are optional, and sub-networks may hold parts of their own. A group without hidden layers
is a head on a shared trunk: it reads the last hidden layer of the group `policy`, and so do its sub-networks.
"""

import re
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_ft.core.policy import Geometry, Network
from jaxrl_ft.core.types import Key, Leaf, Params

ACTIVATIONS = {"tanh": jax.nn.tanh, "relu": jax.nn.relu, "swish": jax.nn.swish}
_NARROW = 4
"""Units at most of a layer that is a product of a matrix and a vector for each: on CPUs, forward and backward together,
three times as fast as one product of matrices, whose fast kernels are made for many."""
_HIDDEN = re.compile(r"(?:conv|dense)_(\d+)")
_ENTRY = re.compile(r"(conv|dense|norm|bottleneck|lateral)_\d+|head|lateral_head|residual|offset|column|twin")


def fresh(key: Key, kernels: Sequence[tuple[int, ...]], head_gain: float, layer_norm: bool) -> Params:
    """Fresh parameters of one network: orthogonal kernels with gain √2 (head: `head_gain`), zero biases.

    A convolution's kernel is orthogonal as the matrix [height x width x in, out].

    Args:
        key: PRNG key.
        kernels: their shapes from the input to the head, as `Network.kernel_shapes` gives them.
        head_gain: gain of the last layer; small for a policy that starts uniform.
        layer_norm: whether each hidden layer has a norm.
    """
    # Flax takes half a second to import, which `--help` need not wait for.
    from jaxrl_ft.nets.layers import Network as Layers

    return Layers(tuple(kernels), layer_norm, head_gain).init(key)["params"]


def hidden_layers(params: Params) -> tuple[str, ...]:
    """The names of a network's own hidden layers, such as `conv_0` and `dense_1`, from the input on."""
    numbers = {int(match[1]): name for name in params if (match := _HIDDEN.fullmatch(name))}
    return tuple(numbers[i] for i in sorted(numbers))


def depth(params: Params) -> int:
    """The number of hidden layers that a parameter tree holds, without those of sub-networks."""
    return len(hidden_layers(params))


def trunk_readers(params: Params) -> tuple[str, ...]:
    """The groups that are heads on the trunk of the group `policy`; none where every network stands by itself."""
    networks = {group: layers for group, layers in params.items() if isinstance(layers, dict) and "head" in layers}
    return tuple(group for group, layers in networks.items() if group != "policy" and not depth(layers))


def apply(
    params: Params, network: Network, x: Float[Array, "*B O"]
) -> tuple[Float[Array, "*B A"], list[Float[Array, "..."]]]:
    """Return the output [..., outputs], and the activations of the network's own hidden layers.

    These are [..., width], or [..., H, W, channels] of convolutions.

    Args:
        params: the tree of one network; its shape says width, depth and parts.
        network: gives the activation, and the geometry of convolutions.
        x: inputs, [..., O].

    Raises:
        ValueError: the tree has an entry that no network reads.
    """
    return _apply(params, network, x, [])


def _apply(
    params: Params, network: Network, x: Float[Array, "*B O"], below: list[Float[Array, "..."]]
) -> tuple[Float[Array, "*B A"], list[Float[Array, "..."]]]:
    _check(params)
    hidden, axes = _hidden(params, network, x, below), x.ndim - 1
    if "column" in params:
        columns = [jnp.concatenate(pair, axis=-1) for pair in zip(below, hidden, strict=True)] if below else hidden
        output, _ = _apply(params["column"], network, x, columns)
    else:
        output = _dense(params["head"], _vector(hidden[-1], axes) if hidden else x)
        if "lateral_head" in params:
            output = output + _times(_vector(below[-1], axes), params["lateral_head"]["kernel"])
    signs = {"residual": 1.0, "offset": -1.0}
    added = [sign * _apply(params[name], network, x, [])[0] for name, sign in signs.items() if name in params]
    # Subtracted from each other first, a residual that equals its offset adds exactly nothing.
    return (output + sum(added[1:], added[0]) if added else output), hidden


def _hidden(
    params: Params, network: Network, x: Float[Array, "*B O"], below: list[Float[Array, "..."]]
) -> list[Float[Array, "..."]]:
    from jaxrl_ft.nets.layers import normalized

    activation, hidden, axes = ACTIVATIONS[network.activation], [], x.ndim - 1
    for i, name in enumerate(hidden_layers(params)):
        x = _layer(params[name], network, i, x, axes)
        if f"lateral_{i}" in params:
            x = x + _product(params[f"lateral_{i}"]["kernel"], network.geometry(i), below[i - 1], axes)
        if f"norm_{i}" in params:
            x = normalized(params[f"norm_{i}"], x)
        x = activation(x)
        if f"bottleneck_{i}" in params:
            part = params[f"bottleneck_{i}"]
            x = x + _dense(part["up"], activation(_dense(part["down"], x)))
        hidden.append(x)
    return hidden


def _layer(layer: Params, network: Network, number: int, x: Float[Array, "..."], axes: int) -> Float[Array, "..."]:
    """What a hidden layer makes of x, which has so many leading axes."""
    if layer["kernel"].ndim > 2 and x.ndim == axes + 1:
        x = picture(x, network.image)
    product = _product(layer["kernel"], network.geometry(number), x, axes)
    return product + jax.lax.broadcast_to_rank(layer["bias"], product.ndim)


def _product(kernel: Leaf, geometry: Geometry, x: Float[Array, "..."], axes: int) -> Float[Array, "..."]:
    if kernel.ndim == 2:
        return _times(_vector(x, axes), kernel)
    # As one product of matrices for all places of the kernel: convolutions of many runs side by side, each with a
    # kernel of its own, are slow in XLA.
    return jnp.matmul(windows(x, kernel.shape[:2], geometry), kernel.reshape((-1, kernel.shape[-1])))


def _vector(x: Float[Array, "..."], axes: int) -> Float[Array, "*B n"]:
    return x if x.ndim == axes + 1 else x.reshape((*x.shape[:axes], -1))


def _dense(layer: Params, x: Float[Array, "*B n"]) -> Float[Array, "*B m"]:
    return _times(x, layer["kernel"]) + jax.lax.broadcast_to_rank(layer["bias"], x.ndim)


def _times(x: Float[Array, "*B n"], kernel: Leaf) -> Float[Array, "*B m"]:
    if kernel.shape[-1] > _NARROW:
        return jnp.matmul(x, kernel)
    return jnp.stack([jnp.matmul(x, kernel[:, unit]) for unit in range(kernel.shape[-1])], axis=-1)


def picture(x: Float[Array, "*B O"], image: tuple[int, ...]) -> Float[Array, "*B H W C"]:
    """The image [..., H, W, C] that observations begin with; each number behind it becomes a channel of one value."""
    size = int(np.prod(image))
    seen = x[..., :size].reshape((*x.shape[:-1], *image))
    behind = x[..., None, None, size:]
    if not behind.shape[-1]:
        return seen
    planes = jnp.broadcast_to(behind, (*seen.shape[:-1], behind.shape[-1]))
    return jnp.concatenate([seen, planes], axis=-1)


def windows(x: Float[Array, "*B H W C"], sides: tuple[int, ...], geometry: Geometry) -> Float[Array, "*B h w _"]:
    """What a kernel of these sides sees at each of its places, [..., h, w, height x width x C]."""
    stride = geometry.stride
    if geometry.same:
        pads = [_padding(size, side, geometry) for size, side in zip(x.shape[-3:-1], sides)]
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 3) + pads + [(0, 0)])
    spans = [[slice(i, size - side + i + 1, stride) for i in range(side)] for size, side in zip(x.shape[-3:-1], sides)]
    return jnp.concatenate([x[..., rows, columns, :] for rows in spans[0] for columns in spans[1]], axis=-1)


def places(size: int, side: int, geometry: Geometry) -> int:
    """How many places a kernel of this side has along an image of this size."""
    return -(-size // geometry.stride) if geometry.same else (size - side) // geometry.stride + 1


def _padding(size: int, side: int, geometry: Geometry) -> tuple[int, int]:
    total = max((places(size, side, geometry) - 1) * geometry.stride + side - size, 0)
    return total // 2, total - total // 2


def _check(params: Params) -> None:
    for name, entry in params.items():
        if isinstance(entry, dict) and not _ENTRY.fullmatch(name):
            raise ValueError(f"params: {name!r} is no part of a network (parts: {', '.join(params)})")

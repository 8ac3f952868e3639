"""Policies of images from other libraries: strides, which no file of weights tells, and the order of their numbers.

Torch has images as [channels, height, width] and here they are [height, width, channels], so the rows of the first
dense layer behind the convolutions are put in another order.
"""

from dataclasses import replace

import numpy as np

from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.nets import forward
from jaxrl_ft.nets.cnn import CNN
from jaxrl_ft.store.foreign.found import Found
from jaxrl_ft.training.compatibility import reading
from jaxrl_ft.training.weights import networks_like

NATURE_SIDES, NATURE_STRIDES = (8, 4, 3), (4, 2, 1)
"""Of the convolutions of Mnih et al. 2015 (doi:10.1038/nature14236), extended data table 1."""


def read(what: str, found: Found, given: Tree, source: Task, wanted: Network | None, scale: float) -> tuple[Tree, CNN]:
    """The networks as they read the images of the task, and their config.

    Args:
        what: what messages call the policy.
        found: the policy.
        given: its networks by group, leaves [S, ...].
        source: the task.
        wanted: the config that says strides and padding, if one is given.
        scale: what images are multiplied by before the file's network reads them.

    Raises:
        ValueError: the task shows no such images, or the layers do not follow on one another.
    """
    if found.algo == "sac":
        raise ValueError(f"{what}: is SAC with convolutions; PPO, A2C and DQN of images are read")
    try:
        network = reading(_config(found, given, wanted), source)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    assert isinstance(network, CNN)
    _check(what, given["policy"], network, source)
    networks = {group: _own(layers, network, found.channels_first, scale) for group, layers in given.items()}
    return networks, network


def _config(found: Found, given: Tree, wanted: Network | None) -> Network:
    kernels = [given["policy"][name]["kernel"] for name in forward.hidden_layers(given["policy"])]
    sides = tuple(kernel.shape[1] for kernel in kernels if kernel.ndim > 3)
    if wanted is None:
        wanted = CNN(strides=NATURE_STRIDES) if sides == NATURE_SIDES else CNN()
    if not isinstance(wanted, CNN):
        raise ValueError(f"network: {wanted!r} is not allowed; the file holds convolutions, so it must be of type CNN")
    known: PyTree = {"activation": found.activation, "shared_trunk": found.shared_trunk}
    return networks_like.network(given, replace(wanted, **known))


def _places(network: CNN) -> tuple[int, int]:
    """Height and width of the image that the last convolution puts out."""
    height, width = network.image[:2]
    for layer, side in enumerate(network.kernels * (len(network.channels) if len(network.kernels) == 1 else 1)):
        geometry = network.geometry(layer)
        height, width = (forward.places(size, side, geometry) for size in (height, width))
    return height, width


def _check(what: str, policy: Tree, network: CNN, source: Task) -> None:
    channels, image = policy["conv_0"]["kernel"].shape[3], network.image
    if channels != image[-1]:
        raise ValueError(
            f"{what}: reads images of {channels} channels, and {source.id} shows {'x'.join(map(str, image))}, channels "
            "last"
        )
    height, width = _places(network)
    first = policy[f"dense_{len(network.channels)}"]["kernel"].shape[1]
    leave = height * width * network.channels[-1]
    if first != leave:
        raise ValueError(
            f"{what}: its first dense layer reads {first} numbers, and convolutions with the strides {network.strides} "
            f"and {network.padding} padding leave {height} x {width} x {network.channels[-1]} = {leave}; give others, "
            "as in network=ft.CNN(strides=(4, 2, 1)); layers without weights, such as pooling, have no form here"
        )


def _own(layers: Tree, network: CNN, channels_first: bool, scale: float) -> Tree:
    """A network that reads images as they are here; a head on a shared trunk is as it was."""
    if "conv_0" not in layers:
        return layers
    first = {**layers["conv_0"], "kernel": np.float32(scale) * layers["conv_0"]["kernel"]}
    if not channels_first:
        return {**layers, "conv_0": first}
    name, (height, width) = f"dense_{len(network.channels)}", _places(network)
    kernel = layers[name]["kernel"]
    seeds, _, units = kernel.shape
    turned = kernel.reshape((seeds, network.channels[-1], height, width, units)).transpose(0, 2, 3, 1, 4)
    return {**layers, "conv_0": first, name: {**layers[name], "kernel": turned.reshape(kernel.shape)}}

"""Every kind of network by name, and which suits an observation."""

from collections.abc import Mapping
from dataclasses import replace

from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.table import Table
from jaxrl_ft.nets.cnn import CNN
from jaxrl_ft.nets.mlp import MLP

NETWORKS: Table[Network] = Table("network")
NETWORKS.add("mlp", MLP(), "multilayer perceptrons, which read any observation as a vector")
NETWORKS.add("cnn", CNN(), "convolutions and dense layers, for observations that are images (arXiv:1903.03176)")

LARGE = CNN(channels=(32, 64, 64), kernels=(8, 4, 3), strides=(4, 2, 1), dense=(512,))
"""The network of Mnih et al. 2015 (doi:10.1038/nature14236) for the screens of Atari."""
_SMALLEST, _SMALLEST_LARGE = 3, 36
"""Sides in pixels from which an image is read by the one network or the other: their kernels need so many."""


def suited(vectors: MLP, shapes: Mapping[str, tuple[int, ...]]) -> Network:
    """The usual network for observations: convolutions where they are one image, else the layers for vectors.

    An image has height, width and channels. A matrix is none, for it may as well be a table. Images of 36 pixels and
    more on each side have the network of the screens of Atari, smaller ones that of MinAtar.

    Args:
        vectors: the layers for vectors; a network of convolutions normalises its layers as these do.
        shapes: the shape of each part of the observation.
    """
    found = list(shapes.values())
    if len(found) != 1 or len(found[0]) != 3 or min(found[0][:2]) < _SMALLEST:
        return vectors
    images = LARGE if min(found[0][:2]) >= _SMALLEST_LARGE else CNN()
    return replace(images, layer_norm=vectors.layer_norm)

"""Convolutional networks."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Geometry
from jaxrl_ft.nets import forward
from jaxrl_ft.nets.mlp import NO_CRITIC_LAYERS


@config
class CNN:
    """Convolutions and then dense layers, for observations that are images; policy and value are alike.

    The usual one is that of MinAtar's authors: one convolution of 16 features and a dense layer of 128 (Young & Tian
    2019, arXiv:1903.03176). Images [H, W] have one channel. Where a critic reads continuous actions too, each is a
    channel of one value behind the image's own.
    """

    channels: tuple[int, ...] = (16,)
    """features of each convolution, from the input on"""
    kernels: tuple[int, ...] = (3,)
    """side of the kernel of each convolution, in pixels; one number is that of all"""
    strides: tuple[int, ...] = (1,)
    """pixels from one place of the kernel to the next, likewise"""
    padding: Literal["valid", "same"] = "valid"
    """`same` pads images with zeros, so that with stride 1 they keep their size; `valid` does not pad"""
    dense: tuple[int, ...] = (128,)
    """units in each hidden layer behind the convolutions"""
    activation: Literal["tanh", "relu", "swish"] = "relu"
    """non-linearity of the hidden layers"""
    layer_norm: bool = False
    """normalise each hidden layer before its activation, convolutions over the channels of each pixel"""
    shared_trunk: bool = False
    """the value is a head on the policy's hidden layers, in the place of a network of its own"""
    image: tuple[int, ...] = ()
    """height, width and channels; those of the task's observation, unless it has as many numbers in another shape"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "channels": (1, 8192),
        "kernels": (1, 1024),
        "strides": (1, 1024),
        "dense": (1, 8192),
        "image": (1, 65536),
    }
    MOST: ClassVar[int] = 64
    """hidden layers"""

    def check(self) -> None:
        """Refuse networks without convolutions or dense layers, and fields that are not one for each convolution.

        Raises:
            ValueError: names the field.
        """
        for name in ("channels", "dense"):
            if not getattr(self, name):
                raise ValueError(f"{name}: () is not allowed; at least one layer is needed, or use MLP")
        if len(self.channels) + len(self.dense) > self.MOST:
            raise ValueError(f"channels, dense: more than {self.MOST} layers are not allowed")
        for name in ("kernels", "strides"):
            given = getattr(self, name)
            if len(given) not in (1, len(self.channels)):
                raise ValueError(
                    f"{name}: {given} is not allowed; it must be one number, or one for each of the "
                    f"{len(self.channels)} convolutions"
                )
        if len(self.image) not in (0, 3):
            raise ValueError(f"image: {self.image} is not allowed; it must be (height, width, channels)")
        if self.image:
            self._places()

    @property
    def needs(self) -> tuple[str, ...]:
        """Of a shared trunk, a critic that can share it."""
        return ("shared_trunk",) if self.shared_trunk else ()

    @property
    def lacks(self) -> Mapping[str, str]:
        """Weights for each entry of an observation, and with a shared trunk layers that are the critic's own."""
        alike = {
            "obs_entries": "a convolution reads all places of an image alike, and cannot read them in another order"
        }
        return alike | ({"critic_layers": NO_CRITIC_LAYERS} if self.shared_trunk else {})

    def reading(self, shapes: Mapping[str, tuple[int, ...]]) -> "CNN":
        """The config for an observation that is one image.

        Raises:
            ValueError: it is none, or smaller than a kernel.
        """
        found = list(shapes.values())
        size = sum(math.prod(shape) for shape in found)
        if math.prod(self.image or (0,)) == size:
            return self
        if len(found) != 1 or len(found[0]) not in (2, 3):
            told = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            raise ValueError(
                f"CNN reads one image [height, width, channels] or [height, width], and the observation is {told}; use "
                "MLP, or give network.image where the numbers are those of an image"
            )
        bound = replace(self, image=(*found[0], 1)[:3])
        bound._places()
        return bound

    def kernel_shapes(self, group: str, inputs: int, outputs: int) -> tuple[tuple[int, ...], ...]:
        """The shapes of the kernels of a group, [height, width, in, out] of convolutions.

        Of a head on a shared trunk it is one.
        """
        if group != "policy" and self.shared_trunk:
            return ((self.dense[-1], outputs),)
        channels = (self.image[-1] + inputs - math.prod(self.image), *self.channels)
        sides = self._each(self.kernels)
        convolutions = [(side, side, *pair) for side, pair in zip(sides, itertools.pairwise(channels))]
        flat = math.prod(self._places()) * channels[-1]
        return (*convolutions, *itertools.pairwise((flat, *self.dense, outputs)))

    def geometry(self, layer: int) -> Geometry:
        """How a convolution moves over its image; the usual way for dense layers, which do not."""
        stride = self._each(self.strides)[layer] if layer < len(self.channels) else 1
        return Geometry(stride, self.padding == "same")

    def widths(self, group: str) -> tuple[int, ...]:
        """Channels of each convolution and units of each dense layer, from the input on."""
        return () if group != "policy" and self.shared_trunk else (*self.channels, *self.dense)

    def widened(self, width: int) -> "CNN":
        """The config with so many units in each dense layer; convolutions keep their channels."""
        return replace(self, dense=(width,) * len(self.dense))

    def deepened(self) -> "CNN":
        """The config with one more dense layer, as wide as the last."""
        return replace(self, dense=(*self.dense, self.dense[-1]))

    def _each(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """A number for each convolution."""
        return given * len(self.channels) if len(given) == 1 else given

    def _places(self) -> tuple[int, int]:
        """Height and width of the last convolution's image.

        Raises:
            ValueError: a kernel is larger than the image that it reads.
        """
        size = (self.image[0], self.image[1])
        for i, side in enumerate(self._each(self.kernels)):
            geometry = self.geometry(i)
            if not geometry.same and side > min(size):
                raise ValueError(
                    f"kernels: {side} is not allowed; convolution {i} reads an image of {size[0]} x {size[1]}, "
                    "which is smaller (padding='same' pads it)"
                )
            size = (forward.places(size[0], side, geometry), forward.places(size[1], side, geometry))
        return size

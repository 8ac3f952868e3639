"""Weights as whole numbers of few bits, with or without training through the rounding."""

from typing import ClassVar

from jaxrl_ft.core.config import config
from jaxrl_ft.core.types import Leaf
from jaxrl_ft.deploy.compression import packing
from jaxrl_ft.deploy.compression.base import Compression, Given, trained
from jaxrl_ft.deploy.compression.packing import Packed
from jaxrl_ft.methods.adapters.compressed import Per, Quantized, axes_of, bits_of
from jaxrl_ft.training.agents import Agents


@config
class Quantize(Compression):
    """Kernels as whole numbers of few bits, biases of 8, with symmetric scales (Jacob et al. 2018, arXiv:1712.05877).

    Weights alone are rounded. They are multiplied as 32-bit floats, so that a policy takes less space, and as long.
    Norms, a Gaussian's `log_std` and the normaliser stay floats.
    """

    bits: int = 8
    """bits of every entry of a kernel; up to 4, two are stored in a byte"""
    per: Per = "tensor"
    """what has a scale of its own: every array, or every output of a layer"""
    aware: bool = False
    """fine-tune through the rounding first, for `steps` env steps"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"bits": (2, 8)}

    @property
    def trains(self) -> bool:
        """Whether it fine-tunes through the rounding."""
        return self.aware

    def prepare(self, given: Given) -> Agents:
        """The agents, fine-tuned through the rounding if asked for."""
        if not self.aware:
            return given.agents
        return trained(given, given.agents, Quantized(bits=self.bits, per=self.per), given.steps)

    def pack(self, path: str, leaf: Leaf, given: Given) -> Packed:
        """Kernels and biases as whole numbers."""
        bits = bits_of(path, self.bits)
        if bits is None:
            return packing.floats(leaf)
        # Behind the axis of seeds, which share nothing.
        return packing.integers(leaf, bits, axes_of(path, leaf.ndim - 1, self.per))

"""Kernels as products of two thin matrices."""

from typing import ClassVar

from jaxrl_ft.core.config import config
from jaxrl_ft.core.types import Leaf
from jaxrl_ft.deploy.compression import packing
from jaxrl_ft.deploy.compression.base import Compression, Given
from jaxrl_ft.deploy.compression.packing import Packed


@config
class LowRank(Compression):
    """Every kernel as the nearest matrix of a rank, stored as its factors (Denton et al. 2014, arXiv:1404.0736).

    A kernel whose factors are no smaller stays as it is.
    """

    rank: int = 8
    """rank of every kernel"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"rank": (1, 8192)}

    def pack(self, path: str, leaf: Leaf, given: Given) -> Packed:
        """Kernels as factors."""
        return packing.factors(leaf, self.rank) if path.endswith("/kernel") else packing.floats(leaf)

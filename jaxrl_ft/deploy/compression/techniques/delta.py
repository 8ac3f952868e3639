"""What fine-tuning changed, beside the agents that it started from."""

from typing import ClassVar

import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.core.types import Leaf
from jaxrl_ft.deploy.compression import packing
from jaxrl_ft.deploy.compression.base import Compression, Given, policy_of
from jaxrl_ft.deploy.compression.packing import Packed


@config
class Delta(Compression):
    """What fine-tuning changed alone: the base is named by its SHA-256, and is needed to act.

    Every parameter is stored in the shortest of three forms: not at all where no bit of it changed; as a product of
    thin matrices, as LoRA changes it (Hu et al. 2021, arXiv:2106.09685), where that is within the tolerance; or as the
    entries that changed, bit for bit.
    """

    tolerance: float = 1e-6
    """how far entries of a product may be off, of the largest entry of the parameter; 0 stores entries alone"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"tolerance": (0.0, 1.0)}
    needs_base: ClassVar[bool] = True

    def refuse(self, given: Given) -> None:
        """Refuse agents without a base of as many seeds and of equal shapes.

        Raises:
            ValueError: the base is missing or differs.
        """
        if given.base is None:
            raise ValueError("base: is missing; delta stores what differs from the agents that were fine-tuned")
        if given.base.num_seeds != given.agents.num_seeds:
            raise ValueError(
                f"base: {given.base.num_seeds} seeds are not allowed; the agents have {given.agents.num_seeds}"
            )
        ours, theirs = policy_of(given.agents), policy_of(given.base)
        for path, leaf in ours.items():
            if path not in theirs or theirs[path].shape != leaf.shape:
                found = list(theirs[path].shape[1:]) if path in theirs else "nothing"
                raise ValueError(f"base: has {found} where the agents have {path} of shape {list(leaf.shape[1:])}")

    def pack(self, path: str, leaf: Leaf, given: Given) -> Packed:
        """What changed of a parameter."""
        if given.base is None:
            raise ValueError("base: is missing")
        return packing.change(leaf, np.asarray(policy_of(given.base)[path]), self.tolerance)

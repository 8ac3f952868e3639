"""A compressed policy: the agents, how they are stored, and what was measured before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxrl_ft.core.bundle import write_bundle
from jaxrl_ft.core.config import to_json
from jaxrl_ft.core.files import Json
from jaxrl_ft.deploy.compression import packing
from jaxrl_ft.deploy.compression.base import POLICY, Compression
from jaxrl_ft.deploy.compression.measure import Measured
from jaxrl_ft.deploy.compression.packing import Packed
from jaxrl_ft.training.agents import Agents

KIND = "compressed_policies"
VERSION = 1
STATISTICS = "statistics"
CONFIGS = ("algo", "network", "method", "source", "task")


@dataclass(frozen=True, eq=False, repr=False)
class Compressed:
    """Compressed policies of S seeds."""

    agents: Agents
    """the agents whose policies are what is read from the file; their critics are those of training"""
    name: str
    """of the compression"""
    compression: Compression
    """the compression"""
    packed: Mapping[str, Packed]
    """the policies' parameters by path, as they are stored"""
    statistics: Mapping[str, Packed]
    """the normalisers' statistics by number"""
    before: Measured
    """what the policies took and returned before"""
    after: Measured
    """what they take and return now"""
    env_steps: int
    """env steps that each agent took for it"""
    base_digest: str | None = None
    """SHA-256 of the agents that are needed to read it, if any are"""

    @property
    def report(self) -> str:
        """Before and after as a table."""
        from jaxrl_ft.deploy.compression.report import table

        return table([self])

    def save(self, path: str | Path) -> None:
        """Write the policies to a directory, from which `ft.load_compressed` reads them.

        It holds no critic, no state of the optimizer and no curves.

        Args:
            path: the directory; one that holds another bundle is replaced as a whole, anything else is refused.

        Raises:
            ValueError: the path is taken by something else or cannot be written.
        """
        write_bundle(path, *self.parts())

    def parts(self) -> tuple[dict[str, np.ndarray], dict[str, Json]]:
        """The arrays and the JSON that `save` writes."""
        arrays: dict[str, np.ndarray] = {}
        groups: dict[str, Json] = {}
        for group, parts in ((POLICY, self.packed), (STATISTICS, self.statistics)):
            groups[group] = {}
            for name, packed in parts.items():
                listed: dict[str, Json] = {}
                for key, array in packed.arrays.items():
                    data = packing.deflated(array)
                    shorter = len(data) < array.nbytes
                    arrays[f"{group}:{name}:{key}"] = np.frombuffer(data, np.uint8) if shorter else array
                    listed[key] = {"dtype": array.dtype.name, "shape": list(array.shape)} if shorter else None
                entry = {"codec": packed.codec, "shape": list(packed.shape), "bits": packed.bits, "deflated": listed}
                groups[group][name] = entry
        metadata = {
            "kind": KIND,
            "version": VERSION,
            "name": self.name,
            "compression": to_json(self.compression),
            **{name: to_json(getattr(self.agents, name)) for name in CONFIGS},
            **groups,
            "env_steps": self.agents.env_steps.tolist(),
            "status": list(self.agents.status),
            "report": list(self.agents.report),
            "base_sha256": self.base_digest,
        }
        return arrays, metadata

    def __repr__(self) -> str:
        """The table of before and after."""
        return self.report

"""Weights of small magnitude set to zero: at once, or gradually with fine-tuning between."""

import re
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.core.types import Leaf
from jaxrl_ft.deploy.compression import packing
from jaxrl_ft.deploy.compression.base import Compression, Given, policy_of, trained, with_policy
from jaxrl_ft.deploy.compression.packing import Packed
from jaxrl_ft.deploy.description import Floats
from jaxrl_ft.methods.adapters.compressed import Masked
from jaxrl_ft.training.agents import Agents

Scope = Literal["layer", "global"]
_FIRST = re.compile(r"/(conv|dense)_0/kernel$")
"""The path of a kernel that reads the observation."""


@config
class PruneWeights(Compression):
    """The smallest entries of the kernels set to zero, and the others stored (Han et al. 2015, arXiv:1506.02626).

    With one round the pruned policy is fine-tuned, as there. With n rounds the share rises to the whole of s by the
    schedule of Zhu & Gupta 2017, arXiv:1710.01878, and the policy is fine-tuned after each of them:

        s_t = s (1 - (1 - t / n)³),   t = 1, ..., n

    Biases and norms are kept. Zeros stay zero while the others train.
    """

    share: float = 0.9
    """share s of the entries of the kernels that become zero"""
    scope: Scope = "layer"
    """rank entries within each kernel, or all kernels of a policy together"""
    rounds: int = 0
    """times that it prunes and fine-tunes, `steps` env steps in all; 0 prunes at once, without training"""
    per_input: int = 0
    """weights that every entry of the observation keeps in the first layer, its largest ones, as far as the share
    allows: training cannot bring back an entry that no weight reads"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "share": (0.0, 1.0),
        "rounds": (0, 1000),
        "per_input": (0, 8192),
    }

    @property
    def trains(self) -> bool:
        """Whether it fine-tunes after pruning."""
        return self.rounds > 0

    def shares(self) -> list[float]:
        """The share of zeros in each round, or the one share."""
        turns = max(1, self.rounds)
        return [float(self.share) * (1 - (1 - turn / turns) ** 3) for turn in range(1, turns + 1)]

    def prepare(self, given: Given) -> Agents:
        """The agents, pruned, and fine-tuned after each round."""
        agents = given.agents
        for number, share in enumerate(self.shares()):
            params = with_policy(agents.params, pruned(policy_of(agents), share, self.scope, self.per_input))
            agents = replace(agents, params=params, opt_state=None)
            if self.rounds:
                agents = trained(given, agents, Masked(), -(-given.steps // self.rounds), number)
        return agents

    def pack(self, path: str, leaf: Leaf, given: Given) -> Packed:
        """Kernels as a bit for every entry and what is not zero."""
        return packing.sparse(leaf) if path.endswith("/kernel") else packing.floats(leaf)


def pruned(policy: dict[str, np.ndarray], share: float, scope: Scope, per_input: int = 0) -> dict[str, np.ndarray]:
    """The parameters with the smallest entries of their kernels set to zero, in every seed by itself.

    Args:
        policy: parameters by path, [S, ...].
        share: of the entries, rounded to whole ones; of equal entries the first become zero.
        scope: as in `PruneWeights`.
        per_input: likewise.
    """
    kernels = {path: leaf for path, leaf in policy.items() if path.endswith("/kernel")}
    sizes = {path: _sizes(path, leaf, per_input) for path, leaf in kernels.items()}
    if scope == "layer":
        return {path: _pruned(leaf, sizes[path], share) if path in sizes else leaf for path, leaf in policy.items()}
    flat = [leaf.reshape(len(leaf), -1) for leaf in kernels.values()]
    whole = _pruned(np.concatenate(flat, axis=1), np.concatenate(list(sizes.values()), axis=1), share)
    parts = dict(zip(kernels, np.split(whole, np.cumsum([leaf.shape[1] for leaf in flat])[:-1], axis=1)))
    return {path: parts[path].reshape(leaf.shape) if path in parts else leaf for path, leaf in policy.items()}


def _sizes(path: str, leaf: np.ndarray, per_input: int) -> Floats:
    """How large every entry of a kernel is, [S, entries]; infinite where an input needs it."""
    matrix = np.abs(leaf, dtype=np.float32).reshape(len(leaf), -1, leaf.shape[-1])
    if per_input and _FIRST.search(path):
        largest = np.argsort(-matrix, axis=2, kind="stable")[:, :, :per_input]
        np.put_along_axis(matrix, largest, np.inf, axis=2)
    return np.asarray(matrix.reshape(len(leaf), -1), np.float32)


def _pruned(leaf: np.ndarray, sizes: Floats, share: float) -> Floats:
    flat = np.array(leaf.reshape(len(leaf), -1), np.float32)
    order = np.argsort(sizes, axis=1, kind="stable")
    np.put_along_axis(flat, order[:, : round(share * flat.shape[1])], 0.0, axis=1)
    return flat.reshape(leaf.shape)

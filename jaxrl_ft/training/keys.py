"""The keys of a run: one stream for each thing that draws, none used twice."""

from typing import NamedTuple

import jax
import numpy as np

from jaxrl_ft.core.types import Leaf, PyTree

# Streams of a run's key beside its updates, whose numbers stay below 2^31.
INIT, WARM_START, ADAPTER, PENALTY, CARRY, EVALUATION = range(2**31, 2**31 + 6)
FREEZE, INTERVENTION, DATA, TASKS, MIXING, STEPS, SOURCE, DIVERGENCE, SIGNS = range(2**31 + 6, 2**31 + 15)

MEMBER = 2**24
"""How far apart the numbers of a population's members are."""

PROBE_STREAM = 2**32 - 1
FINAL_STREAM = 2**32 - 2
VALIDATION_STREAM = 2**31
"""Evaluation streams of probes, of `evaluate` and of a control's validations, which count on from theirs; evaluations
on the way use the number of updates done."""


def stream_key(seed: Leaf, index: Leaf, stream: int | Leaf) -> jax.Array:
    """The key of a stream of run `index` of a call: fold_in(fold_in(key(seed), index), stream)."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), index), stream)


class Seeds(NamedTuple):
    """Seed and number of every run, uint32 [R]; inside of a program those of one run, scalars."""

    seeds: Leaf
    indices: Leaf

    def key(self, stream: int | Leaf) -> jax.Array:
        """The key of a stream of the one run."""
        return stream_key(self.seeds, self.indices, stream)


def seeds_of(seed: int, num_runs: int, population: int = 1, numbers: PyTree = None) -> Seeds:
    """Runs 0, ..., n - 1 of a call with this seed, or those of the n numbers; member m of the r-th is at m n + r."""
    numbers = np.arange(num_runs) if numbers is None else np.asarray(numbers)
    indices = (numbers + MEMBER * np.arange(population)[:, None]).reshape(-1)
    return Seeds(np.full(len(indices), seed, np.uint32), indices.astype(np.uint32))

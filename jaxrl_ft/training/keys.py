"""The keys of a run: one stream for each thing that draws, none used twice."""

from typing import Any

import jax

# Streams of a run's key beside its updates, whose numbers stay below 2^31.
INIT, WARM_START, ADAPTER, PENALTY, CARRY, EVALUATION = range(2**31, 2**31 + 6)
FREEZE, INTERVENTION, DATA, TASKS, MIXING, STEPS, SOURCE, DIVERGENCE, SIGNS = range(2**31 + 6, 2**31 + 15)

MEMBER = 2**24
"""How far apart the numbers of a population's members are."""


def stream_key(seed: Any, index: Any, stream: Any) -> jax.Array:
    """The key of a stream of run `index` of a call: fold_in(fold_in(key(seed), index), stream)."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), index), stream)

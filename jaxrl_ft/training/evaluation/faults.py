"""Numbers that are not finite: the first quantity that holds one stops its run, which keeps what it had before."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core.types import Leaf
from jaxrl_ft.rl.rollout import SEEN
from jaxrl_ft.training.spec import Spec

QUANTITIES = (*SEEN, "experience", "statistics", "gradient", "parameters", "optimizer state", "memory")
"""What every update looks at, in the order in which it is made; `experience` is what is learned from, with what follows
from a rollout, such as advantages, and rows of a replay; `memory` is what the parts of a method remember."""


class Fault(NamedTuple):
    """The first quantity of a run that was not finite, and when; scalars in a program, [R] on the host."""

    quantity: Leaf
    """1 + its place in `QUANTITIES`; 0 where all numbers are finite, int32"""
    update: Leaf
    """number of the update, from 0; -1 before the first one, int32"""


def first(sound: Mapping[str, jax.Array]) -> jax.Array:
    """1 + the place in `QUANTITIES` of the first that is not sound, int32; 0 where all are.

    Args:
        sound: whether a quantity is finite, by name; others are taken to be.
    """
    whole = jnp.stack([sound.get(name, jnp.asarray(True)) for name in QUANTITIES])
    return jnp.where(whole.all(), 0, 1 + jnp.argmin(whole)).astype(jnp.int32)


def of_runs(specs: Sequence[Spec], members: Fault) -> Fault:
    """The fault of each run of several groups, one after another, from those of the members of their populations.

    A control keeps the best member of a population, so that one sound member is enough; a finish needs all of them.

    Args:
        specs: of each group.
        members: [M] on the host, or more, which fill up a program.
    """
    found, start = [], 0
    for spec in specs:
        stop = start + spec.num_members
        quantity, update = (
            np.asarray(leaf)[start:stop].reshape(spec.method.population, spec.num_runs) for leaf in members
        )
        times = np.where(quantity > 0, update, np.iinfo(np.int32).max)
        which = (np.argmax if spec.method.control.population > 1 else np.argmin)(times, axis=0)
        found.append([leaf[which, np.arange(spec.num_runs)] for leaf in (quantity, update)])
        start = stop
    return Fault(*map(np.concatenate, zip(*found)))


def texts(fault: Fault) -> dict[int, str]:
    """What was not finite in each run that has a fault, and when, in plain words by the run's number."""
    return {int(run): _text(int(fault.quantity[run]), int(fault.update[run])) for run in np.flatnonzero(fault.quantity)}


def _text(quantity: int, update: int) -> str:
    when = f" in update {update + 1}" if update >= 0 else ""
    return f"non-finite {QUANTITIES[quantity - 1]}{when}"

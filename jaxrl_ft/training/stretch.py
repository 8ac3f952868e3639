"""Stretches of updates: one compiled program runs any number of them, so that the host and the devices meet rarely."""

import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import Metrics
from jaxrl_ft.training.collect import World
from jaxrl_ft.training.per_run import per_run
from jaxrl_ft.training.update import Run, State, evaluated_policy, update

LONGEST = 128
"""Updates of one call at most; the program keeps the metrics of each."""

SECONDS = 1.0
"""How long a call may take before the next ones are shorter: progress and Ctrl-C wait for it."""

Sums = dict[str, np.ndarray]
"""Metrics summed over updates, by run, [R]"""


@per_run(shared=("start", "stop"), donate=("state",), few_at_once=True)
def stretch(world: World, run: Run, state: State, start: jax.Array, stop: jax.Array) -> tuple[State, Policy, Metrics]:
    """Updates start, ..., stop - 1.

    Args:
        world: what the run collects in.
        run: what the run was given.
        state: before the first of them.
        start: number of the first update, int32.
        stop: number after the last one, int32; at most `LONGEST` more.

    Returns:
        state: after the last of them.
        answer: the policy to evaluate.
        metrics: of each update, [LONGEST], zeros behind the last.
    """
    # As a jitted function it is traced once, for the shapes of its metrics and for the loop.
    one = jax.jit(update)
    _, shapes = jax.eval_shape(one, world, run, state, start)
    metrics = jax.tree.map(lambda leaf: jnp.zeros((LONGEST, *leaf.shape), leaf.dtype), shapes)

    def body(number: jax.Array, carried: tuple[State, Metrics]) -> tuple[State, Metrics]:
        state, new = one(world, run, carried[0], number)
        put = functools.partial(jax.lax.dynamic_update_index_in_dim, index=number - start, axis=0)
        return state, jax.tree.map(put, carried[1], new)

    state, metrics = jax.lax.fori_loop(start, stop, body, (state, metrics))
    return state, evaluated_policy(run, state), metrics


class Pace:
    """How many updates a call of `stretch` takes: more and more, until it takes about `SECONDS`."""

    def __init__(self) -> None:
        self.updates = 1
        """of the next call"""

    def took(self, updates: int, seconds: float) -> None:
        """Adapt to a call that took so many seconds for so many updates."""
        if seconds > SECONDS:
            self.updates = max(1, updates // 2)
        elif updates == self.updates and seconds < SECONDS / 2:
            self.updates = min(LONGEST, 2 * updates)


def advance(
    world: World,
    run: Run,
    state: State,
    start: int,
    stop: int,
    pace: Pace | None = None,
    sums: Sums | None = None,
    after: Callable[[State, int, Sums], None] | None = None,
) -> tuple[State, Policy, Sums]:
    """Updates start, ..., stop - 1 of every run; none, where there are none, and then only the policy is made.

    Args:
        world: what the runs collect in.
        run: what the runs were given.
        state: of the runs; it is donated.
        start: number of the first update.
        stop: number after the last one.
        pace: of a training that goes on; the sizes of calls change no bit of the results.
        sums: of the metrics over updates before these, to add to.
        after: called after every call of the program with the state, which it must not keep, the number of updates
            done, and the sums.

    Returns:
        state: after the last of them.
        answer: the policy to evaluate.
        sums: of the metrics over the updates.
    """
    pace, sums = pace or Pace(), dict(sums or {})
    while True:
        last, began = min(start + pace.updates, stop), time.perf_counter()
        state, answer, metrics = stretch.placed(world, run, state, np.int32(start), np.int32(last))
        for name, values in jax.device_get(metrics).items():
            # One after another, so that the sums do not depend on how the updates were cut into calls.
            before = sums.get(name, np.zeros(len(values), values.dtype))
            sums[name] = np.cumsum(np.column_stack([before, values[:, : last - start]]), axis=1)[:, -1]
        pace.took(last - start, time.perf_counter() - began)
        start = last
        if after is not None:
            after(state, start, sums)
        if start >= stop:
            return state, answer, sums

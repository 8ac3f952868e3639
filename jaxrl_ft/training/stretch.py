"""Stretches of updates: one compiled program runs any number of them, so that the host and the devices meet rarely."""

import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import Metrics, PyTree
from jaxrl_ft.training import devices
from jaxrl_ft.training.collect import World
from jaxrl_ft.training.per_run import per_run
from jaxrl_ft.training.update import Run, State, evaluated_policy, update

LONGEST = 128
"""Updates of one call at most; the program keeps the metrics of each."""

SECONDS = 1.0
"""How long a call may take before the next ones are shorter: progress and Ctrl-C wait for it."""

Sums = dict[str, np.ndarray]
"""Metrics summed over updates, by run, [R]"""


@per_run(shared=("start", "stop"), donate=("state",), few_at_once=True, any_of=("going",))
def stretch(
    world: World, run: Run, state: State, going: jax.Array, start: jax.Array, stop: jax.Array
) -> tuple[State, Policy, Metrics]:
    """Updates start, ..., stop - 1.

    Args:
        world: what the run collects in.
        run: what the run was given.
        state: before the first of them.
        going: whether a run that lies beside this one still learns, or this one; there are no updates otherwise.
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

    state, metrics = jax.lax.fori_loop(start, jnp.where(going, stop, start), body, (state, metrics))
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
    going: np.ndarray | None = None,
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
        going: whether anybody looks at what comes of each run, bool [R] or fewer, those that fill up the program left
            out; it is not said what becomes of the others. All of them, without it.

    Returns:
        state: after the last of them.
        answer: the policy to evaluate.
        sums: of the metrics over the updates.
    """
    pace, sums = pace or Pace(), dict(sums or {})
    width = len(jax.tree.leaves(state)[0])
    learns = np.ones(width, bool) if going is None else np.append(going, np.zeros(width - len(going), bool))
    order = packed(learns)
    back = None if order is None else np.argsort(order)
    world, run, state, learns = _arranged((world, run, state, devices.put(learns, width)), order)
    while True:
        last, began = min(start + pace.updates, stop), time.perf_counter()
        state, answer, metrics = stretch.placed(world, run, state, learns, np.int32(start), np.int32(last))
        for name, values in _in_order(metrics, back).items():
            # One after another, so that the sums do not depend on how the updates were cut into calls.
            before = sums.get(name, np.zeros(len(values), values.dtype))
            sums[name] = np.cumsum(np.column_stack([before, values[:, : last - start]]), axis=1)[:, -1]
        pace.took(last - start, time.perf_counter() - began)
        start, found = last, _arranged(state, back)
        if after is not None:
            after(found, start, sums)
        if start >= stop:
            return found, _arranged(answer, back), sums


def packed(going: np.ndarray) -> np.ndarray | None:
    """An order of runs in which those that learn fill as few turns of the busiest device as can be.

    Args:
        going: whether each run still learns, bool [R], R a width of programs.

    Returns:
        The run to put in each place, [R]; None where every order takes as many turns.
    """
    layout, width = devices.layout(), len(going)
    num = layout.mesh.size
    turns = layout.turns(width // num, few_at_once=True)
    places = np.arange(width).reshape(num, turns, -1).swapaxes(0, 1).ravel()
    order = np.empty(width, int)
    order[places] = np.argsort(~going, kind="stable")
    before, after = (mask.reshape(num, turns, -1).any(axis=2).sum(axis=1).max() for mask in (going, going[order]))
    return order if after < before else None


def _arranged(runs: PyTree, order: np.ndarray | None) -> PyTree:
    """The runs on the devices, in another order if there is one."""
    return runs if order is None else devices.put(_in_order(runs, order), len(order))


def _in_order(runs: PyTree, order: np.ndarray | None) -> PyTree:
    """The runs on the host, in another order if there is one."""
    runs = jax.device_get(runs)
    return runs if order is None else tree.take(runs, order)

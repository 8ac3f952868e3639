"""What a plan will take: memory from the compiled programs themselves, time from one update that is thrown away."""

import time
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.sweeps.cluster import Cluster
from jaxrl_ft.sweeps.plan import Batch, Plan, make_plan
from jaxrl_ft.sweeps.structure import trained
from jaxrl_ft.training import devices
from jaxrl_ft.training.collect import World
from jaxrl_ft.training.devices import free_memory
from jaxrl_ft.training.initial_state import begin, given
from jaxrl_ft.training.preparation.prepare import prepare
from jaxrl_ft.training.spec import Spec
from jaxrl_ft.training.stretch import advance, stretch
from jaxrl_ft.training.update import Run, State

SHARE = 0.5
"""Of the memory that is free: what programs may take by default."""


class StartedBatch(NamedTuple):
    """A batch before its first update."""

    world: World
    run: Run
    state: State
    width: int
    """runs of the program"""


class Estimate(NamedTuple):
    """What one call of a program takes."""

    memory: int
    """bytes of its arguments, results and temporaries, all devices together"""
    seconds: float
    """seconds of one update of all runs of a batch"""
    width: int
    """runs of the program"""


def estimate(plan: Plan) -> dict[int, Estimate]:
    """What each program of a plan takes, by its number; compiles them; what it trains is discarded."""
    return {number: _measured(_started(plan, batch)) for number, batch in _first(plan).items()}


def _first(plan: Plan) -> dict[int, Batch]:
    """The first batch of each program."""
    first = {batch.program: batch for batch in reversed(plan.batches) if batch.program >= 0}
    return {number: first[number] for number in sorted(first)}


def _started(plan: Plan, batch: Batch) -> StartedBatch:
    specs = [_without_paying(plan.specs[number]) for number in batch.cells]
    prepared = [prepare(spec) for spec in specs]
    runs = tree.concatenate([given(one.spec, one.start) for one in prepared])
    width = max(batch.width, len(runs.run.seed))
    world, run, state, _ = begin(devices.pad(runs, width))
    return StartedBatch(world, run, state, width)


def _measured(started: StartedBatch) -> Estimate:
    world, run, state, width = started
    memory = _memory(*started)
    state, *_ = advance(world, run, state, 0, 1)
    start = time.perf_counter()
    advance(world, run, state, 1, 2)
    return Estimate(memory, time.perf_counter() - start, width)


def _without_paying(spec: Spec) -> Spec:
    """The spec with a method of the same program that neither looks, probes nor imagines before it trains."""
    return replace(spec, method=spec.method.without_paying())


def _outlined(plan: Plan, batch: Batch) -> StartedBatch:
    """As `_started`, of shapes alone: neither a replay nor anything else is allocated."""
    specs = [plan.specs[number] for number in batch.cells]
    width = devices.layout().width(max(batch.width, sum(spec.num_members for spec in specs)))
    world, run, state = devices.shapes(trained(specs[0]), width)
    return StartedBatch(world, run, state, width)


def _memory(world: World, run: Run, state: State, width: int) -> int:
    """Bytes of the program that trains so many runs, on all devices; the arguments may be shapes."""
    going = devices.shapes(jax.ShapeDtypeStruct((), np.bool_), width)
    analysis = stretch.lower(world, run, state, going, np.int32(0), np.int32(1)).compile().memory_analysis()
    held = analysis.argument_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return int(held + analysis.temp_size_in_bytes) * devices.mesh().size


def most_runs(plan: Plan, limit: int = 0, processes: int = 1) -> int:
    """How many runs a batch may hold: what suits the devices, or fewer to keep to a limit of memory.

    Programs are compiled for this as the plan has them, and are not compiled again where it keeps to the limit.

    Args:
        plan: in batches of what suits the devices.
        limit: bytes; 0 for a `SHARE` of what is free, and one run at a time even where that takes more.
        processes: that share the memory of this machine; its GPUs have memory of their own.

    Returns:
        The number; 0 when not even one run keeps to the limit.

    Raises:
        ValueError: the experience that one run stores does not fit into the memory that is free.
    """
    devices.check_memory(1, max((spec.stored_bytes for spec in plan.specs), default=0), processes)
    each = memory_of_a_run(plan)
    allowed = limit or max(int(SHARE * free_memory(processes)), each)
    return min(devices.comfortable(), allowed // max(each, 1))


def most_pretrained(spec: Spec, limit: int) -> int:
    """How many agents may pretrain side by side to keep to a limit of memory; compiles the program, and runs nothing.

    Args:
        spec: of the pretraining.
        limit: bytes.

    Raises:
        ValueError: not even one keeps to it.
    """
    width = devices.layout().width(min(spec.num_runs, devices.comfortable()))
    world, run, state = devices.shapes(trained(spec), width)
    each = -(-_memory(world, run, state, width) // width)
    if each > limit:
        raise ValueError(
            f"memory_limit: {limit / 1e6:,.1f} MB is not allowed; pretraining one agent takes {each / 1e6:,.1f} MB of "
            "memory; a smaller network, replay or rollout takes less"
        )
    return min(spec.num_runs, limit // each)


def most_on(workers: Cluster | None, plan: Plan, limit: int = 0) -> int:
    """How many runs a batch may hold, as `most_runs` tells it where they train.

    Args:
        workers: of a cluster; without them, runs train in this process.
        plan: in batches of what suits the devices of this process.
        limit: as in `most_runs`.
    """
    if workers is None:
        return most_runs(plan, limit)
    there = make_plan(plan.specs, workers.call(devices.comfortable))
    return workers.call(most_runs, there, limit, max(workers.nodes))


def memory_of_a_run(plan: Plan) -> int:
    """Bytes of one run of the largest program; 0 where no cell trains."""
    outlines = (_outlined(plan, batch) for batch in _first(plan).values())
    return max((-(-_memory(*outline) // outline.width) for outline in outlines), default=0)

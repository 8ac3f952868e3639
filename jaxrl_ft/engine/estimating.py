"""What a plan will take: memory from the compiled programs themselves, time from one update that is thrown away."""

import time
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.engine import group, learning, loop, placement, programs
from jaxrl_ft.engine.learning import Cell
from jaxrl_ft.engine.sweeping import Batch, Plan
from jaxrl_ft.methods.imagination import Imagination


class Estimate(NamedTuple):
    """What one call of a program takes."""

    memory: int
    """bytes of its arguments, results and temporaries, all devices together"""
    seconds: float
    """seconds of one update of all runs of a batch"""
    width: int
    """runs of the program"""

    @property
    def memory_of_a_run(self) -> int:
        """Bytes of one run."""
        return -(-self.memory // self.width)


def estimate(plan: Plan) -> dict[int, Estimate]:
    """What each program of a plan takes, by its number; compiles them, and trains nothing that is kept."""
    first = {batch.program: batch for batch in reversed(plan.batches) if batch.program >= 0}
    return {number: _measured(plan, first[number]) for number in sorted(first)}


def _measured(plan: Plan, batch: Batch) -> Estimate:
    cells = [_without_paying(plan.cells[number]) for number in batch.cells]
    ready = [learning.prepare(cell, plan.budget) for cell in cells]
    given = tree.concatenate([group.given(spec, prepared.start) for spec, _, _, prepared in ready])
    width = max(batch.width, len(given.run.seed))
    world, run, position = group.begin(placement.pad(given, width))
    memory = _memory(world, run, position)
    position, _ = loop.advance(world, run, position, 0, 1)
    began = time.perf_counter()
    jax.block_until_ready(loop.advance(world, run, position, 1, 2))
    return Estimate(memory, time.perf_counter() - began, width)


def _without_paying(cell: Cell) -> Cell:
    """The cell with a method of the same program that neither looks, probes nor imagines before it trains."""
    warm = replace(cell.method.warm_start, align=False, probe_episodes=0)
    return cell._replace(method=replace(cell.method, look_steps=0, imagination=Imagination(), warm_start=warm))


def _memory(world: group.World, run: group.Run, position: group.Position) -> int:
    """Bytes of the larger of the two programs of an update, on all devices."""
    index, layout = np.int32(0), placement.layout()
    carry = position.state.carry
    collect = (world, position.policy, carry, position.memory, index)
    rows = programs.collect(layout, *collect)[2]
    learn = (run, position.state, carry.statistics, rows, index)
    return max(_bytes(programs.collect, collect), _bytes(programs.learn, learn)) * layout.mesh.size


def _bytes(program: placement.Program, args: tuple) -> int:
    analysis = program.jitted.lower(placement.layout(), *args).compile().memory_analysis()
    held = analysis.argument_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return int(held + analysis.temp_size_in_bytes)


def most_runs(plan: Plan, limit: int) -> int:
    """How many runs a batch may hold to keep to a limit of memory in bytes; 0 when not even one does."""
    return min((limit // one.memory_of_a_run for one in estimate(plan).values()), default=1)


def memory_of_a_run(plan: Plan) -> int:
    """Bytes of one run of the largest program."""
    return max((one.memory_of_a_run for one in estimate(plan).values()), default=0)

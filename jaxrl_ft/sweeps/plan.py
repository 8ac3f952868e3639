"""Many fine-tunes with few programs: cells of one structure share a batch, whose width is the same throughout."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jaxrl_ft.core import checks
from jaxrl_ft.core.json_files import digest, encoded
from jaxrl_ft.envs.task import Task
from jaxrl_ft.sweeps.structure import outline as outline_of
from jaxrl_ft.sweeps.structure import structure as structure_of
from jaxrl_ft.training import agents as agents_module
from jaxrl_ft.training import devices, finetune
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.progress.moments import Progress
from jaxrl_ft.training.resume.checkpoint import Checkpoint, opened
from jaxrl_ft.training.resume.held import identity
from jaxrl_ft.training.spec import Spec

Saving = tuple[Path, float]
"""A directory for the checkpoints of the batches, and the seconds between two of them."""
PlanCallback = Callable[[int, Progress], None]
"""Called with the number of a cell and a moment of its training, or of that of some of its runs."""


@dataclass(frozen=True)
class Batch:
    """Cells, or parts of one, that train side by side in one call of the programs."""

    cells: tuple[int, ...]
    """numbers of the cells"""
    parts: tuple[tuple[int, int], ...]
    """first run and number of runs of each"""
    width: int
    """runs of the program, those that fill it up included; 0 where the cell trains by itself"""
    program: int
    """number of the program that trains; -1 for cells that do not train"""


@dataclass(frozen=True)
class Plan:
    """What a sweep runs, in order."""

    specs: tuple[Spec, ...]
    """of each cell"""
    batches: tuple[Batch, ...]

    @property
    def num_programs(self) -> int:
        """Programs that train; each has its own compilation."""
        return len({batch.program for batch in self.batches} - {-1})

    @property
    def num_runs(self) -> int:
        """Fine-tunes in all."""
        return sum(spec.num_runs for spec in self.specs)

    @property
    def seed(self) -> int:
        """The seed of every run."""
        return self.specs[0].seed

    @property
    def env_steps(self) -> int:
        """Environment steps on the targets in all, those of runs that fill up a batch left out."""
        return sum(self.steps_of(number) for number in range(len(self.specs)))

    def steps_of(self, number: int) -> int:
        """Environment steps on its target of all runs of a cell."""
        return self.specs[number].env_steps * self.specs[number].num_runs

    def updates_of(self, number: int) -> int:
        """Updates of each run of a cell."""
        return self.specs[number].num_updates if self.specs[number].trains else 0


def make_plan(specs: Sequence[Spec], most: int = 0, wide: int = 0) -> Plan:
    """How cells are trained: those of one structure together, as many runs at a time as go well side by side.

    A batch of a structure holds whole cells, or a part of a cell that has more runs than a batch may. Every batch of
    a structure has one width, so that it is one program.

    Args:
        specs: of each cell, all with one budget.
        most: runs of a batch; without it what suits the device.
        wide: the width of every batch, as `natural_width` gives it, so that plans of other cells share its programs;
            without it what these cells fill.

    Raises:
        ValueError: `most` is not allowed; nothing has been compiled.
    """
    given = bool(wide)
    outlined = [outline_of(spec) if spec.trains else None for spec in specs]
    structures = [outline and structure_of(outline, spec) for outline, spec in zip(outlined, specs)]
    most = devices.comfortable() if not most else checks.count("most", most)
    programs: dict[Hashable, int] = {}
    together: dict[Hashable, list[int]] = {}
    for number, structure in enumerate(structures):
        together.setdefault(structure or number, []).append(number)
    batches: list[Batch] = []
    naturals = [natural_width(specs[n[0]].num_runs, len(n), most) for n in together.values() if structures[n[0]]]
    wide = wide or max(naturals, default=0)
    for numbers in together.values():
        first, outline = specs[numbers[0]], outlined[numbers[0]]
        if outline is None:
            batches += [Batch((number,), ((0, first.num_runs),), 0, -1) for number in numbers]
            continue
        alone = structures[numbers[0]] is None
        parts = [(number, part) for number in numbers for part in _parts(first.num_runs, 0 if alone else most)]
        natural = natural_width(first.num_runs, len(numbers), most)
        # What is filled up costs a little, and another width costs programs of its own.
        width = wide if given or 4 * natural >= wide else natural
        width, held = (0, 1) if alone else (width, max(1, width // max(num for _, (_, num) in parts)))
        program = programs.setdefault((outline.trained, width or first.num_members), len(programs))
        for i in range(0, len(parts), held):
            chosen = parts[i : i + held]
            batches.append(Batch(tuple(n for n, _ in chosen), tuple(p for _, p in chosen), width, program))
    return Plan(tuple(specs), tuple(batches))


def natural_width(runs: int, cells: int, most: int = 0) -> int:
    """The number of runs that train at a time, of so many cells of one structure with so many runs each.

    Args:
        runs: of each cell.
        cells: how many there are.
        most: as in `plan`.
    """
    most = most or devices.comfortable()
    size = max(num for _, num in _parts(runs, most))
    return size * min(max(1, most // size), cells if size == runs else 1)


def _parts(runs: int, most: int) -> list[tuple[int, int]]:
    """Parts of a cell as first run and number of runs, as equal as can be; 0 for no limit."""
    num = -(-runs // most) if most else 1
    size = -(-runs // num)
    return [(first, min(size, runs - first)) for first in range(0, runs, size)]


def saved(saving: Saving | None, specs: Sequence[Spec], width: int) -> AbstractContextManager[Checkpoint | None]:
    """The checkpoint of a batch, if it has one, in a folder that no other batch has.

    Args:
        saving: as in `run_plan`.
        specs: of its cells.
        width: runs of its program.
    """
    if saving is None:
        return nullcontext()
    path, every = saving
    decided = {"width": width, "specs": [identity(spec) for spec in specs]}
    return opened(path / digest(encoded(decided))[:16], every, decided)


def pretrain(spec: Spec, source: Task, most: int = 0, saving: Saving | None = None) -> Agents:
    """The agents of a spec of pretraining, as many at a time as may be.

    Args:
        spec: as `pretraining_spec` makes it.
        source: the task.
        most: agents that train side by side at most, in programs of one width; 0 for all of them at once.
        saving: as in `run_plan`.
    """
    parts = _parts(spec.num_runs, most)
    width, found = max(num for _, num in parts), []
    devices.check_memory(width, spec.stored_bytes)
    for first, num in parts:
        part = spec.part(first, num)
        with saved(saving, [part], width) as checkpoint:
            found.append(finetune.pretrained_agents(part, source, width=width, checkpoint=checkpoint))
    return agents_module.join(found)


def run_plan(
    plan: Plan,
    skip: Sequence[int] = (),
    callback: PlanCallback | None = None,
    chosen: Iterable[int] | None = None,
    saving: Saving | None = None,
) -> Iterator[tuple[int, Agents]]:
    """The number of each cell and its agents after fine-tuning, as they are finished.

    Args:
        plan: what to run.
        skip: numbers of cells that are finished already; batches of nothing else are left out.
        callback: called with every moment of training.
        chosen: numbers of the batches to run, taken one at a time when it is their turn; all of them without it.
        saving: where each batch has a checkpoint, and how often.
    """
    waiting: dict[int, list[Agents]] = {}
    finished = set(skip)
    for batch in plan.batches if chosen is None else (plan.batches[number] for number in chosen):
        if finished.issuperset(batch.cells):
            continue
        specs = [plan.specs[number].part(*part) for number, part in zip(batch.cells, batch.parts)]
        report = None if callback is None else partial(_report, callback, batch, specs)
        with saved(saving, specs, batch.width) as checkpoint:
            tuned = finetune.finetune_together(specs, batch.width, report, checkpoint)
        for number, agents in zip(batch.cells, tuned):
            parts = waiting.setdefault(number, [])
            parts.append(agents)
            if number not in finished and sum(p.num_seeds for p in parts) == plan.specs[number].num_runs:
                finished.add(number)
                yield number, agents_module.join(waiting.pop(number))


def _report(callback: PlanCallback, batch: Batch, specs: Sequence[Spec], moment: Progress) -> None:
    """Report a moment of a batch, cell by cell.

    Args:
        callback: of the plan.
        batch: that trains.
        specs: of its cells, or of their parts.
        moment: of all of them.
    """
    run = member = 0
    total = sum(spec.num_runs for spec in specs)
    for number, (first, _), spec in zip(batch.cells, batch.parts, specs):
        runs, members = slice(run, run + spec.num_runs), slice(member, member + spec.num_members)
        callback(number, moment.part(runs, members, first, spec.num_runs / total))
        run, member = runs.stop, members.stop

"""What `sweep` prints and writes: the plan, a line for each finished cell, tables, figures and the report."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from jaxrl_ft.analysis.statistics.summary import is_ok
from jaxrl_ft.commands import measurements, output
from jaxrl_ft.commands.output import SavedAgents
from jaxrl_ft.commands.shared_settings import with_seed
from jaxrl_ft.commands.sweep_settings import SweepSettings
from jaxrl_ft.core.curves import together
from jaxrl_ft.core.files import Json
from jaxrl_ft.envs.named_shifts import SHIFTS
from jaxrl_ft.sweeps import directory
from jaxrl_ft.sweeps.cluster import Cluster
from jaxrl_ft.sweeps.compare import Study
from jaxrl_ft.sweeps.cost import Estimate
from jaxrl_ft.sweeps.directory import Finished
from jaxrl_ft.sweeps.results import Comparison

SHOWN = 3
"""Targets that are named on the console."""
Cells = Mapping[int, Mapping[str, Json]]


def print_plan(study: Study, estimates: Mapping[int, Estimate]) -> None:
    """Print the programs of a plan with their number of runs, their memory and their time."""
    plan, table = study.plan, Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("program", "methods", "cells", "batches", "runs each", "env steps", "memory", "training"):
        table.add_column(heading, justify="left" if heading == "methods" else "right")
    total = 0.0
    for number, estimate in estimates.items():
        batches = [batch for batch in plan.batches if batch.program == number]
        cells = list(dict.fromkeys(cell for batch in batches for cell in batch.cells))
        updates = max(plan.updates_of(cell) for cell in cells)
        seconds = estimate.seconds * updates * len(batches)
        total += seconds
        names = list(dict.fromkeys(study.names[cell][0] for cell in cells))
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        steps = f"{sum(map(plan.steps_of, cells)):,}"
        counts = (str(len(cells)), str(len(batches)), str(estimate.width), steps)
        table.add_row(str(number), shown, *counts, f"{estimate.memory / 1e6:,.0f} MB", f"{seconds:,.0f} s")
    Console(width=output.width()).print(table)
    largest = max((estimate.memory for estimate in estimates.values()), default=0)
    print(
        f"{plan.num_runs:,} runs in {len(plan.specs)} cells and {len(plan.batches)} batches; {plan.num_programs} "
        f"programs that learn; {plan.env_steps:,} env steps on the targets.\n"
        f"About {total:,.0f} s of training, by one update of each program; evaluating and compiling come on top. The "
        f"largest program takes {largest / 1e6:,.0f} MB."
    )


def log_start(study: Study, finished: int, workers: Cluster | None) -> None:
    """Print on stderr how many runs start."""
    plan = study.plan
    shared = f", on {workers.workers} workers of Ray" if workers else ""
    known = f"; {finished} cells are finished already" if finished else ""
    print(
        f"{plan.num_runs:,} runs in {len(plan.specs)} cells, {plan.num_programs} programs that learn{shared}{known}",
        file=sys.stderr,
        flush=True,
    )


def log_cell(study: Study, cell: Mapping[str, Json], finished: int) -> None:
    """Print on stderr that a cell is finished, and which of its runs failed."""
    areas = [row["auc"] for row in cell["rows"] if is_ok(row)]
    failed = [f"{row['run']} ({row['status']})" for row in cell["rows"] if not is_ok(row)]
    area = f"mean return during fine-tuning {np.mean(areas):.1f}" if areas else "no run counts"
    stopped = f"; failed: runs {', '.join(failed)}" if failed else ""
    line = f"[{finished}/{len(study.plan.specs)}] {cell['method']} on {cell['target']}: {area}{stopped}"
    print(line, file=sys.stderr, flush=True)


def whole_cells(out: Path) -> dict[int, Json]:
    """The finished cells by number that are whole; a line on stderr for each of the others."""
    found, damaged = directory.whole_cells(out)
    for line in damaged:
        print(f"{line}; its cell runs again", file=sys.stderr, flush=True)
    return found


def write_report(settings: SweepSettings, cells: Cells, took: str, notes: Sequence[str] = ()) -> None:
    """Write the report and the numbers of every run, and print the tables.

    Args:
        settings: the sweep.
        cells: every finished cell by number.
        took: how long it took, in words.
        notes: further sentences of the report.
    """
    comparison, texts = _comparison(settings, cells), {name: SHIFTS.text(name) for name in settings.targets}
    output.write_results(
        settings,
        comparison,
        title=f"Fine-tuning to {len(settings.targets)} targets",
        targets=texts,
        notes=[*notes, *directory.mixed([cells[number] for number in sorted(cells)]), took],
        measurements=measurements.measure(comparison, settings.finetune_seed),
    )
    changes = [f"{name} ({text})" for name, text in texts.items()]
    shown = ", ".join(changes[:SHOWN]) + (f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else "")
    output.print_results(settings, comparison, f"{settings.source.describe()} to {shown}.", notes, took)


def _comparison(settings: SweepSettings, cells: Cells) -> Comparison:
    """The finished cells as a comparison."""
    ordered = [cells[number] for number in sorted(cells)]
    curves, steps = (together([np.asarray(cell[key], float) for cell in ordered]) for key in ("curve", "curve_steps"))
    agents = SavedAgents(settings.out, [(cell["method"], cell["target"]) for cell in ordered])
    return Comparison([row for cell in ordered for row in cell["rows"]], curves, steps, agents)


def keep(
    settings: SweepSettings, study: Study, finished: dict[int, Json], cell: Finished, facts: Mapping[str, str]
) -> None:
    """Write a finished cell and its agents, add it to the finished ones, and print a line on it."""
    finished[cell.number] = directory.keep(
        settings.out, cell._replace(rows=with_seed(cell.rows, settings.flags.seed)), facts
    )
    log_cell(study, finished[cell.number], len(finished))

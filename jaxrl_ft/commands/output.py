"""What both commands leave in a directory, and how they print.

A directory of results holds `config.json`; `agents/source` and `agents/<target>+<method>`; `runs.csv` with every run
(and `runs.parquet` where pyarrow is installed); `curves` with the learning curve of each run; `report.html`,
`report.md`, `figures` and `table.tex`. `train` adds `metrics.jsonl`, and with `--advise` `advice.json`; a sweep adds
`plan.json`, `cells` and `search`, from which it goes on after an interruption.
"""

import dataclasses
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from jaxrl_ft.advice.choice import Advice
from jaxrl_ft.analysis.figures.style import VECTORS
from jaxrl_ft.analysis.report import console
from jaxrl_ft.analysis.report.files import CSV, HTML, LATEX, MARKDOWN, PARQUET
from jaxrl_ft.analysis.report.measurements import Measurements
from jaxrl_ft.analysis.report.text_tables import WIDTH
from jaxrl_ft.commands.command_line import CONFIG
from jaxrl_ft.commands.shared_settings import SharedFlags, SharedSettings
from jaxrl_ft.core import bundle, checks, machine
from jaxrl_ft.store import checkpoints, run_directory
from jaxrl_ft.store.metrics import METRICS, MetricsFile
from jaxrl_ft.store.recording import Recorder
from jaxrl_ft.store.trackers import TRACKERS
from jaxrl_ft.store.trackers.base import Tracker
from jaxrl_ft.sweeps.results import Comparison
from jaxrl_ft.training.agents import Agents

ADVICE, CHECKPOINTS = "advice.json", "checkpoints"
NOTES = 4
"""Sentences that are printed besides the findings."""


class SavedAgents(Mapping[tuple[str, str], Agents]):
    """The agents in a directory of results by method and target, each read when it is asked for.

    Args:
        out: the directory.
        cells: method and target of each.
    """

    def __init__(self, out: Path, cells: Iterable[tuple[str, str]]) -> None:
        self._out, self._cells = out, dict.fromkeys(cells)

    def __getitem__(self, cell: tuple[str, str]) -> Agents:
        if cell not in self._cells:
            raise KeyError(cell)
        return checkpoints.load(run_directory.agents_path(self._out, *cell))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)


def width() -> int:
    """The characters of a line: those of the terminal, or a fixed number where the output is no terminal."""
    return shutil.get_terminal_size((WIDTH, 0)).columns if sys.stdout and sys.stdout.isatty() else WIDTH


def remove_results(out: Path) -> None:
    """Remove what an earlier run of `train` left in a directory, and nothing else.

    Raises:
        OSError: a file cannot be removed, or a directory of agents holds something else.
    """
    for name in (CONFIG, ADVICE, HTML, MARKDOWN, LATEX, CSV, PARQUET, METRICS):
        (out / name).unlink(missing_ok=True)
    for path in (out / "curves", *run_directory.source_path(out).parent.glob("*")):
        bundle.remove_bundle(path)
    remove_checkpoints(out)
    for figure in (out / "figures").glob("*"):
        if figure.suffix in (".png", *VECTORS):
            figure.unlink()


def anything_kept(out: Path) -> bool:
    """Whether there is a checkpoint of what trains, or a cell of a comparison that is not finished."""
    kept = out / CHECKPOINTS
    places = ("pretraining", "batches/*", "comparison/cells", "comparison/batches/*")
    return any(any(kept.glob(f"{place}/[0-9]*")) for place in places)


def remove_checkpoints(out: Path) -> None:
    """Remove what a run of `train` needs only as long as it is not finished."""
    if (out / CHECKPOINTS).exists():
        shutil.rmtree(out / CHECKPOINTS)


def write_config(settings: SharedSettings) -> None:
    """Write `config.json`: the command line, what it means, and the versions and the machine it runs with."""
    description = {
        **settings.command.description(),
        "flags": dataclasses.asdict(settings.flags),
        **settings.plan(),
        "versions": machine.versions(),
        "hardware": machine.hardware(),
    }
    run_directory.write_json(settings.out / CONFIG, description)


def check_trackers(flags: SharedFlags) -> None:
    """Refuse trackers that there are not, or whose package is missing.

    Raises:
        ValueError: one of them is; nothing has been compiled.
    """
    for name in flags.tracker:
        TRACKERS[checks.choice("tracker", name, TRACKERS)].check()


@contextmanager
def recorder(settings: SharedSettings, file: bool) -> Iterator[Recorder]:
    """What records the metrics of a command; trackers are closed when the context ends.

    Args:
        settings: of the command; its directory exists.
        file: whether the directory gets the metrics too.
    """
    with ExitStack() as stack:
        trackers = [stack.enter_context(_tracker(name, settings)) for name in dict.fromkeys(settings.flags.tracker)]
        yield Recorder(MetricsFile(settings.out / METRICS) if file else None, trackers)


def _tracker(name: str, settings: SharedSettings) -> Tracker:
    flags, out = settings.flags, settings.out
    config = {"command": settings.command.shell(), "directory": str(out)}
    return TRACKERS[name].of_command(flags.tracker_project, flags.tracker_run or out.name, out, config)


def write_advice(out: Path, advice: Advice) -> None:
    """Write `advice.json`: the advice with everything that was measured for it."""
    plain = {name: value for name, value in vars(advice).items() if name not in ("recipe", "evidence")}
    arrays = {name: np.asarray(plain[name]).tolist() for name in ("env_steps", "source_steps")}
    probe = {name: np.asarray(sign).tolist() for name, sign in advice.probe.items()}
    rows = [vars(row) for row in advice.evidence]
    run_directory.write_json(out / ADVICE, {**plain, **arrays, "probe": probe, "evidence": rows})


def write_results(
    settings: SharedSettings,
    comparison: Comparison,
    *,
    title: str,
    targets: Mapping[str, str],
    notes: Sequence[str],
    measurements: Measurements,
) -> None:
    """Write the curves and the report, which holds every run, its figures and its tables.

    Args:
        settings: of the command.
        comparison: the runs.
        title: the report's first heading.
        targets: targets in words, by name.
        notes: sentences at the end of the report.
        measurements: what was measured beside the runs.
    """
    keys = [{name: row[name] for name in ("method", "target", "run", "agent")} for row in comparison.runs]
    arrays = {"curves": comparison.curves, "curve_steps": comparison.curve_steps}
    bundle.write_bundle(settings.out / "curves", arrays, {"rows": keys})
    notes = [*notes, *settings.command.notes(settings.out)]
    comparison.report(settings.out, title=title, targets=targets, notes=notes, measurements=measurements)


def print_results(
    settings: SharedSettings, comparison: Comparison, heading: str, notes: Sequence[str], took: str
) -> None:
    """Print a table, the findings and where the report is; with --verbose every table and what each method changed.

    Args:
        settings: of the command.
        comparison: the runs.
        heading: what was compared.
        notes: further sentences, of which the first few are shown.
        took: how long it took, in words.
    """
    summary, wide, verbose = comparison.summary(), width(), settings.flags.verbose
    shown = notes if verbose else notes[:NOTES]
    means = "Interquartile means over runs, with 95% intervals."
    if not verbose and len({row["target"] for row in summary.rows}) > 1:
        means = "Plain means over the targets, without intervals, of interquartile means over runs."
    print(f"\n{textwrap.fill(f'{heading} {means}', wide)}\n")
    print(summary.text(wide) if verbose else console.table(summary.rows, wide), end="\n\n")
    print("\n".join(console.bullets([*console.sentences(summary.rows), *shown], wide)))
    for (method, target), agents in comparison.cells.items() if verbose else ():
        print("\n  ".join([f"\n{method} on {target}:", *agents.report]))
    files = f"{CSV}, {MARKDOWN}, {LATEX}, figures and agents"
    print(f"\nReport: {settings.out / HTML}; beside it {files}.")
    print(textwrap.fill(took, wide, break_long_words=False, break_on_hyphens=False))

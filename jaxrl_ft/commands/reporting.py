"""The report of a finished comparison or sweep as files: report.html, report.md with figures, a table of all runs."""

import importlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxrl_ft.analysis.html import html_report
from jaxrl_ft.analysis.measurements import Measurements
from jaxrl_ft.analysis.plots import learning_curves, source_target_bars
from jaxrl_ft.analysis.report import markdown_report
from jaxrl_ft.analysis.resampling import REPETITIONS
from jaxrl_ft.analysis.summary import Row, is_ok, ranked
from jaxrl_ft.store import run_directory

HTML, MARKDOWN, CSV, PARQUET = "report.html", "report.md", "results.csv", "results.parquet"


@dataclass(frozen=True)
class About:
    """What was run, in words; the keywords that `html_report` and `markdown_report` share."""

    source: str
    title: str = "Fine-tuning report"
    targets: Mapping[str, str] = field(default_factory=dict)
    budgets: Mapping[str, Any] = field(default_factory=dict)
    seeds: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    repetitions: int = REPETITIONS


def write_all(
    directory: Path,
    about: About,
    rows: Sequence[Row],
    runs: Sequence[Row],
    curves: Any,
    curve_steps: Any,
    measurements: Measurements | None = None,
) -> list[Path]:
    """The paths of all files of the report, written to a directory that exists.

    Args:
        directory: where.
        about: what was run, in words.
        rows: the runs' summary, with as many resamples as `about` says.
        runs: one mapping per run, R of them.
        curves: mean greedy returns [R, K].
        curve_steps: env steps [R, K].
        measurements: what else was measured.
    """
    figures = write_figures(directory, about.targets, rows, runs, curves, curve_steps)
    results, remark = write_results(directory, runs)
    files = dict.fromkeys(results, "every run")
    told = About(**{**vars(about), "notes": (*about.notes, *([remark] if remark else []))})
    write_reports(directory, told, rows, runs, curves, curve_steps, figures, files, measurements)
    names = [HTML, MARKDOWN, *results, *(path for paths in figures.values() for path in paths)]
    return [directory / name for name in names]


def write_reports(
    directory: Path,
    about: About,
    rows: Sequence[Row],
    runs: Sequence[Row],
    curves: Any,
    curve_steps: Any,
    figures: Mapping[str, Sequence[str]],
    files: Mapping[str, str],
    measurements: Measurements | None = None,
) -> None:
    """Nothing; `report.md` and `report.html` are then in the directory.

    Args:
        directory: where.
        about: what was run, in words.
        rows: the runs' summary.
        runs: one mapping per run.
        curves: [R, K].
        curve_steps: [R, K].
        figures: paths of the figures of each target, relative to the directory, for the Markdown.
        files: what else lies in the directory, path -> what it holds.
        measurements: what else was measured.
    """
    words = vars(about)
    text = markdown_report(rows, figures=figures, runs=runs, **words)
    (directory / MARKDOWN).write_text(text, encoding="utf-8")
    beside = {MARKDOWN: "the tables as text", **files}
    page = html_report(rows, runs, curves, curve_steps, files=beside, measurements=measurements, **words)
    (directory / HTML).write_text(page, encoding="utf-8")


def write_figures(
    directory: Path, texts: Mapping[str, str], rows: Sequence[Row], runs: Sequence[Row], curves: Any, curve_steps: Any
) -> dict[str, list[str]]:
    """The paths of each target's PNGs, relative to the directory; none of the curves where every run failed.

    Args:
        directory: where; they lie in `figures`.
        texts: targets in words.
        rows: the runs' summary.
        runs: one mapping per run.
        curves: [R, K].
        curve_steps: [R, K].
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    targets = list(dict.fromkeys(row["target"] for row in rows))
    paths: dict[str, list[str]] = {}
    for number, target in enumerate(targets, 1):
        stem = "" if len(targets) == 1 else f"{number}_{re.sub(r'[^A-Za-z0-9.+=-]', '_', target)}_"
        text, own = texts.get(target, ""), []
        if any(is_ok(row) for row in runs if row["target"] == target):
            own.append(f"figures/{stem}learning_curves.png")
            learning_curves(directory / own[-1], runs, curves, curve_steps, target, text)
        own.append(f"figures/{stem}source_target.png")
        source_target_bars(directory / own[-1], ranked(rows), target, text, methods)
        paths[target] = own
    return paths


def write_results(directory: Path, runs: Sequence[Row]) -> tuple[list[str], str]:
    """The names of the tables of every run, and a remark on what is missing: Parquet, which needs pyarrow."""
    flat = [flat_row(row) for row in runs]
    run_directory.write_csv(directory / CSV, flat)
    if importlib.util.find_spec("pyarrow") is None:
        return [CSV], f"Every run is in `{CSV}`; a Parquet file beside it needs pyarrow, which is not installed."
    pyarrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    names = dict.fromkeys(name for row in flat for name in row)
    columns = {name: [row.get(name) for row in flat] for name in names}
    parquet.write_table(pyarrow.table(columns), directory / PARQUET)
    return [CSV, PARQUET], ""


def flat_row(row: Row) -> dict[str, Any]:
    """A run with its hyperparameters as columns of their own."""
    hyperparameters = row.get("hyperparameters", {}).items()
    plain = {name: value for name, value in row.items() if name != "hyperparameters"}
    return plain | {f"hyperparameters.{name}": value for name, value in hyperparameters}

"""The report of a finished comparison or sweep as files: report.html, report.md with figures, a table of all runs."""

import importlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from numpy.typing import ArrayLike

from jaxrl_ft.analysis.figures.curves import curves_title, draw_bands, draw_source_target_bars, learning_bands
from jaxrl_ft.analysis.figures.style import VECTORS, write_figure
from jaxrl_ft.analysis.report.content import About
from jaxrl_ft.analysis.report.html import html_report
from jaxrl_ft.analysis.report.markdown import markdown_report
from jaxrl_ft.analysis.report.measurements import Measurements
from jaxrl_ft.analysis.report.summary_table import Summary
from jaxrl_ft.analysis.statistics.summary import Row, best_first, is_ok, ranked
from jaxrl_ft.core.files import replacing, write_csv, write_text

HTML, MARKDOWN, LATEX, CSV, PARQUET = "report.html", "report.md", "table.tex", "runs.csv", "runs.parquet"


def write_report(
    directory: Path,
    about: About,
    rows: Sequence[Row],
    runs: Sequence[Row],
    curves: ArrayLike,
    curve_steps: ArrayLike,
    measurements: Measurements | None = None,
) -> list[Path]:
    """Write report, figures and tables into a directory that exists; returns the paths of all files.

    Args:
        directory: where.
        about: what was run, in words.
        rows: the runs' summary, with as many resamples as `about` says.
        runs: one mapping per run, R of them.
        curves: mean greedy returns [R, K].
        curve_steps: env steps [R, K].
        measurements: what else was measured.
    """
    results, remark = write_results(directory, runs)
    about = replace(about, notes=(*about.notes, *([remark] if remark else [])))
    figures = write_figures(directory, about.targets, rows, runs, curves, curve_steps)
    write_text(directory / LATEX, Summary(rows).latex())
    write_text(directory / MARKDOWN, markdown_report(rows, about, figures=figures, runs=runs))
    beside = {MARKDOWN: "the tables as text", LATEX: "the table for LaTeX", **dict.fromkeys(results, "every run")}
    page = html_report(rows, runs, curves, curve_steps, about, files=beside, measurements=measurements)
    write_text(directory / HTML, page)
    drawn = [Path(path).with_suffix(kind) for of in figures.values() for path in of for kind in (".png", *VECTORS)]
    return [directory / HTML, *(directory / name for name in beside), *(directory / path for path in drawn)]


def write_figures(
    directory: Path,
    texts: Mapping[str, str],
    rows: Sequence[Row],
    runs: Sequence[Row],
    curves: ArrayLike,
    curve_steps: ArrayLike,
) -> dict[str, list[str]]:
    """Write each target's figures as PNG, and as PDF and SVG at print size; returns the paths of the PNGs.

    The paths are relative to the directory. Where every run on a target failed, it has no learning curves.

    Args:
        directory: where; they lie in `figures`.
        texts: targets in words.
        rows: the runs' summary.
        runs: one mapping per run.
        curves: [R, K].
        curve_steps: [R, K].
    """
    methods = best_first(runs)
    targets = list(dict.fromkeys(row["target"] for row in rows))
    paths: dict[str, list[str]] = {}
    for number, target in enumerate(targets, 1):
        stem = "" if len(targets) == 1 else f"{number}_{re.sub(r'[^A-Za-z0-9.+=-]', '_', target)}_"
        text = texts.get(target, "")
        drawn = {"source_target": partial(draw_source_target_bars, ranked(rows), target, text, methods)}
        if any(is_ok(row) for row in runs if row["target"] == target):
            bands = learning_bands(runs, curves, curve_steps, target)
            drawn = {"learning_curves": partial(draw_bands, bands, title=curves_title(target, text)), **drawn}
        paths[target] = [f"figures/{stem}{name}.png" for name in drawn]
        for path, draw in zip(paths[target], drawn.values(), strict=True):
            write_figure(draw, directory / path)
    return paths


def write_results(directory: Path, runs: Sequence[Row]) -> tuple[list[str], str]:
    """Write the tables of every run; returns their names, and a remark where there is none as Parquet."""
    flat = [flat_row(row) for row in runs]
    write_csv(directory / CSV, flat)
    if importlib.util.find_spec("pyarrow") is None:
        return [CSV], f"Every run is in `{CSV}`; a Parquet file beside it needs pyarrow, which is not installed."
    pyarrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
    names = dict.fromkeys(name for row in flat for name in row)
    columns = {name: [row.get(name) for row in flat] for name in names}
    with replacing(directory / PARQUET) as file:
        parquet.write_table(pyarrow.table(columns), file)
    return [CSV, PARQUET], ""


def flat_row(row: Row) -> Row:
    """A run with its hyperparameters as columns of their own."""
    hyperparameters = row.get("hyperparameters", {}).items()
    plain = {name: value for name, value in row.items() if name != "hyperparameters"}
    return plain | {f"hyperparameters.{name}": value for name, value in hyperparameters}

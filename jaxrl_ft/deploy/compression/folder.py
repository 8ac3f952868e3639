"""Several compressions of the same agents in one folder, with a table, raw numbers and the Pareto figure."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jaxrl_ft.analysis.figures.style import write_figure
from jaxrl_ft.core.files import write_csv, write_text
from jaxrl_ft.deploy.compression import report
from jaxrl_ft.deploy.compression.figure import draw_compressions
from jaxrl_ft.deploy.compression.record import Compressed
from jaxrl_ft.store import run_directory

COMMAND = "compress"
FIGURE = "pareto.png"


def write(path: str | Path, found: Sequence[Compressed]) -> Path:
    """Write a bundle for each compression, `compressed.md`, `.json` and `.csv`, and the figure where returns are known.

    Args:
        path: the folder; a new or an empty one, or one of an earlier compress.
        found: compressions of the same agents, with names of their own.

    Raises:
        ValueError: the folder cannot be used.
    """
    directory = run_directory.create(path, COMMAND)
    for one in found:
        one.save(directory / one.name)
    write_text(directory / "compressed.md", report.markdown(found))
    run_directory.write_json(directory / "compressed.json", report.facts(found))
    if points := report.panels(found):
        write_csv(directory / "returns.csv", report.raw(found))
        agents = found[0].agents
        title = f"Compressed policies on {agents.task.describe()}, {agents.num_seeds} seeds"
        write_figure(partial(draw_compressions, points, title), directory / FIGURE)
    return directory

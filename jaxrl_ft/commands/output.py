"""What `train` leaves: files in its run directory, and tables on the console."""

import importlib.metadata
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxrl_ft.analysis import tables
from jaxrl_ft.analysis.advice import Advice
from jaxrl_ft.analysis.summary import ranked
from jaxrl_ft.commands.reporting import About, flat_row, write_figures, write_reports
from jaxrl_ft.commands.settings import EPISODES, EVAL_EPISODES, NUM_EVALS, Settings
from jaxrl_ft.core.config import to_json
from jaxrl_ft.engine.agents import Agents
from jaxrl_ft.engine.comparison import Comparison
from jaxrl_ft.store import bundle, checkpoints, run_directory

LIBRARIES = ("jaxrl-ft", "jax", "jaxlib", "flax", "optax", "gymnax", "numpy")
WIDTH = 118
"""Characters of a table where nothing says how wide the output is."""
EDGE, GAP = 1, 3
"""Characters outside the first or last column of a table, and between two."""
TABLES = (
    ("method", "runs", "AUC", "AUC - scratch", "target return", "trained", "env steps"),
    ("method", "target return - scratch", "jumpstart", "held-out return", "source return", "forgetting"),
)
"""The headings of the tables that are printed."""


def agents_path(out: Path, name: str) -> Path:
    """Where the agents of a method lie; characters that a file system may refuse become underscores."""
    return out / "agents" / re.sub(r"[^\w.+=-]", "_", name)


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that the numbers depend on."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in LIBRARIES}}


def write_config(settings: Settings) -> None:
    """Nothing; `config.json` then holds all that the run was asked for and where it ran."""
    configs = {name: to_json(getattr(settings, name)) for name in ("algo", "network", "optimizer", "source", "target")}
    description = {
        "command": list(settings.command),
        "flags": vars(settings.flags),
        **configs,
        "methods": {name: to_json(method) for name, method in settings.methods.items()},
        "target_name": settings.target_name,
        "held_out": [{"kind": kind, "task": to_json(task)} for kind, task in settings.held_out],
        "finetune_seed": settings.finetune_seed,
        "num_evals": NUM_EVALS,
        "episodes": EPISODES,
        "eval_episodes": EVAL_EPISODES,
        "versions": versions(),
        "devices": [str(device) for device in jax.devices()],
        "platform": platform.platform(),
    }
    run_directory.write_json(settings.out / "config.json", description)


def write_advice(settings: Settings, advice: Advice) -> None:
    """Nothing; `advice.json` then holds the advice with all that was measured, and `config.json` what is run."""
    plain = {name: value for name, value in vars(advice).items() if name not in ("recipe", "evidence")}
    arrays = {name: np.asarray(plain[name]).tolist() for name in ("env_steps", "source_steps")}
    probe = {name: np.asarray(sign).tolist() for name, sign in advice.probe.items()}
    rows = [vars(row) for row in advice.evidence]
    run_directory.write_json(settings.out / "advice.json", {**plain, **arrays, "probe": probe, "evidence": rows})
    write_config(settings)


def write_comparison(settings: Settings, comparison: Comparison) -> None:
    """Nothing; the raw numbers of every run, the curves and the agents of every method are then in the directory."""
    out = settings.out
    run_directory.write_json(out / "runs.json", comparison.runs)
    run_directory.write_csv(out / "runs.csv", [flat_row(row) for row in comparison.runs])
    keys = [{name: row[name] for name in ("method", "target", "run", "agent")} for row in comparison.runs]
    arrays = {"curves": comparison.curves, "curve_steps": comparison.curve_steps}
    bundle.write_bundle(out / "curves", arrays, {"rows": keys})
    for (method, _), agents in comparison.cells.items():
        checkpoints.save(agents, agents_path(out, method))


def write_report(
    settings: Settings,
    agents: Agents,
    comparison: Comparison,
    rows: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
) -> list[str]:
    """The paths of the figures, relative to the directory; `report.md` and `report.html` are then there too."""
    flags, target = settings.flags, settings.target_name
    numbers = (rows, comparison.runs, comparison.curves, comparison.curve_steps)
    about = About(
        source=f"`{settings.source.describe()}`",
        title=f"Fine-tuning to {target}",
        targets={target: f"{settings.target_text}; `{settings.target.describe()}`"},
        budgets={"pretraining env steps": int(agents.env_steps.max()), "fine-tuning env steps": flags.finetune_steps},
        seeds={"agents": agents.num_seeds, "runs of each method": flags.seeds, "seed": flags.seed},
        versions=versions(),
        notes=notes,
    )
    figures = write_figures(settings.out, {target: settings.target_text}, *numbers)
    write_reports(settings.out, about, *numbers, figures, {"runs.csv": "every run"})
    return figures[target]


def print_tables(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Nothing; prints the summary, best area first, in as many tables as it takes for no cell to be broken."""
    headings, lines = tables.columns(), tables.cells(ranked(rows))
    cells = {heading: [line[column] for line in lines] for column, heading in enumerate(headings)}
    whole = {heading: max(map(len, (heading, *texts))) for heading, texts in cells.items()}
    least = {heading: max(map(len, (*heading.split(), *texts))) for heading, texts in cells.items()}
    for chosen in TABLES:
        for fitting in _fitting(chosen, least, console.width):
            wide = whole if _width(fitting, whole) <= console.width else least
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            for heading in fitting:
                justify: Literal["left", "right"] = "left" if heading == chosen[0] else "right"
                table.add_column(Text(heading), justify=justify, width=wide[heading])
            for line in zip(*(cells[heading] for heading in fitting)):
                table.add_row(*(Text(cell) for cell in line))
            console.print(table)


def _fitting(headings: Sequence[str], wide: Mapping[str, int], width: int) -> list[list[str]]:
    """The headings of tables at most `width` wide, where that is possible, each of which begins with the first."""
    first, *others = headings
    found = [[first]]
    for heading in others:
        if len(found[-1]) > 1 and _width([*found[-1], heading], wide) > width:
            found.append([first])
        found[-1].append(heading)
    return found


def _width(headings: Sequence[str], wide: Mapping[str, int]) -> int:
    """The characters of a line of a table whose columns are that wide."""
    return 2 * EDGE + sum(wide[heading] for heading in headings) + GAP * (len(headings) - 1)

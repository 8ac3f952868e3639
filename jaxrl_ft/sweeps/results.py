"""What a comparison leaves: every run, the curves and the agents, and from them tables and the report."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from jaxrl_ft.analysis.marks import code
from jaxrl_ft.analysis.report import files
from jaxrl_ft.analysis.report.content import About
from jaxrl_ft.analysis.report.measurements import Measurements
from jaxrl_ft.analysis.report.summary_table import DataFrame, Summary, dataframe
from jaxrl_ft.analysis.statistics.summary import summarise
from jaxrl_ft.core import checks, machine
from jaxrl_ft.core.files import Json
from jaxrl_ft.methods.catalogue import METHODS
from jaxrl_ft.training.agents import Agents, span


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Every run of a comparison, on the host."""

    runs: list[dict[str, Json]]
    """one row per run: method, target, agent, seed, hyperparameters, returns, auc, env_steps, status; `from_scratch` is
    true where nothing of the agents is left when training starts"""
    curves: np.ndarray
    """mean greedy return on the target at each evaluation, [R, K]; runs with fewer repeat their last"""
    curve_steps: np.ndarray
    """environment steps spent on the target by each evaluation, [R, K]"""
    cells: Mapping[tuple[str, str], Agents]
    """the agents of each method and target"""

    def agents(self, method: str, target: str) -> Agents:
        """The agents of one cell.

        Raises:
            ValueError: no such method or target was compared.
        """
        methods, targets = ([key[i] for key in self.cells] for i in range(2))
        checks.choice("target", target, dict.fromkeys(targets))
        if (method, target) not in self.cells:
            method = METHODS.name(checks.choice("method", METHODS.name(method), dict.fromkeys(methods)))
        return self.cells[method, target]

    def __repr__(self) -> str:
        """How many runs, of which methods, on which targets."""
        methods, targets = (", ".join(dict.fromkeys(key[i] for key in self.cells)) for i in range(2))
        each = len(self.runs) // max(len(self.cells), 1)
        lines = (
            f"Comparison: {len(self.runs)} runs, {each} of each method on each target",
            f"  methods: {methods}",
            f"  targets: {targets}",
        )
        return "\n".join(textwrap.fill(line, 120, subsequent_indent="    ", break_on_hyphens=False) for line in lines)

    def dataframe(self) -> DataFrame:
        """Every run as a row of a `pandas.DataFrame`, with a column for each hyperparameter.

        Raises:
            ImportError: pandas is not installed.
        """
        return dataframe([files.flat_row(row) for row in self.runs])

    def summary(self) -> Summary:
        """Interquartile means over runs with 95% intervals: `print(result.summary())` is the table of the commands."""
        return self._summary

    @cached_property
    def _summary(self) -> Summary:
        return Summary(summarise(self.runs, self.curves, self.curve_steps))

    def report(
        self,
        path: str | Path,
        *,
        title: str = "Fine-tuning report",
        targets: Mapping[str, str] | None = None,
        notes: Sequence[str] | None = None,
        measurements: Measurements | None = None,
    ) -> Path:
        """Write the report as the commands do; returns the path of its page.

        The directory then holds `report.html`, one page with every figure and a table to sort; `report.md`; the
        learning curves and the returns of each target as PNG, PDF and SVG in `figures`; `table.tex`; and every run in
        `runs.csv`. Files of these names are replaced.

        Args:
            path: the directory, which is made where it is not there.
            title: the first heading.
            targets: targets in words, by name.
            notes: sentences at the end; without them, what happened to every part of the agents.
            measurements: returns over physics and recorded episodes, where they were measured.

        Raises:
            ValueError: the path is that of a file; a target that was not compared.
        """
        directory = Path(path)
        if directory.exists() and not directory.is_dir():
            raise ValueError(f"path: {str(path)!r} is not allowed; it is a file, and a report is a directory")
        about = self._about(title, targets or {}, self.transfers() if notes is None else notes)
        directory.mkdir(parents=True, exist_ok=True)
        numbers = self.runs, self.curves, self.curve_steps
        return files.write_report(directory, about, self.summary().rows, *numbers, measurements)[0]

    def transfers(self) -> list[str]:
        """What happened to every part of the agents, a sentence for each method and target."""
        several = len({target for _, target in self.cells}) > 1
        named = {code(name) + (f" on {code(target)}" if several else ""): a for (name, target), a in self.cells.items()}
        return [f"{name}: {'; '.join(agents.report)}." for name, agents in named.items()]

    def _about(self, title: str, texts: Mapping[str, str], notes: Sequence[str]) -> About:
        one_each = {target: (method, target) for method, target in self.cells}
        tasks = {target: self.cells[cell].task.describe() for target, cell in one_each.items()}
        for name in texts:
            checks.choice("targets", name, tasks)
        words = {
            name: f"{texts[name]}; {code(task)}" if texts.get(name) else code(task) for name, task in tasks.items()
        }
        untouched, first = next(iter(self.cells.values())), self.runs[0]
        return About(
            source=code(untouched.source.describe()),
            title=title,
            targets=words,
            budgets={
                "env steps before fine-tuning": span(self.agents("zero_shot", first["target"]).env_steps),
                "fine-tuning env steps": max(row["env_steps"] for row in self.runs),
            },
            seeds={
                "agents": len({row["agent"] for row in self.runs}),
                "runs of each method": untouched.num_seeds,
                "seed": first["seed"],
            },
            versions=machine.versions(),
            hardware=machine.hardware(),
            notes=notes,
        )

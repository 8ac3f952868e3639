"""Progress of a long run: live bars on a terminal and in a notebook, a few plain lines anywhere else."""

import importlib.util
import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from jaxrl_ft.training.progress.moments import Progress as Moment

LINES = 4
"""Plain lines for each stage while it trains."""
TOTAL = "all"


def standard_error() -> Console:
    """The console of progress, with bars where stderr is a terminal, whatever the environment says of colours."""
    return Console(stderr=True, force_terminal=None if sys.stderr is not None and sys.stderr.isatty() else False)


def is_live(console: Console) -> bool:
    """Whether a console can show bars that move."""
    return console.is_terminal or (console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None)


class _Speed(ProgressColumn):
    """Env steps per second, all runs together."""

    def render(self, task: Task) -> Text:
        """The speed so far; empty before the first updates."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:>9,.0f} env steps/s" if speed else "", style="cyan")


class Display:
    """Stages by name, each with its state, its env steps per second and the time left.

    Args:
        stages: env steps of each stage in order, all runs together; 0 for one that only evaluates.
        console: where to write; a terminal and a notebook get live bars, unless the notebook has no widgets.
    """

    def __init__(self, stages: Mapping[str, int], console: Console) -> None:
        self._console = console
        self._totals = dict(stages)
        self._states = dict.fromkeys(stages, "waiting")
        self._done = dict.fromkeys(stages, 0)
        self._began: dict[str, float] = {}
        self._broken: set[tuple[str, int]] = set()
        self._live: Progress | None = None
        if is_live(console):
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[state]:<10}"),
            )
            self._live = Progress(*columns, _Speed(), TimeRemainingColumn(), TextColumn("left"), console=console)
            self._tasks = {name: self._add(self._live, name, steps) for name, steps in stages.items()}
            several = len(stages) > 1
            self._all = self._live.add_task(TOTAL, total=max(sum(stages.values()), 1), state="", visible=several)

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, stage: str, progress: Moment | None) -> None:
        """Show the progress of a stage's training, and which runs stopped by a fault; None when the stage is done."""
        before = self._states[stage]
        self.print_faults(stage, progress)
        if progress is None:
            state, steps = "done", self._totals[stage]
        else:
            finished = progress.phase == "training" and progress.updates == progress.num_updates
            state, steps = "evaluating" if finished else progress.phase, progress.env_steps
        if state != "compiling":
            self._began.setdefault(stage, time.monotonic())
        self._states[stage] = state
        before_share, share = (LINES * done // max(self._totals[stage], 1) for done in (self._done[stage], steps))
        self._done[stage] = steps
        if self._live is not None:
            self._draw(self._live, stage)
            following = next((name for name, known in self._states.items() if known == "waiting"), None)
            if state == "done" and following is not None:
                self._live.update(self._tasks[following], state="starting")
        elif state != before or share > before_share:
            self._print(stage)

    def print_faults(self, name: str, progress: Moment | None) -> None:
        """Print which runs stopped by a fault, each once; `name` is a stage, or what is shown as a part of one."""
        for run, text in {} if progress is None else progress.not_finite.items():
            if (name, run) not in self._broken:
                self._broken.add((name, run))
                self._console.print(f"{name}: run {run} stops: {text}", markup=False, highlight=False, soft_wrap=True)

    def _add(self, live: Progress, name: str, steps: int) -> TaskID:
        return live.add_task(name, total=max(steps, 1), start=False, state=self._states[name])

    def _draw(self, live: Progress, stage: str) -> None:
        task, state = self._tasks[stage], self._states[stage]
        if stage in self._began:
            live.start_task(task)
        steps = self._done[stage] if self._totals[stage] else int(state == "done")
        live.update(task, completed=steps, state=state)
        live.update(self._all, completed=sum(self._done.values()))

    def _print(self, stage: str) -> None:
        state, steps, total = self._states[stage], self._done[stage], self._totals[stage]
        words = f"{stage}: {state}"
        elapsed = time.monotonic() - self._began.get(stage, time.monotonic())
        if state in ("training", "evaluating") and steps and elapsed > 0:
            speed = steps / elapsed
            left = f", about {(total - steps) / speed:.0f} s left" if steps < total else ""
            words += f", {steps:,} of {total:,} env steps ({speed:,.0f} per second{left})"
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)

"""Progress of a long run: live bars on a terminal, a few plain lines anywhere else."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

import jax
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from jaxrl_ft.training import loop

LINES = 4
"""Plain lines for each stage while it trains."""
TOTAL = "all"


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
        console: where to write; a terminal gets live bars.
    """

    def __init__(self, stages: Mapping[str, int], console: Console) -> None:
        self._console = console
        self._totals = dict(stages)
        self._states = dict.fromkeys(stages, "waiting")
        self._done = dict.fromkeys(stages, 0)
        self._began: dict[str, float] = {}
        self._live: Progress | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[state]:<10}"),
            )
            self._live = Progress(*columns, _Speed(), TimeRemainingColumn(), TextColumn("left"), console=console)
            self._tasks = {name: self._add(self._live, name, steps) for name, steps in stages.items()}
            self._all = self._live.add_task(TOTAL, total=max(sum(stages.values()), 1), state="")

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, stage: str, progress: loop.Progress | None) -> None:
        """Show the progress of a stage's training; None when the stage is done."""
        before = self._states[stage]
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


class Compilation:
    """Seconds in which JAX traced, lowered or compiled, nested spans counted once, and the programs that came of it."""

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []
        self.programs: Counter[str] = Counter()
        """how often a program of each name was compiled or read from the cache"""
        self.cache_hits = 0
        """how many were read from the cache"""

    @property
    def seconds(self) -> float:
        """The length of the union of all spans so far."""
        total, until = 0.0, float("-inf")
        for start, end in sorted(self._spans):
            total += max(end - max(start, until), 0.0)
            until = max(until, end)
        return total

    def note(self, event: str, start_time: float, end_time: float, **kwargs: str | int) -> None:
        """Count a time span that JAX reports, if it is one of compilation."""
        if "/compile/" in event:
            self._spans.append((start_time, end_time))
        if event.endswith("backend_compile_duration"):
            self.programs[str(kwargs.get("fun_name")).removeprefix("jit(").removesuffix(")")] += 1

    def note_event(self, event: str, **kwargs: str | int) -> None:
        """Count an event that JAX reports, if it is a hit of the compilation cache."""
        self.cache_hits += event == "/jax/compilation_cache/cache_hits"

    def summary(self) -> str:
        """How many programs were compiled or read from the cache, in words."""
        training, others = self.programs["stretch"], self.programs.total() - self.programs["stretch"]
        cache = jax.config.values["jax_compilation_cache_dir"]
        hits = f"; {self.cache_hits} came from the cache in {cache}" if cache else ""
        return f"{training} training program{'s' * (training != 1)} and {others} others{hits}"

    @contextmanager
    def listening(self) -> Iterator["Compilation"]:
        """Count what JAX reports while the context lasts."""
        jax.monitoring.register_event_time_span_listener(self.note)
        jax.monitoring.register_event_listener(self.note_event)
        try:
            yield self
        finally:
            jax.monitoring.unregister_event_time_span_listener(self.note)
            jax.monitoring.unregister_event_listener(self.note_event)

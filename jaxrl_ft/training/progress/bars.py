"""The bars of the calls of the library: on a terminal and in a notebook, unless they are not wanted."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from jaxrl_ft.training.progress import display
from jaxrl_ft.training.progress.display import Display
from jaxrl_ft.training.progress.moments import Callback, CellCallback, Progress

MOST = 12
"""Bars of a comparison at most; more cells share one."""
Cell = tuple[str, str]
"""Method and target."""


def _console(wanted: bool) -> Console | None:
    """The console to show bars on; None where they are not wanted or nobody sees them."""
    console = display.standard_error() if wanted else None
    return console if console is not None and (console.is_terminal or console.is_jupyter) else None


@contextmanager
def opened(wanted: bool, stages: Mapping[str, int]) -> Iterator[Display | None]:
    """The bars of a call for as long as the context lasts, or None where they are not wanted or cannot be seen.

    Args:
        wanted: whether to show any.
        stages: as in `Display`.
    """
    console = _console(wanted)
    if console is None:
        yield None
        return
    with Display(stages, console) as shown:
        yield shown


@contextmanager
def one_bar(wanted: bool, stage: str, env_steps: int, callback: Callback | None) -> Iterator[Callback | None]:
    """A callback that calls the given one and moves a bar; the given one where there is no bar.

    Args:
        wanted: whether to show a bar.
        stage: its name.
        env_steps: in all, of all runs together.
        callback: of the call.
    """
    with opened(wanted, {stage: env_steps}) as shown:
        if shown is None:
            yield callback
            return
        yield lambda moment: _both(shown, stage, moment, callback)
        shown.update(stage, None)


def _both(shown: Display, stage: str, moment: Progress, callback: Callback | None) -> None:
    shown.update(stage, moment)
    if callback is not None:
        callback(moment)


@contextmanager
def counting_bar(wanted: bool, stage: str, number: int) -> Iterator[Callable[[int], None] | None]:
    """A function that moves a bar to a count, or None where there is no bar.

    Args:
        wanted: whether to show a bar.
        stage: its name.
        number: the count at its end.
    """
    console = _console(wanted)
    if console is None or not display.is_live(console):
        yield None
        return
    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn()
    with Bars(*columns, console=console) as shown:
        task = shown.add_task(stage, total=number)
        yield lambda count: shown.update(task, completed=count)


@contextmanager
def cell_bars(wanted: bool, cells: Mapping[Cell, int], callback: CellCallback | None) -> Iterator[CellCallback | None]:
    """As `one_bar`, with a bar for each cell of a comparison, or one for all where there are many.

    Args:
        wanted: whether to show bars.
        cells: env steps of each, all runs together; 0 for one that only evaluates.
        callback: of the comparison.
    """
    stages = {" on ".join(cell): steps for cell, steps in cells.items()}
    together = f"{len(cells)} cells"
    with opened(wanted, stages if len(stages) <= MOST else {together: sum(stages.values())}) as shown:
        if shown is None:
            yield callback
            return
        yield _Cells(shown, dict(stages), "" if len(stages) <= MOST else together, callback)


class _Cells:
    """The callback of a comparison with bars."""

    def __init__(self, shown: Display, totals: dict[str, int], together: str, callback: CellCallback | None) -> None:
        self._shown, self._totals, self._together, self._callback = shown, totals, together, callback
        self._done: dict[str, int] = {}

    def __call__(self, method: str, target: str, moment: Progress | None) -> None:
        """Show a moment of a cell, or its end."""
        stage = f"{method} on {target}"
        self._shown.print_faults(stage, moment)
        self._done[stage] = self._totals[stage] if moment is None else moment.env_steps
        if not self._together:
            self._shown.update(stage, moment)
        elif self._done != self._totals:
            steps = sum(self._done.values())
            self._shown.update(self._together, Progress("training", 0, 1, steps, {}))
        else:
            self._shown.update(self._together, None)
        if self._callback is not None:
            self._callback(method, target, moment)

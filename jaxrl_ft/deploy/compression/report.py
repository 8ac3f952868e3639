"""What compressions cost and keep: tables, raw numbers, and the points of the figure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jaxrl_ft.analysis.report.tables import format_interval, format_number, markdown_table
from jaxrl_ft.analysis.report.text_tables import WIDTH, one_table
from jaxrl_ft.analysis.statistics.intervals import Interval, paired_difference, stratified_bootstrap
from jaxrl_ft.core.files import Json
from jaxrl_ft.deploy.compression.figure import Point
from jaxrl_ft.deploy.compression.measure import TARGET, Measured
from jaxrl_ft.deploy.compression.record import Compressed

BEFORE = "before"
HOW = (
    "Bytes, multiply-adds and microseconds are of one policy without its critic, on average over seeds. Bytes in a "
    "file are those after DEFLATE. Products with zero are not counted; the time is NumPy's with dense 32-bit weights, "
    "which gains from smaller layers alone. Returns are interquartile means over seeds with 95% bootstrap "
    "intervals; changes are paired by seed. Seeds whose returns are not finite are left out."
)


def table(found: Sequence[Compressed], width: int = WIDTH) -> str:
    """Before and after as text, a line for each compression, with as many columns as there is room for.

    Args:
        found: compressions of the same agents.
        width: characters of a line.
    """
    return one_table(*cells(found), width)


def markdown(found: Sequence[Compressed]) -> str:
    """The same as a Markdown page with its title."""
    agents = found[0].agents
    title = f"# Compressed policies of {agents.num_seeds} seeds on {agents.task.describe()}"
    steps = [f"- `{one.name}` took {one.env_steps:,} env steps of each agent." for one in found if one.env_steps]
    return "\n".join([title, "", markdown_table(*cells(found), plain=True), HOW, "", *steps, ""])


def cells(found: Sequence[Compressed]) -> tuple[list[str], list[list[str]]]:
    """The headings of the table, and its cells line by line, `before` first."""
    tasks = list(found[0].before.returns)
    headings = ["policy", "bytes", "share", "bytes in a file", "multiply-adds", "microseconds"]
    headings += [f"return, {name}" for name in tasks] + (["change"] if tasks else [])
    lines = [_line(BEFORE, found[0].before, None, tasks)]
    return headings, [*lines, *(_line(one.name, one.after, one.before, tasks) for one in found)]


def main_task(tasks: Sequence[str]) -> str:
    """The task that the agents were trained on last."""
    return TARGET if TARGET in tasks else tasks[0]


def estimate(returns: NDArray[np.float64]) -> Interval:
    """The interquartile mean over seeds [S] with its 95% interval; NaN where no return is finite."""
    good = returns[np.isfinite(returns)]
    return stratified_bootstrap(good) if good.size else Interval(np.nan, np.nan, np.nan)


def change(now: NDArray[np.float64], before: NDArray[np.float64]) -> Interval:
    """The paired difference of interquartile means over seeds [S] with its 95% interval."""
    good = np.isfinite(now) & np.isfinite(before)
    return paired_difference(now[good], before[good]) if good.any() else Interval(np.nan, np.nan, np.nan)


def panels(found: Sequence[Compressed]) -> dict[str, list[Point]]:
    """The points of the Pareto figure by task."""
    shown: dict[str, list[Point]] = {}
    for task in found[0].before.returns:
        named = [(BEFORE, found[0].before), *((one.name, one.after) for one in found)]
        points = [Point(name, now.size.stored_bytes, estimate(now.returns[task])) for name, now in named]
        shown[task] = [point for point in points if np.isfinite(point.returns.value)]
    return {task: points for task, points in shown.items() if points}


def raw(found: Sequence[Compressed]) -> list[dict[str, Json]]:
    """A row for each policy, task and seed: its mean return."""
    named = [(BEFORE, found[0].before), *((one.name, one.after) for one in found)]
    return [
        {"compression": name, "task": task, "seed": seed, "return": float(value)}
        for name, now in named
        for task, returns in now.returns.items()
        for seed, value in enumerate(returns)
    ]


def facts(found: Sequence[Compressed]) -> dict[str, Json]:
    """All numbers as JSON values, by the name of the compression."""
    named = [(BEFORE, found[0].before, None), *((one.name, one.after, one) for one in found)]
    return {
        name: {
            **now.size._asdict(),
            "returns": {task: dict(zip(("iqm", "low", "high"), estimate(r))) for task, r in now.returns.items()},
            "env_steps": 0 if one is None else one.env_steps,
        }
        for name, now, one in named
    }


def _line(name: str, now: Measured, before: Measured | None, tasks: Sequence[str]) -> list[str]:
    numbers = (now.size.bytes, now.size.stored_bytes, now.size.multiply_adds, now.size.microseconds)
    shown = [format_number(np.nan if number is None else float(number)) for number in numbers]
    share = "-" if before is None else f"{now.size.bytes / before.size.bytes:.1%}"
    returns = [_told(estimate(now.returns[task])) for task in tasks]
    if tasks:
        main = main_task(tasks)
        moved = None if before is None else change(now.returns[main], before.returns[main])
        returns.append("-" if moved is None else _told(moved, signed=True))
    return [name, shown[0], share, *shown[1:], *returns]


def _told(found: Interval, signed: bool = False) -> str:
    return format_interval(float(found.value), float(found.low), float(found.high), signed)

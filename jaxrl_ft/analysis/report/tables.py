"""Tables of summary rows as text: headings, formatted cells and Markdown; rendering is the caller's."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxrl_ft.analysis.marks import cell, one_line
from jaxrl_ft.analysis.statistics.summary import Row, interval
from jaxrl_ft.core import checks

MISSING = "-"
PARTS = ("all", "main", "rest")
AUC = "mean return during fine-tuning (AUC)"


class Column(NamedTuple):
    """One column: the measure it shows, its heading, what it means, how it is written, and whether it is a main one."""

    key: str
    heading: str
    meaning: str
    style: str = "number"
    main: bool = False


COLUMNS = (
    Column("target", "target", "the task that was fine-tuned on", "text", True),
    Column(
        "method",
        "method",
        "zero_shot is the pretrained agent as it is, scratch a fresh policy with the same budget",
        "text",
        True,
    ),
    Column("n", "runs", "runs that count, of those started if some failed", "runs", True),
    Column("auc", AUC, "area under the learning curve over env steps, divided by the budget: a return", main=True),
    Column("auc_gain", "AUC - scratch (return)", "paired difference from scratch in AUC", "signed", True),
    Column("target_return", "target return", "return on the target at the end of the budget", main=True),
    Column("final_gain", "target return - scratch", "paired difference from scratch in that return", "signed"),
    Column(
        "jumpstart",
        "jumpstart (return)",
        "paired difference from scratch in return where training starts, after warm start and imagined training",
        "signed",
    ),
    Column(
        "probability_over_scratch",
        "P(> scratch)",
        "chance, 0 to 1, that a run's AUC beats one from scratch; ties half",
    ),
    Column(
        "probability_over_full",
        "P(> full)",
        "chance, 0 to 1, that a run's AUC beats one of full fine-tuning; ties count half",
    ),
    Column("dip", "dip (return)", "mean return given up during fine-tuning by being below zero-shot, over the budget"),
    Column("source_return", "source return", "return on the source task after fine-tuning", main=True),
    Column(
        "forgetting",
        "forgetting (return)",
        "source return before minus after; negative if the source improved; none from scratch, which never knew it",
        "signed",
        True,
    ),
    Column("held_out_return", "held-out return", "return on tasks that were only ever evaluated on", main=True),
    Column("held_out_interpolation", "held-out return between", "return on held-out tasks between source and target"),
    Column("held_out_extrapolation", "held-out return beyond", "return on held-out tasks beyond the target"),
    Column(
        "trainable_parameters",
        "trained parameters",
        "parameters that the optimizer moves, and their share of all",
        "parameters",
        True,
    ),
    Column("probe_steps", "target env steps before training", "env steps of looks and probes", "count"),
    Column("source_steps", "source env steps", "env steps of source experience that the method collects", "count"),
    Column("env_steps", "target env steps", "env steps spent on the target by each run, probes included", "count"),
)


def _decimals(*numbers: float) -> int:
    """Decimals that give about three digits to the largest of the numbers."""
    largest = max((abs(number) for number in numbers if np.isfinite(number)), default=0.0)
    return 0 if largest >= 100 else 1 if largest >= 10 else 2


def format_number(value: float, decimals: int | None = None, signed: bool = False) -> str:
    """The number with about three digits, a comma between thousands, a sign if asked, and no minus before zero."""
    if not np.isfinite(value):
        return MISSING
    places = _decimals(value) if decimals is None else decimals
    text = f"{value:{'+' if signed else ''},.{places}f}"
    return text[1:] if float(text.replace(",", "")) == 0 and text[0] in "+-" else text


def format_interval(value: float, low: float, high: float, signed: bool = False) -> str:
    """`361 [340, 380]`: a value with its interval, all with equal decimals; the value alone without an interval."""
    if not np.isfinite(value):
        return MISSING
    places = _decimals(value, low, high)
    text = format_number(value, places, signed)
    if not (np.isfinite(low) and np.isfinite(high)):
        return text
    return f"{text} [{format_number(low, places, signed)}, {format_number(high, places, signed)}]"


def format_count(value: float, low: float, high: float) -> str:
    """A count, with its interval only where it varies between runs."""
    if not np.isfinite(value):
        return MISSING
    alone = not (np.isfinite(low) and np.isfinite(high)) or low == high
    return f"{value:,.0f}" if alone else f"{value:,.0f} [{low:,.0f}, {high:,.0f}]"


def runs_in_words(numbers: Sequence[int]) -> str:
    """`16 runs`, or `14 to 16 runs` where methods differ."""
    low, high = min(numbers), max(numbers)
    return f"{low} to {high} runs" if low < high else f"{low} run{'s' * (low != 1)}"


def wrapped(text: str, most: int) -> str:
    """The text in lines of at most so many characters, broken after `+`, `_` and their like where that is possible."""
    lines = [""]
    for piece in re.findall(r"[^\s+_,;:/-]*[\s+_,;:/-]?", one_line(text)):
        while len(lines[-1] + piece.rstrip()) > most:
            if lines[-1]:
                lines.append("")
            else:
                lines[-1], piece = piece[:most], piece[most:]
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def columns(part: str = "all") -> list[str]:
    """The headings of `all` columns, of the `main` ones, or of the `rest`; each part starts with target and method."""
    return [column.heading for column in _part(part)]


def cells(rows: Sequence[Row], part: str = "all") -> list[list[str]]:
    """The formatted cells of summary rows, one list per row, aligned with `columns(part)`."""
    return [[_cell(row, column) for column in _part(part)] for row in rows]


def meanings(part: str = "all") -> list[tuple[str, str]]:
    """Heading and meaning of every column of a part."""
    return [(column.heading, column.meaning) for column in _part(part)]


def keys(rows: Sequence[Row], part: str = "all") -> list[list[str | float]]:
    """What to sort the cells of summary rows by, one list per row, aligned with `cells(rows, part)`."""
    return [[_key(row, column) for column in _part(part)] for row in rows]


def _key(row: Row, column: Column) -> str | float:
    """The text, or the number without its interval."""
    if column.style == "text":
        return str(row[column.key])
    return float(row["n_ok"]) if column.style == "runs" else float(interval(row, column.key).value)


def _part(part: str) -> list[Column]:
    """The columns of a part of the table."""
    checks.choice("part", part, PARTS)
    shown = {"all": (True, False), "main": (True,), "rest": (False,)}[part]
    return [column for column in COLUMNS if column.style == "text" or column.main in shown]


def _cell(row: Row, column: Column) -> str:
    """One formatted cell."""
    if column.style == "text":
        return one_line(row[column.key])
    if column.style == "runs":
        return str(row["n"]) if row["failed"] == 0 else f"{row['n_ok']} of {row['n']}"
    estimate = interval(row, column.key)
    if column.style == "count":
        return format_count(*estimate)
    if column.style == "parameters":
        percent = row.get("trainable_percent", np.nan)
        share = f" ({format_number(percent)}%)" if np.isfinite(percent) else ""
        return format_count(*estimate) + share
    return format_interval(*estimate, signed=column.style == "signed")


def markdown_table(
    headings: Sequence[str], lines: Sequence[Sequence[object]], text_columns: int = 1, plain: bool = False
) -> str:
    """A Markdown table; the first `text_columns` columns are left-aligned, the rest right-aligned.

    Args:
        headings: of the columns.
        lines: a cell for each heading.
        text_columns: how many are left-aligned.
        plain: whether cells are text as it is, such as names of users, instead of Markdown.

    Raises:
        ValueError: a line with another number of cells than there are headings.
    """
    for line in lines:
        if len(line) != len(headings):
            raise ValueError(
                f"lines: {len(line)} cells under {len(headings)} headings; each line needs one per heading"
            )
    rule = [":---" if place < text_columns else "---:" for place in range(len(headings))]
    written = cell if plain else _escape
    escaped = [[written(entry) for entry in line] for line in (headings, *lines)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (escaped[0], rule, *escaped[1:])) + "\n"


def _escape(cell: object) -> str:
    """Markdown that cannot end its column or its line."""
    return str(cell).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")

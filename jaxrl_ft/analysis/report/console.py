"""A comparison on a console: one table, and what was won, what it was worth and what was forgotten."""

import textwrap
from collections.abc import Sequence

import numpy as np

from jaxrl_ft.analysis.marks import unmarked
from jaxrl_ft.analysis.report.findings import VERDICTS, finding, overall, versus_scratch
from jaxrl_ft.analysis.report.tables import AUC, format_number
from jaxrl_ft.analysis.report.text_tables import MORE, MOST, WIDTH, brief_table, one_table
from jaxrl_ft.analysis.statistics.summary import Row, chosen_methods

LEADERBOARD = ("method", f"{AUC}, mean over targets", "above / level with / below scratch", "forgetting (return)")


def table(rows: Sequence[Row], width: int = WIDTH) -> str:
    """One table of the rows of `summarise`; with several targets, of means over them.

    Args:
        rows: summary rows.
        width: characters of a line.
    """
    targets = dict.fromkeys(row["target"] for row in rows)
    return brief_table(rows, width) if len(targets) == 1 else leaderboard(rows, len(targets), width)


def sentences(rows: Sequence[Row]) -> list[str]:
    """Which method is best and by how much, whether it was worth it, and what it forgot; all targets together."""
    targets = list(dict.fromkeys(row["target"] for row in rows))
    return [sentence for sentence in (overall(rows) if len(targets) > 1 else finding(targets[0], rows)) if sentence]


def bullets(texts: Sequence[str], width: int) -> list[str]:
    """Sentences as lines of a list, without the marks of code."""
    return [
        textwrap.fill(unmarked(text), width, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        for text in texts
    ]


def leaderboard(rows: Sequence[Row], num_targets: int, width: int = WIDTH, most: int = MOST) -> str:
    """One table of the methods that finished every target, best first.

    Args:
        rows: summary rows of several targets.
        num_targets: how many.
        width: characters of a line.
        most: rows that are shown: the references and the best of the others.
    """
    by_method: dict[str, list[Row]] = {}
    for row in rows:
        by_method.setdefault(row["method"], []).append(row)
    means = {name: float(np.mean([row["auc"] for row in of])) for name, of in by_method.items()}
    complete = [name for name, of in by_method.items() if len(of) == num_targets and np.isfinite(means[name])]
    ordered = sorted(complete, key=lambda name: -means[name])
    shown = chosen_methods(ordered, most)
    lines = [[name, format_number(means[name]), *_beside(by_method[name])] for name in ordered if name in shown]
    hidden = len(by_method) - len(lines)
    return one_table(LEADERBOARD, lines, width) + (f"\n {MORE.format(hidden)}" if hidden else "")


def _beside(rows: Sequence[Row]) -> list[str]:
    """How often a method is above, level with and below scratch, and what it forgets in the mean."""
    verdicts = [versus_scratch(row) for row in rows]
    counts = " / ".join(str(verdicts.count(word)) for word in VERDICTS[:3])
    lost = float(np.mean([row["forgetting"] for row in rows]))
    return [counts if any(word in VERDICTS[:3] for word in verdicts) else "-", format_number(lost, signed=True)]

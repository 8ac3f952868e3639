"""Summary rows as plain text for a console, in as many tables as its width takes."""

from collections.abc import Mapping, Sequence

from jaxrl_ft.analysis.report import tables
from jaxrl_ft.analysis.report.tables import AUC, wrapped
from jaxrl_ft.analysis.statistics.summary import Row, ranked

WIDTH = 118
"""Characters of a line where nothing says how wide the output is."""
NAME = 30
"""Characters of a line of a method's name; a longer one takes several lines."""
MARGIN, GAP = " ", "   "
TABLES = (
    ("method", "runs", AUC, "AUC - scratch (return)", "target return", "trained parameters", "target env steps"),
    (
        *("method", "target return - scratch", "jumpstart (return)"),
        *("held-out return", "source return", "forgetting (return)"),
    ),
)
"""The headings of the tables."""


def text_tables(rows: Sequence[Row], width: int = WIDTH) -> str:
    """The summary of one target as text, largest area first, in as many tables as it takes for no cell to be broken.

    Args:
        rows: summary rows from `summarise`.
        width: characters of a line.
    """
    headings, lines = tables.columns(), [_in_lines(cells) for cells in tables.cells(ranked(rows))]
    cells = {heading: [line[column] for of_row in lines for line in of_row] for column, heading in enumerate(headings)}
    whole = {heading: max(map(len, (heading, *texts))) for heading, texts in cells.items()}
    least = {heading: max(map(len, (*heading.split(), *texts))) for heading, texts in cells.items()}
    written = []
    for chosen in TABLES:
        for fitting in _fitting(chosen, least, width):
            wide = whole if _width(fitting, whole) <= width else least
            written.append(_table(fitting, cells, wide))
    return "\n\n".join(written)


def _in_lines(cells: Sequence[str]) -> list[Sequence[str]]:
    """The cells of a row, and below them the rest of a long name."""
    target, method, *numbers = cells
    first, *others = wrapped(method, NAME).splitlines()
    return [[target, first, *numbers], *(["", other, *[""] * len(numbers)] for other in others)]


def _table(headings: Sequence[str], cells: Mapping[str, Sequence[str]], wide: Mapping[str, int]) -> str:
    """One table, whose headings break between words where their column is narrower."""
    broken = {heading: _broken(heading, wide[heading]) for heading in headings}
    height = max(map(len, broken.values()))
    above = [[""] * (height - len(broken[heading])) + broken[heading] for heading in headings]
    first, *others = headings
    lines = [
        GAP.join([line[0].ljust(wide[first]), *(cell.rjust(wide[name]) for name, cell in zip(others, line[1:]))])
        for line in [*zip(*above), *zip(*(cells[heading] for heading in headings))]
    ]
    rule = "─" * (_width(headings, wide) - 2 * len(MARGIN))
    return "\n".join(MARGIN + line.rstrip() for line in [*lines[:height], rule, *lines[height:]])


def _broken(heading: str, width: int) -> list[str]:
    """The heading in lines of at most `width` characters, none of whose words is longer."""
    lines = [""]
    for word in heading.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


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
    return 2 * len(MARGIN) + sum(wide[heading] for heading in headings) + len(GAP) * (len(headings) - 1)

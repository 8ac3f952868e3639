"""Summary rows as plain text for a console: one table of what matters most, or every column in several tables."""

from collections.abc import Mapping, Sequence

from jaxrl_ft.analysis.report import tables
from jaxrl_ft.analysis.report.tables import AUC, wrapped
from jaxrl_ft.analysis.statistics.summary import Row, chosen_methods, ranked

WIDTH = 118
"""Characters of a line where the width of the output is unknown."""
NAME = 30
"""Characters of a line of a method's name; a longer one takes several lines."""
MORE = "and {} more, in the report"
MARGIN, GAP = " ", "   "
TABLES = (
    ("method", "runs", AUC, "AUC - scratch (return)", "target return", "trained parameters", "target env steps"),
    (
        *("method", "target return - scratch", "jumpstart (return)"),
        *("held-out return", "source return", "forgetting (return)"),
    ),
)
"""The headings of the tables."""
BRIEF = ("method", "runs", AUC, "AUC - scratch (return)", "target return", "forgetting (return)")
"""The headings of the one table, the most important first."""
MOST = 12
"""Its rows."""


def text_tables(rows: Sequence[Row], width: int = WIDTH) -> str:
    """The summary of one target as text, largest area first, in as many tables as it takes for no cell to be broken.

    Args:
        rows: summary rows from `summarise`.
        width: characters of a line.
    """
    headings, lines = tables.columns()[1:], [_in_lines(cells[1:]) for cells in tables.cells(ranked(rows))]
    cells = {heading: [line[column] for of_row in lines for line in of_row] for column, heading in enumerate(headings)}
    whole = {heading: max(map(len, (heading, *texts))) for heading, texts in cells.items()}
    least = {heading: max(map(len, (*heading.split(), *texts))) for heading, texts in cells.items()}
    written = []
    for chosen in TABLES:
        for fitting in _fitting(chosen, least, width):
            wide = whole if _width(fitting, whole) <= width else least
            written.append(_table(fitting, cells, wide))
    return "\n\n".join(written)


def brief_table(rows: Sequence[Row], width: int = WIDTH, most: int = MOST) -> str:
    """One table of one target, largest area first, with the columns that the width has room for.

    Args:
        rows: summary rows from `summarise`.
        width: characters of a line.
        most: rows that are shown: the references and the best of the others.
    """
    ordered = ranked(rows)
    chosen = chosen_methods([row["method"] for row in ordered], most)
    shown = [row for row in ordered if row["method"] in chosen]
    places = [tables.columns().index(heading) for heading in BRIEF]
    lines = [[cells[place] for place in places] for cells in tables.cells(shown)]
    hidden = len(ordered) - len(shown)
    return one_table(BRIEF, lines, width) + (f"\n {MORE.format(hidden)}" if hidden else "")


def one_table(headings: Sequence[str], lines: Sequence[Sequence[str]], width: int) -> str:
    """A table with as many of the columns, from the first, as the width has room for.

    Args:
        headings: the first is that of the names, which take several lines where they are long.
        lines: a cell for each heading.
        width: characters of a line.
    """
    broken = [line for cells in lines for line in _in_lines(cells)]
    cells = {heading: [line[place] for line in broken] for place, heading in enumerate(headings)}
    whole = {heading: max(map(len, (heading, *texts))) for heading, texts in cells.items()}
    least = {heading: max(map(len, (*heading.split(), *texts))) for heading, texts in cells.items()}
    first, *_ = _fitting(headings, least, width)
    return _table(first, cells, whole if _width(first, whole) <= width else least)


def _in_lines(cells: Sequence[str]) -> list[Sequence[str]]:
    """The cells of a row, and below them the rest of a long name."""
    method, *numbers = cells
    first, *others = wrapped(method, NAME).splitlines()
    return [[first, *numbers], *([other, *[""] * len(numbers)] for other in others)]


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

"""The summary of a comparison as an object: printed, as Markdown, as LaTeX, as a pandas DataFrame."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from jaxrl_ft.analysis.marks import one_line
from jaxrl_ft.analysis.report import tables
from jaxrl_ft.analysis.report.latex import latex_table
from jaxrl_ft.analysis.report.tables import markdown_table
from jaxrl_ft.analysis.report.text_tables import WIDTH, text_tables
from jaxrl_ft.analysis.statistics.summary import Row, ranked

DataFrame: TypeAlias = Any
"""A `pandas.DataFrame`, where pandas is installed."""


@dataclass(frozen=True, repr=False)
class Summary:
    """Interquartile means with 95% intervals of every method on every target; printed, it is the commands' table."""

    rows: Sequence[Row]
    """of `summarise`: a mapping for each target and method, with `_low` and `_high` for each measure"""

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def text(self, width: int = WIDTH) -> str:
        """The tables of every target as text, largest area under the curve first.

        Args:
            width: characters of a line.
        """
        targets = dict.fromkeys(row["target"] for row in self.rows)
        parts = [text_tables([row for row in self.rows if row["target"] == target], width) for target in targets]
        if len(parts) == 1:
            return parts[0]
        return "\n\n".join(f"{target}\n\n{part}" for target, part in zip(map(one_line, targets), parts))

    def markdown(self, part: str = "main") -> str:
        """One Markdown table of all targets.

        Args:
            part: `main`, `rest` or `all` columns.
        """
        return markdown_table(tables.columns(part), tables.cells(ranked(self.rows), part), text_columns=2, plain=True)

    def latex(self, part: str = "main") -> str:
        """One LaTeX `tabular` of all targets, with the rules of the booktabs package.

        Args:
            part: `main`, `rest` or `all` columns.
        """
        return latex_table(tables.columns(part), tables.cells(ranked(self.rows), part), text_columns=2)

    def dataframe(self) -> DataFrame:
        """The rows as a `pandas.DataFrame`.

        Raises:
            ImportError: pandas is not installed.
        """
        return dataframe(self.rows)


def dataframe(rows: Sequence[Row]) -> DataFrame:
    """Rows as a `pandas.DataFrame`, with the columns in order of first appearance.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ModuleNotFoundError as error:
        raise ImportError("a DataFrame needs pandas, which is not installed: python -m pip install pandas") from error
    return pandas.DataFrame(list(rows))

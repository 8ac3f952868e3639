"""The type of all named tables, such as METHODS, SHIFTS and OPTIMIZERS."""

import sys
import textwrap
from collections.abc import ItemsView, Iterator, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

from jaxrl_ft.core import checks

T = TypeVar("T")


class Table(Mapping[str, T], Generic[T]):
    """A read-only mapping from names to rows, each with a line of text; `-` and `_` are the same in a look-up.

    A look-up of an unknown name raises a ValueError with the nearest name. Rows are added with `add`, which is how
    a new member joins: registering it is what gets it tested.
    """

    def __init__(self, kind: str, separator: str = "_") -> None:
        self.kind = kind
        self._separator = separator
        self._rows: dict[str, T] = {}
        self._texts: dict[str, str] = {}
        self._modules: dict[str, str] = {}

    def add(self, name: str, row: T, text: str) -> T:
        """Add a row under `name`, with a line of text, and return it.

        Raises:
            ValueError: the name is taken.
        """
        canonical = self._canonical(name)
        if canonical in self._rows:
            raise ValueError(f"{self.kind} {canonical!r} is in the table already")
        self._rows[canonical] = row
        self._texts[canonical] = text
        self._modules[canonical] = str(sys._getframe(1).f_globals.get("__name__"))
        return row

    def remove(self, name: str) -> None:
        """Remove a row, so that it can be added again.

        Raises:
            ValueError: no such name.
        """
        canonical = self.name(name)
        for rows in (self._rows, self._texts, self._modules):
            rows.pop(canonical)

    def name(self, name: str) -> str:
        """Return the name as the table spells it.

        Raises:
            ValueError: no such name; the nearest one is named.
        """
        canonical = self._canonical(name)
        if canonical not in self._rows:
            raise checks.unknown(self.kind, name, self._rows)
        return canonical

    def text(self, name: str) -> str:
        """Return the text of a row."""
        return self._texts[self.name(name)]

    def name_of(self, row: object) -> str | None:
        """Return the first name whose row equals this one, or None."""
        return next((name for name, known in self._rows.items() if known == row), None)

    def nearest_name(self, row: object) -> str:
        """The first name whose row equals this one, else that of a row of its class, else the name of the class."""
        alike = (name for name, known in self._rows.items() if type(known) is type(row))
        return self.name_of(row) or next(alike, type(row).__name__)

    def __repr__(self) -> str:
        """Return all names, wrapped to lines."""
        text = f"{len(self)} rows of {self.kind}: {', '.join(self)}"
        return textwrap.fill(text, 120, subsequent_indent="  ", break_on_hyphens=False)

    def module(self, name: str) -> str:
        """Return the name of the module that added a row."""
        return self._modules[self.name(name)]

    def items(self) -> ItemsView[str, T]:
        """Return all names with their rows."""
        return self._rows.items()

    def _canonical(self, name: str) -> str:
        other = "-" if self._separator == "_" else "_"
        return (name if isinstance(name, str) else checks.shown(name)).replace(other, self._separator)

    def __getitem__(self, name: str) -> T:
        return self._rows[self.name(name)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._canonical(name) in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


AnyTable: TypeAlias = Table[Any]
"""A table of rows of any type."""

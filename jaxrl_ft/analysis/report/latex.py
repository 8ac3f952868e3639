"""Tables for a LaTeX document."""

import re
from collections.abc import Sequence

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_SPECIAL = re.compile("|".join(map(re.escape, _ESCAPES)))
_MINUS = re.compile(r"(?<![\w.)-])-(?=[\d.])")


def latex_table(headings: Sequence[str], lines: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """A `tabular` with the rules of the booktabs package; the first `text_columns` are left-aligned, the rest right.

    Raises:
        ValueError: a line with another number of cells than there are headings.
    """
    for line in lines:
        if len(line) != len(headings):
            raise ValueError(f"lines: {len(line)} cells under {len(headings)} headings; each line needs one a heading")
    alignment = "l" * text_columns + "r" * (len(headings) - text_columns)
    # a line that begins with a bracket would be taken for the argument of the line break before it
    head, *body = [" & ".join(escape(str(cell)) for cell in line) + r" \\" for line in (headings, *lines)]
    body = [f"{{}}{line}" if line.startswith("[") else line for line in body]
    parts = [f"\\begin{{tabular}}{{{alignment}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    return "\n".join(["% needs \\usepackage{booktabs}", *parts, r"\end{tabular}"]) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands; a minus before a number becomes a minus sign, a line break a space."""
    escaped = _SPECIAL.sub(lambda found: _ESCAPES[found[0]], " ".join(text.split()))
    return _MINUS.sub("$-$", escaped)

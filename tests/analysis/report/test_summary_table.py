"""The summary as text, Markdown, LaTeX and a DataFrame: the same cells everywhere."""

import re
import sys

import numpy as np
import pytest
from helpers.synthetic import comparison

from jaxrl_ft.analysis.report import summary_table, tables
from jaxrl_ft.analysis.report.latex import escape, latex_table
from jaxrl_ft.analysis.statistics import summary

HOSTILE = r"50%_#1 {a\b} $x^2$ ~ <y> & z"


@pytest.fixture(scope="module")
def made():
    parts = [comparison(target=name, runs=4, agents=2, points=5, seed=seed) for seed, name in enumerate("ab")]
    runs = [row for part in parts for row in part[0]]
    numbers = (np.concatenate([part[place] for part in parts]) for place in (1, 2))
    return summary_table.Summary(summary.summarise(runs, *numbers, repetitions=50))


def unescaped(text):
    """What LaTeX prints, by a reader that knows these commands only."""
    names = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">"}
    text = text.replace("$-$", "-")
    return re.sub(r"\\(?:([a-z]+)\{\}|(.))", lambda found: names[found[1]] if found[1] else found[2], text)


def cells_of(latex):
    """Headings and lines of a tabular."""
    lines = [line.removesuffix(r" \\") for line in latex.splitlines() if line.endswith(r"\\")]
    return [[unescaped(cell) for cell in re.split(r"(?<!\\) & ", line)] for line in lines]


def test_every_character_that_latex_reads_is_escaped():
    escaped = escape(HOSTILE)
    assert unescaped(escaped) == HOSTILE
    assert not re.search(r"(?<!\\)[%_#$&]|[~^<>]", escaped)
    assert (escape("-3 [-4, -2]"), escape("zero-shot - b")) == ("$-$3 [$-$4, $-$2]", "zero-shot - b")
    assert escape("a\n\nb") == "a b"


def test_a_latex_table_has_the_cells_of_the_summary(made):
    for part in tables.PARTS:
        latex = made.latex(part)
        assert cells_of(latex) == [tables.columns(part), *tables.cells(summary.ranked(made.rows), part)]
        rules = [line for line in latex.splitlines() if line.endswith("rule")]
        assert rules == [r"\toprule", r"\midrule", r"\bottomrule"]
        columns = len(tables.columns(part))
        assert rf"\begin{{tabular}}{{ll{'r' * (columns - 2)}}}" in latex and latex.endswith("\\end{tabular}\n")


def test_a_latex_line_that_begins_with_a_bracket_is_no_argument_and_another_length_is_refused():
    assert r"{}[1] \\" in latex_table(["a"], [["[1]"]])
    with pytest.raises(ValueError, match="lines: 1 cells under 2 headings"):
        latex_table(["a", "b"], [["x"]])


def test_text_has_every_target_under_its_name(made):
    first, second = (re.search(rf"(?m)^{name}\n\n ", str(made)).start() for name in "ab")
    for part in (str(made)[first:second], str(made)[second:]):
        assert all(row["method"] in part for row in made.rows)
    assert repr(made) == str(made) == made.text() and max(map(len, made.text(90).splitlines())) <= 90
    one = summary_table.Summary(made.rows[:3])
    assert len({row["target"] for row in one.rows}) == 1 and not re.search(r"(?m)^a$", str(one))


def test_a_long_name_takes_several_lines_and_no_number_another_table(made):
    rows = [
        {**row, "method": f"{row['method']}+optimizer.learning_rate=0.0003+adapter.rank=8"} for row in made.rows[:3]
    ]
    text = summary_table.Summary(rows).text()
    short = summary_table.Summary([{**row, "method": "m" * 30 + str(place)} for place, row in enumerate(rows)]).text()
    assert text.count(" method ") == short.count(" method ") and max(map(len, text.splitlines())) <= 118
    for row in rows:
        assert row["method"] in "".join(line[:31].strip() for line in text.splitlines())


def test_a_dataframe_has_the_rows(made):
    pytest.importorskip("pandas")
    frame = made.dataframe()
    assert list(frame.columns) == list(made.rows[0]) and len(frame) == len(made.rows)
    assert frame["auc"].tolist() == [row["auc"] for row in made.rows]


def test_without_pandas_the_error_names_it(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="needs pandas, which is not installed: python -m pip install pandas"):
        made.dataframe()

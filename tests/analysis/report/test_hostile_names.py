"""Names that hold markup are shown as they are by every writer; a Markdown reader and matplotlib are the judges."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from helpers.synthetic import METHODS, comparison
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from jaxrl_ft.analysis import marks
from jaxrl_ft.analysis.figures.style import legend_name, lettering
from jaxrl_ft.analysis.report import console, files, latex, tables
from jaxrl_ft.analysis.report.content import About
from jaxrl_ft.analysis.report.markdown import markdown_report
from jaxrl_ft.analysis.report.summary_table import Summary
from jaxrl_ft.analysis.statistics.summary import summarise

EVIL = "_<script>alert('1')</script>|`x``y`\n# $a$ \\x{ %& &lt; [l](javascript:x) *b* ~ \x1b[31m \x00\u202e]: <b>"
SHOWN = marks.one_line(EVIL)
LIVE = {"html_inline", "html_block", "link_open", "image"}
READER = MarkdownIt("commonmark").enable("table")


def tokens(text):
    """All tokens of a Markdown text, those of lines included."""
    for token in READER.parse(text):
        yield token
        yield from token.children or ()


def live(text):
    """What a reader would follow or run, but for figures by relative path."""
    found = (token for token in tokens(text) if token.type in LIVE)
    return [token.type for token in found if not str(token.attrs.get("src", "")).startswith("figures/")]


def plain(text):
    """What a reader sees of a line."""
    return "".join(token.content for token in tokens(text) if token.type in ("text", "code_inline", "text_special"))


anything = st.text(st.sampled_from("`\\<>&[](){}!|*_~#:;= \tabx1\n/\"'") | st.characters(codec="utf-8"), max_size=30)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(anything.filter(marks.one_line), anything)
def test_nothing_is_a_mark_but_code(name, words):
    sentence = marks.sentence(f"- {words} {marks.code(name)} {words}.")
    assert "\n" not in sentence and live(sentence) == []
    shown = marks.code(name)
    assert [t.content for t in tokens(f"a {shown}.") if t.type == "code_inline"] == [marks.one_line(name)]
    assert marks.unmarked(f"a {shown}.") == f"a {marks.one_line(name)}."


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(anything)
def test_a_cell_is_shown_as_it_is(name):
    table = tables.markdown_table(["a", "b"], [[name, "-"]], plain=True)
    assert live(table) == []
    cells = [token.content for token in READER.parse(table) if token.type == "inline"]
    assert len(cells) == 4
    assert " ".join(plain(f"x {marks.cell(name)} x").split()) == f"x {marks.one_line(name)} x".replace("  ", " ")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The directory of a report in which everything has the name, and the rows of its summary."""
    out = tmp_path_factory.mktemp("report")
    names = {"zero_shot": "zero_shot", "scratch": "scratch", "full": EVIL, "ewc": "$x$"}
    methods = {shown: METHODS[name] for name, shown in names.items()}
    runs, curves, steps = comparison(target=EVIL, methods=methods, runs=3)
    runs[0]["status"] = EVIL
    rows = summarise(runs, curves, steps, repetitions=20)
    words = {EVIL: EVIL}
    about = About(EVIL, EVIL, words, words, words, words, words, [EVIL, "a [b](https://c.d) <img src=x>"], 20)
    files.write_report(out, about, rows, runs, curves, steps)
    return out, rows


def test_the_report_holds_nothing_live(written):
    out, _ = written
    text = (out / "report.md").read_text()
    assert live(text) == [] and "\x1b" not in text and "\x00" not in text
    headings = [token.content for token in READER.parse(text) if token.type == "inline" and token.level == 1]
    assert any(plain(heading).startswith(f"{SHOWN}: ") for heading in headings)
    assert SHOWN in [token.content for token in tokens(text) if token.type == "code_inline"]


def test_drawings_are_sound_and_name_everything(written):
    out, _ = written
    drawings = [ET.parse(path).getroot() for path in sorted((out / "figures").glob("*.svg"))]
    elements = [element for root in drawings for element in root.iter()]
    texts = ["".join(element.itertext()) for element in elements if element.tag.endswith("text")]
    assert len(drawings) == 2 and "$x$" in " ".join(texts) and "<script>" in "".join(texts)
    assert {element.tag.rsplit("}")[-1] for element in elements}.isdisjoint({"script", "b"})


def test_text_tables_have_one_line_a_row_and_no_control_characters(written):
    _, rows = written
    for text in (Summary(rows).text(), console.table(rows), "\n".join(console.sentences(rows))):
        assert all(character.isprintable() or character == "\n" for character in text)
        assert "_<script>alert('1')</" in text


def test_latex_has_no_bare_special_character(written):
    _, rows = written
    lines = [line for line in latex_lines(rows) if "script" in line]
    assert lines and all(line.endswith(r" \\") and line.count(" & ") == lines[0].count(" & ") for line in lines)
    for line in lines:
        bare = re.sub(
            r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater)\{\}|\\[&%$#_{}]", "", line
        )
        assert not re.search(r"[\\#%_{}~^<>]", bare.replace("$-$", "").removesuffix(r" \\"))


def latex_lines(rows):
    table = latex.latex_table(tables.columns("main"), tables.cells(rows, "main"), 2)
    return table[table.index("midrule") : table.index(r"\bottomrule")].splitlines()[1:]


def test_lettering_begins_no_formula_and_hides_in_no_legend():
    assert lettering("a$x$b", 20) == r"a\$x\$b" and lettering("_x", 20) == " _x"
    assert (legend_name("_x"), legend_name("x_")) == (" _x", "x_")


def test_names_that_no_file_can_hold_are_refused(agents, target, nothing_runs):
    import jaxrl_ft as ft

    for name, shown in (("\ud800", r"'\ud800'"), (" ", "' '"), (3, "3")):
        with pytest.raises(ValueError, match="targets: the name") as error:
            ft.compare(agents, {name: target}, ["full"])
        assert shown in str(error.value)
    with pytest.raises(ValueError, match="methods: the name"):
        ft.compare(agents, {"long": target}, {"\ud800": ft.Method()})


def test_numbers_are_not_escaped(written):
    _, rows = written
    table = markdown_report(rows, About("s"))
    assert re.search(r"\| \d+ \[\d+, \d+\] \|", table) and "P(> scratch)" in table
    assert np.isfinite(rows[1]["auc"])

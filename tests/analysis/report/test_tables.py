import re

import numpy as np
import pytest
from helpers.synthetic import comparison

from jaxrl_ft.analysis.report import tables
from jaxrl_ft.analysis.statistics import summary

NAN = float("nan")


def parsed(markdown):
    """Headings and lines of cells of a Markdown table, by a reader that knows only the syntax."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in markdown.strip().splitlines()]
    assert all(re.fullmatch(r" (:---|---:) ", cell) for cell in lines[1])
    assert len({len(line) for line in lines}) == 1
    return [[cell.strip() for cell in line] for line in (lines[0], *lines[2:])]


@pytest.mark.parametrize(
    ("estimate", "signed", "text"),
    [
        ((361.4, 340.2, 380.0), False, "361 [340, 380]"),
        ((0.931, 0.9, 0.952), False, "0.93 [0.90, 0.95]"),
        ((50.66, 46.2, 56.81), False, "50.7 [46.2, 56.8]"),
        ((9.8, -4.2, 27.2), True, "+9.8 [-4.2, +27.2]"),
        ((-52.5, -168.4, -36.1), True, "-52 [-168, -36]"),
        ((12_345.6, 12_000.0, 13_000.0), False, "12,346 [12,000, 13,000]"),
        ((-0.001, -0.002, 0.0), True, "0.00 [0.00, 0.00]"),
        ((361.4, NAN, NAN), False, "361"),
        ((NAN, NAN, NAN), False, "-"),
        ((-500.0, -500.0, -480.0), False, "-500 [-500, -480]"),
    ],
)
def test_intervals_are_compact_with_equal_decimals(estimate, signed, text):
    assert tables.format_interval(*estimate, signed=signed) == text


def test_counts_show_an_interval_only_where_they_vary():
    assert tables.format_count(20_480.0, 20_480.0, 20_480.0) == "20,480"
    assert tables.format_count(20_480.0, 20_000.0, 20_992.0) == "20,480 [20,000, 20,992]"
    assert tables.format_count(20_480.0, NAN, NAN) == "20,480"
    assert tables.format_count(NAN, NAN, NAN) == "-"


def test_cells_align_with_columns_in_every_part():
    runs, curves, steps = comparison()
    runs[40]["status"] = "diverged"
    rows = summary.summarise(runs, curves, steps, repetitions=100)
    for part in tables.PARTS:
        headings, lines = tables.columns(part), tables.cells(rows, part)
        assert headings[:2] == ["target", "method"]
        assert len(set(headings)) == len(headings)
        assert all(len(line) == len(headings) for line in lines)
        assert [heading for heading, _ in tables.meanings(part)] == headings
    assert sorted({*tables.columns("main"), *tables.columns("rest")}) == sorted(tables.columns())
    full = dict(zip(tables.columns(), tables.cells(rows)[2], strict=True))
    assert full["runs"] == "15 of 16"
    assert full[tables.AUC].startswith(f"{rows[2]['auc']:.0f} [")
    assert full["P(> full)"] == "-"
    lora = dict(zip(tables.columns(), tables.cells(rows)[4], strict=True))
    assert (lora["runs"], lora["trained parameters"], lora["target env steps"]) == ("16", "260 (2.84%)", "20,480")


def test_every_column_of_numbers_says_what_it_counts_in():
    for column in tables.COLUMNS:
        units = re.findall(r"\breturn\b|\bruns\b|^P\(|\bparameters\b|\benv steps\b", column.heading)
        assert bool(units) == (column.style != "text"), column.heading


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="part: 'mian' is not known; did you mean 'main'"):
        tables.columns("mian")


def test_markdown_reads_back_with_text_left_and_numbers_right():
    made = tables.markdown_table(["method", "AUC", "n"], [["full", "361 [340, 380]", 16], ["a|b\nc", "-", 2]])
    assert parsed(made) == [["method", "AUC", "n"], ["full", "361 [340, 380]", "16"], ["a\\|b c", "-", "2"]]
    assert made.splitlines()[1] == "| :--- | ---: | ---: |"


def test_a_line_of_another_length_is_refused():
    with pytest.raises(ValueError, match="1 cells under 2 headings"):
        tables.markdown_table(["a", "b"], [["x"]])


def test_three_digits_for_any_size():
    assert [tables.format_number(value) for value in (1234.5, 99.96, 9.994, 0.5, -3.0, np.inf)] == [
        "1,234", "100.0", "9.99", "0.50", "-3.00", "-",
    ]  # fmt: skip

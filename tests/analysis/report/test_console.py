"""What a command prints of a comparison: one table that fits, and three findings that are true of its rows."""

import numpy as np
import pytest
from helpers.pages import made
from helpers.synthetic import METHODS, comparison

from jaxrl_ft.analysis.report import console, text_tables
from jaxrl_ft.analysis.report.findings import finding, findings, overall
from jaxrl_ft.analysis.report.tables import format_number
from jaxrl_ft.analysis.statistics.summary import summarise


@pytest.fixture(scope="module")
def single():
    return summarise(*comparison(points=4), repetitions=20)


@pytest.fixture(scope="module")
def several():
    return summarise(*made(), repetitions=20)


def names(table):
    """The first word of every line below the rule."""
    return [line.split()[0] for line in table.split("─\n")[-1].splitlines()]


@pytest.mark.parametrize("width", [60, 80, 118, 200])
@pytest.mark.parametrize("which", ["single", "several"])
def test_one_table_fits_its_width_and_has_every_method(which, width, request):
    table = console.table(request.getfixturevalue(which), width)
    assert max(map(len, table.splitlines())) <= width and "\n\n" not in table
    assert sorted(names(table)) == sorted(METHODS)


def test_a_wide_table_has_all_columns_best_first(single):
    table = console.table(single, 118)
    assert set(" ".join(text_tables.BRIEF).split()) <= set(table.split())
    areas = {row["method"]: row["auc"] for row in single}
    assert names(table) == sorted(areas, key=areas.get, reverse=True)


@pytest.mark.parametrize("targets", [("a",), ("a", "b", "c")])
def test_many_methods_and_targets_take_no_more_than_a_screen(targets):
    methods = {**METHODS, **{f"method_{i}": (47, 300 + i, 100) for i in range(40)}}
    rows = summarise(*made(targets, methods=methods, runs=2, agents=2), repetitions=5)
    text = [console.table(rows, 80), *console.bullets(console.sentences(rows), 80)]
    assert len("\n".join(text).splitlines()) <= 28
    shown = names(text[0])
    assert shown[-1] == "and" and {"zero_shot", "scratch", "full"} <= set(shown)
    assert len(shown) == text_tables.MOST + 1 and f"and {47 - text_tables.MOST} more" in text[0]


def test_the_three_findings_are_won_worth_and_forgotten(single):
    sentences = console.sentences(single)
    assert len(sentences) == 3
    assert "has the largest" in sentences[0] and "worth it" in sentences[1] and "On the source" in sentences[2]
    assert all(sentence in findings(single)[0] for sentence in sentences)
    assert all(max(map(len, line.splitlines())) <= 70 and "`" not in line for line in console.bullets(sentences, 70))


@pytest.mark.parametrize(
    ("zero_shot", "gain", "words"),
    [
        (10.0, (50.0, 30.0, 70.0), "It was worth it."),
        (10.0, (-50.0, -70.0, -30.0), "not worth it: starting over returned more"),
        (10.0, (5.0, -10.0, 20.0), "is open: it cannot be told from starting over"),
        (500.0, (50.0, 30.0, 70.0), "not worth it: over this budget no method returned more than the pretrained"),
    ],
)
def test_worth_is_judged_by_scratch_and_by_the_untouched_agent(single, zero_shot, gain, words):
    rows = [dict(row) for row in single if row["method"] in ("zero_shot", "scratch", "lora")]
    for row in rows:
        if row["method"] == "zero_shot":
            row["auc"] = zero_shot
        if row["method"] == "lora":
            row |= dict(zip(("auc_gain", "auc_gain_low", "auc_gain_high"), gain))
    assert words in finding("long-pole", rows).worth


def test_over_several_targets_the_means_decide(several):
    won, worth, forgotten = overall(several)
    means = {
        method: np.mean([row["auc"] for row in several if row["method"] == method])
        for method in METHODS
        if method not in ("zero_shot", "scratch")
    }
    best = max(means, key=means.get)
    assert f"`{best}` has the largest" in won and format_number(means[best]) in won and "scratch " in won
    lost = {row["target"]: row["forgetting"] for row in several if row["method"] == best}
    assert format_number(np.mean(list(lost.values()))) in forgotten and f"`{max(lost, key=lost.get)}`" in forgotten
    assert "in the plain mean over the targets" in won
    assert "in the plain mean over the targets" in forgotten
    assert "returned at least as much on 0" in worth


def test_a_method_that_failed_on_a_target_is_not_in_the_mean(several):
    rows = [row for row in several if (row["method"], row["target"]) != ("soften_probe", "weak-motor")]
    assert "`soften_probe`" not in overall(rows).won
    assert "soften_probe" not in names(console.table(rows, 118))
    alone = [row for row in rows if row["method"] == "soften_probe"]
    assert overall([*alone, *(row for row in several if row["method"] == "scratch")]).won.startswith("No fine-tuning")

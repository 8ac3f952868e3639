import re

import numpy as np
import pytest
from helpers.synthetic import comparison

from jaxrl_ft.analysis.report import findings, markdown
from jaxrl_ft.analysis.report.content import About
from jaxrl_ft.analysis.statistics import summary


def entry(method, auc, gain=(np.nan,) * 3, end=(400.0, 390.0, 410.0), target="long-pole", **more):
    row = {"target": target, "method": method, "n": 16, "n_ok": 16, "failed": 0, "agents": 16, "forgetting": np.nan}
    for name, numbers in (("auc", (auc, auc - 5, auc + 5)), ("auc_gain", gain), ("target_return", end)):
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), numbers))
    return row | more


@pytest.fixture(scope="module")
def made():
    runs, curves, steps = comparison()
    other = comparison(target="weak-motor", methods={"zero_shot": (462, 462, 490), "scratch": (20, 430, 15),
                                                     "full": (462, 498, 300)}, seed=1)  # fmt: skip
    runs = [*runs, *other[0]]
    runs[45] |= {"status": "diverged at update 7"}
    together = [np.concatenate(pair) for pair in zip((curves, steps), other[1:], strict=True)]
    return runs, summary.summarise(runs, *together, repetitions=200)


@pytest.fixture(scope="module")
def text(made):
    runs, rows = made
    about = About(
        source="CartPole-v1, defaults",
        targets={"long-pole": "half-length 1.0 m"},
        budgets={"fine-tuning env steps": 20_480},
        seeds={"runs": 16, "seed": 20_000},
        versions={"jax": "0.10.2"},
        notes=["The machine was busy."],
        repetitions=200,
    )
    figures = {"long-pole": ["figures/long-pole_learning_curves.png"]}
    return markdown.markdown_report(rows, about, figures=figures, runs=runs)


def test_what_was_run_stands_at_the_top(text):
    top = text[: text.index("## Findings")]
    for words in (
        "# Fine-tuning report", "Source: CartPole-v1, defaults", "`long-pole` (half-length 1.0 m), `weak-motor`",
        "fine-tuning env steps 20,480", "runs 16, seed 20000", "jax 0.10.2", "`soften_probe`",
    ):  # fmt: skip
        assert words in top


def test_every_target_has_tables_with_every_method_best_first(text, made):
    _, rows = made
    for target in ("long-pole", "weak-motor"):
        section = text[text.index(f"## {target}") :].split("\n## ")[0]
        tables = re.findall(r"(?:^\|.*\|$\n?)+", section, re.MULTILINE)
        ranked = [row["method"] for row in summary.ranked(rows) if row["target"] == target]
        assert len(tables) == 2
        for table in tables:
            lines = [line.strip("|").split("|") for line in table.strip().splitlines()]
            assert len({len(line) for line in lines}) == 1
            assert [line[0].strip() for line in lines[2:]] == ranked
    assert {"zero_shot", "scratch", "full"} <= set(ranked)


def test_figures_are_embedded_by_relative_path_and_absolute_ones_refused(text, made):
    assert "![long-pole: long pole learning curves](<figures/long-pole_learning_curves.png>)" in text
    with pytest.raises(ValueError, match=r"figures: '/elsewhere/x\.png'"):
        markdown.markdown_report(made[1], About("s"), figures={"long-pole": ["/elsewhere/x.png"]})


def test_failures_notes_and_method_of_intervals_are_told(text):
    assert "| long-pole | full | diverged at update 7 | 1 |" in text
    assert "- The machine was busy." in text
    assert "200 resamples" in text
    assert "- **mean return during fine-tuning (AUC)**: area under the learning curve" in text


def test_no_failed_section_without_failures(made):
    assert "## Failed runs" not in markdown.markdown_report(made[1], About("s"))


def test_equal_input_gives_equal_text_and_nothing_is_nan(text, made):
    _, rows = made
    assert markdown.markdown_report(rows, About("s")) == markdown.markdown_report(rows, About("s"))
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert "\n\n\n" not in text
    assert text.endswith("\n")


def test_findings_state_the_numbers_of_the_rows(made):
    _, rows = made
    on_long, on_weak, across = findings.findings(rows)
    best = findings.best_method([row for row in rows if row["target"] == "long-pole"])
    assert best["method"] == "soften_probe"
    assert (
        f"`soften_probe` has the largest mean return during fine-tuning (AUC) of 5 methods, {best['auc']:.0f} ["
        in on_long
    )
    assert "`ewc` forgets least" in on_long
    assert "Below scratch: " in on_long
    assert "On `weak-motor`, `full` has a mean return during fine-tuning (AUC) of " in on_weak
    assert "above scratch" in on_weak
    assert "`full` 1 / 0 / 1" in across


@pytest.mark.parametrize(
    ("gain", "word", "sentence"),
    [
        ((50.0, 30.0, 70.0), "above", "the paired difference is +50.0 [+30.0, +70.0], above scratch"),
        ((-50.0, -70.0, -30.0), "below", "below scratch: starting over was better"),
        ((5.0, -10.0, 20.0), "level with", "not distinguishable from scratch"),
        ((0.0, 0.0, 0.0), "level with", "not distinguishable from scratch"),
    ],
)
def test_the_verdict_follows_the_paired_interval(gain, word, sentence):
    rows = [entry("scratch", 350.0), entry("lora", 350.0 + gain[0], gain)]
    assert findings.versus_scratch(rows[1]) == word
    assert sentence in findings.findings(rows)[0]


@pytest.mark.parametrize(("end", "words"), [((500.0, 495.0, 500.0), "apart"), ((405.0, 400.0, 420.0), "overlap")])
def test_ends_are_apart_or_overlap(end, words):
    rows = [entry("scratch", 350.0), entry("lora", 360.0, (10.0, 5.0, 15.0), end)]
    assert f"(intervals {words})" in findings.findings(rows)[0]


def test_when_nothing_beats_leaving_the_policy_alone_it_says_so():
    rows = [entry("scratch", 350.0), entry("zero_shot", 480.0), entry("lora", 450.0, (100.0, 90.0, 110.0))]
    assert "no method returned more than the pretrained agent as it is" in findings.findings(rows)[0]
    rows[1] = entry("zero_shot", 440.0)
    assert "the pretrained agent as it is returns" in findings.findings(rows)[0]
    assert "no method returned more" not in findings.findings(rows)[0]


def test_forgetting_and_gain_on_the_source_have_positive_numbers():
    kept = {"forgetting": 120.0, "forgetting_low": 100.0, "forgetting_high": 130.0}
    assert "loses 120 [100, 130]" in findings.findings([entry("lora", 400.0, **kept)])[0]
    kept = {"forgetting": -120.0, "forgetting_low": -130.0, "forgetting_high": -100.0}
    assert "gains 120 [100, 130]" in findings.findings([entry("lora", 400.0, **kept)])[0]


def test_the_method_that_forgets_least_is_named_where_it_forgets_less():
    def kept(value):
        return {"forgetting": value, "forgetting_low": value - 1, "forgetting_high": value + 1}

    for other, named in ((20.0, True), (50.001, False), (49.999, False), (80.0, False)):
        rows = [entry("lora", 400.0, **kept(50.0)), entry("ewc", 300.0, **kept(other))]
        assert ("`ewc` forgets least" in findings.findings(rows)[0]) == named


def test_what_the_intervals_do_not_cover_is_said():
    fine = [entry("scratch", 1.0), entry("lora", 1.0, (0.0, -1.0, 1.0))]
    assert findings.cautions(fine) == []
    assert "One pretrained agent only" in findings.cautions([entry("lora", 1.0, agents=1)])[0]
    assert "As few as 3 runs" in findings.cautions([entry("lora", 1.0, n_ok=3)])[0]
    assert "of 2 comparisons" in findings.cautions([*fine, entry("full", 1.0, (0.0, -1.0, 1.0))])[0]


def test_references_alone_and_failed_methods_have_a_report_too():
    assert findings.findings([entry("scratch", 1.0)]) == ["On `long-pole`, no fine-tuning method finished a run."]
    broken = entry("lora", np.nan, end=(np.nan,) * 3, n_ok=0, failed=16)
    assert "no fine-tuning method finished" in markdown.markdown_report([broken], About("s"))
    with pytest.raises(ValueError, match="at least one summary row"):
        markdown.markdown_report([], About("s"))

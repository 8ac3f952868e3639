"""The page: sound HTML that loads nothing, every figure with what it says, and words for what is missing."""

import json
import re

import numpy as np
import pytest
from helpers.pages import animated, assert_sound, grid, made, report

from jaxrl_ft.analysis.figures import animation
from jaxrl_ft.analysis.report import html, measurements, tables
from jaxrl_ft.analysis.report.content import About
from jaxrl_ft.analysis.report.measurements import Measurements
from jaxrl_ft.analysis.report.tables import AUC
from jaxrl_ft.analysis.statistics import summary

SECTIONS = ("Leaderboard", "Probability of improvement", "Performance profiles", "Methods and shifts",
            "Learning curves", "Kept on the source, gained on the target",
            "Divergence from the pretrained policy and forgetting", "Returns over physics",
            "Before and after, in motion")  # fmt: skip
HOSTILE = "<script>alert('1')</script>\"&`b`"


@pytest.fixture(scope="module")
def numbers():
    runs, curves, steps = made()
    runs[20]["status"] = "non-finite at update 7"
    return runs, curves, steps


@pytest.fixture(scope="module")
def whole(numbers):
    runs, curves, steps = numbers
    return report(
        runs, curves, steps, Measurements([grid()], [animated()]),
        title="Two shifts", targets={"long-pole": "a pole <2x>"},
        budgets={"fine-tuning env steps": 20_480}, seeds={"runs": 16}, versions={"jax": "0.10.2"},
        notes=["short", "`full`: " + "long " * 60], files={"runs.csv": "every run"},
    )  # fmt: skip


def test_the_page_is_sound_and_has_every_figure(whole):
    page = assert_sound(whole)
    assert whole.startswith("<!DOCTYPE html>") and 'lang="en"' in whole
    for section in SECTIONS:
        assert f"<h2>{section}</h2>" in whole
    assert len(page.all("figure")) == len(SECTIONS) + 1
    assert "<h2>Left out</h2>" not in whole
    for words in ("Two shifts", "fine-tuning env steps 20,480", "runs 16", "jax 0.10.2", "non-finite at update 7",
                  "Over 2 targets", "runs.csv", "a pole <2x>", "20 resamples of pretrained agents"):  # fmt: skip
        assert words in page.text
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'") and "https" not in policy
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


def test_captions_say_n_and_how_intervals_were_made(whole):
    captions = {
        figure[0]: re.sub(r"<[^>]+>", "", figure[1])
        for figure in re.findall(r'<figure id="([^"]+)".*?<figcaption>(.*?)</figcaption>', whole, re.DOTALL)
    }
    for key in ("leaderboard", "improvement", "profiles", "curves-1", "forgetting"):
        assert "95% percentile bootstrap, 20 resamples" in captions[key], key
        assert re.search(r"1[56]( to 16)? runs", captions[key]) and "8 pretrained agents" in captions[key], key
    assert "95% bootstrap" in captions["shifts"] and "15 to 16 runs in a cell" in captions["shifts"]
    assert "160 of 160" in captions["divergence"] and "KL(pretrained ‖ fine-tuned)" in captions["divergence"]
    assert "16 runs, 8 episodes each, in every cell, without intervals" in captions["physics-1"]
    assert "Dashed frame: source; solid frame: target" in captions["physics-1"]
    assert "Run 0" in captions["animation-1"] and "one episode each" in captions["animation-1"]


def test_equal_input_gives_equal_pages():
    runs, curves, steps = made(("long-pole",), methods={"full": (47, 422, 60)}, runs=1, agents=1)
    assert report(runs, curves, steps) == report(runs, curves, steps)


def test_the_page_says_over_how_many_episodes_curves_and_tables_are():
    runs, curves, steps = made(("long-pole",), runs=2, agents=2)
    assert "greedy episodes" not in assert_sound(report(runs, curves, steps)).text
    for row in runs:
        row |= {"eval_episodes": 16, "episodes": 100, "held_out_episodes": 8}
    text = assert_sound(report(runs, curves, steps)).text
    assert "the mean of 16 greedy episodes of a run" in text and "means of 100 greedy episodes after training" in text
    assert "held-out tasks of 8 on each task" in text
    assert "2 runs of 16 episodes (2 pretrained agents)" in text and "returns in tables over 100 others" in text


def test_whatever_is_missing_is_said():
    runs, curves, steps = made(("long-pole",), divergence=False)
    page = assert_sound(report(runs, curves, steps))
    left = page.text[page.text.index("Left out Methods") :]
    for words in ("there is one shift", "kl_from_base", "physics were not measured", "no episodes were recorded"):
        assert words in left
    assert len(page.all("figure")) == 5


def test_one_run_one_method_and_runs_that_failed_have_a_page():
    one = made(("long-pole",), runs=1, agents=1)
    text = assert_sound(report(*one)).text
    assert "1 run of each from 1 pretrained agent" in text and "needs two finished runs" in text
    alone = made(("long-pole",), methods={"full": (47, 422, 60)}, runs=3, agents=3)
    assert "of a method and of scratch or full" in " ".join(assert_sound(report(*alone)).text.split("`"))
    runs, curves, steps = made(("long-pole", "weak-motor"), runs=2, agents=2)
    for row in runs:
        row["status"] = "non-finite at update 1" if row["target"] == "weak-motor" else "ok"
    text = assert_sound(report(runs, curves, steps)).text
    assert "weak-motor no run finished" in text and "no method finished a run on every shift" in text
    for row in runs:
        row |= {"status": "non-finite at update 1", "target_return": np.nan, "source_return": np.nan, "auc": np.nan}
    page = assert_sound(report(runs, np.full_like(curves, np.nan), steps))
    assert "no fine-tuning method finished" in page.text and not page.all("figure")
    with pytest.raises(ValueError, match="rows: "):
        html.html_report([], [], [], [], About("s"))


def test_nothing_that_is_named_can_become_a_part_of_the_page():
    methods = {HOSTILE: (47, 422, 60), "scratch": (20, 495, 15), "zero_shot": (47, 47, 490)}
    runs, curves, steps = made((HOSTILE, "b"), methods=methods, runs=2, agents=2)
    runs[0]["status"] = HOSTILE
    measured = Measurements([grid(HOSTILE, HOSTILE)], [animated(HOSTILE, HOSTILE)])
    words = dict.fromkeys(("source", "title"), HOSTILE) | {"targets": {HOSTILE: HOSTILE}, "notes": [HOSTILE]}
    text = report(
        runs, curves, steps, measured, **words, versions={HOSTILE: HOSTILE}, seeds={HOSTILE: HOSTILE},
        files={"runs.csv": HOSTILE},
    )  # fmt: skip
    page = assert_sound(text)
    assert "<script>alert" not in text and len(page.all("script")) == 2
    assert page.text.count("<script>alert('1')</script>") > 10


def test_the_table_is_the_summary_with_numbers_to_sort_by(numbers, whole):
    rows = summary.ranked(summary.summarise(*numbers, repetitions=20))
    page = re.search(r'<table class="sortable">(.*?)</table>', whole, re.DOTALL)[1]
    page = re.sub(r"</?(small|wbr)>", "", page)
    lines = [re.findall(r'<t[hd][^>]*data-v="([^"]*)">(.*?)</t[hd]>', line) for line in page.split("<tr")[2:]]
    assert [line[0][1] for line in lines] == [row["method"] for row in rows]
    heads = re.findall(r"<button[^>]*>(.*?)</button>", page)
    assert heads[:2] == ["method", "target"] and len(heads) == len(tables.columns())
    area = heads.index(AUC)
    for line, row, cells in zip(lines, rows, tables.cells(rows), strict=True):
        assert len(line) == len(heads)
        assert float(line[area][0]) == pytest.approx(row["auc"]) and line[area][1] == cells[heads.index(AUC)]
        gain = line[heads.index("AUC - scratch (return)")][0]
        assert gain == "" if row["method"] == "scratch" else float(gain) == pytest.approx(row["auc_gain"])


def test_an_animation_is_told_and_its_data_are_its_states():
    shown = animated()
    text = animation.animation_html(shown)
    data = json.loads(re.search(r'json">(.*?)</script>', text, re.DOTALL)[1])
    assert [len(episode["push"]) for episode in data["episodes"]] == [12, 40]
    before, after = (episode["parts"] for episode in data["episodes"])
    np.testing.assert_allclose(after["swing"][2], np.degrees(shown.after.motion[:, 2]), atol=5e-3)
    np.testing.assert_allclose(before["body"][0], 100.0 * shown.before.motion[:, 0], atol=5e-3)
    assert [episode["failed"] for episode in data["episodes"]] == [True, False]
    assert data["episodes"][1]["span"] == pytest.approx(40 / 12 * data["episodes"][0]["span"], rel=1e-3)
    assert "fell after 12 steps (0.2 s)" in text and "still up after 40 steps (0.8 s)" in text
    away = shown.before._replace(motion=np.where([True, False, False, False], 3.0, 0.01 * shown.before.motion))
    assert animation.verdict(shown.world, away) == (True, "left the track after 12 steps (0.2 s)")


def test_json_in_a_page_cannot_end_its_element():
    inside = re.search(r'json">(.*)</script>$', animation.script_data({"a": "</script><!--<b>&"}))[1]
    assert not set("<>&") & set(inside)
    assert json.loads(inside) == {"a": "</script><!--<b>&"}


def moving(motion, push, moment="after"):
    return Measurements(animations=[animated()._replace(**{moment: measurements.Episode(motion, push)})])


@pytest.mark.parametrize(
    ("measured", "message"),
    [
        (Measurements([grid()._replace(before=np.zeros((2, 3)))]), r"grids.before: shape \(2, 3\) is not allowed"),
        (moving(np.zeros((4, 3)), np.zeros(3)), r"animations.after: motion \(4, 3\)"),
        (moving(np.zeros((3, 4)), np.zeros(3)), r"animations.after: motion \(3, 4\) with push \(3,\)"),
        (moving(np.zeros((1, 4)), np.zeros(0)), "animations.after"),
        (moving(np.full((3, 4), np.nan), np.zeros(2), "before"), "animations.before.motion: not finite"),
    ],
)
def test_measurements_of_other_shapes_are_refused(measured, message):
    with pytest.raises(ValueError, match=message):
        report(*made(("long-pole",), runs=2, agents=2), measured)


def test_prose_is_escaped_with_code_between_backticks():
    assert html.prose("a `b<` & `c`") == "a <code>b&lt;</code> &amp; <code>c</code>"

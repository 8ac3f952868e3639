"""A comparison's report as files, with everything that is measured beside the runs."""

import csv
import importlib.util
import re
from dataclasses import replace
from itertools import chain, groupby

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.analysis.report import files, text_tables
from jaxrl_ft.analysis.report.content import About
from jaxrl_ft.analysis.report.measurements import KL_COLUMN, check
from jaxrl_ft.analysis.report.tables import cells, columns
from jaxrl_ft.analysis.statistics.summary import summarise
from jaxrl_ft.commands import measurements
from jaxrl_ft.sweeps.compare import gathered, study
from jaxrl_ft.training.spec import Budget


@pytest.fixture(scope="module")
def compared(agents, target):
    targets = {"long pole/1": target, "flipped": ft.make_task("CartPole-v1", flip_actions=True, action_delay=2)}
    counts = {"seeds": 4, "episodes": 4, "held_out_episodes": 2}
    return gathered(study(agents, targets, ["full"], budget=Budget(512, 3, 3, 4), **counts).cells(diverged=True))


@pytest.fixture(scope="module")
def measured(compared):
    return measurements.measure(compared, 5, episodes=2)


def test_every_run_has_its_divergence(compared):
    runs = compared.runs
    assert all(np.isfinite(row[KL_COLUMN]) for row in runs)
    assert {row[KL_COLUMN] for row in runs if row["method"] == "zero_shot"} == {0.0}
    assert all(row[KL_COLUMN] > 0 for row in runs if row["method"] == "full")
    scratch = [row[KL_COLUMN] for row in runs if (row["method"], row["target"]) == ("scratch", "flipped")]
    assert len(set(scratch)) == 4


def test_grids_and_animations_are_of_the_best_method_on_every_target(measured, compared):
    check(measured)
    assert [(grid.target, grid.method) for grid in measured.grids] == [("long pole/1", "full"), ("flipped", "full")]
    long, flipped = measured.grids
    assert long.names == ("half_length (m)", "force (N)") and (long.runs, long.episodes) == (4, 2)
    i, j = long.target_cell
    assert (long.values[0][i], long.values[1][j]) == pytest.approx((1.0, 10.0))
    i, j = long.source
    assert (long.values[0][i], long.values[1][j]) == pytest.approx((0.5, 10.0))
    expected = ft.evaluate(compared.agents("full", "long pole/1"), ft.make_task("CartPole-v1"), episodes=2, seed=5)
    assert long.after[i, j] == pytest.approx(expected.mean())
    assert flipped.source is None and flipped.target_cell is not None


def test_only_the_targets_that_are_wanted_get_a_grid_and_an_animation(compared):
    found = measurements.measure(compared, 5, ["flipped"], episodes=1)
    assert [part.target for part in (*found.grids, *found.animations)] == ["flipped", "flipped"]


def test_an_animation_shows_what_evaluation_plays_and_which_way_the_motor_pushes(measured, compared):
    for animation in measured.animations:
        task = compared.agents("full", animation.target).task
        for name, method in (("before", "zero_shot"), ("after", "full")):
            episode = getattr(animation, name)
            returns = ft.evaluate(compared.agents(method, animation.target), task, episodes=1, seed=5)
            assert len(episode.push) == returns[animation.run, 0]
            speed = np.diff(episode.motion[:, 1])
            pushed = episode.push != 0
            np.testing.assert_array_equal(np.sign(speed[pushed]), episode.push[pushed])
            assert pushed.sum() == max(len(pushed) - int(task.env_params.action_delay), 0)
        pole = np.diff(animation.world.outline(animation.after.motion), axis=1)
        np.testing.assert_allclose(np.linalg.norm(pole, axis=2), 2.0 * float(task.env_params.half_length))


def test_failed_runs_are_neither_animated_nor_averaged(compared):
    before, after = (compared.agents(method, "flipped") for method in ("zero_shot", "full"))
    broken = replace(after, status=("non-finite", "ok", "ok", "ok"))
    assert measurements.animated(before, broken, "flipped", "full", 5).run == 1
    assert measurements.measured_grid(before, broken, "flipped", "full", 5, 1).runs == 3
    broken = replace(after, status=("non-finite",) * 4)
    assert measurements.animated(before, broken, "flipped", "full", 5) is None
    assert measurements.measured_grid(before, broken, "flipped", "full", 5, 1) is None


def test_all_files_are_there_and_name_each_other(measured, compared, tmp_path):
    runs = compared.runs
    texts = {"long pole/1": "twice <the> length", "flipped": "left is right"}
    about = About(source="`CartPole-v1`", title="Both", targets=texts, repetitions=20)
    numbers = (runs, compared.curves, compared.curve_steps)
    paths = files.write_report(tmp_path, about, summarise(*numbers, repetitions=20), *numbers, measured)
    assert all(path.stat().st_size for path in paths)
    page, text = ((tmp_path / name).read_text() for name in ("report.html", "report.md"))
    for path in re.findall(r"\]\(<(.*?)>\)", text):
        assert (tmp_path / path).read_bytes().startswith(b"\x89PNG")
    assert sorted(path.suffix for path in (tmp_path / "figures").iterdir()) == sorted([".pdf", ".png", ".svg"] * 4)
    for href in re.findall(r'href="([^#"]+)"', page):
        assert (tmp_path / href).exists()
    assert "<h2>Left out</h2>" not in page and "twice &lt;the&gt; length" in page
    with (tmp_path / "runs.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["auc"]) for line in lines] == [row["auc"] for row in runs]
    assert {"hyperparameters.optimizer.learning_rate", KL_COLUMN, "status"} <= set(lines[0])


def test_a_comparison_writes_the_report_itself(compared, tmp_path):
    page = compared.report(tmp_path / "new" / "report", targets={"flipped": "left is right"})
    assert page == tmp_path / "new" / "report" / "report.html"
    names = {"report.html", "report.md", "table.tex", "runs.csv", "figures"}
    assert names <= {path.name for path in page.parent.iterdir()}
    text = page.read_text()
    for words in ("left is right", "CartPole-v1 half_length=1", "env steps before fine-tuning 512",
                  "fine-tuning env steps 512",
                  "runs of each method 4", "agents 4", "seed 3", "trains: all 6 leaves", "GiB", "jax 0."):  # fmt: skip
        assert words in re.sub(r"<[^>]+>", "", text), words
    assert str(compared.summary()).startswith("long pole/1\n")
    assert (page.parent / "table.tex").read_text() == compared.summary().latex()
    with pytest.raises(ValueError, match=r"path: .* is a file"):
        compared.report(page)
    with pytest.raises(ValueError, match="targets: 'fliped' is not known; did you mean 'flipped'"):
        compared.report(tmp_path / "other", targets={"fliped": ""})
    assert not (tmp_path / "other").exists()


def test_a_comparison_is_a_dataframe_of_its_runs(compared):
    pytest.importorskip("pandas")
    frame = compared.dataframe()
    assert len(frame) == len(compared.runs) and frame["auc"].tolist() == [row["auc"] for row in compared.runs]
    assert "hyperparameters.optimizer.learning_rate" in frame.columns and "hyperparameters" not in frame.columns


def test_without_pyarrow_there_is_a_csv_and_a_word_about_it(compared, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    names, remark = files.write_results(tmp_path, compared.runs)
    assert names == ["runs.csv"] and "pyarrow" in remark
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]


def test_with_pyarrow_there_is_a_parquet_file_too(compared, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    names, remark = files.write_results(tmp_path, compared.runs)
    assert names == ["runs.csv", "runs.parquet"] and remark == ""
    table = parquet.read_table(tmp_path / "runs.parquet").to_pydict()
    assert table["auc"] == [row["auc"] for row in compared.runs]
    assert table["method"] == [row["method"] for row in compared.runs]


def printed_tables(rows, width):
    """The lines of the tables of a console, those of each table together."""
    parts = groupby(text_tables.text_tables(rows, width).splitlines(), lambda line: bool(line.strip()))
    return [list(lines) for written, lines in parts if written]


def test_tables_on_a_console_break_no_cell_and_are_as_few_as_fit(compared):
    named = [{**row, "method": f"{row['method']}+learning_rate=0.003"} for row in compared.runs]
    rows = [row for row in summarise(named, compared.curves, compared.curve_steps, 20) if row["target"] == "flipped"]
    headings = [word for chosen in text_tables.TABLES for heading in chosen[1:] for word in heading.split()]
    shown = [line[columns().index(heading)] for line in cells(rows) for heading in chain(*text_tables.TABLES)]
    two = [width for width in range(70, 200) if len(printed_tables(rows, width)) == 2]
    assert two == list(range(two[0], 200))
    narrow = printed_tables(rows, two[0])
    assert max(map(len, chain(*narrow))) + 1 == two[0]
    assert max(map(len, narrow)) > 2 + len(rows), "headings are broken before a table is"
    assert [table[0].split() for table in printed_tables(rows, 199)] == [
        " ".join(of).split() for of in text_tables.TABLES
    ]
    for width in range(70, 200):
        tables = printed_tables(rows, width)
        assert max(map(len, chain(*tables))) < width
        heads = [line for table in tables for line in table[: -1 - len(rows)]]
        assert sorted(" ".join(heads).split()) == sorted(headings + ["method"] * len(tables))
        assert all(f" {cell} " in " \n".join(chain(*tables)) + " " for cell in shown)

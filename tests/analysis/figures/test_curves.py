from functools import partial
from itertools import combinations

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from helpers.synthetic import METHODS, comparison

from jaxrl_ft.analysis.figures import palette, style
from jaxrl_ft.analysis.figures.curves import curves_title, draw_learning_curves, draw_source_target_bars
from jaxrl_ft.analysis.figures.palette import looks
from jaxrl_ft.analysis.report.tables import wrapped
from jaxrl_ft.analysis.statistics import summary
from jaxrl_ft.analysis.statistics.aggregate import iqm
from jaxrl_ft.analysis.statistics.summary import REFERENCES


@pytest.fixture(scope="module")
def made():
    runs, curves, steps = comparison(points=9)
    return runs, curves, steps, summary.summarise(runs, curves, steps, repetitions=100)


def lines_of(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def picture(path):
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert path.stat().st_size < 200_000
    pixels = matplotlib.image.imread(path)[..., :3]
    assert pixels.shape[1] == 1000
    assert 0.02 < (pixels < 0.9).any(axis=-1).mean() < 0.6
    return pixels


def has_colour(pixels, colour, least=50):
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return (np.abs(pixels - wanted).max(axis=-1) < 0.01).sum() >= least


def test_learning_curves_have_a_line_and_a_label_per_method(made):
    runs, curves, steps, _ = made
    figure = draw_learning_curves(runs, curves, steps, "long-pole", "half-length 1.0 m", repetitions=50)
    axes, lines = figure.axes[0], lines_of(figure)
    assert set(lines) == set(METHODS)
    assert len(axes.collections) == len(METHODS) - 1
    for method in METHODS:
        assert any(text.startswith(f"{method} ") for text in texts_of(figure))
    assert lines["zero_shot"].get_linestyle() == "--"
    assert len({(line.get_color(), line.get_marker()) for line in lines.values()}) == len(METHODS)
    assert lines["scratch"].get_linewidth() > lines["lora"].get_linewidth()
    assert "env steps" in axes.get_xlabel()
    assert "return" in axes.get_ylabel()
    assert axes.get_title(loc="left") == "Fine-tuning on long-pole (half-length 1.0 m)"
    assert any("16 runs (8 pretrained agents)" in text and "95% bootstrap" in text for text in texts_of(figure))


@pytest.mark.parametrize(
    ("description", "title"),
    [("", "a"), ("`CartPole-v1 force=2`", "a"), ("a `weak` motor; `CartPole-v1 force=2`", "a (a weak motor)")],
)
def test_a_title_is_words_without_the_fields_of_the_task(description, title):
    assert curves_title("a", description) == f"Fine-tuning on {title}"


def test_lines_are_iqms_from_step_0_on(made):
    runs, curves, steps, _ = made
    figure = draw_learning_curves(runs, curves, steps, "long-pole", repetitions=50)
    own = [i for i, row in enumerate(runs) if row["method"] == "soften_probe"]
    x, y = lines_of(figure)["soften_probe"].get_data()
    np.testing.assert_allclose(x, [0.0, *steps[own[0]]])
    expected = [iqm(point) for point in curves[own].T]
    np.testing.assert_allclose(y, [expected[0], *expected])


def test_runs_with_other_step_counts_are_interpolated(made):
    runs, curves, steps, _ = made
    own = [i for i, row in enumerate(runs) if row["method"] == "scratch"]
    straight, bent = steps.copy(), steps.copy()
    straight[own] = bent[own] = np.linspace(0, 800, 9)
    bent[own[0]] = np.linspace(0, 1600, 9)
    ramp = curves.copy()
    ramp[own] = straight[own]
    ramp[own[0]] = bent[own[0]]
    figure = draw_learning_curves(runs, ramp, bent, "long-pole", repetitions=50)
    x, y = lines_of(figure)["scratch"].get_data()
    np.testing.assert_allclose(y, x)


def test_the_zero_shot_line_spans_the_figure_though_it_spends_no_steps(made):
    runs, curves, steps, _ = made
    spent = np.where(np.array([row["method"] == "zero_shot" for row in runs])[:, None], 0.0, steps)
    figure = draw_learning_curves(runs, curves, spent, "long-pole", repetitions=50)
    x, y = lines_of(figure)["zero_shot"].get_data()
    assert (x[0], x[-1]) == (0.0, steps.max())
    assert len(set(y)) == 1


def test_only_the_best_others_are_drawn_and_the_title_says_so(made):
    runs, curves, steps, _ = made
    figure = draw_learning_curves(runs, curves, steps, "long-pole", max_lines=4, repetitions=50)
    assert set(lines_of(figure)) == {"zero_shot", "scratch", "full", "soften_probe"}
    assert any(text.startswith("4 of 7 methods") for text in texts_of(figure))


def test_failed_and_nan_runs_are_not_drawn(made):
    runs, curves, steps, _ = made
    runs, curves = [dict(row) for row in runs], curves.copy()
    own = [i for i, row in enumerate(runs) if row["method"] == "lora"]
    runs[own[0]]["status"], curves[own[1]] = "diverged", np.nan
    figure = draw_learning_curves(runs, curves, steps, "long-pole", repetitions=50)
    assert lines_of(figure)["lora"].get_ydata()[-1] == pytest.approx(iqm(curves[own[2:], -1]))
    assert any("14 to 16 runs" in text for text in texts_of(figure))


def test_a_single_run_is_a_line_without_spread(made):
    runs, curves, steps = comparison(runs=1, agents=1, points=3)
    figure = draw_learning_curves(runs, curves, steps, "long-pole", repetitions=50)
    assert any("1 runs" not in text and "(1 pretrained agent)" in text for text in texts_of(figure))


def test_files_are_small_pngs_that_show_their_colours(made, tmp_path):
    runs, curves, steps, rows = made
    before = dict(matplotlib.rcParams)
    first, second = tmp_path / "new" / "curves.png", tmp_path / "bars.png"
    drawn = partial(draw_learning_curves, runs, curves, steps, "long-pole", repetitions=50)
    style.write_figure(drawn, first)
    style.write_figure(partial(draw_source_target_bars, rows, "long-pole"), second)
    third = tmp_path / "again.png"
    style.write_figure(partial(draw_source_target_bars, rows, "long-pole"), third)
    for kind, mark in ((".pdf", b"%PDF-"), (".svg", b'width="504pt"')):
        text = second.with_suffix(kind).read_bytes()
        assert mark in text[:500] and text == third.with_suffix(kind).read_bytes(), "7 inches wide, and no time in it"
    for pixels in (picture(first), picture(second)):
        assert all(has_colour(pixels, look.colour) for look in looks(list(METHODS)).values())
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("other", ["lora", "l2_sp", "ewc", "soften_probe"])
def test_lines_that_coincide_are_both_seen(made, other, tmp_path):
    runs, curves, steps, _ = made
    curves = curves.copy()
    places = {name: [i for i, row in enumerate(runs) if row["method"] == name] for name in METHODS}
    curves[places[other]] = curves[places["full"]]
    path = tmp_path / "curves.png"
    style.write_figure(partial(draw_learning_curves, runs, curves, steps, "long-pole", repetitions=20), path)
    inside = picture(path)[60:500, 80:700]
    assert all(has_colour(inside, looks(list(METHODS))[name].colour, 150) for name in (other, "full"))


def test_bars_are_source_and_target_with_whiskers(made):
    *_, rows = made
    figure = draw_source_target_bars(rows, "long-pole", "half-length 1.0 m")
    axes = figure.axes[0]
    widths = [bar.get_width() for container in axes.containers[::3] for bar in container]
    expected = [row[name] for row in rows for name in ("source_return", "target_return")]
    np.testing.assert_allclose(widths, expected)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(METHODS)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["source", "target"]
    ends = [segment for container in axes.containers[2::3] for segment in container[2][0].get_segments()]
    np.testing.assert_allclose([segment[0][0] for segment in ends[::2]], [row["source_return_low"] for row in rows])
    np.testing.assert_allclose([segment[1][0] for segment in ends[1::2]], [row["target_return_high"] for row in rows])
    assert "16 runs" in texts_of(figure)[-1]


def test_bars_without_numbers_leave_a_gap(made):
    *_, rows = made
    nowhere = {key: np.nan if isinstance(value, float) else value for key, value in rows[1].items()}
    figure = draw_source_target_bars([rows[0], nowhere], "long-pole")
    assert sum(len(bars) for bars in figure.axes[0].containers[::3]) == 2


def test_a_method_looks_the_same_whatever_the_order_and_no_two_look_alike():
    names = ["full", *(f"m{i}" for i in range(10)), "scratch", "zero_shot"]
    look = looks(names)
    assert looks(names[::-1]) == look
    assert look["scratch"].colour == "#000000"
    assert looks(["full"])["full"] == look["full"]
    assert len({one.marker for one in looks(names[:8]).values()}) == 8
    assert len({one[:2] for one in look.values()}) == len({one[1:] for one in look.values()}) == len(names)


def test_of_eighty_five_methods_no_two_have_one_colour_and_the_best_have_the_colours_furthest_apart():
    names = [f"m{i:02}" for i in range(82)]
    look = looks([*REFERENCES, "full", *names[::-1]])
    assert len({one.colour.lower() for one in look.values()}) == 85
    assert {look[name].colour for name in names[-10:]} == set(palette.OTHER_COLOURS)
    for one, other in combinations(look.values(), 2):
        alike = np.linalg.norm(np.subtract(*([int(c.colour[i : i + 2], 16) for i in (1, 3, 5)] for c in (one, other))))
        assert alike > 30 or one[1:] != other[1:], (one, other)


@pytest.mark.parametrize("name", ["m" * 150, "lora+adapter.rank=8+optimizer.learning_rate=0.0003", "a_b-c d"])
def test_long_names_break_into_lines_and_lose_nothing(name):
    for most in (8, 20, 200):
        lines = wrapped(name, most).splitlines()
        assert max(map(len, lines)) <= most
        assert "".join(lines) == name or " ".join(lines) == name
    assert wrapped("lora+adapter.rank=8", 14) == "lora+\nadapter.rank=8"


def test_signs_that_coincide_are_moved_apart_and_no_others():
    places = [(0.0, 0.0), (0.0, 0.0), (1.0, 0.0), (50.0, 50.0), (100.0, 0.0), (106.0, 0.0)]
    moved = np.asarray(places) + style.apart(places, 10.0)
    distance = np.linalg.norm(moved[:, None] - moved[None], axis=-1)[np.triu_indices(6, 1)]
    assert distance.min() >= 6.0 and distance[[0, 1]].min() >= 10.0 - 1e-9
    np.testing.assert_array_equal(moved[3:], places[3:])
    np.testing.assert_allclose(moved[:3].mean(axis=0), np.mean(places[:3], axis=0), atol=1e-9)


@pytest.mark.parametrize("wanted", [[0.5], [0.1, 0.1, 0.1, 0.9], [0.99, 1.0, 1.0], [0.0, 0.0], [0.5] * 40])
def test_labels_keep_their_distance_their_order_and_the_frame(wanted):
    placed = style.spread(wanted, 0.05)
    gap = min(0.05, 1.0 / max(1, len(wanted) - 1))
    assert placed.min() >= -1e-12
    assert placed.max() <= 1 + 1e-12
    assert (np.diff(placed) >= gap - 1e-12).all()


def test_labels_of_several_lines_keep_a_larger_distance():
    np.testing.assert_allclose(style.spread([0.5, 0.5, 0.5], [0.1, 0.3]), [0.5 - 0.5 / 3, 0.6 - 0.5 / 3, 0.9 - 0.5 / 3])


def test_labels_move_no_more_than_they_must():
    np.testing.assert_allclose(style.spread([0.2, 0.4, 0.9], 0.05), [0.2, 0.4, 0.9])
    np.testing.assert_allclose(style.spread([0.5, 0.5], 0.1), [0.45, 0.55])


def test_an_unknown_target_is_refused(made):
    runs, curves, steps, rows = made
    with pytest.raises(ValueError, match="target: 'moon' is not allowed"):
        draw_learning_curves(runs, curves, steps, "moon")
    with pytest.raises(ValueError, match="target: 'moon' is not allowed"):
        draw_source_target_bars(rows, "moon")

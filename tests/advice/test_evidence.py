"""What is expected of methods from their runs elsewhere: closed forms, limits and laws of the kernel regression."""

import dataclasses

import numpy as np
import pytest

from jaxrl_ft.advice import evidence
from jaxrl_ft.advice.evidence import Evidence, expected, weights


def world(points, areas, **changes):
    """Evidence of T shifts with A agents: points [T, A, F], areas by method, [T, A]."""
    points, methods = np.asarray(points, float), tuple(areas)
    values = np.stack([np.asarray(areas[name], float) for name in methods])
    fields = {
        "environment": "CartPole",
        "methods": methods,
        "shifts": tuple(f"shift-{i}" for i in range(len(points))),
        "signs": tuple("abcdefg"[: points.shape[2]]),
        "points": points,
        "areas": values,
        "ends": values.mean(axis=2),
        "kept": values.mean(axis=2),
        "settings": {name: {} for name in methods},
        "steps": 20_480,
    }
    return Evidence(**{**fields, **changes})


@pytest.fixture
def random():
    rng = np.random.default_rng(0)
    areas = {name: rng.uniform(0, 1, (5, 3)) for name in ("full", "one", "two")}
    areas["two"][3] = np.nan
    return world(rng.normal(size=(5, 3, 2)), areas)


def test_weights_are_the_normal_kernel_of_the_distance_in_spreads():
    known = world([[[0.0]], [[2.0]]], {"full": [[0.0], [1.0]]}, bandwidth=0.7)
    # the spread of 0 and 2 is 1
    near, far = np.exp(-(0.5**2) / (2 * 0.7**2)), np.exp(-(1.5**2) / (2 * 0.7**2))
    np.testing.assert_allclose(weights(known, [[0.5]])[0, :, 0], [near / (near + far), far / (near + far)])
    assert expected(known, [[0.5]])["full"].area == pytest.approx(far / (near + far))
    assert evidence.distance(known, [[0.5], [1.5]]) == pytest.approx(0.5)


def test_units_of_a_sign_do_not_matter_and_one_that_never_varies_is_no_sign(random):
    asked = np.array([[0.3, -0.2]])
    scaled = dataclasses.replace(random, points=random.points * [10.0, 0.1] + [5.0, -3.0])
    np.testing.assert_allclose(weights(scaled, asked * [10.0, 0.1] + [5.0, -3.0]), weights(random, asked), rtol=1e-9)
    constant = np.full((5, 3, 1), 4.0)
    more = dataclasses.replace(random, points=np.concatenate([random.points, constant], 2), signs=("a", "b", "c"))
    np.testing.assert_allclose(weights(more, [[0.3, -0.2, 77.0]]), weights(random, asked), rtol=1e-9)


def test_a_wide_kernel_gives_the_mean_and_a_narrow_one_the_nearest_run(random):
    wide, narrow = (dataclasses.replace(random, bandwidth=width) for width in (1e6, 1e-3))
    assert expected(wide, [[0.0, 0.0]])["one"].area == pytest.approx(random.areas[1].mean())
    for shift, agent in ((0, 0), (2, 1), (4, 2)):
        nearest = expected(narrow, [random.points[shift, agent]])["one"]
        assert nearest.area == pytest.approx(random.areas[1, shift, agent])
        assert nearest.low == nearest.high == random.areas[1, shift, agent]


def test_what_is_far_from_everything_is_taken_for_the_nearest(random):
    far = expected(random, [[1e6, 1e6]])
    place = np.unravel_index(np.argmax(random.points @ (1 / random.points.std(axis=(0, 1)))), (5, 3))
    assert far["one"].area == pytest.approx(random.areas[(1, *place)])


def test_the_mean_over_agents_is_that_of_each(random):
    asked = np.random.default_rng(1).normal(size=(4, 2))
    each = [expected(random, asked[i : i + 1]) for i in range(4)]
    assert expected(random, asked)["one"].area == pytest.approx(np.mean([one["one"].area for one in each]))


def test_a_method_that_has_not_run_everywhere_differs_from_full_there_as_elsewhere(random):
    full = random.areas[0]
    shifted = np.where(np.isfinite(random.areas[2]), full * 0.5 + 0.2, np.nan)
    known = dataclasses.replace(random, areas=np.stack([full, random.areas[1], shifted]))
    share = weights(known, [[0.1, 0.4]])[0]
    there = np.isfinite(shifted)
    apart = (share * (0.2 - 0.5 * full))[there].sum() / share[there].sum()
    found = expected(known, [[0.1, 0.4]])["two"]
    assert found.area == pytest.approx((share * full).sum() + apart)
    assert found.covered == pytest.approx(share[there].sum())
    assert found.runs == 12
    constant = dataclasses.replace(known, areas=np.stack([0.5 * full, full, np.where(there, 0.5 * full + 0.1, np.nan)]))
    told = expected(constant, [[0.1, 0.4]])
    assert told["two"].area == pytest.approx(told["full"].area + 0.1)


def test_better_runs_of_a_method_raise_what_is_expected_of_it_by_as_much(random):
    before = expected(random, [[0.2, 0.2]])
    higher = random.areas.copy()
    higher[1] = 0.5 * higher[1] + 0.5
    after = expected(dataclasses.replace(random, areas=higher), [[0.2, 0.2]])
    assert after["one"].area == pytest.approx(0.5 * before["one"].area + 0.5)
    assert after["one"].area > before["one"].area
    assert after["two"] == before["two"]


def test_the_interval_holds_95_percent_of_the_weight():
    values = np.arange(1000).reshape(10, 100) / 1000
    known = world(np.random.default_rng(0).normal(size=(10, 100, 1)), {"full": values}, bandwidth=1e6)
    found = expected(known, [[0.0]])["full"]
    assert (found.low, found.high) == pytest.approx((0.024, 0.974), abs=2e-3)


def test_leaving_out_forgets_a_shift_and_nothing_else(random):
    rest = random.without(["shift-1"])
    assert rest.shifts == ("shift-0", "shift-2", "shift-3", "shift-4")
    np.testing.assert_array_equal(rest.points, np.delete(random.points, 1, axis=0))
    np.testing.assert_array_equal(rest.areas, np.delete(random.areas, 1, axis=1))
    changed = random.areas.copy()
    changed[:, 1] = 77.0
    other = dataclasses.replace(random, areas=changed).without(["shift-1"])
    assert expected(other, [[0.0, 1.0]]) == expected(rest, [[0.0, 1.0]])
    with pytest.raises(ValueError, match="shift-11"):
        random.without(["shift-11"])
    with pytest.raises(ValueError, match="nothing would be left"):
        random.without(random.shifts)


def test_left_out_error_is_that_of_predicting_each_shift_from_the_others():
    known = world([[[0.0]], [[1.0]], [[2.0]]], {"full": [[0.1], [0.1], [0.7]]}, bandwidth=1e6)
    # the others' means are 0.4, 0.4 and 0.1
    assert evidence.left_out_error(known) == pytest.approx((0.3 + 0.3 + 0.6) / 3)
    assert evidence.fitted(known).bandwidth in evidence.BANDWIDTHS
    tried = [dataclasses.replace(known, bandwidth=width) for width in evidence.BANDWIDTHS]
    assert evidence.left_out_error(evidence.fitted(known)) == min(map(evidence.left_out_error, tried))


def test_the_file_gives_back_what_it_was_given(random):
    kept = evidence.to_json(random)
    back = evidence.from_json(kept)
    assert evidence.to_json(back) == kept
    np.testing.assert_allclose(back.areas, random.areas, atol=5.01e-4)
    assert np.isnan(back.areas[2, 3]).all() and np.isnan(back.ends[2, 3])
    assert (back.methods, back.shifts, back.signs, back.steps) == (
        ("full", "one", "two"),
        random.shifts,
        ("a", "b"),
        20_480,
    )


@pytest.mark.parametrize(
    "signs, message", [([[0.0]], r"\(1, 1\)"), ([0.0, 1.0], r"\(2,\)"), ([[np.nan, 1.0]], "1 entries are not finite")]
)
def test_signs_of_another_kind_are_refused(random, signs, message):
    with pytest.raises(ValueError, match=message):
        weights(random, signs)


def test_full_must_have_run_everywhere(random):
    areas = random.areas.copy()
    areas[0, 2] = np.nan
    with pytest.raises(ValueError, match="full must have run on every shift"):
        expected(dataclasses.replace(random, areas=areas), [[0.0, 0.0]])

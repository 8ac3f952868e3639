"""Laws of spaces: what is drawn lies in them, is told by its name, and depends on seed and number alone."""

import math

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.methods import grids
from jaxrl_ft.methods.spaces import Range, dimensions

ROWS = {name: ft.METHODS[name] for name in ("zero_shot", "full", "lora")}
RATE, RANK, NESTEROV = "optimizer.learning_rate", "adapter.rank", "optimizer.nesterov"


def of(space, method="lora"):
    return dimensions(ROWS, space)[method]


def test_a_share_of_a_range_is_that_share_of_its_length_or_of_its_logarithm():
    assert Range(1e-4, 1e-2, log=True).at(0.0, False) == 1e-4
    assert Range(1e-4, 1e-2, log=True).at(0.5, False) == pytest.approx(1e-3)
    assert Range(2.0, 6.0).at(0.25, False) == 3.0
    assert Range(2.0, 6.0).at(math.nextafter(1.0, 0.0), False) == 6.0


def test_every_whole_number_has_an_equal_part_of_its_range():
    shares = np.arange(0, 1, 1 / 60)
    found = [Range(2, 6).at(share, True) for share in shares]
    assert all(type(value) is int for value in found)
    assert np.unique(found, return_counts=True)[1].tolist() == [12] * 5
    doubled = [Range(1, 7, log=True).at(share, True) for share in (np.arange(1000) + 0.5) / 1000]
    counts = np.bincount(doubled)[1:] / 1000
    np.testing.assert_allclose(counts, np.log2(np.arange(2, 9) / np.arange(1, 8)) / 3, atol=2e-3)


def test_what_is_drawn_is_different_inside_and_told_by_its_name():
    space = of({RATE: "1e-4:1e-2:log", "adapter.alpha": "1:16", RANK: "1:8", NESTEROV: "true,false"})
    points = space.drawn(200, seed=7)
    assert len({tuple(point.values()) for point in points}) == 200
    # The first is the row's own.
    assert grids.named("lora", ROWS["lora"], points[0], space.of) == "lora"
    for point in points[1:]:
        assert 1e-4 <= point[RATE] <= 1e-2 and 1 <= point["adapter.alpha"] <= 16
        assert point[RANK] in range(1, 9) and point[NESTEROV] in (True, False)
        told = dict(part.split("=") for part in grids.named("lora", ROWS["lora"], point, space.of).split("+")[1:])
        assert float(told["learning_rate"]) == point[RATE] and float(told["alpha"]) == point["adapter.alpha"]
        assert grids.changed(ROWS["lora"], point).adapter.rank == point[RANK]
    below = np.mean([point[RATE] < 1e-3 for point in points])
    # Four standard deviations of a fair coin thrown 200 times.
    assert abs(below - 0.5) < 0.15


def test_fewer_points_are_the_first_of_more_and_another_seed_draws_others():
    space = of({RATE: "1e-4:1e-2:log", RANK: "1,2,4"})
    assert space.drawn(5, seed=0) == space.drawn(50, seed=0)[:5]
    assert space.drawn(5, seed=0)[1:] != space.drawn(5, seed=1)[1:]


def test_the_own_point_comes_first_where_it_lies_in_the_space():
    own = {RATE: ROWS["lora"].optimizer.learning_rate, RANK: ROWS["lora"].adapter.rank}
    assert of({RATE: "1e-4:1e-1:log", RANK: [own[RANK], 1]}).drawn(3, 0)[0] == own
    for outside in ({RATE: "1e-4:1e-3:log", RANK: [own[RANK]]}, {RATE: [own[RATE]], RANK: [1]}, {"ent_coef": "0:1"}):
        space = of(outside)
        assert space.own() is None and space.drawn(1, 0)[0] != {path: space.now[path] for path in space.of}


def test_a_small_space_is_drawn_as_a_whole_and_no_more():
    points = of({RANK: "1:3", NESTEROV: ["true", "false"]}).drawn(100, seed=0)
    assert sorted(tuple(point.values()) for point in points) == [(r, n) for r in (1, 2, 3) for n in (False, True)]
    assert of({RANK: "1:3", NESTEROV: "true,false"}).size == 6
    narrow = of({RATE: "0.001:0.001004:log"})
    assert narrow.size == math.inf and len(narrow.drawn(10, 0)) < 10


def test_corners_hold_every_end_and_every_choice():
    space = of({RATE: "1e-4:1e-2:log", RANK: "1,2,4"})
    assert {point[RATE] for point in space.corners()} == {1e-4, 1e-2}
    assert {point[RANK] for point in space.corners()} == {1, 2, 4}


def test_a_method_takes_the_fields_that_it_has():
    found = dimensions(ROWS, {RANK: "1:8", "optimizer.learning-rate": Range(1e-4, 1e-2, log=True)})
    assert {name: list(own.of) for name, own in found.items()} == {"full": [RATE], "lora": [RANK, RATE]}
    assert list(dimensions(ROWS, {RANK: "1:8"})) == ["lora"]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "space: empty"),
        ({"optimizer.learning_rat": "1:2"}, "space: 'optimizer.learning_rat' is not known; did you mean"),
        ({RATE: ""}, "space.optimizer.learning_rate: no values"),
        ({RATE: "1e-2:1e-4"}, "0.01 to 0.0001 is not allowed; it must be low < high"),
        ({RATE: "0:1:log"}, "0 to 1 is not allowed; it must be 0 < low < high"),
        ({RATE: "0:inf"}, "0 to inf is not allowed"),
        ({RATE: "1:2:lg"}, "'1:2:lg' is not allowed; it must be low:high, low:high:log or a,b,c"),
        ({RATE: "1:2:3:4"}, "must be low:high"),
        ({RATE: "slow,fast"}, "'slow' is not allowed; it must be a number"),
        ({RANK: "1.5:3"}, "1.5 is not allowed; it must be a whole number"),
        ({NESTEROV: "0:1"}, "a range is not allowed for False; list the choices"),
    ],
)
def test_what_is_wrong_is_named(space, message):
    with pytest.raises(ValueError, match=message):
        dimensions(ROWS, space)

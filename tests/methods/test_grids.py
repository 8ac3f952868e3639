"""Laws of grids over methods."""

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.methods.grids import expanded

ROWS = {name: ft.METHODS[name] for name in ("zero_shot", "full", "lora")}


def test_every_method_stands_at_every_point_of_the_fields_it_has():
    points = expanded(ROWS, {"optimizer.learning-rate": ["1e-4", 1e-3], "adapter.rank": [1, 2, 4]})
    assert list(points) == [
        "zero_shot",
        *(f"full+learning_rate={rate}" for rate in ("0.0001", "0.001")),
        *(f"lora+learning_rate={rate}+rank={rank}" for rate in ("0.0001", "0.001") for rank in (1, 2, 4)),
    ]
    for name, method in points.items():
        if name != "zero_shot":
            assert f"learning_rate={method.optimizer.learning_rate:g}" in name
    assert points["lora+learning_rate=0.001+rank=4"].adapter.rank == 4
    assert points["zero_shot"] == ROWS["zero_shot"]


def test_what_a_grid_does_not_name_stays():
    for name, method in expanded(ROWS, {"optimizer.beta1": [0.5]}).items():
        before = ROWS[name.split("+")[0]]
        assert (method.adapter, method.penalty, method.warm_start) == (
            before.adapter,
            before.penalty,
            before.warm_start,
        )


def test_a_point_that_changes_nothing_of_a_method_is_the_method():
    own = {name: ROWS[name].optimizer.learning_rate for name in ("full", "lora")}
    points = expanded(ROWS, {"optimizer.learning_rate": [own["full"], str(own["lora"]), 1e-4]})
    assert list(points) == [
        "zero_shot", "full", f"full+learning_rate={own['lora']:g}", "full+learning_rate=0.0001",
        f"lora+learning_rate={own['full']:g}", "lora", "lora+learning_rate=0.0001",
    ]  # fmt: skip
    assert all(points[name] == ROWS[name] for name in ROWS)


def test_numbers_are_one_where_programs_take_them_for_one_and_have_names_of_their_own_where_not():
    rates = ["0.3", 0.1 + 0.2, 0.30000001, 0.3000001]
    points = expanded({"full": ROWS["full"]}, {"optimizer.learning_rate": rates})
    assert list(points) == ["full+learning_rate=0.3", "full+learning_rate=0.300000101"]
    assert len({np.float32(method.optimizer.learning_rate) for method in points.values()}) == 2


def test_an_empty_grid_changes_nothing():
    assert expanded(ROWS, {}) == ROWS


def test_fields_of_one_name_are_told_apart():
    points = expanded({"kl": ft.METHODS["kl"]}, {"penalty.coef": [1.0], "optimizer.weight_decay": [0.1]})
    assert list(points) == ["kl+coef=1+weight_decay=0.1"]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"optimizer.learning_rat": [1.0]}, "grid: 'optimizer.learning_rat' is not known; did you mean"),
        ({"optimizer.learning_rate": []}, "grid.optimizer.learning_rate: no values"),
        (
            {"optimizer.learning_rate": ["fast"]},
            "grid.optimizer.learning_rate: 'fast' is not allowed; it must be a number",
        ),
        ({"adapter.rank": ["1.5"]}, "grid.adapter.rank: '1.5' is not allowed; it must be a whole number"),
    ],
)
def test_what_is_wrong_is_named(grid, message):
    with pytest.raises(ValueError, match=message):
        expanded(ROWS, grid)

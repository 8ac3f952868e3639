"""Tables: one spelling inside, both outside, and an error that helps."""

import pytest

from jaxrl_ft.core.table import Table


@pytest.fixture
def shifts():
    table = Table("shift", "-")
    table.add("long-pole", 1, "a longer pole")
    table.add("heavy_cart", 2, "a heavier cart")
    return table


def test_rows_are_found_under_both_spellings_and_listed_in_one(shifts):
    assert list(shifts) == ["long-pole", "heavy-cart"] and len(shifts) == 2
    for name in ("long-pole", "long_pole"):
        assert shifts[name] == 1 and name in shifts
        assert shifts.name(name) == "long-pole" and shifts.text(name) == "a longer pole"
    methods = Table("method")
    methods.add("shrink-perturb", 3, "text")
    assert list(methods) == ["shrink_perturb"] and methods["shrink-perturb"] == methods["shrink_perturb"] == 3
    assert dict(shifts.items()) == {"long-pole": 1, "heavy-cart": 2}


def test_add_gives_the_row_back_and_refuses_a_name_that_is_taken(shifts):
    row = object()
    assert shifts.add("flipped-actions", row, "text") is row
    for name in ("long-pole", "long_pole"):
        with pytest.raises(ValueError, match="shift 'long-pole' is in the table already"):
            shifts.add(name, 9, "text")
    assert shifts["long-pole"] == 1 and shifts.text("long-pole") == "a longer pole"


@pytest.mark.parametrize("name", ["long-poles", "Long_pole", "", 3, None])
def test_an_unknown_name_is_an_error_with_all_names(shifts, name):
    assert name not in shifts
    for look in (shifts.__getitem__, shifts.name, shifts.text):
        with pytest.raises(ValueError, match=r"shift: .* is not known.*one of: long-pole, heavy-cart"):
            look(name)
    with pytest.raises(ValueError, match="did you mean 'long-pole'"):
        shifts["long-poles"]


def test_a_table_cannot_be_assigned_to(shifts):
    with pytest.raises(TypeError):
        shifts["x"] = 1
    with pytest.raises(TypeError):
        del shifts["long-pole"]


def test_a_table_is_described_by_its_names(shifts):
    assert repr(shifts) == "2 rows of shift: long-pole, heavy-cart"
    long = Table("method")
    for i in range(84):
        long.add(f"a_name_of_usual_length_{i}", i, "")
    assert repr(long).count("\n") < 25 and max(map(len, repr(long).split("\n"))) <= 120
    assert long.name_of(7) == "a_name_of_usual_length_7" and long.name_of(84) is None


def test_a_row_is_named_by_itself_else_by_its_class():
    table = Table("number")
    table.add("one", 1, "")
    table.add("half", 0.5, "")
    assert [table.nearest_name(row) for row in (1, 2, 0.5, 0.25, "x")] == ["one", "one", "half", "half", "str"]

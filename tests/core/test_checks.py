"""Checks name the field, the value, what is allowed and the nearest name, and let nothing odd through."""

import math

import numpy as np
import pytest

from jaxrl_ft.core import checks


@pytest.mark.parametrize("value", [1, 5, np.int32(3), np.uint8(5)])
def test_counts_come_back_as_ints(value):
    result = checks.count("steps", value, 1, 5)
    assert result == value and type(result) is int


@pytest.mark.parametrize("value", [0, 6, -1, 1.0, "3", None, True, np.float32(2), np.bool_(True), [1], math.nan])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(ValueError) as caught:
        checks.count("steps", value, 1, 5)
    for part in ("steps", repr(value), "at least 1", "at most 5"):
        assert part in str(caught.value)


def test_counts_need_no_maximum():
    assert checks.count("steps", 10**30) == 10**30
    with pytest.raises(ValueError, match=r"at least 1$"):
        checks.count("steps", 0)


def test_seeds_are_those_that_jax_does_not_wrap():
    assert checks.seed(0) == 0 and checks.seed(2**32 - 1) == 2**32 - 1
    for value in (-1, 2**32, 0.0, True):
        with pytest.raises(ValueError, match="seed"):
            checks.seed(value)
    with pytest.raises(ValueError, match=r"^first_seed"):
        checks.seed(-1, "first_seed")


@pytest.mark.parametrize("value", [0.5, 1, 2.0, np.float32(0.5), np.int64(2), np.array(1.0)])
def test_numbers_come_back_as_floats(value):
    result = checks.number("gravity", value, 0.5, 2.0)
    assert result == value and type(result) is float


@pytest.mark.parametrize("value", [0.49, 2.01, math.nan, math.inf, -math.inf, "1", None, True, [1, 2], 1j])
def test_what_is_no_number_in_range_is_refused(value):
    with pytest.raises(ValueError) as caught:
        checks.number("gravity", value, 0.5, 2.0, "m/s2")
    for part in ("gravity", repr(value), "[0.5, 2]", "m/s2"):
        assert part in str(caught.value)


def test_open_and_endless_ranges():
    assert checks.number("x", 1e38, 0.0, math.inf, low_open=True) == 1e38
    with pytest.raises(ValueError, match=r"\(0, inf\), as a 32-bit number"):
        checks.number("x", 1e39, 0.0, math.inf, low_open=True)
    for value in (0.0, math.inf):
        with pytest.raises(ValueError, match=r"\(0, inf\)"):
            checks.number("x", value, 0.0, math.inf, low_open=True)
    assert checks.number("x", 0.0, 0.0, math.inf) == 0.0


def test_choices_name_all_and_the_nearest():
    assert checks.choice("kind", "lora", ["full", "lora"]) == "lora"
    with pytest.raises(ValueError, match=r"kind: 'lorra' is not known; did you mean 'lora'\? \(one of: full, lora\)"):
        checks.choice("kind", "lorra", (name for name in ["full", "lora"]))
    with pytest.raises(ValueError, match=r"'zzz' is not known \(one of: full, lora\)"):
        checks.choice("kind", "zzz", ["full", "lora"])


def test_nearest_is_silent_when_nothing_is_near():
    assert checks.nearest("long_pole", ["long-pole", "heavy-cart"]) == "; did you mean 'long-pole'?"
    assert checks.nearest("zzz", ["long-pole"]) == "" == checks.nearest("zzz", [])

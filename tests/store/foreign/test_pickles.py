"""Pickles read as data: what the standard library makes of plain values, and never a call."""

import collections
import contextlib
import pickle
import random

import ml_dtypes
import numpy as np
import pytest

from jaxrl_ft.store.foreign import pickles
from jaxrl_ft.store.foreign.pickled_arrays import array, as_mapping, is_array, objects

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
SHARED = [1, 2]
PLAIN = {
    "numbers": [0, 1, 255, 256, 65536, -1, 2**31, -(2**70), 10**200, 0.5, -1e300, True, False, None],
    "text": ["", "plain", "naïve – ü", "\n'\"", "x" * 300],
    "bytes": [b"", b"\x00\xff", b"y" * 300],
    "nested": {"a": ({"b": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]},), 3: {1.5: "x"}, ("k", 1): {}},
    "shared": [SHARED, SHARED],
    "many": list(range(1500)),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", sorted(set(PLAIN) - {"bytes"}))
def test_plain_values_come_back(name, protocol):
    assert pickles.read(pickle.dumps(PLAIN[name], protocol), "it") == PLAIN[name]


def test_bytes_come_back_and_shared_lists_stay_one():
    for protocol in range(3, pickle.HIGHEST_PROTOCOL + 1):
        assert pickles.read(pickle.dumps(PLAIN["bytes"], protocol), "it") == PLAIN["bytes"]
        first, second = pickles.read(pickle.dumps(PLAIN["shared"], protocol), "it")
        assert first is second
        assert pickles.read(pickle.dumps(bytearray(b"abc"), protocol), "it") == b"abc" or protocol < 5


ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
    np.arange(4, dtype=">f8"),
    np.array(2.5),
    np.zeros((0, 3), np.uint8),
    np.array([True, False]),
    np.arange(3).astype(ml_dtypes.bfloat16),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_numpy_come_back_in_any_order_and_type(protocol):
    for value in [*ARRAYS, np.float64(1.5), np.int8(-3)]:
        inert = pickles.read(pickle.dumps(value, protocol), "it")
        assert is_array(inert)
        found = array("it", inert)
        assert found.shape == np.shape(value) and found.dtype == np.asarray(value).dtype
        np.testing.assert_array_equal(found.astype(float), np.asarray(value).astype(float))


def test_ordered_dicts_are_entries_and_objects_are_found_by_name():
    value = collections.OrderedDict(a=1, b=collections.OrderedDict(c=2))
    inert = pickles.read(pickle.dumps(value), "it")
    assert as_mapping(as_mapping(inert)["b"]) == {"c": 2}
    assert [made.name for made in objects(inert)] == ["collections.OrderedDict"] * 2


class Harmful:
    """Would run a command if it were loaded."""

    def __reduce__(self):
        return (eval, ("__import__('os').system('true')",))


def test_a_call_is_a_record_of_it():
    for protocol in PROTOCOLS:
        made = pickles.read(pickle.dumps(Harmful(), protocol), "it")
        assert made.function.name == "eval" and made.args == ("__import__('os').system('true')",)
        with pytest.raises(ValueError, match=r"no array of plain numbers \(it is \w+\.eval\)"):
            array("it", made)


def test_what_holds_itself_is_walked_through_once():
    loop: list = []
    loop.append(loop)
    inert = pickles.read(pickle.dumps([loop, Harmful()]), "it")
    assert len(list(objects(inert))) == 1
    doubled = [Harmful()]
    for _ in range(60):
        doubled = [doubled, doubled]
    assert len(list(objects(pickles.read(pickle.dumps(doubled), "it")))) == 1


BAD = {
    b"": "no whole pickle",
    b"\x80\x04]": "no whole pickle",
    b"\x80\x04.": "no whole pickle",
    b"(.": "a mark where a value belongs",
    b"\x80\x04(t(.": "a mark where a value belongs",
    b"\x80\x04e.": "no mark where one belongs",
    b"h\x05.": "5",
    b"\x82\x01.": "instruction EXT1 is not allowed",
    b"\x80\x05\x97.": "instruction NEXT_BUFFER is not allowed",
    b"K\x01K\x02K\x03s.": "entries for a",
    b"K\x01K\x02a.": "items for a int",
    b"K\x01K\x02b.": "a state for a int",
    b"K\x01K\x02\x93.": "a name that is no text",
    b"\xff.": "opcode",
    b"}(K\x01u.": r"zip\(\)",
}


@pytest.mark.parametrize("data", BAD)
def test_what_is_no_pickle_is_refused(data):
    with pytest.raises(ValueError, match=BAD[data]):
        pickles.read(data, "it")


def test_hashing_never_follows_a_key_inwards():
    deep = b"(" + b")" + b"\x85" * 100_000 + b"K\x01d."
    assert len(pickles.read(deep, "it")) == 1


def test_damaged_pickles_are_read_or_refused():
    whole = pickle.dumps({**PLAIN, "arrays": ARRAYS, "harm": Harmful()}, 4)
    draw = random.Random(0)
    for _ in range(400):
        data = bytearray(whole[: draw.randrange(1, len(whole) + 1)])
        for _ in range(draw.randrange(1, 8)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            inert = pickles.read(bytes(data), "it")
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        for made in objects(inert):
            if is_array(made):
                with contextlib.suppress(ValueError):
                    array("it", made)

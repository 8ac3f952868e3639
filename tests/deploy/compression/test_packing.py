"""Arrays come back from how they are stored: exactly, or within what was promised."""

import numpy as np
import pytest

from jaxrl_ft.deploy.compression import packing
from jaxrl_ft.deploy.compression.packing import Packed

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(3, 5, 7)).astype(np.float32)
THIN = (RNG.normal(size=(3, 20, 2)) @ RNG.normal(size=(3, 2, 30))).astype(np.float32)


def test_whole_numbers_are_the_nearest_ones():
    leaf = np.array([[1.27, -0.64, 0.004, 0.0]], np.float32)
    packed = packing.integers(leaf, 8, (-1,))
    np.testing.assert_array_equal(packed.arrays["codes"], [[127, -64, 0, 0]])
    np.testing.assert_allclose(packed.arrays["scale"], [[0.01]], rtol=1e-6)
    assert packed.nbytes == 4 + 4


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("axes", [(-2, -1), (-2,)], ids=["tensor", "channel"])
def test_rounding_is_off_by_half_a_scale_at_most(bits, axes):
    packed = packing.integers(KERNEL, bits, axes)
    scale = np.abs(KERNEL).max(axis=axes, keepdims=True) / (2 ** (bits - 1) - 1)
    np.testing.assert_allclose(packed.arrays["scale"], scale, rtol=1e-6)
    assert (np.abs(packing.unpack(packed) - KERNEL) <= scale * 0.500001).all()
    # What is on the grid stays there.
    again = packing.integers(packing.unpack(packed), bits, axes)
    np.testing.assert_array_equal(again.arrays["codes"], packed.arrays["codes"])


def test_four_bits_lie_in_pairs_the_first_one_low():
    leaf = np.array([[7, -7, 1], [-7, 7, 3]], np.float32)
    packed = packing.integers(leaf, 4, (-1,))
    np.testing.assert_array_equal(packed.arrays["codes"], [[0x97, 0x01], [0x79, 0x03]])
    np.testing.assert_array_equal(packing.unpack(packed), leaf)


def test_zeros_have_a_scale():
    packed = packing.integers(np.zeros((2, 3), np.float32), 8, (-1,))
    np.testing.assert_array_equal(packing.unpack(packed), np.zeros((2, 3)))


def test_sparse_arrays_come_back_bit_for_bit_and_dense_ones_stay_dense():
    leaf = KERNEL * (RNG.random(KERNEL.shape) < 0.2)
    packed = packing.sparse(leaf)
    assert packed.codec == "sparse" and packed.nbytes == 3 * 5 + 4 * np.count_nonzero(leaf)
    np.testing.assert_array_equal(packing.unpack(packed), leaf)
    assert packed.multiplications(leaf) == np.count_nonzero(leaf) / 3
    assert packing.sparse(KERNEL).codec == "floats"


def test_factors_are_exact_at_the_rank_and_the_nearest_below_it():
    packed = packing.factors(THIN, 2)
    assert packed.nbytes == 3 * 2 * (20 + 30) * 4 and packed.multiplications(THIN) == 2 * (20 + 30)
    np.testing.assert_allclose(packing.unpack(packed), THIN, atol=1e-5)
    left = np.linalg.norm(packing.unpack(packing.factors(THIN, 1)) - THIN, axis=(1, 2))
    np.testing.assert_allclose(left, np.linalg.svd(THIN)[1][:, 1], rtol=1e-4)
    assert packing.factors(THIN, 12).codec == "floats"
    image = packing.factors(THIN.reshape(3, 2, 2, 5, 30), 2)
    np.testing.assert_allclose(packing.unpack(image), THIN.reshape(3, 2, 2, 5, 30), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "codec"),
    [(0 * THIN, "same"), (1e-2 * THIN, "low_rank_change"), (THIN * (RNG.random(THIN.shape) < 0.1), "entries")],
    ids=["same", "low_rank", "entries"],
)
def test_a_change_is_stored_in_the_shortest_form(change, codec):
    base = RNG.normal(size=THIN.shape).astype(np.float32)
    leaf = (base + change).astype(np.float32)
    packed = packing.change(leaf, base, 1e-6)
    assert packed.codec == codec
    found = packing.unpack(packed, base)
    if codec == "low_rank_change":
        assert packed.arrays["left"].shape[-1] == 2
        assert np.abs(found - leaf).max() <= 1e-6 * np.abs(leaf).max()
    else:
        assert found.tobytes() == leaf.tobytes()
    assert packing.change(leaf, base, 0.0).codec in ("same", "entries")


def test_deflated_bytes_come_back_and_no_more_than_were_promised():
    data = np.frombuffer(packing.deflated(KERNEL), np.uint8)
    assert packing.inflated(data, "float32", KERNEL.shape).tobytes() == KERNEL.tobytes()
    bomb = np.frombuffer(packing.deflated(np.zeros(10**6, np.uint8)), np.uint8)
    for wrong in (data[:-1], data[5:], bomb):
        with pytest.raises(ValueError, match=r"^is "):
            packing.inflated(wrong, "float32", KERNEL.shape)


@pytest.mark.parametrize(
    "packed",
    [
        Packed("floats", (2, 3), {"values": np.zeros((2, 4), np.float32)}),
        Packed("floats", (2, 3), {}),
        Packed("integers", (2, 3), {"codes": np.zeros((2, 3), np.int8), "scale": np.zeros((5, 1), np.float32)}, 8),
        Packed("integers", (2, 3), {"codes": np.zeros((2, 1), np.uint8), "scale": np.zeros((2, 1), np.float32)}, 4),
        Packed("sparse", (2, 3), {"mask": np.full((2, 1), 255, np.uint8), "values": np.zeros(5, np.float32)}),
        Packed("factors", (2, 3, 4), {"left": np.zeros((2, 3, 1)), "right": np.zeros((2, 2, 4))}),
        Packed("same", (2, 3), {}),
        Packed("pickle", (2, 3), {}),
    ],
    ids=lambda packed: packed.codec,
)
def test_arrays_that_do_not_fit_are_refused(packed):
    with pytest.raises(ValueError, match=r"^(arrays do not fit|a base of shape|codec 'pickle' is not known)"):
        packing.unpack(packed)

"""Packed arrays come back bit for bit, or not at all."""

import numpy as np
import pytest

from jaxrl_ft.store import checkpoints, packing


def test_agents_come_back_bit_for_bit(agents, same):
    arrays, metadata = packing.unpack(packing.pack(*checkpoints.parts(agents)))
    back = checkpoints.restored(arrays, metadata, "here")
    assert same((agents.params, agents.opt_state, agents.init_params), (back.params, back.opt_state, back.init_params))
    assert same(agents.curve, back.curve) and back.method == agents.method and back.status == agents.status


def test_views_of_larger_arrays_are_packed_as_they_are_seen():
    array = np.arange(12.0).reshape(3, 4)
    arrays, _ = packing.unpack(packing.pack({"a": array.T, "b": array[::2]}, {}))
    assert np.array_equal(arrays["a"], array.T) and np.array_equal(arrays["b"], array[::2])


@pytest.mark.parametrize("cut", [0, 7, 12, 40, -1])
def test_what_was_cut_off_is_refused(cut):
    data = packing.pack({"a": np.ones(8)}, {"name": "value"})
    with pytest.raises(ValueError, match="packed arrays: cannot be read"):
        packing.unpack(data[:cut])

"""Which network is usual for an observation."""

import pytest

import jaxrl_ft as ft
from jaxrl_ft.nets.catalogue import LARGE, suited

VECTORS = ft.MLP(activation="relu", layer_norm=True)


@pytest.mark.parametrize("shape", [(4,), (10, 10), (2, 9, 4), (9, 2, 4), (3, 10, 10, 4), ()])
def test_what_is_no_image_is_read_as_a_vector(shape):
    assert suited(VECTORS, {"obs": shape}) is VECTORS


def test_several_parts_are_read_as_one_vector():
    assert suited(VECTORS, {"image": (10, 10, 4), "speed": (1,)}) is VECTORS


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("shape", "places"), [((3, 5, 1), 3), ((10, 10, 4), 64), ((35, 96, 3), 33 * 94)])
def test_an_image_is_read_by_the_convolutions_of_minatar(shape, places, layer_norm):
    found = suited(ft.MLP(layer_norm=layer_norm), {"obs": shape})
    assert found == ft.CNN(layer_norm=layer_norm)
    kernels = found.reading({"obs": shape}).kernel_shapes("policy", shape[0] * shape[1] * shape[2], 3)
    assert kernels == ((3, 3, shape[2], 16), (places * 16, 128), (128, 3))


@pytest.mark.parametrize(("shape", "places"), [((36, 36, 1), 1), ((84, 84, 4), 49), ((210, 160, 3), 22 * 16)])
def test_a_large_image_is_read_by_those_of_atari(shape, places):
    found = suited(ft.MLP(), {"obs": shape})
    assert found == LARGE
    kernels = found.reading({"obs": shape}).kernel_shapes("policy", shape[0] * shape[1] * shape[2], 3)
    assert kernels[0] == (8, 8, shape[2], 32) and kernels[3] == (places * 64, 512)

"""The streams of a run's key: none is another's, and their numbers stay as they are."""

import jax
import numpy as np
import pytest

from jaxrl_ft.training import keys

STREAMS = ("INIT", "WARM_START", "ADAPTER", "PENALTY", "CARRY", "EVALUATION", "FREEZE", "INTERVENTION", "DATA", "TASKS",
           "MIXING", "STEPS", "SOURCE", "DIVERGENCE", "SIGNS")  # fmt: skip


def bits(key):
    return jax.random.key_data(key).tolist()


def test_streams_count_on_from_the_largest_number_of_updates():
    assert [getattr(keys, name) for name in STREAMS] == [2_147_483_648 + i for i in range(15)]


def test_streams_of_evaluation_are_below_2_to_the_32_and_apart():
    assert (keys.PROBE_STREAM, keys.FINAL_STREAM) == (4_294_967_295, 4_294_967_294)
    assert keys.VALIDATION_STREAM == 2_147_483_648


def test_a_stream_is_folded_into_the_key_of_the_run():
    expected = jax.random.fold_in(jax.random.fold_in(jax.random.key(7), 3), 11)
    assert bits(keys.stream_key(7, 3, 11)) == bits(expected)
    assert bits(keys.Seeds(np.uint32(7), np.uint32(3)).key(11)) == bits(expected)
    others = [keys.stream_key(*numbers) for numbers in ((3, 7, 11), (7, 11, 3), (7, 3, 12), (8, 3, 11), (7, 4, 11))]
    assert len({str(bits(key)) for key in [expected, *others]}) == 6


@pytest.mark.parametrize(
    ("arguments", "indices"),
    [
        ((5, 3), [0, 1, 2]),
        ((5, 2, 3), [0, 1, 16_777_216, 16_777_217, 33_554_432, 33_554_433]),
        ((5, 2, 2, [4, 9]), [4, 9, 16_777_220, 16_777_225]),
    ],
)
def test_members_of_a_population_have_numbers_far_apart(arguments, indices):
    seeds = keys.seeds_of(*arguments)
    assert seeds.indices.tolist() == indices and seeds.indices.dtype == np.uint32
    assert seeds.seeds.tolist() == [5] * len(indices) and seeds.seeds.dtype == np.uint32

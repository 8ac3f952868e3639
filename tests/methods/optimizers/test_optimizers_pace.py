"""When and how far an optimizer steps: spans of groups and layers, the clip, and rates that follow the KL."""

from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import pytest
from helpers.optimizer_world import GRADS, ONES, PARAMS, ZEROS, begin, gap, leaves, tree_of, walk

import jaxrl_ft as ft
from jaxrl_ft.core import tree


def test_a_group_trains_from_its_start_until_before_its_stop():
    rates = ft.Rates(policy_start=0.25, policy_stop=0.75, value_stop=0.5)
    seen = walk(ft.SGD(learning_rate=0.1, rates=rates), [0.0, 0.2, 0.25, 0.5, 0.7, 0.75, 0.9])
    moves = {group: [bool(np.any(updates[group]["head"]["bias"])) for *_, updates, _ in seen] for group in PARAMS}
    assert moves["policy"] == [False, False, True, True, True, False, False]
    assert moves["value"] == [True, True, True, False, False, False, False]


def test_groups_other_than_policy_and_value_always_train():
    params = {"extra": np.ones(2, np.float32)}
    rates = ft.Rates(policy=0.0, value=0.0, policy_start=1.0)
    optimizer = ft.SGD(learning_rate=0.1, rates=rates)
    (place,) = walk(optimizer, [0.5], grads=[params], start=(params, begin(optimizer, params)))
    assert np.all(place.updates["extra"])


def test_a_resting_groups_non_finite_gradient_stops_nobody():
    grads = tree_of(np.ones)
    grads["value"]["head"]["bias"][:] = np.nan
    (after,) = walk(ft.SGD(rates=ft.Rates(value=0.0)), [0.0], grads=[grads])
    assert int(after.state.skipped) == 0
    assert gap(after.params["policy"], PARAMS["policy"]) > 0


def test_target_kl_ends_an_update_and_the_next_one_goes_on():
    optimizer = ft.SGD(learning_rate=0.1, target_kl=0.02)
    points = [0.0, 0.0, 0.0, 0.0, 0.5, 0.5]
    seen = walk(optimizer, points, kls=[0.01, 0.0299, 0.0301, 0.0, 0.0, 0.04])
    moved = [bool(np.any(place.updates["policy"]["head"]["bias"])) for place in seen]
    assert moved == [True, True, False, False, True, False]
    assert all(int(place.state.skipped) == 0 for place in seen)
    unbound = walk(ft.SGD(), points, kls=[9.0] * 6)
    assert all(np.any(place.updates["policy"]["head"]["bias"]) for place in unbound)


def test_the_clip_is_of_the_global_norm_over_both_groups():
    optimizer = ft.SGD(learning_rate=1.0, max_grad_norm=0.5, schedule=ft.SCHEDULES["constant"])
    (place,) = walk(optimizer, [0.0], grads=[ONES])
    for leaf in jax.tree.leaves(place.updates):
        np.testing.assert_allclose(leaf, -0.5 / np.sqrt(tree.size(PARAMS)), rtol=1e-6)


def test_weight_decay_shrinks_without_touching_the_moments(same):
    optimizer = ft.Adam(learning_rate=0.1, weight_decay=0.5)
    (after,) = walk(optimizer, [0.5], grads=[ZEROS])
    for leaf, start in zip(jax.tree.leaves(after.params), jax.tree.leaves(PARAMS)):
        np.testing.assert_allclose(leaf, (1 - 0.1 * 0.5 * 0.5) * start, rtol=1e-6)
    (plain,) = walk(replace(optimizer, weight_decay=0.0), [0.5], grads=[ZEROS])
    assert same(*(jax.tree.leaves(place.state.inner) for place in (after, plain)))


def test_the_rate_follows_the_schedule():
    optimizer = ft.SGD(learning_rate=0.2, max_grad_norm=1e9, schedule=ft.SCHEDULES["cosine"])
    points = [0.0, 0.25, 0.5, 0.9]
    seen = walk(optimizer, points, grads=[ONES])
    steps = [float(-place.updates["value"]["head"]["bias"][0]) for place in seen]
    np.testing.assert_allclose(steps, [0.1 * (1 + np.cos(np.pi * p)) for p in points], rtol=1e-5)


def moving(optimizer, points):
    """Which tensors of the policy move at each point."""
    places = [PARAMS, *(place.params for place in walk(optimizer.reduced(), points))]
    flats = [tree.flatten(place["policy"]) for place in places]
    return [{path.split("/")[0] for path in one if np.any(one[path] != two[path])} for one, two in pairwise(flats)]


def test_layers_start_one_after_another_from_the_output_down():
    seen = moving(ft.Adam(rates=ft.Rates(layer_start=0.25)), [0.0, 0.2, 0.25, 0.4, 0.5, 0.9])
    assert seen == [{"head"}] * 2 + [{"head", "dense_1"}] * 2 + [{"head", "dense_1", "dense_0"}] * 2


def test_the_body_starts_at_once():
    seen = moving(ft.SGD(rates=ft.Rates(body_start=0.5)), [0.0, 0.49, 0.5, 0.9])
    assert seen == [{"head"}] * 2 + [{"head", "dense_1", "dense_0"}] * 2


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_late_layers_rest_without_moments_counts_or_a_share_in_the_norm(name, same):
    # the leash of TRAC starts too short to be seen
    change = {"initial_scale": 1e-2} if name == "trac" else {}
    optimizer = replace(ft.OPTIMIZERS[name], rates=ft.Rates(body_start=0.5), per_entry=True, **change)
    huge = [{group: {**layers, "dense_0": {"kernel": 1e6 * layers["dense_0"]["kernel"]}} for group, layers in g.items()}
            for g in GRADS]  # fmt: skip
    after, other = (walk(optimizer, [0.0, 0.1], grads=grads)[-1] for grads in (GRADS, huge))
    assert same(after.params, other.params)
    for layer in ("dense_0", "dense_1"):
        assert same(after.params["policy"][layer], PARAMS["policy"][layer])
    start = leaves(begin(optimizer).inner["policy"])
    for path, leaf in leaves(after.state.inner["policy"]).items():
        if leaf.shape == (12,):
            np.testing.assert_array_equal(leaf[:10], start[path][:10])
    assert gap(walk(optimizer, [0.6], start=after)[-1].params, after.params) > 0


def test_a_late_layer_steps_as_a_young_one():
    optimizer = ft.Adam(rates=ft.Rates(body_start=0.5), schedule=ft.SCHEDULES["constant"], max_grad_norm=1e9)
    late = walk(optimizer.reduced(), [0.0, 0.1, 0.2, 0.5, 0.6])[-1].params
    young = walk(replace(optimizer, rates=ft.Rates()), [0.5, 0.6], grads=GRADS[3:5])[-1].params
    for layer in ("dense_0", "dense_1"):
        assert gap(late["policy"][layer], young["policy"][layer]) < 5e-7


def test_reducing_shares_the_program_and_not_a_bit_changes(same):
    plain, set_ = ft.Adam(), ft.Adam(target_kl=0.01, desired_kl=0.01)
    assert jax.tree.structure(plain.reduced()) == jax.tree.structure(set_.reduced())
    assert plain.target_kl is None and plain.reduced().reduced() == plain.reduced()
    kls = [0.0, 1e30, np.nan, np.inf]
    one, other = (walk(optimizer, [0.0, 0.0, 0.5, 0.5], kls)[-1] for optimizer in (plain, plain.reduced()))
    assert same(one, other)
    assert not ft.Adam(rates=ft.Rates(policy_start=0.5)).reduced().per_entry


def test_the_rate_follows_the_kl_within_its_range():
    optimizer = ft.SGD(learning_rate=0.1, desired_kl=0.01, min_multiplier=0.5, max_multiplier=2.0)
    kls = [0.0, 0.01, 0.004, 0.006, 0.019, 0.021, 0.001, 0.001, 0.001, np.nan, 1.0, 1.0, 1.0, 1.0]
    factors = [float(place.state.multiplier) for place in walk(optimizer, np.linspace(0, 0.9, len(kls)), kls)]
    expected = [1, 1, 1.5, 1.5, 1.5, 1, 1.5, 2, 2, 2, 4 / 3, 8 / 9, 16 / 27, 0.5]
    np.testing.assert_allclose(factors, expected, rtol=1e-6)


def test_the_multiplier_scales_this_very_step_and_rests_after_a_stop():
    plain = ft.SGD(learning_rate=0.1)
    optimizer = replace(plain, desired_kl=0.01)
    one, two = (walk(o, [0.0], [0.05])[-1].params for o in (plain, optimizer))
    difference = jax.tree.map(lambda a, b, p: (a - p) / (b - p), one, two, PARAMS)
    assert all(np.allclose(leaf, 1.5, rtol=1e-3) for leaf in jax.tree.leaves(difference))
    stopping = replace(optimizer, target_kl=0.02)
    factors = [float(place.state.multiplier) for place in walk(stopping, [0.0, 0.0, 0.0, 0.5], [0.05] * 4)]
    np.testing.assert_allclose(factors, [2 / 3, 2 / 3, 2 / 3, 4 / 9], rtol=1e-6)

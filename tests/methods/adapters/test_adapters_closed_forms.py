"""Adapters that map, choose or add, against their definitions written out in NumPy."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers.adapted import (
    BASE,
    KEY,
    LAYERS,
    OBS,
    forward,
    merge,
    network_of,
    normal,
    outputs,
    plain,
    randomized,
    start,
)

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.methods import adapters
from jaxrl_ft.nets import actor_critic, parts


def nested(outputs):
    """A network with a residual, an offset and a column of its own."""
    column = {
        **plain(4, outputs),
        "lateral_1": {"kernel": normal(8, 8)},
        "lateral_head": {"kernel": normal(8, outputs)},
    }
    return {**plain(4, outputs), "residual": plain(4, outputs, 3), "offset": plain(4, outputs, 2), "column": column}


RICH = {"policy": {**nested(2), "log_std": normal(2)}, "value": nested(1)}


def test_ia3_rescales_what_the_hidden_layers_pass_on():
    frozen, delta = start(adapters.IA3())
    assert {leaf.shape for leaf in jax.tree.leaves(delta)} == {(8,)}
    delta = randomized(delta)
    for group, actual in zip(BASE, outputs(merge(adapters.IA3(), frozen, delta))):
        scales = (1.0, *(np.asarray(delta[group][name]["scale"], float) for name in ("dense_1", "head")))
        kernels = {name: BASE[group][name]["kernel"] for name in LAYERS}
        np.testing.assert_allclose(actual, forward(BASE[group], OBS, kernels, scales), atol=1e-5)


@pytest.mark.parametrize("base", [BASE, RICH], ids=["plain", "with parts"])
def test_an_input_map_is_a_map_of_the_observation(base):
    delta = randomized(start(ft.InputAffine(), base)[1])
    merged = merge(ft.InputAffine(), base, delta)
    for group, actual in zip(base, outputs(merged)):
        entries = delta[group]["input"]
        seen = OBS @ entries["kernel"] + entries["bias"]
        np.testing.assert_allclose(actual, network_of(base[group], seen), atol=2e-5)


@pytest.mark.parametrize("base", [BASE, RICH], ids=["plain", "with parts"])
def test_an_output_map_is_a_map_of_the_outputs(base):
    delta = randomized(start(adapters.OutputAffine(), base)[1])
    for group, before, actual in zip(base, outputs(base), outputs(merge(adapters.OutputAffine(), base, delta))):
        entries = delta[group]["output"]
        np.testing.assert_allclose(actual, before @ entries["kernel"] + entries["bias"], atol=2e-5)


@pytest.mark.parametrize("per_thousand, share", [(100, 0.1), (1, 0.0), (1000, 1.0)])
def test_sparse_trains_distinct_entries_of_each_kernel(per_thousand, share):
    adapter = adapters.Sparse(per_thousand=per_thousand)
    frozen, delta = start(adapter)
    merged = merge(adapter, frozen, jax.tree.map(lambda leaf: leaf + 1.0, delta))
    for path, leaf in tree.flatten(BASE).items():
        moved = np.asarray(tree.flatten(merged)[path]) - leaf
        num = max(1, round(share * leaf.size)) if path.endswith("/kernel") else 0
        assert np.count_nonzero(moved) == num
        np.testing.assert_allclose(moved[moved != 0], 1.0, rtol=1e-6)
    assert tree.size(delta) == sum(max(1, round(share * leaf.size)) for path, leaf in tree.flatten(BASE).items()
                                   if path.endswith("/kernel"))  # fmt: skip


def test_a_bottleneck_that_is_there_goes_on_and_grows_to_the_width():
    narrow = adapters.Bottleneck(width=2)
    base = tree.overlay(BASE, randomized(start(narrow)[1]))
    jax.tree.map(np.testing.assert_array_equal, narrow.merge(*start(narrow, base)), base)
    wide = adapters.Bottleneck(width=5)
    merged = wide.merge(*start(wide, base))
    assert merged["policy"]["bottleneck_1"]["down"]["kernel"].shape == (8, 5)
    for before, after in zip(outputs(base), outputs(merged)):
        np.testing.assert_allclose(after, before, atol=1e-6)
    again = jax.eval_shape(narrow.init, KEY, merged)
    assert again["policy"]["bottleneck_1"]["down"]["kernel"].shape == (8, 5)


def test_a_residual_policy_adds_its_networks_outputs():
    adapter = adapters.ResidualPolicy(width=3)
    delta = randomized(start(adapter)[1])
    added = outputs({group: delta[group]["residual"] for group in BASE})
    for before, after, plus in zip(outputs(BASE), outputs(adapter.merge(BASE, delta)), added):
        np.testing.assert_allclose(after, before + plus, atol=1e-5)
    assert parts.widths(delta["policy"]["residual"]) == (3, 3)


def test_an_injection_adds_the_change_of_a_fresh_network():
    adapter = adapters.PlasticityInjection()
    frozen, delta = start(adapter)
    for group in BASE:
        jax.tree.map(np.testing.assert_array_equal, delta[group]["residual"], frozen[group]["offset"])
        gain = actor_critic.head_gain(group)
        np.testing.assert_allclose(np.linalg.svd(frozen[group]["offset"]["head"]["kernel"])[1], gain, rtol=1e-4)
    before = outputs({group: frozen[group]["offset"] for group in BASE})
    moved = {group: {**delta[group], "residual": randomized(delta[group]["residual"])} for group in BASE}
    after = outputs({group: moved[group]["residual"] for group in BASE})
    for base, one, two, got in zip(outputs(BASE), before, after, outputs(adapter.merge(frozen, moved))):
        np.testing.assert_allclose(got, base + two - one, atol=1e-5)


def test_a_column_starts_at_the_bases_head_and_may_be_narrower():
    _, delta = start(adapters.ProgressiveColumn(width=3))
    for group, layers in BASE.items():
        column = delta[group]["column"]
        assert parts.widths(column) == (3, 3)
        np.testing.assert_array_equal(column["lateral_head"]["kernel"], layers["head"]["kernel"])
        np.testing.assert_array_equal(column["head"]["bias"], layers["head"]["bias"])
        assert not np.any(column["head"]["kernel"])


def test_last_k_counts_layers_within_the_sub_network_that_holds_them():
    sides = {"down": (8, 2), "up": (2, 8)}
    block = {side: {"kernel": normal(*shape), "bias": normal(shape[1])} for side, shape in sides.items()}
    grown = {**BASE, "policy": {**BASE["policy"], "bottleneck_0": block, "residual": {
        "dense_0": BASE["policy"]["dense_0"], "head": BASE["policy"]["head"]}}}  # fmt: skip
    one, two, three = (set(tree.flatten(ft.LastK(k=k).init(KEY, grown)["policy"])) for k in (1, 2, 3))
    heads = {f"{prefix}head/{leaf}" for prefix in ("", "residual/") for leaf in ("kernel", "bias")}
    assert one == heads | {"log_std"}
    assert two - one == {f"{name}/{leaf}" for name in ("dense_1", "residual/dense_0") for leaf in ("kernel", "bias")}
    assert three == set(tree.flatten(grown["policy"]))


def test_partial_refuses_a_pattern_that_matches_nothing_and_names_the_paths():
    with pytest.raises(ValueError, match=r"'headd' matches no parameter .*policy/head/kernel"):
        ft.Partial(pattern="headd").init(KEY, BASE)
    with pytest.raises(ValueError, match=r"norm_.* matches no parameter .*policy/head/kernel"):
        ft.ADAPTERS["norm"].init(KEY, BASE)
    assert set(replace(ft.ADAPTERS["norm"], critic="full").init(KEY, BASE)) == {"value"}


def test_partial_refuses_what_is_no_regular_expression():
    with pytest.raises(ValueError, match=r"pattern: '\(' is not a regular expression"):
        ft.Partial(pattern="(").check()

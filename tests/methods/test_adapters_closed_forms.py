"""Each adapter against its definition, written out in NumPy."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.methods import adapters
from jaxrl_ft.nets import actor_critic, mlp, parts

NETWORK = ft.MLP(width=8)
LAYERS = ("dense_0", "dense_1", "head")
KEY = jax.random.key(0)
RANDOM = np.random.default_rng(5)


def normal(*shape):
    return (0.5 * RANDOM.standard_normal(shape)).astype(np.float32)


def plain(inputs, outputs, width=8):
    sizes = [inputs, width, width, outputs]
    return {name: {"kernel": normal(*pair), "bias": normal(pair[1])}
            for name, pair in zip(LAYERS, itertools.pairwise(sizes))}  # fmt: skip


OBS = normal(5, 4)
BASE = {"policy": {**plain(4, 2), "log_std": normal(2)}, "value": plain(4, 1)}


def nested(outputs):
    """A network with a residual, an offset and a column of its own."""
    column = {
        **plain(4, outputs),
        "lateral_1": {"kernel": normal(8, 8)},
        "lateral_head": {"kernel": normal(8, outputs)},
    }
    return {**plain(4, outputs), "residual": plain(4, outputs, 3), "offset": plain(4, outputs, 2), "column": column}


RICH = {"policy": {**nested(2), "log_std": normal(2)}, "value": nested(1)}


def outputs(params, obs=OBS):
    return [np.asarray(mlp.apply(params[group], NETWORK, obs)[0]) for group in params]


def start(adapter, base=BASE):
    frozen = adapter.freeze(jax.random.key(1), base)
    return frozen, adapter.init(KEY, frozen)


def randomized(delta):
    return jax.tree.map(lambda leaf: normal(*leaf.shape), delta)


def forward(layers, x, kernels, scales=(1.0, 1.0, 1.0)):
    x = x.astype(np.float64)
    for name, scale in zip(LAYERS, scales):
        x = (x * scale) @ np.asarray(kernels[name], float) + layers[name]["bias"]
        x = x if name == "head" else np.tanh(x)
    return x


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_lora_is_a_scaled_product_beside_each_kernel(power):
    adapter = as_arrays(ft.LoRA(rank=3, alpha=6.0, rank_power=power))
    frozen, delta = start(adapter)
    delta = randomized(delta)
    got = outputs(adapter.merge(frozen, delta))
    for group, actual in zip(BASE, got):
        kernels = {}
        for name in LAYERS:
            a, b = (np.asarray(delta[group][name][factor], float) for factor in ("lora_a", "lora_b"))
            kernels[name] = BASE[group][name]["kernel"] + 6.0 / a.shape[1] ** power * a @ b
        np.testing.assert_allclose(actual, forward(BASE[group], OBS, kernels), atol=1e-5)


def test_lora_caps_the_rank_at_the_smaller_side_of_each_kernel():
    shapes = {path: leaf.shape for path, leaf in tree.flatten(ft.LoRA(rank=5).init(KEY, BASE)["policy"]).items()}
    assert shapes == {
        "dense_0/lora_a": (4, 4), "dense_0/lora_b": (4, 8), "dense_1/lora_a": (8, 5), "dense_1/lora_b": (5, 8),
        "head/lora_a": (8, 2), "head/lora_b": (2, 2),
    }  # fmt: skip


@pytest.mark.parametrize("kind", [adapters.LoRA, adapters.DoRA])
def test_a_rank_above_every_kernel_is_refused(kind):
    kind(rank=8).init(KEY, BASE)
    with pytest.raises(ValueError, match="rank: 9 is above the layer's width 8; "):
        kind(rank=9).init(KEY, BASE)


def test_loras_a_is_kaiming_uniform_and_differs_between_layers():
    wide = {"policy": {name: {"kernel": np.zeros((400, 300), np.float32)} for name in ("dense_0", "head")}}
    delta = ft.LoRA(rank=200).init(KEY, wide)["policy"]
    first, second = (np.asarray(delta[name]["lora_a"]) for name in ("dense_0", "head"))
    bound = 400**-0.5
    assert 0.999 * bound < np.abs(first).max() <= bound
    np.testing.assert_allclose(first.std(), bound / np.sqrt(3), rtol=0.01)
    assert not np.array_equal(first, second)


def test_dora_gives_each_output_unit_its_magnitude_along_a_low_rank_direction():
    adapter = as_arrays(adapters.DoRA(rank=2, alpha=3.0))
    frozen, delta = start(adapter)
    for name in LAYERS:
        lengths = np.sqrt((BASE["policy"][name]["kernel"] ** 2).sum(axis=0))
        np.testing.assert_allclose(delta["policy"][name]["magnitude"], lengths, rtol=1e-6)
    delta = randomized(delta)
    merged = adapter.merge(frozen, delta)
    for name in LAYERS:
        entries = {key: np.asarray(leaf, float) for key, leaf in delta["policy"][name].items()}
        v = BASE["policy"][name]["kernel"] + 3.0 / 2 * entries["lora_a"] @ entries["lora_b"]
        expected = entries["magnitude"] * v / np.linalg.norm(v, axis=0)
        np.testing.assert_allclose(merged["policy"][name]["kernel"], expected, atol=1e-5)
        np.testing.assert_array_equal(merged["policy"][name]["bias"], BASE["policy"][name]["bias"])


def test_doras_gradient_takes_the_norm_for_a_constant():
    adapter = as_arrays(adapters.DoRA(rank=2, alpha=2.0))
    frozen, delta = start(adapter)
    delta, weights = randomized(delta), normal(8, 8)
    grads = jax.grad(lambda delta: jnp.sum(weights * adapter.merge(frozen, delta)["policy"]["dense_1"]["kernel"]))(
        delta
    )
    a, b, m = (np.asarray(delta["policy"]["dense_1"][name], float) for name in ("lora_a", "lora_b", "magnitude"))
    v = BASE["policy"]["dense_1"]["kernel"] + a @ b
    norms = np.linalg.norm(v, axis=0)
    got = grads["policy"]["dense_1"]
    np.testing.assert_allclose(got["magnitude"], (weights * v).sum(axis=0) / norms, atol=1e-4)
    np.testing.assert_allclose(got["lora_b"], a.T @ (weights * m / norms), atol=1e-4)
    np.testing.assert_allclose(got["lora_a"], (weights * m / norms) @ b.T, atol=1e-4)


def test_dora_treats_a_unit_without_a_direction_as_lora_does():
    kernel = normal(8, 8) * (np.arange(8) > 2)
    base = {"policy": {**BASE["policy"], "dense_1": {"kernel": kernel, "bias": normal(8)}}}
    adapter = as_arrays(adapters.DoRA(rank=2, alpha=2.0))
    frozen, delta = start(adapter, base)
    np.testing.assert_allclose(adapter.merge(frozen, delta)["policy"]["dense_1"]["kernel"], kernel, atol=1e-6)
    delta = randomized(delta)
    plain_lora = as_arrays(ft.LoRA(rank=2, alpha=2.0)).merge(base, delta)["policy"]["dense_1"]["kernel"]
    silent = kernel.any(axis=0) == 0
    got = adapter.merge(frozen, delta)["policy"]["dense_1"]["kernel"]
    np.testing.assert_allclose(got[:, silent], plain_lora[:, silent], atol=1e-6)
    grads = jax.grad(lambda delta: adapter.merge(frozen, delta)["policy"]["dense_1"]["kernel"].sum())(delta)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    assert np.all(np.any(grads["policy"]["dense_1"]["lora_b"][:, silent] != 0, axis=0))


def test_a_subspace_moves_along_fixed_directions_of_unit_length():
    adapter = adapters.RandomSubspace(dimensions=6)
    frozen, delta = start(adapter)
    assert {path: leaf.shape for path, leaf in tree.flatten(delta).items()} == {"policy/z": (6,), "value/z": (6,)}
    delta = randomized(delta)
    merged = adapter.merge(frozen, delta)
    for group, params in BASE.items():
        projection = np.asarray(frozen["projection"][group], float)
        np.testing.assert_allclose(np.linalg.norm(projection, axis=1), 1.0, rtol=1e-6)
        # Independent directions are nearly orthogonal: cosines have a standard deviation of 1/sqrt(D).
        cosines = projection @ projection.T - np.eye(6)
        assert np.abs(cosines).max() < 5 * projection.shape[1] ** -0.5
        moved = tree.ravel(merged[group]) - tree.ravel(params)
        np.testing.assert_allclose(moved, delta[group]["z"] @ projection, atol=1e-6)


def test_more_dimensions_than_parameters_are_refused():
    size = tree.size(BASE["value"])
    adapters.RandomSubspace(dimensions=size).freeze(KEY, BASE)
    with pytest.raises(ValueError, match=f"dimensions: {size + 1} is above the {size} parameters of `value`"):
        adapters.RandomSubspace(dimensions=size + 1).freeze(KEY, BASE)


def test_ia3_rescales_what_the_hidden_layers_pass_on():
    frozen, delta = start(adapters.IA3())
    delta = randomized(delta)
    for group, actual in zip(BASE, outputs(adapters.IA3().merge(frozen, delta))):
        scales = (1.0, *(np.asarray(delta[group][name]["scale"], float) for name in ("dense_1", "head")))
        kernels = {name: BASE[group][name]["kernel"] for name in LAYERS}
        np.testing.assert_allclose(actual, forward(BASE[group], OBS, kernels, scales), atol=1e-5)


@pytest.mark.parametrize("base", [BASE, RICH], ids=["plain", "with parts"])
def test_an_input_map_is_a_map_of_the_observation(base):
    delta = randomized(ft.InputAffine().init(KEY, base))
    merged = ft.InputAffine().merge(base, delta)
    for group, actual in zip(base, outputs(merged)):
        entries = delta[group]["input"]
        seen = OBS @ entries["kernel"] + entries["bias"]
        np.testing.assert_allclose(actual, mlp.apply(base[group], NETWORK, seen)[0], atol=2e-5)


@pytest.mark.parametrize("base", [BASE, RICH], ids=["plain", "with parts"])
def test_an_output_map_is_a_map_of_the_outputs(base):
    delta = randomized(adapters.OutputAffine().init(KEY, base))
    for group, before, actual in zip(base, outputs(base), outputs(adapters.OutputAffine().merge(base, delta))):
        entries = delta[group]["output"]
        np.testing.assert_allclose(actual, before @ entries["kernel"] + entries["bias"], atol=2e-5)


@pytest.mark.parametrize("per_thousand, share", [(100, 0.1), (1, 0.0), (1000, 1.0)])
def test_sparse_trains_distinct_entries_of_each_kernel(per_thousand, share):
    adapter = adapters.Sparse(per_thousand=per_thousand)
    frozen, delta = start(adapter)
    merged = adapter.merge(frozen, jax.tree.map(lambda leaf: leaf + 1.0, delta))
    for path, leaf in tree.flatten(BASE).items():
        moved = np.asarray(tree.flatten(merged)[path]) - leaf
        num = max(1, round(share * leaf.size)) if path.endswith("/kernel") else 0
        assert np.count_nonzero(moved) == num
        np.testing.assert_allclose(moved[moved != 0], 1.0, rtol=1e-6)
    assert tree.size(delta) == sum(max(1, round(share * leaf.size)) for path, leaf in tree.flatten(BASE).items()
                                   if path.endswith("/kernel"))  # fmt: skip


def test_a_bottleneck_that_is_there_goes_on_and_grows_to_the_width():
    narrow = adapters.Bottleneck(width=2)
    base = tree.overlay(BASE, randomized(narrow.init(KEY, BASE)))
    jax.tree.map(np.testing.assert_array_equal, narrow.merge(base, narrow.init(KEY, base)), base)
    wide = adapters.Bottleneck(width=5)
    merged = wide.merge(base, wide.init(KEY, base))
    assert merged["policy"]["bottleneck_1"]["down"]["kernel"].shape == (8, 5)
    for before, after in zip(outputs(base), outputs(merged)):
        np.testing.assert_allclose(after, before, atol=1e-6)
    again = narrow.init(KEY, merged)
    assert again["policy"]["bottleneck_1"]["down"]["kernel"].shape == (8, 5)


def test_a_residual_policy_adds_its_networks_outputs():
    adapter = adapters.ResidualPolicy(width=3)
    delta = randomized(adapter.init(KEY, BASE))
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
    delta = adapters.ProgressiveColumn(width=3).init(KEY, BASE)
    for group, layers in BASE.items():
        column = delta[group]["column"]
        assert parts.widths(column) == (3, 3)
        np.testing.assert_array_equal(column["lateral_head"]["kernel"], layers["head"]["kernel"])
        np.testing.assert_array_equal(column["head"]["bias"], layers["head"]["bias"])
        assert not np.any(column["head"]["kernel"])


def test_last_k_counts_layers_within_the_sub_network_that_holds_them():
    grown = {**BASE, "policy": {**BASE["policy"], "bottleneck_0": parts.bottleneck(KEY, 8, 2), "residual": {
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

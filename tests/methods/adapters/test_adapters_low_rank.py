"""Adapters that train within a small linear space, against their definitions written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.adapted import BASE, KEY, LAYERS, OBS, forward, merge, normal, outputs, randomized, start
from helpers.compiling import quick
from helpers.trees import flat

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.methods import adapters


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_lora_is_a_scaled_product_beside_each_kernel(power):
    adapter = as_arrays(ft.LoRA(rank=3, alpha=6.0, rank_power=power))
    frozen, delta = start(adapter)
    delta = randomized(delta)
    got = outputs(merge(adapter, frozen, delta))
    for group, actual in zip(BASE, got):
        kernels = {}
        for name in LAYERS:
            a, b = (np.asarray(delta[group][name][factor], float) for factor in ("lora_a", "lora_b"))
            kernels[name] = BASE[group][name]["kernel"] + 6.0 / 3**power * a @ b
        np.testing.assert_allclose(actual, forward(BASE[group], OBS, kernels), atol=1e-5)


def test_every_kernel_has_factors_of_the_whole_rank_and_one_scale():
    adapter = as_arrays(ft.LoRA(rank=5, alpha=10.0))
    frozen, delta = start(adapter)
    shapes = {path: leaf.shape for path, leaf in tree.flatten(delta["policy"]).items()}
    assert shapes == {
        "dense_0/lora_a": (4, 5), "dense_0/lora_b": (5, 8), "dense_1/lora_a": (8, 5), "dense_1/lora_b": (5, 8),
        "head/lora_a": (8, 5), "head/lora_b": (5, 2),
    }  # fmt: skip
    ones = tree.unflatten({path: np.ones(np.shape(leaf), np.float32) for path, leaf in tree.flatten(delta).items()})
    merged = merge(adapter, frozen, ones)
    for name in LAYERS:
        change = np.asarray(merged["policy"][name]["kernel"]) - BASE["policy"][name]["kernel"]
        np.testing.assert_allclose(change, 10.0 / 5 * 5, rtol=1e-6)


@pytest.mark.parametrize("kind", [adapters.LoRA, adapters.DoRA])
def test_a_rank_above_every_kernel_is_refused(kind):
    jax.eval_shape(kind(rank=8).init, KEY, BASE)
    with pytest.raises(ValueError, match="rank: 9 is above the layer's width 8; "):
        kind(rank=9).init(KEY, BASE)


def test_loras_a_is_kaiming_uniform_and_differs_between_layers():
    wide = {"policy": {name: {"kernel": np.zeros((400, 300), np.float32)} for name in ("dense_0", "head")}}
    delta = start(ft.LoRA(rank=200), wide)[1]["policy"]
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
    merged = merge(adapter, frozen, delta)
    for name in LAYERS:
        entries = {key: np.asarray(leaf, float) for key, leaf in delta["policy"][name].items()}
        v = BASE["policy"][name]["kernel"] + 3.0 / 2 * entries["lora_a"] @ entries["lora_b"]
        expected = entries["magnitude"] * v / np.linalg.norm(v, axis=0)
        np.testing.assert_allclose(merged["policy"][name]["kernel"], expected, atol=1e-5)
        np.testing.assert_array_equal(merged["policy"][name]["bias"], BASE["policy"][name]["bias"])


@quick
def weighted(adapter, frozen, delta, weights):
    """A kernel after merging, and the gradients of its sum with these weights."""

    def loss(delta):
        kernel = adapter.merge(frozen, delta)["policy"]["dense_1"]["kernel"]
        return jnp.sum(weights * kernel), kernel

    grads, kernel = jax.grad(loss, has_aux=True)(delta)
    return kernel, grads


def test_doras_gradient_takes_the_norm_for_a_constant():
    adapter = as_arrays(adapters.DoRA(rank=2, alpha=2.0))
    frozen, delta = start(adapter)
    delta, weights = randomized(delta), normal(8, 8)
    _, grads = weighted(adapter, frozen, delta, weights)
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
    ones = np.ones((8, 8), np.float32)
    np.testing.assert_allclose(weighted(adapter, frozen, delta, ones)[0], kernel, atol=1e-6)
    delta = randomized(delta)
    plain_lora = merge(as_arrays(ft.LoRA(rank=2, alpha=2.0)), base, delta)["policy"]["dense_1"]["kernel"]
    silent = kernel.any(axis=0) == 0
    got, grads = jax.device_get(weighted(adapter, frozen, delta, ones))
    np.testing.assert_allclose(got[:, silent], np.asarray(plain_lora)[:, silent], atol=1e-6)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    assert np.all(np.any(grads["policy"]["dense_1"]["lora_b"][:, silent] != 0, axis=0))


def test_a_subspace_moves_along_fixed_directions_of_unit_length():
    adapter = adapters.RandomSubspace(dimensions=6)
    frozen, delta = start(adapter)
    assert {path: leaf.shape for path, leaf in tree.flatten(delta).items()} == {"policy/z": (6,), "value/z": (6,)}
    delta = randomized(delta)
    merged = merge(adapter, frozen, delta)
    for group, params in BASE.items():
        projection = np.asarray(frozen["projection"][group], float)
        np.testing.assert_allclose(np.linalg.norm(projection, axis=1), 1.0, rtol=1e-6)
        # Independent directions are nearly orthogonal: cosines have a standard deviation of 1/sqrt(D).
        cosines = projection @ projection.T - np.eye(6)
        assert np.abs(cosines).max() < 5 * projection.shape[1] ** -0.5
        moved = flat(merged[group]) - flat(params)
        np.testing.assert_allclose(moved, delta[group]["z"] @ projection, atol=1e-6)


def test_more_dimensions_than_parameters_are_refused():
    size = tree.size(BASE["value"])
    jax.eval_shape(adapters.RandomSubspace(dimensions=size).freeze, KEY, BASE)
    with pytest.raises(ValueError, match=f"dimensions: {size + 1} is above the {size} parameters of `value`"):
        jax.eval_shape(adapters.RandomSubspace(dimensions=size + 1).freeze, KEY, BASE)

"""Schedules and layer-wise rates in closed form."""

from itertools import pairwise

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.methods.optimizers.rates import AutoRGN, Rates

P = np.linspace(0, 1, 41, dtype=np.float32)
W = 0.1
AFTER = np.clip((P - W) / (1 - W), 0, 1)
SHAPES = {
    "constant": np.ones_like(P),
    "linear": 1 - P,
    "cosine": (1 + np.cos(np.pi * P)) / 2,
    "warmup_constant": np.minimum(P / W, 1),
    "warmup_cosine": np.where(P < W, P / W, (1 + np.cos(np.pi * AFTER)) / 2),
}


def shape(schedule):
    return jax.vmap(as_arrays(schedule).shape)(P)


@pytest.mark.parametrize("name", list(ft.SCHEDULES))
def test_every_schedule_stays_within_zero_and_one(name):
    shares = np.asarray(shape(ft.SCHEDULES[name]))
    assert np.all(np.isfinite(shares)) and shares.min() >= 0 and shares.max() <= 1
    np.testing.assert_allclose(shares, SHAPES.get(name, shares), atol=1e-6)


def test_the_end_is_the_final_share():
    for cosine in (0.0, 1.0):
        assert np.isclose(shape(ft.Schedule(final=0.25, cosine=cosine, warmup=0.3))[-1], 0.25)


def test_halfway_between_linear_and_cosine_is_their_mean():
    mean = (shape(ft.Schedule()) + shape(ft.Schedule(cosine=1.0))) / 2
    np.testing.assert_allclose(shape(ft.Schedule(cosine=0.5)), mean, atol=1e-6)


def factors(rates, params):
    return {path: float(factor) for path, factor in tree.flatten(as_arrays(rates).factors(params)).items()}


@pytest.fixture(scope="module")
def params(random_params, source):
    base = random_params(source, ft.MLP(width=4, depth=3, layer_norm=True))
    return {group: {**layers, "input": {"kernel": np.eye(4, dtype=np.float32)}} for group, layers in base.items()}


def test_layer_decay_is_a_power_of_the_distance_to_the_output(params):
    got = factors(ft.Rates(layer_decay=0.5), params)
    expected = {"head": 1.0, "dense_2": 0.5, "norm_2": 0.5, "dense_1": 0.25, "norm_1": 0.25, "dense_0": 0.125,
                "norm_0": 0.125, "input": 0.0625}  # fmt: skip
    assert got == {path: expected[path.split("/")[1]] for path in got}
    assert {path.split("/")[1] for path in got} == set(expected)


def test_group_factors_multiply_the_layers(params):
    got = factors(ft.Rates(policy=3.0, value=0.25, layer_decay=0.5), params)
    assert got["policy/head/bias"] == 3.0 and got["policy/dense_1/kernel"] == 0.75
    assert got["value/head/bias"] == 0.25 and got["value/dense_1/kernel"] == 0.0625


def test_without_decay_every_factor_is_one_bit_for_bit(params):
    assert set(factors(ft.Rates(), params).values()) == {1.0}


def test_log_std_belongs_to_the_output(random_params):
    got = factors(ft.Rates(layer_decay=0.5), random_params(ft.make_task("Pendulum-v1"), ft.MLP(width=4)))
    assert got["policy/log_std"] == got["policy/head/kernel"] == 1.0


def test_the_distance_counts_the_layers_that_train(params):
    delta = tree.select(params, lambda path: "/dense_1/" in path or "/head/" in path)
    got = factors(ft.Rates(layer_decay=0.5), delta)
    assert got["policy/dense_1/kernel"] == 0.5


def awake(rates, params, progress):
    flat = tree.flatten(as_arrays(rates).awake(params, np.float32(progress)))
    return {path.split("/")[1] for path, on in flat.items() if on}


def test_layers_wake_from_the_output_down(params):
    everything = {path.split("/")[1] for path in tree.flatten(params)}
    rates = ft.Rates(layer_start=0.2)
    seen = [awake(rates, params, progress) for progress in (0.0, 0.2, 0.4, 0.6, 0.8)]
    assert seen[0] == {"head"}
    for i, (before, after) in enumerate(pairwise(seen)):
        assert after - before == ({f"dense_{2 - i}", f"norm_{2 - i}"} if i < 3 else {"input"})
    assert seen[-1] == everything
    assert awake(ft.Rates(), params, 0.0) == everything
    assert awake(ft.Rates(body_start=0.3), params, 0.29) == {"head"}
    assert awake(ft.Rates(body_start=0.3), params, 0.3) == everything


def test_relative_gradient_norms_are_shares_of_the_largest(params):
    group = jax.tree.map(np.asarray, params["policy"])
    rng = np.random.default_rng(0)
    grads = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), group)
    group["norm_0"]["bias"] = np.zeros_like(group["norm_0"]["bias"])
    ratios = {path: np.linalg.norm(leaf) / np.linalg.norm(tree.flatten(group)[path])
              for path, leaf in tree.flatten(grads).items() if path != "norm_0/bias"}  # fmt: skip
    factor = np.full(tree.size(group), 0.5, np.float32)
    got = tree.flatten(tree.unravel(AutoRGN().tuned(factor, tree.ravel(grads), group), group))
    for path, leaf in got.items():
        share = ratios[path] / max(ratios.values()) if path in ratios else 1.0
        np.testing.assert_allclose(leaf, 0.5 * share, rtol=1e-5)
    still = AutoRGN().tuned(factor, np.zeros_like(factor), group)
    np.testing.assert_array_equal(still, factor)
    assert Rates().tuned(factor, tree.ravel(grads), group) is factor


def test_each_network_of_a_group_counts_its_own_layers():
    leaf = np.ones(1, np.float32)
    layers = {"dense_0": {"kernel": leaf}, "dense_1": {"kernel": leaf}, "head": {"kernel": leaf}}
    params = {"policy": {**layers, "bottleneck_1": {"up": leaf}, "residual": {"dense_0": leaf, "head": leaf}}}
    got = factors(ft.Rates(layer_decay=0.5), params)
    assert got["policy/dense_0/kernel"] == 0.25 and got["policy/bottleneck_1/up"] == 0.5
    assert got["policy/residual/dense_0"] == 0.5 and got["policy/residual/head"] == 1.0

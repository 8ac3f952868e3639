"""Schedules and layer-wise rates in closed form."""

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays

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
    return ft.InputAffine().merge(base, ft.InputAffine().init(jax.random.key(0), base))


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

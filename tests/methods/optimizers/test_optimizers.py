"""Laws of every registered optimizer: what rests or diverges touches nothing, and every number may vary."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers.optimizer_world import advance, begin, descend, first_state, gap, go, problem, quadratic_grads, tree_of

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays, floats


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_every_row_descends_a_quadratic(name):
    params, curvature = problem()
    # the leash starts at 1e-8, and an orthogonal step is a small one in so small a matrix
    change = {"trac": {"initial_scale": 1e-3}, "muon": {"learning_rate": 2e-2}}.get(name, {})
    optimizer = replace(ft.OPTIMIZERS[name], **change)
    after = descend(optimizer, params, curvature, 1000)
    loss = lambda p: sum(  # noqa: E731
        float(np.sum(c * (x - 0.3) ** 2)) for c, x in zip(jax.tree.leaves(curvature), jax.tree.leaves(p))
    )
    assert loss(after.evaluated) < 0.2 * loss(params)


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_learning_rate_zero_changes_nothing(name, same):
    params, curvature = problem()
    after = descend(replace(ft.OPTIMIZERS[name], learning_rate=0.0), params, curvature)
    assert same(after.params, params)


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_a_groups_factor_touches_that_group_alone(name, same):
    # without a clip the groups are strangers
    optimizer = replace(ft.OPTIMIZERS[name], max_grad_norm=1e9)
    params, curvature = problem()
    plain = descend(optimizer, params, curvature).params
    scaled = descend(replace(optimizer, rates=ft.Rates(policy=0.5)), params, curvature).params
    assert same(scaled["value"], plain["value"])
    assert not same(scaled["policy"], plain["policy"])
    if name == "prodigy":
        return  # its learning rate is part of its estimate
    halved = descend(replace(optimizer, learning_rate=optimizer.learning_rate / 2), params, curvature).params
    assert gap(scaled["policy"], halved["policy"]) < 1e-6


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
@pytest.mark.parametrize("rates", [ft.Rates(value=0.0), ft.Rates(value_start=1.0), ft.Rates(value_stop=0.0)])
def test_a_resting_group_is_bit_identical_without_moments_counts_or_a_share_in_the_norm(name, rates, same):
    optimizer = replace(ft.OPTIMIZERS[name], rates=rates)
    params, curvature = problem()
    huge = {**curvature, "value": jax.tree.map(lambda c: 1e6 * c, curvature["value"])}
    after = descend(optimizer, params, huge)
    assert same(after.params["value"], params["value"])
    assert same(after.state.inner["value"], begin(optimizer, params).inner["value"])
    small = descend(optimizer, params, curvature)
    assert same(small.params["policy"], after.params["policy"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_a_non_finite_gradient_is_counted_and_never_reaches_parameters_or_moments(name, bad, same):
    optimizer = ft.OPTIMIZERS[name]
    params, curvature = problem()
    grads = quadratic_grads(params, curvature)
    worst = {**grads, "value": {**grads["value"], "head": {"bias": grads["value"]["head"]["bias"].copy()}}}
    worst["value"]["head"]["bias"][2] = bad

    state = go(optimizer, params, begin(optimizer, params), push=grads).state
    after = go(optimizer, params, state, push=worst, num=1000)
    assert same(after.state.inner, state.inner)
    assert int(after.state.skipped) == 1000 and int(state.skipped) == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(after.updates))
    assert same(after.params, params)
    again = go(optimizer, params, after.state, push=grads).updates
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(again))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(again))


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_sweeping_the_rate_by_vmap_equals_separate_runs(name):
    optimizer, rates = as_arrays(ft.OPTIMIZERS[name]), np.array([1e-3, 3e-3, 1e-2], np.float32)
    params, curvature = problem()
    none, zero, num = tree_of(np.zeros), np.float32(0), 200

    def run(rate):
        changed = replace(optimizer, learning_rate=rate)
        state = first_state(changed, params)
        return advance(changed, params, state, curvature, none, zero, np.float32(num), zero, num).params

    swept = jax.vmap(run)(rates)
    for i, rate in enumerate(rates):
        alone = descend(replace(optimizer, learning_rate=rate), params, curvature, num).params
        assert gap(jax.tree.map(lambda leaf, i=i: leaf[i], jax.device_get(swept)), alone) < 1e-6


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_at_the_ends_of_every_range_a_step_is_finite(name, size):
    params, _ = problem()
    grads, row = tree_of(lambda shape: np.full(shape, size)), ft.OPTIMIZERS[name]
    for field in floats(row).keys() & type(row).BOUNDS.keys():
        for end in type(row).BOUNDS[field]:
            optimizer = replace(row, **{field: end})
            steps = go(optimizer, params, begin(optimizer, params), push=grads).updates
            assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(steps)), (field, end)

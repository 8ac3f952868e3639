"""Laws of every registered optimizer: equal to optax's own, and what rests or diverges touches nothing."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays, floats

STEPS = 200
KL0 = jnp.zeros(())


def problem(seed=0):
    """Parameters of two groups, and the curvature of a random quadratic."""
    rng = np.random.default_rng(seed)
    shapes = {"policy": {"dense_0": {"kernel": (4, 3)}, "head": {"kernel": (3, 2)}}, "value": {"head": {"bias": (5,)}}}
    is_shape = lambda leaf: isinstance(leaf, tuple)  # noqa: E731
    params = jax.tree.map(lambda s: (0.5 * rng.normal(size=s)).astype(np.float32), shapes, is_leaf=is_shape)
    curvature = jax.tree.map(lambda s: rng.uniform(0.1, 2.0, s).astype(np.float32), shapes, is_leaf=is_shape)
    return params, curvature


def quadratic_grads(params, curvature):
    return jax.tree.map(lambda p, c: c * (p - 0.3), params, curvature)


@partial(jax.jit, static_argnames="num")
def descend(optimizer, params, curvature, num=STEPS):
    """Parameters and state after `num` steps on the quadratic, over the whole budget."""
    chain = optimizer.build()

    def step(carry, index):
        params, state = carry
        grads = quadratic_grads(params, curvature)
        updates, state = chain.update(grads, state, params, progress=index / num, kl=KL0)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, chain.init(params)), jnp.arange(num))[0]


def originals(optimizer):
    """Optax's own optimizer of the same name, with Python floats."""
    rate = lambda count: optimizer.learning_rate * (1 - count / STEPS)  # noqa: E731
    if isinstance(optimizer, ft.SGD):
        return optax.sgd(rate, momentum=optimizer.momentum, nesterov=optimizer.nesterov)
    if isinstance(optimizer, ft.RMSProp):
        return optax.rmsprop(rate, decay=optimizer.decay, eps=optimizer.eps)
    settings = {"b1": optimizer.beta1, "b2": optimizer.beta2, "eps": optimizer.eps}
    if optimizer.weight_decay:
        function = optax.nadamw if optimizer.nesterov else optax.adamw
        return function(rate, weight_decay=optimizer.weight_decay, **settings)
    return (optax.nadam if optimizer.nesterov else optax.adam)(rate, **settings)


def descend_with_optax(chain, params, curvature):
    def step(carry, _):
        params, state = carry
        updates, state = chain.update(quadratic_grads(params, curvature), state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.jit(lambda p: jax.lax.scan(step, (p, chain.init(p)), None, STEPS)[0][0])(params)


def rounded(optimizer):
    """The optimizer with Python floats that float32 holds exactly, as the public door makes them."""
    return jax.tree.map(lambda leaf: float(np.float32(leaf)), optimizer)


def gap(one, other):
    return max(np.abs(a - b).max() for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other)))


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_every_row_is_optaxs_own_behind_a_clip(name):
    optimizer = ft.OPTIMIZERS[name]
    clip = optax.clip_by_global_norm(optimizer.max_grad_norm)
    params, curvature = problem()
    ours, _ = descend(as_arrays(optimizer), params, curvature)
    theirs = descend_with_optax(optax.chain(clip, originals(rounded(optimizer))), params, curvature)
    # parameters are up to 1 in size, where float32 numbers are 1.2e-7 apart
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-7), ours, theirs)
    assert gap(ours, params) > 0.05
    # With Python's 0.999, optax computes 1 - beta2 in float64: 1.3e-5 away from one minus float32's 0.999.
    assert gap(ours, descend_with_optax(optax.chain(clip, originals(optimizer)), params, curvature)) < 5e-6


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_learning_rate_zero_changes_nothing(name, same):
    params, curvature = problem()
    after, _ = descend(as_arrays(replace(ft.OPTIMIZERS[name], learning_rate=0.0)), params, curvature)
    assert same(after, params)


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_a_groups_factor_touches_that_group_alone(name, same):
    # without a clip the groups are strangers
    optimizer = replace(ft.OPTIMIZERS[name], max_grad_norm=1e9)
    params, curvature = problem()
    plain, _ = descend(as_arrays(optimizer), params, curvature)
    scaled, _ = descend(as_arrays(replace(optimizer, rates=ft.Rates(policy=0.5))), params, curvature)
    assert same(scaled["value"], plain["value"])
    assert gap(scaled["policy"], plain["policy"]) > 1e-3
    halved, _ = descend(as_arrays(replace(optimizer, learning_rate=optimizer.learning_rate / 2)), params, curvature)
    assert gap(scaled["policy"], halved["policy"]) < 1e-6


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
@pytest.mark.parametrize("rates", [ft.Rates(value=0.0), ft.Rates(value_start=1.0), ft.Rates(value_stop=0.0)])
def test_a_resting_group_is_bit_identical_without_moments_counts_or_a_share_in_the_norm(name, rates, same):
    optimizer = replace(ft.OPTIMIZERS[name], rates=rates)
    params, curvature = problem()
    huge = {**curvature, "value": jax.tree.map(lambda c: 1e6 * c, curvature["value"])}
    after, state = descend(as_arrays(optimizer), params, huge)
    assert same(after["value"], params["value"])
    assert same(state.inner["value"], as_arrays(optimizer).build().init(params).inner["value"])
    alone, _ = descend(as_arrays(optimizer), {"policy": params["policy"]}, {"policy": curvature["policy"]})
    assert gap(alone["policy"], after["policy"]) < 1e-6


def walk(optimizer, points, grads=None, kls=None, params=None):
    """Parameters, updates and states after a step at each of the given points of progress."""
    params = problem()[0] if params is None else params
    grads = jax.tree.map(np.ones_like, params) if grads is None else grads
    chain = as_arrays(optimizer).build()
    step = jax.jit(lambda g, s, p, at, kl: chain.update(g, s, p, progress=at, kl=kl))
    state, seen = chain.init(params), []
    for i, point in enumerate(points):
        kl = 0.0 if kls is None else kls[i]
        updates, state = step(grads, state, params, jnp.float32(point), jnp.float32(kl))
        params = optax.apply_updates(params, updates)
        seen.append((params, updates, state))
    return seen


def test_a_group_trains_from_its_start_until_before_its_stop():
    rates = ft.Rates(policy_start=0.25, policy_stop=0.75, value_stop=0.5)
    seen = walk(ft.SGD(learning_rate=0.1, rates=rates), [0.0, 0.2, 0.25, 0.5, 0.7, 0.75, 0.9])
    moves = {group: [bool(np.any(u[group]["head"][leaf])) for _, u, _ in seen]
             for group, leaf in (("policy", "kernel"), ("value", "bias"))}  # fmt: skip
    assert moves["policy"] == [False, False, True, True, True, False, False]
    assert moves["value"] == [True, True, True, False, False, False, False]


def test_groups_other_than_policy_and_value_always_train():
    params = {"extra": np.ones(2, np.float32)}
    rates = ft.Rates(policy=0.0, value=0.0, policy_start=1.0)
    (_, updates, _), *_ = walk(ft.SGD(learning_rate=0.1, rates=rates), [0.5], params=params)
    assert np.all(updates["extra"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_a_non_finite_gradient_is_counted_and_never_reaches_parameters_or_moments(name, bad, same):
    optimizer = as_arrays(ft.OPTIMIZERS[name])
    params, curvature = problem()
    chain = optimizer.build()
    grads = quadratic_grads(params, curvature)
    worst = {**grads, "value": {"head": {"bias": grads["value"]["head"]["bias"].copy()}}}
    worst["value"]["head"]["bias"][2] = bad

    _, state = chain.update(grads, chain.init(params), params, progress=jnp.float32(0), kl=KL0)
    many = jax.jit(
        lambda state: jax.lax.scan(
            lambda s, _: chain.update(worst, s, params, progress=jnp.float32(0), kl=KL0)[::-1], state, None, 1000
        )
    )
    after, steps = many(state)
    assert same(after.inner, jax.tree.map(np.asarray, state.inner))
    assert int(after.skipped) == 1000 and int(state.skipped) == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(steps))
    again, _ = chain.update(grads, after, params, progress=jnp.float32(0), kl=KL0)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(again))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(again))


def test_a_resting_groups_non_finite_gradient_stops_nobody():
    params, _ = problem()
    grads = jax.tree.map(np.ones_like, params)
    grads["value"]["head"]["bias"][:] = np.nan
    (after, _, state), *_ = walk(ft.SGD(rates=ft.Rates(value=0.0)), [0.0], grads=grads)
    assert int(state.skipped) == 0
    assert gap(after["policy"], params["policy"]) > 0


def test_target_kl_ends_an_update_and_the_next_one_goes_on():
    optimizer = ft.SGD(learning_rate=0.1, target_kl=0.02)
    points = [0.0, 0.0, 0.0, 0.0, 0.5, 0.5]
    seen = walk(optimizer, points, kls=[0.01, 0.0299, 0.0301, 0.0, 0.0, 0.04])
    moved = [bool(np.any(updates["policy"]["head"]["kernel"])) for _, updates, _ in seen]
    assert moved == [True, True, False, False, True, False]
    assert all(int(state.skipped) == 0 for *_, state in seen)
    assert all(np.any(u["policy"]["head"]["kernel"]) for _, u, _ in walk(ft.SGD(), points, kls=[9.0] * 6))


def test_the_clip_is_of_the_global_norm_over_both_groups():
    params, _ = problem()
    grads = jax.tree.map(np.ones_like, params)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    optimizer = ft.SGD(learning_rate=1.0, max_grad_norm=0.5, schedule=ft.SCHEDULES["constant"])
    ((_, updates, _),) = walk(optimizer, [0.0], grads=grads)
    for leaf in jax.tree.leaves(updates):
        np.testing.assert_allclose(leaf, -0.5 / np.sqrt(size), rtol=1e-6)


def test_weight_decay_shrinks_without_touching_the_moments(same):
    params, _ = problem()
    grads = jax.tree.map(np.zeros_like, params)
    optimizer = ft.Adam(learning_rate=0.1, weight_decay=0.5)
    ((after, _, state),) = walk(optimizer, [0.5], grads=grads)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, (1 - 0.1 * 0.5 * 0.5) * b, rtol=1e-6), after, params)
    ((_, _, plain),) = walk(replace(optimizer, weight_decay=0.0), [0.5], grads=grads)
    assert same(*(jax.tree.leaves(s.inner) for s in (state, plain)))


def test_the_rate_follows_the_schedule():
    optimizer = ft.SGD(learning_rate=0.2, max_grad_norm=1e9, schedule=ft.SCHEDULES["cosine"])
    points = [0.0, 0.25, 0.5, 0.9]
    steps = [float(-u["value"]["head"]["bias"][0]) for _, u, _ in walk(optimizer, points)]
    np.testing.assert_allclose(steps, [0.1 * (1 + np.cos(np.pi * p)) for p in points], rtol=1e-5)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_sweeping_the_rate_by_vmap_equals_separate_runs(name):
    optimizer, rates = as_arrays(ft.OPTIMIZERS[name]), np.array([1e-3, 3e-3, 1e-2], np.float32)
    params, curvature = problem()
    swept = jax.vmap(lambda rate: descend(replace(optimizer, learning_rate=rate), params, curvature)[0])(rates)
    for i, rate in enumerate(rates):
        alone, _ = descend(replace(optimizer, learning_rate=rate), params, curvature)
        assert gap(jax.tree.map(lambda leaf, i=i: leaf[i], swept), alone) < 1e-6


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_at_the_ends_of_every_range_a_step_is_finite(name, size):
    params = {"policy": {"head": {"bias": np.ones(3, np.float32)}}}
    grads = jax.tree.map(lambda leaf: size * leaf, params)
    row = ft.OPTIMIZERS[name]
    for field in floats(row).keys() & type(row).BOUNDS.keys():
        for end in type(row).BOUNDS[field]:
            chain = as_arrays(replace(row, **{field: end})).build()
            updates, _ = chain.update(grads, chain.init(params), params, progress=jnp.float32(0), kl=KL0)
            assert np.all(np.isfinite(updates["policy"]["head"]["bias"])), (field, end)


def test_evaluation_is_of_the_trained_parameters():
    params, _ = problem()
    for optimizer in ft.OPTIMIZERS.values():
        assert optimizer.evaluation(optimizer.build().init(params), params) is params

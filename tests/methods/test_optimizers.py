"""Laws of every registered optimizer: equal to optax's own, and what rests or diverges touches nothing."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays, floats
from jaxrl_ft.methods import optimizers

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


@jax.jit
def descend(optimizer, params, curvature, num=STEPS):
    """Parameters and state after `num` steps on the quadratic, over the whole budget; one program a structure."""
    chain = optimizer.build()

    def step(index, carry):
        params, state = carry
        grads = quadratic_grads(params, curvature)
        updates, state = chain.update(grads, state, params, progress=index / num, kl=KL0)
        return optax.apply_updates(params, updates), state

    return jax.lax.fori_loop(0, num, step, (params, chain.init(params)))


@jax.jit
def begin(optimizer, params):
    return optimizer.build().init(params)


@jax.jit
def repeat(optimizer, grads, state, params, num):
    """The last of `num` updates on one gradient at one place, and the state after them; one program a structure."""
    chain = optimizer.build()

    def step(_, carry):
        return chain.update(grads, carry[1], params, progress=jnp.float32(0), kl=KL0)

    return jax.lax.fori_loop(0, num, step, (grads, state))


def originals(optimizer, num=STEPS):
    """Optax's own optimizer of the same name, with Python floats, or None where it has none."""
    o = optimizer
    rate = lambda count: o.learning_rate * (1 - count / num)  # noqa: E731
    if type(o) is ft.Adam and not o.local_time and not o.cautious:
        settings = {"b1": o.beta1, "b2": o.beta2, "eps": o.eps}
        if o.weight_decay:
            function = optax.nadamw if o.nesterov else optax.adamw
            return function(rate, weight_decay=o.weight_decay, **settings)
        return (optax.nadam if o.nesterov else optax.adam)(rate, **settings)
    known = {
        "SGD": lambda: optax.sgd(rate, momentum=o.momentum, nesterov=o.nesterov),
        "RMSProp": lambda: optax.rmsprop(rate, decay=o.decay, eps=o.eps),
        "AdEMAMix": lambda: contrib.ademamix(rate, o.beta1, o.beta2, o.beta3, o.alpha, o.eps),
        "ADOPT": lambda: contrib.adopt(rate, o.beta1, o.beta2, o.eps),
        "Muon": lambda: contrib.muon(rate, beta=o.momentum, adam_b1=o.beta1, adam_b2=o.beta2, eps=o.eps,
                                     weight_decay=o.weight_decay, consistent_rms=o.consistent_rms),
        "ScheduleFree": lambda: contrib.schedule_free_adamw(o.learning_rate, b1=o.beta1, b2=o.beta2, eps=o.eps),
        "Mechanize": lambda: contrib.mechanize(optax.adam(rate, o.beta1, o.beta2, o.eps), o.mechanic_decay,
                                               s_init=o.initial_scale),
        "Prodigy": lambda: contrib.prodigy(rate, (o.beta1, o.beta2), eps=o.eps, estim_lr0=o.initial_rate),
        "DoG": lambda: contrib.dog(rate, ("heuristic", o.initial_distance), o.eps),
        "DoWG": lambda: contrib.dowg(rate, eps=o.eps),
    }  # fmt: skip
    return known[type(o).__name__]() if type(o).__name__ in known else None


def descend_with_optax(optimizer, original, params, curvature, num=STEPS):
    """Optax's own on each group apart, behind a clip of both; vectors, but for Muon, which wants matrices."""
    ravel = (lambda group: group) if isinstance(optimizer, optimizers.Muon) else tree.ravel
    clip = optax.clip_by_global_norm(optimizer.max_grad_norm)

    def step(carry, _):
        params, states = carry
        grads, _ = clip.update(quadratic_grads(params, curvature), optax.EmptyState())
        for name, group in params.items():
            vector = ravel(group)
            updates, after = original.update(ravel(grads[name]), states[name], vector)
            moved = optax.apply_updates(vector, updates)
            params = {**params, name: moved if ravel is not tree.ravel else tree.unravel(moved, group)}
            states = {**states, name: after}
        return (params, states), None

    start = {name: original.init(ravel(group)) for name, group in params.items()}
    return jax.jit(lambda p: jax.lax.scan(step, (p, start), None, num)[0][0])(params)


def rounded(optimizer):
    """The optimizer with Python floats that float32 holds exactly, as the public door makes them."""
    return jax.tree.map(lambda leaf: float(np.float32(leaf)), optimizer)


def gap(one, other):
    return max(np.abs(a - b).max() for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other)))


@pytest.mark.parametrize("name", [name for name, row in ft.OPTIMIZERS.items() if originals(row)])
def test_every_row_that_optax_has_is_optaxs_own_behind_a_clip(name):
    optimizer = ft.OPTIMIZERS[name]
    params, curvature = problem()
    # what divides by small or learned numbers takes roundings of the schedule apart in the end
    num = STEPS if type(optimizer) in (ft.Adam, ft.SGD, ft.RMSProp) else 25
    ours, _ = descend(as_arrays(optimizer), params, curvature, num)
    theirs = descend_with_optax(optimizer, originals(rounded(optimizer), num), params, curvature, num)
    # parameters are up to 1 in size, where float32 numbers are 1.2e-7 apart
    # and schedule-free finds its average again from what trains, at a rounding a step
    bound = 5e-7 if name == "schedule_free" else 1e-7
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=bound, atol=bound), ours, theirs)
    assert gap(ours, params) > 1e-5


def test_optaxs_own_with_float64_hyperparameters_is_as_near_as_float32_is():
    # With Python's 0.999, optax computes 1 - beta2 in float64: 1.3e-5 away from one minus float32's 0.999.
    params, curvature = problem()
    ours, _ = descend(as_arrays(ft.Adam()), params, curvature)
    assert gap(ours, descend_with_optax(ft.Adam(), originals(ft.Adam()), params, curvature)) < 5e-6


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_every_row_descends_a_quadratic(name):
    params, curvature = problem()
    # the leash starts at 1e-8, and an orthogonal step is a small one in so small a matrix
    change = {"trac": {"initial_scale": 1e-3}, "muon": {"learning_rate": 2e-2}}.get(name, {})
    optimizer = replace(ft.OPTIMIZERS[name], **change)
    after, state = descend(as_arrays(optimizer), params, curvature, 1000)
    loss = lambda p: sum(  # noqa: E731
        float(np.sum(c * (np.asarray(x) - 0.3) ** 2)) for c, x in zip(jax.tree.leaves(curvature), jax.tree.leaves(p))
    )
    assert loss(optimizer.evaluation(state, after)) < 0.2 * loss(params)


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
    assert not same(scaled["policy"], plain["policy"])
    if name == "prodigy":
        return  # its learning rate is part of its estimate
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
    small, _ = descend(as_arrays(optimizer), params, curvature)
    assert same(small["policy"], after["policy"])


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
    grads = quadratic_grads(params, curvature)
    worst = {**grads, "value": {"head": {"bias": grads["value"]["head"]["bias"].copy()}}}
    worst["value"]["head"]["bias"][2] = bad

    _, state = repeat(optimizer, grads, begin(optimizer, params), params, 1)
    steps, after = repeat(optimizer, worst, state, params, 1000)
    assert same(after.inner, state.inner)
    assert int(after.skipped) == 1000 and int(state.skipped) == 0
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(steps))
    again, _ = repeat(optimizer, grads, after, params, 1)
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
    params, _ = problem()
    grads, row = jax.tree.map(lambda leaf: size * np.ones_like(leaf), params), ft.OPTIMIZERS[name]
    for field in floats(row).keys() & type(row).BOUNDS.keys():
        for end in type(row).BOUNDS[field]:
            optimizer = as_arrays(replace(row, **{field: end}))
            steps, _ = repeat(optimizer, grads, begin(optimizer, params), params, 1)
            assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(steps)), (field, end)


def test_evaluation_before_training_is_of_the_trained_parameters(same):
    params, _ = problem()
    for optimizer in ft.OPTIMIZERS.values():
        assert same(optimizer.evaluation(optimizer.build().init(params), params), params)


def test_schedule_free_evaluates_the_average():
    params, curvature = problem()
    optimizer = optimizers.ScheduleFree()
    after, state = descend(as_arrays(optimizer), params, curvature)
    averages = optimizer.evaluation(state, after)
    theirs = {name: contrib.schedule_free_eval_params(state.inner[name], tree.ravel(after[name])) for name in after}
    assert max(np.abs(tree.ravel(averages[name]) - theirs[name]).max() for name in after) < 1e-6
    assert gap(averages, after) > 1e-4


def test_schedule_free_at_rate_zero_is_still_bit_for_bit_where_every_operation_rounds():
    # not jitted: a compiler may cancel the average that is found again, and hide its rounding
    params = {"policy": {"head": {"bias": np.random.default_rng(0).normal(size=2000).astype(np.float32)}}}
    optimizer = as_arrays(optimizers.ScheduleFree(learning_rate=0.0))
    chain = optimizer.build()
    steps, _ = chain.update(params, chain.init(params), params, progress=jnp.float32(0), kl=KL0)
    assert not np.any(steps["policy"]["head"]["bias"])

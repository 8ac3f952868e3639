"""Optimizers against optax's own of the same name."""

import jax
import numpy as np
import optax
import pytest
from helpers.compiling import quick
from helpers.optimizer_world import STEPS, begin, descend, gap, go, problem, quadratic_grads
from helpers.trees import flat
from optax import contrib

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.methods import optimizers


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

    starts = lambda params: {name: original.init(ravel(group)) for name, group in params.items()}  # noqa: E731
    return quick(lambda params: jax.lax.scan(step, (params, starts(params)), None, num)[0][0])(params)


def rounded(optimizer):
    """The optimizer with Python floats that float32 holds exactly, as the public door makes them."""
    return jax.tree.map(lambda leaf: float(np.float32(leaf)), optimizer)


@pytest.mark.parametrize("name", [name for name, row in ft.OPTIMIZERS.items() if originals(row)])
def test_every_row_that_optax_has_is_optaxs_own_behind_a_clip(name):
    optimizer = ft.OPTIMIZERS[name]
    params, curvature = problem()
    # what divides by small or learned numbers takes roundings of the schedule apart in the end
    num = STEPS if type(optimizer) in (ft.Adam, ft.SGD, ft.RMSProp) else 25
    ours = descend(optimizer, params, curvature, num).params
    theirs = descend_with_optax(optimizer, originals(rounded(optimizer), num), params, curvature, num)
    # parameters are up to 1 in size, where float32 numbers are 1.2e-7 apart
    # and schedule-free finds its average again from what trains, at a rounding a step
    bound = 5e-7 if name == "schedule_free" else 1e-7
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=bound, atol=bound), ours, theirs)
    assert gap(ours, params) > 1e-5


def test_optaxs_own_with_float64_hyperparameters_is_as_near_as_float32_is():
    # With Python's 0.999, optax computes 1 - beta2 in float64: 1.3e-5 away from one minus float32's 0.999.
    params, curvature = problem()
    ours = descend(ft.Adam(), params, curvature).params
    assert gap(ours, descend_with_optax(ft.Adam(), originals(ft.Adam()), params, curvature)) < 5e-6


def test_evaluation_before_training_is_of_the_trained_parameters(same):
    params, _ = problem()
    for optimizer in ft.OPTIMIZERS.values():
        assert same(go(optimizer, params, begin(optimizer, params), num=0).evaluated, params)


def test_schedule_free_evaluates_the_average():
    after = descend(optimizers.ScheduleFree(), *problem())
    theirs = quick(lambda place: {
        name: contrib.schedule_free_eval_params(place.state.inner[name], tree.ravel(group))
        for name, group in place.params.items()
    })(after)  # fmt: skip
    assert max(np.abs(flat(after.evaluated[name]) - theirs[name]).max() for name in theirs) < 1e-6
    assert gap(after.evaluated, after.params) > 1e-4


def test_schedule_free_at_rate_zero_is_still_bit_for_bit_where_every_operation_rounds():
    # not jitted: a compiler may cancel the average that is found again, and hide its rounding
    params = {"policy": {"head": {"bias": np.random.default_rng(0).normal(size=2000).astype(np.float32)}}}
    optimizer = as_arrays(optimizers.ScheduleFree(learning_rate=0.0))
    zero = np.float32(0)
    steps, _ = optimizer.build().update(params, begin(optimizer, params), params, progress=zero, kl=zero)
    assert not np.any(steps["policy"]["head"]["bias"])

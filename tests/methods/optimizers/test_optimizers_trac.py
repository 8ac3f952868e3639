"""TRAC against the paper in float64, and its special function against SciPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick
from scipy import special

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.methods.optimizers import TRAC, trac

DISCOUNTS = np.array([0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999])
START = np.random.default_rng(0).normal(size=7)
CURVATURE = np.random.default_rng(1).uniform(0.2, 2.0, size=7)
STEPS = 80


def test_erfi_is_scipys():
    x = np.concatenate([np.geomspace(1e-8, 1, 100), np.linspace(1, 9, 400)]).astype(np.float32)
    # the exponential of x² cannot be better than x² is in float32
    bound = 5e-7 + 2e-7 * x.astype(np.float64) ** 2
    exact = special.erfi(x.astype(np.float64))
    *found, zero, far = np.asarray(quick(trac.erfi)(np.concatenate([x, -x, [0, 1e9]], dtype=np.float32)))
    for values, sign in zip(np.split(np.array(found), 2), (1, -1)):
        assert np.all(np.abs(values / (sign * exact) - 1) < bound)
    assert zero == 0.0
    assert np.isfinite(far) and np.isclose(trac.UNIT, special.erfi(0.5**0.5), rtol=1e-7)


def in_float64(num, rate, first, decay=0.0):
    """The paper's algorithm over Adam: parameters and scale after every step on a quadratic."""
    theta, base = START.copy(), START.copy()
    mu, nu, variance = np.zeros(7), np.zeros(7), np.zeros(6)
    sigma = np.full(6, 1e-8)
    seen = []
    for t in range(1, num + 1):
        g = CURVATURE * (theta - 1.0)
        h = g @ (base - START)
        mu, nu = 0.9 * mu + 0.1 * g, 0.999 * nu + 0.001 * g * g
        adam = (mu / (1 - 0.9**t)) / (np.sqrt(nu / (1 - 0.999**t)) + 1e-5)
        base = base - rate * (adam + decay * theta)
        variance = DISCOUNTS**2 * variance + h * h
        sigma = DISCOUNTS * sigma - h
        s = first * special.erfi(sigma / (np.sqrt(2) * np.sqrt(variance) + 1e-8)) / special.erfi(1 / np.sqrt(2))
        scale = max(0.0, s.sum())
        theta = START + scale * (base - START)
        seen.append((theta, scale))
    return seen


@quick
def stepped(optimizer, curvature, pushes):
    """Parameters and scale after every step, whose gradient is that of a quadratic around 1 and a push."""
    chain = optimizer.build()
    params = {"policy": {"head": {"bias": START.astype(np.float32)}}}

    def step(carry, now):
        (params, state), (index, push) = carry, now
        grads = jax.tree.map(lambda p: curvature * (p - 1.0) + push, params)
        updates, state = chain.update(grads, state, params, progress=index / STEPS, kl=jnp.float32(0))
        params = jax.tree.map(jnp.add, params, updates)
        return (params, state), (params["policy"]["head"]["bias"], state.inner["policy"].scale)

    return jax.lax.scan(step, (params, chain.init(params)), (jnp.arange(STEPS), pushes))[1]


def in_float32(curvature, pushes, **settings):
    optimizer = TRAC(learning_rate=1e-2, schedule=ft.SCHEDULES["constant"], **settings)
    return [np.asarray(column) for column in stepped(as_arrays(optimizer), np.float32(curvature), np.float32(pushes))]


@pytest.mark.parametrize("first", [1e-8, 1e-2])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_trac_is_the_paper_in_float64(first, decay):
    # the feedback is chaotic once the scale has settled, in float64 as well
    settings = {"initial_scale": first, "weight_decay": decay, "max_grad_norm": 1e9}
    thetas, scales = in_float32(CURVATURE, np.zeros(STEPS), **settings)
    exact = in_float64(STEPS, 1e-2, first, decay)
    np.testing.assert_allclose(scales, [scale for _, scale in exact], rtol=1e-3, atol=1e-4 * first)
    # θ - θ_ref is S times the drift, and so no closer than S is
    moved = np.abs([theta - START for theta, _ in exact]).max()
    np.testing.assert_allclose(thetas, [theta for theta, _ in exact], atol=1e-3 * moved + 1e-6)
    if first == 1e-2:
        assert np.abs(thetas[-1] - START).max() > 0.1


def test_a_scale_of_zero_is_the_reference_itself():
    # what was downhill turns uphill before the base iterate has come back
    signs = [-1.0] * 12 + [1.0] * 8
    pushes = np.pad(signs, (0, STEPS - len(signs)))
    thetas, scales = (column[: len(signs)] for column in in_float32(np.zeros(7), pushes, initial_scale=1e-2))
    assert np.any(scales == 0) and np.any(scales > 0.05) and np.abs(thetas - START).max() > 1e-3
    zero = thetas[scales == 0]
    np.testing.assert_allclose(zero, np.broadcast_to(START, zero.shape), atol=1e-6)

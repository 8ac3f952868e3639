"""TRAC against the paper in float64, and its special function against SciPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.methods.optimizers import TRAC, trac

DISCOUNTS = np.array([0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999])
START = np.random.default_rng(0).normal(size=7)
CURVATURE = np.random.default_rng(1).uniform(0.2, 2.0, size=7)


def test_erfi_is_scipys():
    x = np.concatenate([np.geomspace(1e-8, 1, 100), np.linspace(1, 9, 400)]).astype(np.float32)
    # the exponential of x² cannot be better than x² is in float32
    bound = 5e-7 + 2e-7 * x.astype(np.float64) ** 2
    exact = special.erfi(x.astype(np.float64))
    for sign in (1, -1):
        assert np.all(np.abs(np.asarray(trac.erfi(jnp.asarray(sign * x))) / (sign * exact) - 1) < bound)
    assert float(trac.erfi(jnp.float32(0))) == 0.0
    assert np.isfinite(trac.erfi(jnp.float32(1e9))) and np.isclose(trac._UNIT, special.erfi(0.5**0.5), rtol=1e-7)


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


def in_float32(num, **changes):
    optimizer = as_arrays(TRAC(max_grad_norm=1e9, schedule=ft.SCHEDULES["constant"], **changes))
    chain = optimizer.build()
    params = {"policy": {"head": {"bias": START.astype(np.float32)}}}

    def step(carry, index):
        params, state = carry
        grads = jax.tree.map(lambda p: CURVATURE.astype(np.float32) * (p - 1.0), params)
        updates, state = chain.update(grads, state, params, progress=index / num, kl=jnp.float32(0))
        params = jax.tree.map(jnp.add, params, updates)
        return (params, state), (params["policy"]["head"]["bias"], state.inner["policy"].scale)

    run = jax.jit(lambda p: jax.lax.scan(step, (p, chain.init(p)), jnp.arange(num))[1])
    return [np.asarray(column) for column in run(params)]


@pytest.mark.parametrize("first", [1e-8, 1e-2])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_trac_is_the_paper_in_float64(first, decay):
    # the feedback is chaotic once the scale has settled, in float64 as well
    num = 80
    thetas, scales = in_float32(num, learning_rate=1e-2, initial_scale=first, weight_decay=decay)
    exact = in_float64(num, 1e-2, first, decay)
    np.testing.assert_allclose(scales, [scale for _, scale in exact], rtol=1e-3, atol=1e-4 * first)
    np.testing.assert_allclose(thetas, [theta for theta, _ in exact], atol=2e-4)
    if first == 1e-2:
        assert np.abs(thetas[-1] - START).max() > 0.1


def test_a_scale_of_zero_is_the_reference_itself():
    optimizer = as_arrays(TRAC(learning_rate=1e-2, initial_scale=1e-2, schedule=ft.SCHEDULES["constant"]))
    chain = optimizer.build()
    start = {"policy": {"head": {"bias": START.astype(np.float32)}}}

    def step(carry, sign):
        params, state = carry
        grads = jax.tree.map(lambda p: jnp.full_like(p, sign), params)
        updates, state = chain.update(grads, state, params, progress=jnp.float32(0), kl=jnp.float32(0))
        params = jax.tree.map(jnp.add, params, updates)
        return (params, state), (params["policy"]["head"]["bias"], state.inner["policy"].scale)

    # what was downhill turns uphill before the base iterate has come back
    signs = jnp.asarray([-1.0] * 12 + [1.0] * 8)
    thetas, scales = (
        np.asarray(c) for c in jax.jit(lambda: jax.lax.scan(step, (start, chain.init(start)), signs)[1])()
    )
    assert np.any(scales == 0) and np.any(scales > 0.05) and np.abs(thetas - START).max() > 1e-3
    zero = thetas[scales == 0]
    np.testing.assert_allclose(zero, np.broadcast_to(START, zero.shape), atol=1e-6)

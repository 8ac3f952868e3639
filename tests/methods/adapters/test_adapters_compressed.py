"""Adapters that train a policy as it will be stored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick

import jaxrl_ft as ft
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.deploy.compression import packing
from jaxrl_ft.methods.adapters.compressed import Masked, Quantized

RNG = np.random.default_rng(0)
BASE = {
    group: {
        "dense_0": {"kernel": RNG.normal(size=(4, 6)).astype(np.float32) * (RNG.random((4, 6)) < 0.5),
                    "bias": RNG.normal(size=6).astype(np.float32)},
        "norm_0": {"scale": RNG.normal(size=6).astype(np.float32)},
    } for group in ("policy", "value")
}  # fmt: skip
KEY = jax.random.key(0)
WEIGHTS = jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape).astype(np.float32), BASE)


def merged(adapter, delta):
    return adapter.merge(adapter.freeze(KEY, BASE), delta)


def gradient(adapter, delta):
    """Of a weighted sum of all merged parameters."""

    def total(delta):
        return sum(jnp.vdot(w, x) for w, x in zip(jax.tree.leaves(WEIGHTS), jax.tree.leaves(merged(adapter, delta))))

    return quick(jax.grad(total))(delta)


def test_zeros_stay_zero_and_have_no_gradient(same):
    adapter = Masked()
    start = adapter.init(KEY, adapter.freeze(KEY, BASE))
    assert same(merged(adapter, start), BASE)
    moved = jax.tree.map(lambda leaf: leaf + 1.0, start)
    after, grads = merged(adapter, moved), gradient(adapter, moved)
    for group in ("policy", "value"):
        layer, zero = after[group]["dense_0"], BASE[group]["dense_0"]["kernel"] == 0
        kept = zero & (group == "policy")
        np.testing.assert_array_equal(layer["kernel"] == 0, kept)
        np.testing.assert_array_equal(
            grads[group]["dense_0"]["kernel"], np.where(kept, 0.0, WEIGHTS[group]["dense_0"]["kernel"])
        )
        np.testing.assert_array_equal(layer["bias"], BASE[group]["dense_0"]["bias"] + 1.0)
    assert (merged(Masked(critic="same"), moved)["value"]["dense_0"]["kernel"] == 0).sum() > 0


@pytest.mark.parametrize(("bits", "per"), [(8, "tensor"), (4, "channel"), (3, "tensor")])
def test_weights_are_rounded_as_they_are_stored_and_the_gradient_passes(bits, per, same):
    adapter = Quantized(bits=bits, per=per)
    after = merged(adapter, BASE)
    how = ft.Quantize(bits=bits, per=per)
    for name in ("kernel", "bias"):
        leaf = BASE["policy"]["dense_0"][name]
        stored = packing.unpack(how.pack(f"policy/dense_0/{name}", leaf[None], None))[0]
        np.testing.assert_allclose(after["policy"]["dense_0"][name], stored, rtol=1e-6, atol=1e-7)
        assert np.abs(stored - leaf).max() > 0
    assert same(after["value"], BASE["value"]) and same(after["policy"]["norm_0"], BASE["policy"]["norm_0"])
    assert same(gradient(adapter, BASE), WEIGHTS)


def test_they_are_configs_with_bounds():
    check_config(ft.Method(adapter=Masked()), "method")
    with pytest.raises(ValueError, match=r"^method.adapter.bits: 1 is not allowed"):
        check_config(ft.Method(adapter=Quantized(bits=1)), "method")

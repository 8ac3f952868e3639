"""Adapters on convolutions: each as what it does to an image, by XLA's own convolution."""

import jax
import jax.numpy as jnp
import numpy as np
from helpers.compiling import quick
from helpers.image_worlds import IMAGE, NETWORKS
from helpers.trees import drawn

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.nets import actor_critic

NETWORK = NETWORKS["cnn"]
RNG = np.random.default_rng(0)
BASE = drawn(jax.eval_shape(lambda: actor_critic.init(jax.random.key(0), NETWORK, 32, 3, False)), RNG)
OBS = RNG.normal(size=(7, 32)).astype(np.float32)


def convolved(x, kernel, padding="VALID"):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=numbers, precision="highest")


@quick
def begun(adapter, key):
    return adapter.init(key, adapter.freeze(key, BASE))


@quick
def made(adapter, base, delta):
    return adapter.merge(adapter.freeze(jax.random.key(0), base), delta)


def merged(adapter, delta):
    return made(adapter, BASE, delta)


def moved(delta):
    return jax.tree.map(lambda leaf: np.asarray(leaf) + RNG.normal(size=leaf.shape).astype(np.float32), delta)


def test_lora_is_a_convolution_to_r_channels_and_one_of_single_pixels_as_in_peft():
    lora = as_arrays(ft.LoRA(rank=2, alpha=3.0))
    delta = begun(lora, jax.random.key(1))
    factors = delta["policy"]["conv_1"]
    assert factors["lora_a"].shape == (2, 2, 3, 2) and factors["lora_b"].shape == (2, 5)
    assert np.abs(factors["lora_a"]).max() <= 12**-0.5 and not np.any(factors["lora_b"])
    delta = moved(delta)
    after, factors = merged(lora, delta)["policy"]["conv_1"]["kernel"], delta["policy"]["conv_1"]
    x = RNG.normal(size=(2, 4, 4, 3)).astype(np.float32)
    beside = convolved(convolved(x, factors["lora_a"]), factors["lora_b"][None, None])
    expected = convolved(x, BASE["policy"]["conv_1"]["kernel"]) + 3.0 / 2 * beside
    np.testing.assert_allclose(convolved(x, after), expected, atol=1e-4)


def test_dora_has_a_magnitude_for_each_channel():
    dora = as_arrays(ft.DoRA(rank=2))
    delta = begun(dora, jax.random.key(1))
    kernel = BASE["policy"]["conv_0"]["kernel"]
    np.testing.assert_allclose(
        delta["policy"]["conv_0"]["magnitude"], np.linalg.norm(kernel.reshape(-1, 3), axis=0), rtol=1e-5
    )
    delta = moved(delta)
    after = np.asarray(merged(dora, delta)["policy"]["conv_0"]["kernel"])
    lengths = np.linalg.norm(after.reshape(-1, 3), axis=0)
    np.testing.assert_allclose(lengths, np.abs(delta["policy"]["conv_0"]["magnitude"]), rtol=1e-4)


def test_an_input_map_is_one_of_the_channels_of_each_pixel():
    member = as_arrays(ft.InputAffine())
    delta = moved(begun(member, jax.random.key(1)))
    given = delta["policy"]["input"]
    assert given["kernel"].shape == (2, 2)
    mapped = (OBS.reshape(7, *IMAGE) @ given["kernel"] + given["bias"]).reshape(7, 32)
    outputs = quick(lambda params, obs: actor_critic.policy_outputs(params, NETWORK, obs))
    expected = outputs(BASE, jnp.asarray(mapped))
    np.testing.assert_allclose(outputs(merged(member, delta), jnp.asarray(OBS)), expected, rtol=1e-3, atol=1e-4)


def test_the_map_of_a_shared_trunk_is_the_policys_alone():
    shared = jax.eval_shape(lambda: actor_critic.init(jax.random.key(0), NETWORKS["cnn_shared"], 32, 3, False))
    assert set(jax.eval_shape(lambda base: ft.InputAffine().init(jax.random.key(0), base), shared)) == {"policy"}
    full = jax.eval_shape(lambda base: ft.InputAffine(critic="full").init(jax.random.key(0), base), shared)
    assert set(full) == {"policy", "value"}


def test_ia3_has_a_factor_for_each_channel_that_is_read():
    member = as_arrays(ft.IA3())
    delta = moved(begun(member, jax.random.key(1)))
    factor = delta["policy"]["conv_1"]["scale"]
    assert factor.shape == (3,) and "conv_0" not in delta["policy"]
    x = RNG.normal(size=(2, 4, 4, 3)).astype(np.float32)
    after = merged(member, delta)["policy"]["conv_1"]["kernel"]
    expected = convolved(x * factor, BASE["policy"]["conv_1"]["kernel"])
    np.testing.assert_allclose(convolved(x, after), expected, atol=1e-4)
    assert delta["policy"]["dense_2"]["scale"].shape == (20,)


def test_the_first_layer_of_an_image_is_its_convolution():
    delta = jax.eval_shape(lambda base: ft.ADAPTERS["first_layer"].init(jax.random.key(0), base), BASE)
    assert {group: set(layers) for group, layers in delta.items()} == {"policy": {"conv_0"}, "value": {"conv_0"}}
    last = jax.eval_shape(lambda base: ft.LastK(k=3).init(jax.random.key(0), base), BASE)
    assert set(last["policy"]) == {"dense_2", "dense_3", "norm_2", "norm_3", "head"}

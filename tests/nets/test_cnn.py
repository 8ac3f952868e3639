"""Networks of images and shared trunks: against XLA's own convolution, written out sums, and what cannot be read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.image_worlds import IMAGE, NETWORKS
from helpers.trees import drawn

import jaxrl_ft as ft
from jaxrl_ft.core.policy import Geometry
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.nets import actor_critic, forward

OBS = np.random.default_rng(0).normal(size=(3, 2, 7 * 6 * 2)).astype(np.float32)
NET = ft.CNN(channels=(3, 4), kernels=(3, 2), strides=(2, 1), dense=(5,), image=(7, 6, 2))


def shapes_of(network, inputs, outputs=3):
    return jax.eval_shape(lambda: actor_critic.init(jax.random.key(0), network, inputs, outputs, False))


def params_of(network, inputs, seed=0):
    return drawn(shapes_of(network, inputs), np.random.default_rng(seed))


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("side", [1, 2, 3])
def test_a_product_of_windows_is_the_convolution_of_xla(same, stride, side):
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(5, 7, 6, 2)).astype("f"), rng.normal(size=(side, side, 2, 4)).astype("f")
    padding = "SAME" if same else "VALID"
    expected = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
    )
    seen = forward.windows(jnp.asarray(x), (side, side), Geometry(stride, same))
    found = np.asarray(seen) @ kernel.reshape(-1, 4)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    places = tuple(forward.places(size, side, Geometry(stride, same)) for size in (7, 6))
    assert found.shape[1:3] == places


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_the_forward_pass_is_the_written_out_one_for_any_leading_axes(padding):
    network = ft.CNN(**{**vars(NET), "padding": padding})
    params = params_of(network, 84)["policy"]
    x = OBS.reshape(6, 7, 6, 2)
    layers = []
    for name, stride in (("conv_0", 2), ("conv_1", 1)):
        x = jax.lax.conv_general_dilated(
            x, params[name]["kernel"], (stride,) * 2, padding.upper(), dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision="highest",
        )  # fmt: skip
        x = np.maximum(np.asarray(x) + params[name]["bias"], 0)
        layers.append(x)
    x = np.maximum(x.reshape(6, -1) @ params["dense_2"]["kernel"] + params["dense_2"]["bias"], 0)
    expected = x @ params["head"]["kernel"] + params["head"]["bias"]
    output, hidden = quick(forward.apply)(params, network, OBS)
    np.testing.assert_allclose(output, expected.reshape(3, 2, 3), atol=1e-5)
    for found, layer in zip(hidden, (*layers, x)):
        np.testing.assert_allclose(found, layer.reshape(found.shape), atol=1e-5)
    assert [layer.ndim for layer in hidden] == [5, 5, 3]
    alone, _ = quick(forward.apply)(params, network, OBS[1, 0])
    np.testing.assert_allclose(alone, output[1, 0], atol=1e-5)


def test_numbers_behind_the_image_are_channels_of_one_value():
    x = np.arange(2 * 3 * 2 + 2, dtype=np.float32)
    found = forward.picture(jnp.asarray(x), (2, 3, 2))
    np.testing.assert_array_equal(found[..., :2], x[:12].reshape(2, 3, 2))
    np.testing.assert_array_equal(found[..., 2:], np.broadcast_to(x[12:], (2, 3, 2)))
    assert NET.kernel_shapes("value", 86, 1)[0] == (3, 3, 4, 3)


def test_layer_norm_is_over_the_channels_of_each_pixel():
    network = ft.CNN(**{**vars(NET), "layer_norm": True})
    params = params_of(network, 84)["policy"]
    assert params["norm_0"]["scale"].shape == (3,) and params["norm_2"]["scale"].shape == (5,)
    plain = {**params, "norm_0": {"scale": np.ones(3, "f"), "bias": np.zeros(3, "f")}}
    louder = {
        **plain,
        "conv_0": {**plain["conv_0"], "kernel": 3 * plain["conv_0"]["kernel"], "bias": 3 * plain["conv_0"]["bias"]},
    }
    ours, theirs = (quick(forward.apply)(each, network, OBS)[0] for each in (plain, louder))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_fresh_kernels_are_orthogonal_matrices():
    params = quick(lambda key: actor_critic.init(key, NET, 84, 3, False))(jax.random.key(0))
    assert {name: leaf["kernel"].shape for name, leaf in params["policy"].items()} == {
        "conv_0": (3, 3, 2, 3), "conv_1": (2, 2, 3, 4), "dense_2": (8, 5), "head": (5, 3)}  # fmt: skip
    for group, gains in (("policy", (2**0.5, 2**0.5, 2**0.5, 0.01)), ("value", (2**0.5, 2**0.5, 2**0.5, 1.0))):
        for layer, gain in zip(params[group].values(), gains, strict=True):
            matrix = np.asarray(layer["kernel"]).reshape(-1, layer["kernel"].shape[-1])
            np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), gain, rtol=1e-4)
            assert not np.any(layer["bias"])


@pytest.mark.parametrize("name", ["mlp_shared", "cnn_shared"])
def test_a_shared_trunk_has_a_head_for_the_value_that_reads_the_policys_last_layer(name):
    network, obs = NETWORKS[name], jnp.asarray(OBS[..., :32])
    params = params_of(network, 32)
    assert set(params["value"]) == {"head"} and params["value"]["head"]["kernel"].shape == (6, 1)
    found, hidden, values = quick(
        lambda params, obs: (
            actor_critic.features(params, network, obs), forward.apply(params["policy"], network, obs)[1],
            actor_critic.values(params, network, obs),
        )
    )(params, obs)  # fmt: skip
    head = params["value"]["head"]
    np.testing.assert_allclose(values, (np.asarray(hidden[-1]) @ head["kernel"] + head["bias"])[..., 0], atol=1e-5)
    assert [path.split("/")[0] for path in found] == ["policy"] * len(hidden)
    assert network.widths("value") == () and forward.trunk_readers(params) == ("value",)
    grads = quick(jax.grad(lambda params: jnp.sum(actor_critic.values(params, network, obs) ** 2)))(params)
    assert all(
        np.any(leaf["kernel"]) for layer, leaf in grads["policy"].items() if "head" not in layer and "norm" not in layer
    )
    assert not np.any(grads["policy"]["head"]["kernel"])


def test_a_separate_critic_shares_nothing():
    assert forward.trunk_readers(shapes_of(NETWORKS["cnn"], 32)) == ()


def test_the_image_is_that_of_the_task():
    assert ft.CNN().reading({"obs": (10, 10, 4)}).image == (10, 10, 4)
    assert ft.CNN().reading({"obs": (5, 8)}).image == (5, 8, 1)
    assert ft.CNN(image=IMAGE).reading({"obs": (32,)}).image == IMAGE
    assert ft.CNN(image=IMAGE).reading({"obs": (10, 10, 4)}).image == (10, 10, 4)
    assert ft.CNN(channels=(2, 3), kernels=(4,), strides=(2, 1)).kernels == (4,)


@pytest.mark.parametrize(
    ("network", "shapes", "text"),
    [
        (ft.CNN(), {"obs": (4,)}, r"CNN reads one image .* and the observation is obs \[4\]; use MLP"),
        (ft.CNN(), {"a": (3, 3, 1), "b": (2,)}, r"the observation is a \[3, 3, 1\], b \[2\]"),
        (ft.CNN(), {"obs": (2, 9, 1)}, "kernels: 3 is not allowed; convolution 0 reads an image of 2 x 9"),
        (ft.CNN(channels=(2, 2)), {"obs": (4, 4)}, "convolution 1 reads an image of 2 x 2"),
    ],
)
def test_what_is_no_image_is_refused(network, shapes, text):
    with pytest.raises(ValueError, match=text):
        network.reading(shapes)


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (ft.CNN(channels=()), r"network.channels: \(\) is not allowed"),
        (ft.CNN(dense=()), r"network.dense: \(\) is not allowed"),
        (ft.CNN(channels=(4, 4), strides=(1, 1, 1)), "network.strides: .* one for each of the 2 convolutions"),
        (ft.CNN(image=(10, 10)), r"network.image: \(10, 10\) is not allowed"),
        (ft.CNN(channels=(1,) * 60, dense=(2,) * 5), "more than 64 layers"),
        (ft.MLP(value=(3,), shared_trunk=True), "network.value: .* is not allowed with shared_trunk"),
    ],
)
def test_configs_that_make_no_network_are_refused(network, text):
    with pytest.raises(ValueError, match=text):
        check_config(network, "network")

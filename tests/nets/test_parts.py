"""Networks with parts: each forward pass against the definition written out in NumPy, and what a fresh part keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.nets import actor_critic, forward, parts

NETWORK = ft.MLP(width=4, depth=3)
OBS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
RANDOM = np.random.default_rng(1)


def layer(rows, columns):
    return {"kernel": RANDOM.normal(size=(rows, columns)).astype(np.float32) * 0.5,
            "bias": RANDOM.normal(size=columns).astype(np.float32)}  # fmt: skip


def plain(widths, inputs=3, outputs=2):
    sizes = [inputs, *widths]
    layers = {f"dense_{i}": layer(*pair) for i, pair in enumerate(zip(sizes, widths))}
    return {**layers, "head": layer(sizes[-1], outputs)}


@quick
def apply(params, obs):
    return forward.apply(params, NETWORK, obs)


def outputs(params, obs=OBS):
    return np.asarray(apply(params, obs)[0])


def dense(part, x):
    return x @ np.asarray(part["kernel"], float) + np.asarray(part["bias"], float)


def hidden_of(params, x, laterals=()):
    hidden = []
    for i in range(forward.depth(params)):
        x = dense(params[f"dense_{i}"], x)
        if i:
            x = x + sum(earlier[i - 1] @ u for earlier, u in laterals[i])
        x = np.tanh(x)
        hidden.append(x)
    return hidden


new_column = quick(parts.column, static_argnums=2)


def fresh_column(params, width, key=0):
    return jax.device_get(new_column(jax.random.key(key), params, width))


def test_a_bottleneck_of_any_inner_width_adds_to_what_its_layer_passes_on():
    params = plain([4, 6])
    down, up = layer(6, 9), layer(9, 6)
    x = np.tanh(dense(params["dense_1"], np.tanh(dense(params["dense_0"], OBS))))
    x = x + dense(up, np.tanh(dense(down, x)))
    output, hidden = apply({**params, "bottleneck_1": {"down": down, "up": up}}, OBS)
    np.testing.assert_allclose(output, dense(params["head"], x), atol=1e-5)
    np.testing.assert_allclose(hidden[1], x, atol=1e-5)
    assert len(hidden) == 2


@quick
def fresh_bottleneck(key, params):
    """A part, and the gradients of the sum of the outputs in it."""
    part, obs = parts.bottleneck(key, 6, 3), jnp.asarray(OBS)
    return part, jax.grad(lambda part: forward.apply({**params, "bottleneck_1": part}, NETWORK, obs)[0].sum())(part)


def test_a_fresh_bottleneck_is_the_identity_and_reaches_its_layer():
    params = plain([4, 6])
    part, grads = jax.device_get(fresh_bottleneck(jax.random.key(0), params))
    np.testing.assert_array_equal(outputs({**params, "bottleneck_1": part}), outputs(params))
    gram = part["down"]["kernel"].T @ part["down"]["kernel"]
    np.testing.assert_allclose(gram, 2 * np.eye(3), atol=1e-5)
    assert np.abs(grads["up"]["kernel"]).max() > 0.1


def test_a_residual_is_added_and_an_offset_subtracted_and_both_nest():
    base, one, two, three = (plain(widths) for widths in ([4], [5, 2], [3], [2, 2, 2]))
    alone = [outputs(params) for params in (base, one, two, three)]
    nested = {**base, "residual": {**one, "residual": two, "offset": three}}
    np.testing.assert_allclose(outputs(nested), alone[0] + alone[1] + alone[2] - alone[3], atol=1e-5)
    np.testing.assert_allclose(outputs({**base, "offset": one}), alone[0] - alone[1], atol=1e-5)
    np.testing.assert_array_equal(outputs({**base, "residual": one, "offset": one}), alone[0])


def test_columns_read_the_hidden_layers_of_all_earlier_ones():
    """Equation 2 of arXiv:1606.04671 for three columns of two hidden layers."""
    base, second, third = plain([4, 5]), plain([3, 2]), plain([6, 7])
    u21, u21_head, u31, u32 = (RANDOM.normal(size=shape) for shape in ((4, 2), (5, 2), (4, 7), (3, 7)))
    u31_head, u32_head = (RANDOM.normal(size=shape) for shape in ((5, 2), (2, 2)))
    h1 = hidden_of(base, OBS, ((), ()))
    h2 = hidden_of(second, OBS, ((), ((h1, u21),)))
    h3 = hidden_of(third, OBS, ((), ((h1, u31), (h2, u32))))
    two = {**second, "lateral_1": {"kernel": u21}, "lateral_head": {"kernel": u21_head}}
    np.testing.assert_allclose(
        outputs({**base, "column": two}), dense(second["head"], h2[-1]) + h1[-1] @ u21_head, atol=1e-5
    )
    three = {**third, "lateral_1": {"kernel": np.concatenate([u31, u32])},
             "lateral_head": {"kernel": np.concatenate([u31_head, u32_head])}}  # fmt: skip
    expected = dense(third["head"], h3[-1]) + h1[-1] @ u31_head + h2[-1] @ u32_head
    output, hidden = apply({**base, "column": {**two, "column": three}}, OBS)
    np.testing.assert_allclose(output, expected, atol=1e-5)
    assert [h.shape for h in hidden] == [(5, 4), (5, 5)]


def test_a_fresh_column_keeps_the_outputs_and_has_the_gains_of_a_network():
    params = plain([8, 8])
    column = fresh_column(params, 8)
    np.testing.assert_array_equal(outputs({**params, "column": column}), outputs(params))
    np.testing.assert_array_equal(column["head"]["kernel"], 0.0)
    for name, gain in (("dense_0", 2**0.5), ("dense_1", 1.0), ("lateral_1", 1.0)):
        np.testing.assert_allclose(np.linalg.svd(column[name]["kernel"], compute_uv=False), gain, rtol=1e-4)
    used = {**params, "column": tree.unflatten({p: leaf + 0.1 for p, leaf in tree.flatten(column).items()})}
    again = fresh_column(used, 3, key=1)
    assert again["lateral_1"]["kernel"].shape == (16, 3)
    stacked = {**used, "column": {**used["column"], "column": again}}
    np.testing.assert_allclose(outputs(stacked), outputs(used), atol=1e-5)


def nested():
    """A network with every part, its sub-networks included."""
    base = {**plain([4, 4]), "bottleneck_0": {"down": layer(4, 2), "up": layer(2, 4)}}
    column, inner = (
        {**plain([width, width]), "lateral_1": {"kernel": layer(below, width)["kernel"]},
         "lateral_head": {"kernel": layer(below, 2)["kernel"]}}
        for below, width in ((4, 3), (7, 2))
    )  # fmt: skip
    residual = {**plain([5, 5]), "residual": plain([2]), "offset": plain([3])}
    return {**base, "column": {**column, "column": inner}, "residual": residual, "log_std": np.zeros(2)}


def changed(params, path, function):
    flat = tree.flatten(params)
    return tree.unflatten({**flat, path: function(np.asarray(flat[path]))})


def test_the_layers_that_read_the_observation_are_all_that_do():
    params = nested()
    turned = params
    for path in parts.roles(params).observing:
        turned = changed(turned, f"{path}/kernel", lambda kernel: np.roll(kernel, 1, axis=0))
    np.testing.assert_allclose(outputs(turned, np.roll(OBS, 1, axis=1)), outputs(params), atol=1e-5)


def test_the_layers_that_write_the_outputs_are_all_that_do():
    params = silent = nested()
    for path in parts.roles(params).output:
        silent = changed(silent, f"{path}/kernel", np.zeros_like)
    outside = [f"{path}/bias" for path in parts.roles(params).output if "lateral" not in path]
    expected = sum(tree.flatten(params)[p] * (-1.0 if "offset" in p else 1.0) for p in outside)
    np.testing.assert_allclose(outputs(silent), np.broadcast_to(expected, (5, 2)), atol=1e-5)
    assert parts.roles(params).output == (
        "column/column/head", "column/column/lateral_head", "residual/head", "residual/residual/head",
        "residual/offset/head",
    )  # fmt: skip


def test_the_layers_that_read_hidden_activations():
    reading = set(parts.roles(nested()).reading)
    assert reading == {
        "dense_1", "column/dense_1", "column/lateral_1", "column/column/dense_1", "column/column/lateral_1",
        "column/column/head", "column/column/lateral_head", "residual/dense_1", "residual/head",
        "residual/residual/head", "residual/offset/head",
    }  # fmt: skip
    assert parts.roles(plain([4, 4])) == (("dense_0",), ("dense_1", "head"), ("head",))


def test_every_network_is_found_with_its_path():
    found = dict(parts.networks(nested()))
    assert set(found) == {"", "column/", "column/column/", "residual/", "residual/residual/", "residual/offset/"}
    assert parts.widths(found["residual/"]) == (5, 5) and parts.sizes(found["residual/"]) == (3, 2)
    assert parts.innermost(nested(), "residual")[0] == "residual/residual/"
    assert parts.innermost(plain([4]), "residual")[0] == ""


def test_a_fresh_network_like_another_has_its_shapes():
    like = {**plain([4, 6]), "norm_0": {}, "log_std": np.zeros(2)}
    fresh = jax.device_get(quick(lambda key: parts.network(key, like, head_gain=0.5))(jax.random.key(0)))
    assert parts.widths(fresh) == (4, 6) and parts.sizes(fresh) == (3, 2) and "norm_1" in fresh
    np.testing.assert_allclose(np.linalg.svd(fresh["head"]["kernel"], compute_uv=False), 0.5, rtol=1e-4)
    assert parts.widths(jax.eval_shape(lambda key: parts.network(key, like, 5), jax.random.key(0))) == (5, 5)
    quiet = parts.silenced(fresh)
    assert not np.any(outputs(quiet)) and np.any(outputs(fresh))


@pytest.mark.parametrize("name", ["input", "dense", "bottleneck_x", "columns"])
def test_an_entry_that_no_network_reads_is_refused(name):
    with pytest.raises(ValueError, match=f"params: '{name}' is no part of a network"):
        outputs({**plain([4]), name: {"kernel": np.eye(3)}})


def test_features_are_the_networks_own_layers():
    base = {group: {**plain([4, 6], outputs=size), "residual": plain([5], outputs=size)}
            for group, size in (("policy", 2), ("value", 1))}  # fmt: skip
    found = jax.eval_shape(actor_critic.features, base, NETWORK, OBS)
    assert {path: leaf.shape for path, leaf in found.items()} == {
        f"{group}/dense_{i}": (5, width) for group in base for i, width in enumerate((4, 6))
    }

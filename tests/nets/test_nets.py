"""Initialisers and networks: laws of orthogonality, and a forward pass written out in NumPy."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick

import jaxrl_ft as ft
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.nets import actor_critic, forward, initializers

SHAPES = [(64, 64), (4, 64), (64, 2), (1, 64), (128, 32), (1, 1)]
OBS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


@functools.cache
def initializer(shape):
    return quick(jax.vmap(lambda key: initializers.orthogonal(0.5)(key, shape)))


def drawn(shape, num, seed=0):
    """num matrices with gain 1 from as many keys, [num, *shape]."""
    return np.asarray(initializer(shape)(jax.random.split(jax.random.key(seed), num)), float) / 0.5


orthogonalize = quick(initializers.orthogonalize)


@pytest.mark.parametrize("shape", SHAPES)
def test_drawn_matrices_are_orthogonal(shape):
    matrices = drawn(shape, 128)
    wide = shape[0] < shape[1]
    gram = np.einsum("kij,kil->kjl", *[matrices.transpose(0, 2, 1) if wide else matrices] * 2)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(min(shape)), gram.shape), atol=1e-5)


def test_nearly_singular_matrices_are_orthogonalised_too():
    """Their polar factor is known: rotations of a diagonal matrix with a tiny entry."""
    random = np.random.default_rng(1)
    left, right = np.linalg.qr(random.normal(size=(2, 8, 8)))[0]
    diagonal = np.geomspace(1, 1e-4, 8)
    result = np.asarray(orthogonalize((left @ np.diag(diagonal) @ right.T).astype(np.float32)))
    np.testing.assert_allclose(result.T @ result, np.eye(8), atol=1e-5)
    np.testing.assert_allclose(result, left @ right.T, atol=0.02)


def test_the_factor_turns_with_the_matrix():
    """polar(R A S) = R polar(A) S for rotations R and S: the law that makes a Gaussian's factor Haar-distributed."""
    random = np.random.default_rng(2)
    rotations = np.linalg.qr(random.normal(size=(2, 8, 8)))[0].astype(np.float32)
    matrix = random.normal(size=(8, 8)).astype(np.float32)
    turned = orthogonalize(rotations[0] @ matrix @ rotations[1])
    np.testing.assert_allclose(turned, rotations[0] @ np.asarray(orthogonalize(matrix)) @ rotations[1], atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 8), (8, 3)])
def test_the_moments_are_those_of_the_haar_measure(shape):
    """E x = 0, E x² = 1/n, E x⁴ = 3/(n (n + 2)), n the larger side; no two entries or signs are tied to each other."""
    num, n = 4000, max(shape)
    x = drawn(shape, num)
    spread = 5 / np.sqrt(num)
    assert np.abs(x.mean(axis=0)).max() < spread * np.sqrt(1 / n)
    assert np.abs((x**2).mean(axis=0) * n - 1).max() < spread * np.sqrt(2)
    assert (x**4).mean() * n * (n + 2) / 3 == pytest.approx(1.0, abs=0.03)
    flat = x.reshape(num, -1)
    correlations = np.corrcoef(flat.T) - np.eye(flat.shape[1])
    assert np.abs(correlations).max() < 1.2 * spread
    assert abs(np.diagonal(x, axis1=1, axis2=2).sum(axis=1).mean()) < spread
    if shape[0] == shape[1]:
        positive = (np.linalg.det(x) > 0).mean()
        assert abs(positive - 0.5) < spread / 2


@pytest.mark.parametrize("shape", [(8, 8), (8, 3)])
def test_the_distribution_is_that_of_the_sign_corrected_qr(shape):
    """Projections on a fixed direction have the same quantiles."""
    random = np.random.default_rng(3)
    q, r = np.linalg.qr(random.normal(size=(4000, *shape)))
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    weights = random.normal(size=shape) / np.sqrt(np.prod(shape))
    ours, theirs = (np.sort((x * weights).sum(axis=(1, 2))) for x in (drawn(shape, 4000), q))
    grid = np.concatenate([ours, theirs])
    gap = np.abs(np.searchsorted(ours, grid, "right") - np.searchsorted(theirs, grid, "right")).max() / 4000
    assert gap < 1.95 * np.sqrt(2 / 4000)


def test_keys_make_the_matrix():
    first, again, other = (drawn((8, 8), 4000, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert np.abs(first[0] - first[1]).max() > 0.1


def fresh(network, gaussian=False):
    return lambda key: actor_critic.init(key, network, 3, 2, gaussian)


def made_up(network, seed=0):
    """Parameters drawn by NumPy, of the shapes that `init` gives."""
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(fresh(network), jax.random.key(0))
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(np.float32) * 0.7, shapes)


apply = quick(forward.apply)


@quick
def outputs_of(params, network, obs):
    """Logits or means, and values."""
    return actor_critic.policy_outputs(params, network, obs), actor_critic.values(params, network, obs)


def written_out(layers, x, activation, eps=1e-6):
    """The forward pass of the definition, in float64."""
    functions = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0), "swish": lambda z: z / (1 + np.exp(-z))}
    layers = jax.tree.map(lambda leaf: np.asarray(leaf, float), layers)
    for i in range(sum(name.startswith("dense_") for name in layers)):
        x = x @ layers[f"dense_{i}"]["kernel"] + layers[f"dense_{i}"]["bias"]
        if f"norm_{i}" in layers:
            centred = x - x.mean(axis=-1, keepdims=True)
            x = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
            x = x * layers[f"norm_{i}"]["scale"] + layers[f"norm_{i}"]["bias"]
        x = functions[activation](x)
    return x @ layers["head"]["kernel"] + layers["head"]["bias"]


@pytest.mark.parametrize("activation", ["tanh", "relu", "swish"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_forward_pass_is_the_written_out_one(activation, layer_norm):
    network = ft.MLP(width=6, depth=3, activation=activation, layer_norm=layer_norm)
    params = made_up(network)
    outputs, values = outputs_of(params, network, OBS)
    np.testing.assert_allclose(outputs, written_out(params["policy"], OBS, activation), atol=1e-5)
    assert values.shape == (5,)
    np.testing.assert_allclose(values, written_out(params["value"], OBS, activation)[:, 0], atol=1e-5)


def test_fresh_parameters_have_the_promised_gains_and_zero_biases():
    init = quick(fresh(ft.MLP(width=16, depth=2, layer_norm=True), gaussian=True))
    params = jax.device_get(init(jax.random.key(0)))
    for group, head in (("policy", 0.01), ("value", 1.0)):
        layers = params[group]
        for name, gain in (("dense_0", np.sqrt(2)), ("dense_1", np.sqrt(2)), ("head", head)):
            singular = np.linalg.svd(layers[name]["kernel"], compute_uv=False)
            np.testing.assert_allclose(singular, gain, rtol=1e-4)
            np.testing.assert_array_equal(layers[name]["bias"], 0.0)
        np.testing.assert_array_equal(layers["norm_0"]["scale"], 1.0)
    np.testing.assert_array_equal(params["policy"]["log_std"], 0.0)
    assert "log_std" not in params["value"]
    assert params["policy"]["dense_0"]["kernel"].shape == params["value"]["dense_0"]["kernel"].shape
    assert np.abs(params["policy"]["dense_0"]["kernel"] - params["value"]["dense_0"]["kernel"]).max() > 0.1


def test_each_network_has_widths_of_its_own():
    network = ft.MLP(width=5, depth=1, policy=(6, 2))
    shapes = jax.eval_shape(fresh(network), jax.random.key(0))
    assert {name: layer["kernel"].shape for name, layer in shapes["policy"].items()} == {
        "dense_0": (3, 6), "dense_1": (6, 2), "head": (2, 2)
    }  # fmt: skip
    assert {name: layer["kernel"].shape for name, layer in shapes["value"].items()} == {
        "dense_0": (3, 5), "head": (5, 1)
    }  # fmt: skip


def test_widths_are_said_in_the_fewest_words():
    uneven = ft.MLP(policy=(6, 2), value=(5,), activation="relu")
    for network in (ft.MLP(width=3, depth=4, layer_norm=True), uneven):
        assert network.with_widths(network.widths("policy"), network.widths("value")) == network
        assert uneven.with_widths((3,) * 4, (3,) * 4) == ft.MLP(width=3, depth=4, activation="relu")
    assert ft.MLP(width=3).with_widths((6, 2), (5,)) == ft.MLP(policy=(6, 2), value=(5,))
    assert ft.MLP(width=3).with_widths((), (5,)) == ft.MLP(depth=0, value=(5,))


def test_a_policy_may_be_linear_and_a_value_may_not():
    network = ft.MLP(depth=0, value=(5,))
    check_config(network, "network")
    shapes = jax.eval_shape(fresh(network), jax.random.key(0))
    assert {name: layer["kernel"].shape for name, layer in shapes["policy"].items()} == {"head": (3, 2)}
    assert forward.trunk_readers(shapes) == () and list(network.lacks) == ["obs_entries"]
    assert network.widened(7).widths("policy") == network.deepened().widths("policy") == ()
    for wrong in (ft.MLP(depth=0), ft.MLP(depth=0, shared_trunk=True)):
        with pytest.raises(ValueError, match=r"^network.depth: 0 is not allowed without `value`"):
            check_config(wrong, "network")


def test_width_and_depth_are_read_from_the_tree():
    """A tree of other widths than the config's, and of different widths by layer, is applied as it is."""
    random = np.random.default_rng(4)
    sizes = [3, 5, 2, 7, 4]
    layers = [{"kernel": random.normal(size=s).astype(np.float32), "bias": random.normal(size=s[1]).astype(np.float32)}
              for s in itertools.pairwise(sizes)]  # fmt: skip
    params = {**{f"dense_{i}": layer for i, layer in enumerate(layers[:-1])}, "head": layers[-1]}
    output, hidden = apply(params, ft.MLP(width=64, depth=2), OBS)
    np.testing.assert_allclose(output, written_out(params, OBS, "tanh"), atol=1e-5)
    assert [layer.shape for layer in hidden] == [(5, 5), (5, 2), (5, 7)]
    assert forward.depth(params) == 3


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3)])
def test_any_leading_axes_will_do(shape):
    network = ft.MLP(width=4)
    params = made_up(network)
    obs = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    rows = obs.reshape(-1, 3)
    alone = [outputs_of(params, network, row) for row in rows]
    for outputs, each, tail in zip(outputs_of(params, network, obs), map(np.stack, zip(*alone)), ((2,), ())):
        assert outputs.shape == (*shape[:-1], *tail)
        np.testing.assert_allclose(np.reshape(outputs, each.shape), each, atol=1e-6)


def test_features_are_the_hidden_activations_of_both_networks():
    network = ft.MLP(width=4, depth=2)
    params = made_up(network)
    found = jax.device_get(quick(actor_critic.features)(params, network, OBS))
    assert list(found) == ["policy/dense_0", "policy/dense_1", "value/dense_0", "value/dense_1"]
    for group, outputs in zip(("policy", "value"), outputs_of(params, network, OBS)):
        last = found[f"{group}/dense_1"] @ params[group]["head"]["kernel"] + params[group]["head"]["bias"]
        np.testing.assert_allclose(last.reshape(5, -1), np.reshape(outputs, (5, -1)), atol=1e-6)
        first = np.tanh(OBS @ params[group]["dense_0"]["kernel"] + params[group]["dense_0"]["bias"])
        np.testing.assert_allclose(found[f"{group}/dense_0"], first, atol=1e-6)


@quick
def gradients(params, network):
    """Those of the sum of squared logits and of that of squared values."""
    functions = (actor_critic.policy_outputs, actor_critic.values)
    return [jax.grad(lambda params, f=f: jnp.sum(f(params, network, jnp.asarray(OBS)) ** 2))(params) for f in functions]


def test_policy_and_value_are_separate():
    network = ft.MLP(width=4, layer_norm=True)
    for grads, own in zip(gradients(made_up(network), network), ("policy", "value")):
        for group, leaves in grads.items():
            size = sum(float(np.abs(np.asarray(leaf)).sum()) for leaf in jax.tree.leaves(leaves))
            assert (size > 0) == (group == own)


def test_init_and_apply_are_pure_functions_of_plain_dicts():
    network = ft.MLP(width=4, depth=1, layer_norm=True)
    init = quick(fresh(network))
    first, again, other = (init(jax.random.key(seed)) for seed in (0, 0, 1))
    before = jax.tree.map(np.array, first)
    assert {type(node) for node in (first, first["policy"], first["policy"]["dense_0"])} == {dict}
    np.testing.assert_array_equal(outputs_of(first, network, OBS)[0], outputs_of(again, network, OBS)[0])
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(first)))
    kernels = (np.asarray(params["policy"]["dense_0"]["kernel"]) for params in (first, other))
    assert np.abs(np.subtract(*kernels)).max() > 0.1


def test_a_network_config_has_no_leaves():
    """All of its fields are static, so that a policy can carry it through vmap and jit."""
    for network in (ft.MLP(), dataclasses.replace(ft.MLP(), activation="relu", layer_norm=True)):
        assert jax.tree.leaves(network) == []


@pytest.mark.parametrize("units", range(1, 7))
def test_a_layer_of_few_units_is_the_product_that_one_of_many_is(units):
    """Whether units are computed one by one or together: values and gradients are those of NumPy."""
    random = np.random.default_rng(units)
    kernel, obs = random.normal(size=(3, units)).astype(np.float32), random.normal(size=(2, 5, 3)).astype(np.float32)
    bias, weights = random.normal(size=units).astype(np.float32), random.normal(size=(2, 5, units)).astype(np.float32)

    def weighted(kernel, obs):
        return (forward.apply({"head": {"kernel": kernel, "bias": bias}}, ft.MLP(), obs)[0] * weights).sum()

    found, gradients = quick(jax.value_and_grad(weighted, argnums=(0, 1)))(kernel, obs)
    np.testing.assert_allclose(found, ((obs @ kernel + bias) * weights).sum(), rtol=1e-4)
    np.testing.assert_allclose(gradients[0], np.einsum("tbi,tbo->io", obs, weights), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradients[1], weights @ kernel.T, rtol=1e-4, atol=1e-5)

"""Laws of growth: the function stays, copies part, and the network config tells the new shapes.

The oracle is a forward pass in NumPy and float64, so that a rounding of the networks' own hides nothing.
"""

import jax
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.growing import DENSE, GROWTHS, NETWORKS, RELU, TANH, UNEVEN, WIDER, grow, observations, task

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.warm_starts.growth import Net2Deeper, Net2Wider
from jaxrl_ft.rl import actor_critic

TASKS = ["CartPole-v1", "Pendulum-v1"]
ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "swish": lambda x: x / (1 + np.exp(-x)),
}


def forward(layers, activation, x):
    """Outputs of one MLP, blocks included."""
    act = ACTIVATIONS[activation]

    def dense(layer, x):
        return x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)

    obs = x
    for i in range(sum(name.startswith("dense") for name in layers)):
        x = dense(layers[f"dense_{i}"], x)
        if f"norm_{i}" in layers:
            norm = layers[f"norm_{i}"]
            spread = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
            x = (x - x.mean(axis=-1, keepdims=True)) / spread * np.asarray(norm["scale"]) + np.asarray(norm["bias"])
        x = act(x)
        if f"bottleneck_{i}" in layers:
            block = layers[f"bottleneck_{i}"]
            x = x + dense(block["up"], act(dense(block["down"], x)))
    signs = {"residual": 1, "offset": -1}
    return dense(layers["head"], x) + sum(
        sign * forward(layers[name], activation, obs) for name, sign in signs.items() if name in layers
    )


def assert_same_function(base, grown, activation):
    for group in ("policy", "value"):
        before, after = (forward(params[group], activation, observations(base)) for params in (base, grown))
        np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)


def shapes(params):
    return jax.tree.map(np.shape, params)


@pytest.fixture
def blocked(random_params):
    """Parameters whose last hidden layers have a block that does something."""
    base = random_params(task("CartPole-v1"), TANH)
    grown = grow(Net2Deeper(width=4), base)
    rng = np.random.default_rng(3)
    for group in grown:
        up = grown[group]["bottleneck_1"]["up"]
        grown[group]["bottleneck_1"]["up"] = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), up)
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), grown)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    "warm, kind", [(warm, kind) for warm in GROWTHS for kind in NETWORKS if (warm, kind) != (UNEVEN, "normed")]
)
def test_growth_keeps_the_function(warm, kind, name, random_params):
    base = random_params(task(name), NETWORKS[kind])
    grown = grow(warm, base)
    assert tree.size(grown) > tree.size(base)
    assert_same_function(base, grown, NETWORKS[kind].activation)
    assert ("log_std" in base["policy"]) == (name == "Pendulum-v1")
    if "log_std" in base["policy"]:
        np.testing.assert_array_equal(grown["policy"]["log_std"], base["policy"]["log_std"])


@quick
def acted(policy, obs):
    """Logits or means, entropies, values and greedy actions."""
    distribution = actor_critic.distribution(policy, obs)
    return distribution[0], distribution.entropy(), actor_critic.values(policy, obs), distribution.mode()


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("kind", ["relu", "normed"])
def test_a_widened_policy_acts_and_values_as_before(kind, name, random_params):
    base = random_params(task(name), NETWORKS[kind])
    outputs = []
    for params in (base, grow(WIDER, base)):
        *seen, mode = acted(Policy(params, {}, NETWORKS[kind]), observations(base))
        outputs.append(seen)
        assert np.allclose(mode, seen[0]) if name == "Pendulum-v1" else mode.dtype == np.int32
    for before, after in zip(*outputs):
        np.testing.assert_allclose(after, before, rtol=1e-6, atol=3e-6)


@pytest.mark.parametrize("kind", ["relu", "shallow"])
def test_a_dense_layer_is_the_identity_after_relu_to_the_last_bit(kind, random_params):
    network = ft.MLP(width=6, activation="relu", depth=NETWORKS[kind].depth)
    base = random_params(task("CartPole-v1"), network)
    grown = grow(DENSE, base)
    logits, _, values, _ = acted(Policy(base, {}, network), observations(base))
    for params in (grown, grow(DENSE, grown)):
        after = acted(Policy(params, {}, network), observations(base))
        np.testing.assert_array_equal(after[0], logits)
        np.testing.assert_array_equal(after[2], values)


def test_the_networks_read_blocks_as_the_oracle_does(blocked):
    policy, obs = Policy(blocked, {}, TANH), observations(blocked)
    logits = forward(blocked["policy"], "tanh", obs)
    np.testing.assert_allclose(acted(policy, obs)[0], logits, rtol=1e-5, atol=1e-5)


def test_growing_again_keeps_the_function(random_params, blocked):
    base = random_params(task("Pendulum-v1"), RELU)
    twice = grow(UNEVEN, grow(WIDER, base), 1)
    assert twice["value"]["dense_1"]["kernel"].shape == (15, 15)
    assert_same_function(base, twice, "relu")
    for warm in (WIDER, Net2Deeper(width=3)):
        grown = grow(warm, blocked)
        assert_same_function(blocked, grown, "tanh")
        width = 12 if isinstance(warm, Net2Wider) else 6
        inner = 4 if isinstance(warm, Net2Wider) else 7
        assert shapes(grown["policy"]["bottleneck_1"]) == {
            "down": {"kernel": (width, inner), "bias": (inner,)},
            "up": {"kernel": (inner, width), "bias": (width,)},
        }


def test_other_parts_are_carried(random_params, same):
    base = random_params(task("CartPole-v1"), TANH)
    beside = random_params(task("CartPole-v1"), TANH, 1)["policy"]
    base["policy"]["residual"] = beside
    for warm in GROWTHS:
        grown = grow(warm, base)
        assert same(grown["policy"]["residual"], beside)
        assert_same_function(base, grown, "tanh")


def test_a_residual_block_can_leave_zero(random_params):
    """`up` has a gradient at the start, and down has one after it moved."""
    grown = grow(Net2Deeper(width=5), random_params(task("CartPole-v1"), TANH))["value"]
    block = grown["bottleneck_1"]
    assert not np.any(block["up"]["kernel"]) and not np.any(block["up"]["bias"])
    gram = np.asarray(block["down"]["kernel"]).T @ np.asarray(block["down"]["kernel"])
    np.testing.assert_allclose(gram, 2 * np.eye(5), atol=1e-4)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    "warm, network", [(WIDER, NETWORKS["normed"]), (WIDER, TANH), (DENSE, RELU)], ids=["normed", "tanh", "dense"]
)
def test_a_fresh_network_of_the_new_config_has_the_grown_shapes(warm, network, name, random_params):
    assert warm.grows
    fresh = random_params(task(name), warm.network(network))
    assert shapes(grow(warm, random_params(task(name), network))) == shapes(fresh)


@pytest.mark.parametrize("warm, policy, value", [(WIDER, (12, 12), (12,)), (DENSE, (6, 4, 4), (5, 5))])
def test_networks_of_uneven_widths_grow_by_group_and_layer(warm, policy, value, random_params):
    network = ft.MLP(policy=(6, 4), value=(5,), activation="relu")
    grown = warm.network(network)
    assert (grown.widths("policy"), grown.widths("value")) == (policy, value)
    base = random_params(task("CartPole-v1"), network)
    after = jax.eval_shape(lambda key: warm.apply(key, base, base, None), jax.random.key(0))
    assert shapes(after) == shapes(random_params(task("CartPole-v1"), grown))


def test_a_residual_block_leaves_the_config_as_it_is():
    assert Net2Deeper().grows
    for network in NETWORKS.values():
        assert Net2Deeper().network(network) is network


def test_growth_to_the_same_width_is_the_identity_bit_for_bit(random_params, same):
    for network in (TANH, NETWORKS["normed"]):
        base = random_params(task("Pendulum-v1"), network)
        assert same(grow(Net2Wider(width=6, spread=0.3), base), base)


REFUSED = [
    (Net2Wider(width=5), TANH, (), "width: 5 is below the pretrained network's 6"),
    (
        Net2Wider(width=9),
        NETWORKS["normed"],
        (),
        "width: 9 is no whole multiple of the pretrained network's 6; with layer norm",
    ),
    (WIDER, TANH, ("column",), "width: a network with the part 'column' cannot be widened"),
    (
        DENSE,
        ft.MLP(width=6, activation="relu", layer_norm=True),
        (),
        "layer: 'dense' is not allowed .*'norm_0'.*normalised",
    ),
    (DENSE, RELU, ("column",), "layer: 'dense' is not allowed .*'column'.*a layer for each"),
    (DENSE, RELU, ("bottleneck_1",), "layer: 'dense' is not allowed .*'bottleneck_1'.*may be negative"),
]


@pytest.mark.parametrize("warm, network, parts, message", REFUSED)
def test_what_would_change_the_function_is_refused_by_shapes_alone(warm, network, parts, message, random_params):
    base = random_params(task("CartPole-v1"), network)
    for part in parts:
        base["value"][part] = {"kernel": np.ones((6, 6), np.float32)}
    shaped = jax.eval_shape(lambda: base)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda base: warm.apply(jax.random.key(0), base, None, None), shaped)


@pytest.mark.parametrize("activation", ["tanh", "swish"])
def test_a_dense_layer_is_refused_where_it_is_not_the_identity(activation):
    with pytest.raises(ValueError, match=f"layer: 'dense' is not allowed for a {activation} network.*'residual'"):
        DENSE.network(ft.MLP(activation=activation))


def test_a_network_without_hidden_layers_stays_when_widened_and_cannot_get_a_block(same):
    base = {"policy": {"head": {"kernel": np.ones((4, 2), np.float32), "bias": np.zeros(2, np.float32)}}}
    assert same(grow(WIDER, base), base)
    with pytest.raises(ValueError, match="layer: 'residual' is not allowed for a network without hidden layers"):
        grow(Net2Deeper(), base)

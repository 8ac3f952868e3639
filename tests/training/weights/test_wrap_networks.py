"""Convolutions and shared trunks from elsewhere: they act as they did, and what does not fit is named."""

import jax
import numpy as np
import pytest
from helpers import image_worlds
from helpers.algorithms import SMALL
from helpers.compiling import quick
from helpers.image_worlds import IMAGE

import jaxrl_ft as ft
from jaxrl_ft.nets import actor_critic

RNG = np.random.default_rng(0)
ALGO = ft.PPO(**SMALL["ppo"])
OBS = RNG.normal(size=(5, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def worlds():
    """Both tasks, made before nothing may run."""
    return image_worlds.task(), image_worlds.task(2.0)


def layer(*shape):
    return RNG.normal(size=shape).astype(np.float32), RNG.normal(size=shape[-1]).astype(np.float32)


CONVS = [layer(2, 2, 2, 3), layer(2, 2, 3, 4)]
DENSE = [layer(16, 6), layer(6, 3)]
HEAD = [layer(6, 1)]


def convolved(x, kernel, bias):
    numbers = ("NHWC", "HWIO", "NHWC")
    return (
        jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=numbers, precision="highest") + bias
    )


def trunk(activation=lambda x: np.maximum(x, 0)):
    x = OBS.reshape(5, *IMAGE)
    for kernel, bias in CONVS:
        x = activation(np.asarray(convolved(x, kernel, bias)))
    return activation(x.reshape(5, -1) @ DENSE[0][0] + DENSE[0][1])


def outputs(agents):
    params, network = jax.tree.map(lambda leaf: leaf[0], agents.params), agents.network

    @quick
    def both(params, obs):
        return actor_critic.policy_outputs(params, network, obs), actor_critic.values(params, network, obs)

    return both(params, jax.numpy.asarray(OBS))


@pytest.mark.parametrize("shared", [True, False])
def test_wrapped_convolutions_act_as_they_did(shared):
    policy, task = [*CONVS, *DENSE], image_worlds.task()
    value = HEAD if shared else [*CONVS, DENSE[0], *HEAD]
    network = ft.CNN(shared_trunk=True) if shared else None
    agents = ft.wrap({"policy": policy, "value": value}, task, network=network, algo=ALGO)
    assert agents.network == ft.CNN(channels=(3, 4), kernels=(2, 2), dense=(6,), shared_trunk=shared, image=IMAGE)
    logits, values = outputs(agents)
    np.testing.assert_allclose(logits, trunk() @ DENSE[1][0] + DENSE[1][1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(values, (trunk() @ HEAD[0][0] + HEAD[0][1])[:, 0], rtol=1e-4, atol=1e-4)
    again = ft.wrap({group: jax.tree.map(lambda x: x[0], layers) for group, layers in agents.params.items()},
                    task, network=agents.network, algo=ALGO)  # fmt: skip
    assert again == agents


def test_flax_numbers_convolutions_and_dense_layers_apart():
    names = ["Conv_0", "Conv_1", "Dense_0", "Dense_1"]
    named = {name: {"kernel": k, "bias": b} for name, (k, b) in zip(names, [*CONVS, *DENSE])}
    agents = ft.wrap({"policy": {"params": dict(reversed(named.items()))}}, image_worlds.task(), algo=ALGO)
    np.testing.assert_array_equal(agents.params["policy"]["dense_2"]["kernel"][0], DENSE[0][0])
    np.testing.assert_array_equal(agents.params["policy"]["conv_1"]["kernel"][0], CONVS[1][0])


def test_a_shared_trunk_of_dense_layers(source):
    policy, value = [layer(4, 6), layer(6, 5), layer(5, 2)], [layer(5, 1)]
    agents = ft.wrap({"policy": policy, "value": value}, source, network=ft.MLP(shared_trunk=True), algo=ALGO)
    assert agents.network == ft.MLP(policy=(6, 5), shared_trunk=True)
    assert agents.params["value"]["head"]["kernel"].shape == (1, 5, 1)
    alone = ft.wrap({"policy": policy}, source, network=ft.MLP(shared_trunk=True), algo=ALGO)
    assert alone.network == agents.network and "critic: missing, freshly initialised" in alone.report


@pytest.mark.parametrize(
    ("params", "network", "text"),
    [
        ({"policy": [*DENSE[:1], *CONVS, DENSE[1]]}, None, "convolutions must come before dense layers"),
        ({"policy": [layer(3, 2, 2, 2), *DENSE]}, None, r"layer 0 has kernel \(3, 2, 2, 2\); .* torch keeps"),
        (
            {"policy": [*CONVS, layer(15, 6), DENSE[1]]},
            None,
            r"policy/dense_2/kernel of shape \(15, 6\) makes no agent",
        ),
        ({"policy": [*CONVS, *DENSE]}, ft.MLP(), "must be of type CNN, as params hold convolutions"),
        ({"policy": [layer(32, 6), DENSE[1]]}, ft.CNN(), "must be of type MLP, as params hold no convolutions"),
        (
            {"policy": [*CONVS, *DENSE]},
            ft.CNN(channels=(8, 8)),
            r"network.channels: \(8, 8\) is not allowed; params hold",
        ),
        ({"policy": [*CONVS, *DENSE], "value": HEAD}, None, "network.shared_trunk takes a head alone"),
        ({"policy": [*CONVS, *DENSE], "value": [layer(32, 6), *HEAD]}, None, "its layers must be like the policy's"),
        (
            {"policy": [*CONVS, *DENSE], "value": [layer(6, 6), *HEAD]},
            ft.CNN(shared_trunk=True),
            "it must be one, the head",
        ),
        ({"policy": [*CONVS, *DENSE], "value": [layer(7, 1)]}, ft.CNN(shared_trunk=True), r"must have kernel \(6, 1\)"),
    ],
)
def test_layers_that_do_not_fit_are_named(params, network, text, worlds, nothing_runs):
    with pytest.raises(ValueError, match=text):
        ft.wrap(params, image_worlds.task(), network=network, algo=ALGO)

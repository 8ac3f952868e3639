"""Policies of images from other libraries do here what torch and flax make of their arrays."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.foreign_networks import QUIET, relu
from helpers.image_worlds import IMAGE, OBS_SIZE, task

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.nets import actor_critic
from jaxrl_ft.training.agents import scores

RNG = np.random.default_rng(3)
OBS = RNG.normal(size=(9, OBS_SIZE)).astype(np.float32)


def arrays(*shapes):
    return [np.float32(0.5 * RNG.normal(size=shape)) for shape in shapes]


def pair(weight, *, size=None):
    return weight, *arrays((size or len(weight),))


CONVOLUTIONS = [pair(weight) for weight in arrays((3, 2, 2, 2), (5, 3, 2, 2))]
DENSE, OTHER = (pair(weight) for weight in arrays((7, 20), (7, 20)))
ACTOR, CRITIC = (pair(weight) for weight in arrays((3, 7), (1, 7)))


def convolved(layers, obs, strides):
    """What torch's convolutions, relu and Flatten make of images, [N, ...]."""
    x = np.moveaxis(obs.reshape((-1, *IMAGE)), -1, 1)
    for (weight, bias), stride in zip(layers, strides):
        seen = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
        x = relu(np.einsum("nihwab,oiab->nohw", seen, weight) + bias[:, None, None])
    return x.reshape((len(obs), -1))


def dense(layer, x):
    return x @ layer[0].T + layer[1]


def features(obs=OBS, convolutions=CONVOLUTIONS, hidden=DENSE, strides=(1, 1)):
    return relu(dense(hidden, convolved(convolutions, obs, strides)))


def state(**layers):
    return {f"{name.replace('__', '.')}.{part}": leaf for name, layer in layers.items()
            for part, leaf in zip(("weight", "bias"), layer)}  # fmt: skip


def extractor(name, convolutions=CONVOLUTIONS, hidden=DENSE):
    found = {f"{name}__cnn__{2 * i}": layer for i, layer in enumerate(convolutions)}
    return state(**found, **{f"{name}__linear__0": hidden})


HEADS = state(action_net=ACTOR, value_net=CRITIC)
CLEANRL = state(network__0=CONVOLUTIONS[0], network__2=CONVOLUTIONS[1], network__5=DENSE, actor=ACTOR, critic=CRITIC)


def flax(part):
    """The same layers as flax has them; its first dense layer reads channels last."""
    turned = DENSE[0].reshape((7, 5, 2, 2)).transpose(2, 3, 1, 0).reshape((20, 7))
    convolutions = {
        f"Conv_{i}": {"kernel": w.transpose(2, 3, 1, 0), "bias": b} for i, (w, b) in enumerate(CONVOLUTIONS)
    }
    layers = {"trunk": {**convolutions, "Dense_0": {"kernel": turned, "bias": DENSE[1]}}}
    for name, (weight, bias) in (("actor", ACTOR), ("critic", CRITIC)):
        layers[name] = {"Dense_0": {"kernel": weight.T, "bias": bias}}
    return {"params": layers[part]}


read = partial(ft.import_policy, **QUIET)


def assert_acts(agents, logits, values, obs=OBS):
    np.testing.assert_allclose(scores(agents, 0, obs), logits, rtol=1e-4, atol=1e-4)
    policy = tree.take(agents.policies, 0)
    np.testing.assert_allclose(
        actor_critic.values(policy.params, policy.network, jnp.asarray(obs)), values[:, 0], rtol=1e-4, atol=1e-4
    )


FILES = {
    "Stable-Baselines3": extractor("features_extractor") | HEADS,
    "Stable-Baselines3 2.x": {
        **extractor("features_extractor"),
        **extractor("pi_features_extractor"),
        **extractor("vf_features_extractor"),
        **HEADS,
    },
    "CleanRL": CLEANRL,
    "flax": {str(i): flax(part) for i, part in enumerate(("trunk", "actor", "critic"))},
}


def test_an_extractor_is_a_shared_trunk_whoever_wrote_it():
    wanted = ft.CNN(channels=(3, 5), kernels=(2, 2), dense=(7,), shared_trunk=True, image=IMAGE)
    found = {name: read(given, task()) for name, given in FILES.items()}
    for name, agents in found.items():
        assert agents.network == wanted, name
        assert set(agents.params["value"]) == {"head"}
        assert "shared trunk: kept; the critic is a head on the policy's hidden layers" in agents.report
        assert tree.bits(agents.params) == tree.bits(found["CleanRL"].params), name
    assert_acts(found["CleanRL"], dense(ACTOR, features()), dense(CRITIC, features()))


def test_two_extractors_stay_two():
    given = extractor("pi_features_extractor") | extractor("vf_features_extractor", hidden=OTHER) | HEADS
    agents = read(given | extractor("features_extractor"), task())
    assert not agents.network.shared_trunk
    assert_acts(agents, dense(ACTOR, features()), dense(CRITIC, features(hidden=OTHER)))


def test_strides_scale_and_q_networks():
    first = CONVOLUTIONS[:1]
    hidden, head = (pair(weight) for weight in arrays((7, 12), (3, 7)))
    given = extractor("q_net.features_extractor", first, hidden) | state(q_net__q_net__0=head)
    agents = read(given, task(), network=ft.CNN(strides=(2,)), obs_scale=0.25, algo=ft.DQN())
    values = dense(head, features(0.25 * OBS, first, hidden, (2,)))
    np.testing.assert_allclose(agents.algo.actor.temperature * scores(agents, 0, OBS), values, rtol=1e-4, atol=1e-4)
    assert agents.network.strides == (2,) and isinstance(agents.algo, ft.DQN)
    with pytest.raises(ValueError, match=r"reads 12 numbers, and convolutions with the strides \(1,\) and valid"):
        read(given, task())


@pytest.mark.parametrize(
    ("given", "arguments", "message"),
    [
        (
            CLEANRL | state(network__0=pair(*arrays((3, 4, 2, 2)))),
            {},
            "reads images of 4 channels, and Dot shows",
        ),
        (CLEANRL | state(network__0=pair(*arrays((3, 2, 3, 2)))), {}, "with equal sides"),
        (CLEANRL | state(network__0=pair(*arrays((3, 2, 3)))), {}, "holds other convolutions than of images"),
        (CLEANRL, {"obs_map": [0] * OBS_SIZE}, "obs_map: is not allowed with convolutions"),
        (CLEANRL, {"network": ft.MLP()}, "network: MLP"),
        (CLEANRL, {"network": ft.CNN(padding="same")}, "same padding leave 4 x 4 x 5 = 80; give others, as in"),
        (
            FILES["Stable-Baselines3"] | state(mlp_extractor__policy_net__0=pair(*arrays((7, 7)))),
            {},
            "has tanh behind an extractor of images with relu; networks here have one activation",
        ),
    ],
)
def test_what_has_no_form_here_is_refused(given, arguments, message):
    with pytest.raises(ValueError) as caught:
        read(given, task(), **arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)

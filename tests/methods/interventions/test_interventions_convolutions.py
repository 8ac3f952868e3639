"""Channels of convolutions as units, and units that the heads of a shared trunk read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.image_worlds import NETWORKS
from helpers.trees import drawn

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.interventions import neurons
from jaxrl_ft.methods.interventions.neurons import Layer
from jaxrl_ft.nets import actor_critic

ALGO = ft.PPO()
RNG = np.random.default_rng(0)
OBS = jnp.asarray(RNG.normal(size=(9, 32)).astype(np.float32))


class Rows:
    obs = OBS


def plain(name):
    """A network without norms, in which a silent unit stays silent."""
    return type(NETWORKS[name])(**{**vars(NETWORKS[name]), "layer_norm": False})


def base_of(network):
    return drawn(jax.eval_shape(lambda: actor_critic.init(jax.random.key(0), network, 32, 3, False)), RNG)


def outputs(params, network):
    return actor_critic.policy_outputs(params, network, OBS), actor_critic.values(params, network, OBS)


def silenced(params, path, unit):
    flat = {name: np.array(leaf) for name, leaf in tree.flatten(params).items()}
    flat[f"{path}/kernel"][..., unit] = flat[f"{path}/bias"][unit] = 0.0
    return tree.unflatten(flat)


def test_the_last_layer_of_a_shared_trunk_is_read_by_every_head():
    params = base_of(plain("cnn_shared"))
    assert neurons.hidden(params)[-1] == Layer("policy/dense_3", ("policy/head", "value/head"))
    assert neurons.hidden(params)[0] == Layer("policy/conv_0", ("policy/conv_1",))
    assert neurons.hidden(params, "value") == []
    assert neurons.chains(params, "value") == [["value/head"]]


@pytest.mark.parametrize(
    ("name", "path"), [("cnn", "policy/conv_1"), ("cnn", "value/conv_0"), ("cnn_shared", "policy/dense_3")]
)
def test_redo_renews_a_silent_channel_without_a_change_of_outputs(name, path):
    network = plain(name)
    params = silenced(base_of(network), path, 1)
    redo = as_arrays(ft.ReDo(tau=1e-6, period=1.0))
    moment = Moment(progress=jnp.float32(0.0), step=jnp.int32(0))

    @quick
    def act(params):
        memory = redo.init(jax.random.key(0), ALGO, Policy(params, {}, network))
        _, after, void = redo.after_update(jax.random.key(1), memory, ALGO, Policy(params, {}, network), Rows, moment)
        return after, void, outputs(params, network), outputs(after, network)

    after, void, before, now = act(params)
    for one, other in zip(before, now):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    flat, gone = tree.flatten(after), tree.flatten(void)
    assert np.any(flat[f"{path}/kernel"][..., 1]) and np.all(gone[f"{path}/kernel"][..., 1])
    silent = next(layer for layer in neurons.hidden(params) if layer.path == path)
    width = flat[f"{path}/kernel"].shape[-1]
    for reader in silent.after:
        voids = np.asarray(gone[f"{reader}/kernel"]).reshape(-1, width, flat[f"{reader}/kernel"].shape[-1])
        assert np.all(voids[:, 1]), "moments of what read the unit"
        # What it sends to a unit that is fresh itself is fresh too.
        kept = ~np.asarray(gone[f"{reader}/bias"])
        assert kept.any() and not np.any(np.asarray(flat[f"{reader}/kernel"]).reshape(voids.shape)[:, 1][:, kept])


def test_the_next_bias_takes_over_a_constant_channel():
    """A channel that is constant over the image and the rows can go without a change of outputs."""
    network = plain("cnn")
    params = silenced(base_of(network), "policy/conv_1", 2)
    params["policy"]["conv_1"]["bias"][2] = 0.7
    layer = next(layer for layer in neurons.hidden(params) if layer.path == "policy/conv_1")
    mask, means = jnp.arange(5) == 2, jnp.where(jnp.arange(5) == 2, 0.7, 9.0).astype(jnp.float32)

    @quick
    def exchange(params):
        fresh = neurons.fresh_units(jax.random.key(0), params, [layer], 1)
        after, _ = neurons.exchange(params, {layer: mask}, fresh, {layer: means})
        return after, outputs(params, network)[0], outputs(after, network)[0]

    after, before, now = exchange(params)
    assert after["policy"]["conv_1"]["bias"][2] == 0.0
    np.testing.assert_allclose(before, now, rtol=1e-4, atol=1e-5)


def test_fresh_channels_have_the_norm_of_the_initialiser():
    params = base_of(plain("cnn"))
    layers = neurons.hidden(params, "policy")
    fresh = quick(lambda: neurons.fresh_units(jax.random.key(0), params, layers))()
    assert fresh[layers[1]].shape == params["policy"]["conv_1"]["kernel"].shape
    np.testing.assert_allclose(np.linalg.norm(np.asarray(fresh[layers[1]]).reshape(-1, 5), axis=0), 2**0.5, rtol=1e-5)

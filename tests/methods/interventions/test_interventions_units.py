"""Units and layers that are renewed: oracles in NumPy, and the distribution of what is fresh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import intervention_world as w
from helpers.compiling import quick

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.interventions import ContinualBackprop, PeriodicResets, ReDo, neurons
from jaxrl_ft.methods.interventions.neurons import Layer
from jaxrl_ft.nets import initializers

HIDDEN = [Layer("policy/dense_0", ("policy/dense_1",)), Layer("policy/dense_1", ("policy/head",))]


def silenced(params, group, layer, units):
    """Parameters in which some units are 0 at every observation."""
    kernel, bias = (params[group][layer][leaf].copy() for leaf in ("kernel", "bias"))
    kernel[:, units] = bias[units] = 0.0
    return {**params, group: {**params[group], layer: {"kernel": kernel, "bias": bias}}}


def outgoing(params, group, layer, units, value=0.0):
    kernel = params[group][layer]["kernel"].copy()
    kernel[units] = value
    return {**params, group: {**params[group], layer: {**params[group][layer], "kernel": kernel}}}


def test_layers_are_chained_from_the_input_to_the_head():
    params = w.world()
    assert neurons.chains(params, "policy") == [["policy/dense_0", "policy/dense_1", "policy/head"]]
    assert neurons.hidden(params, "policy") == HIDDEN
    assert len(neurons.kernels(params)) == 6


def test_dormancy_is_the_share_of_the_layers_mean_activity():
    activations = np.array([[1.0, -2.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
    dormancy = quick(neurons.dormancy)
    np.testing.assert_allclose(dormancy(activations), [1.5, 1.5, 0.0], rtol=1e-6)
    np.testing.assert_array_equal(dormancy(np.zeros((2, 3), np.float32)), np.zeros(3))


@pytest.mark.parametrize("period", [1.0, 2.0, 3.0, 7.0, 1.5, 2.75, float("inf")])
def test_what_is_due_comes_once_for_each_multiple_of_the_period(period):
    counts = np.arange(1, 60)
    due = jax.jit(neurons.due)(counts, jnp.float32(period))
    np.testing.assert_array_equal(due, np.floor(counts / period) > np.floor((counts - 1) / period))


def test_redo_waits_for_its_period():
    params, redo = w.world(), as_arrays(ReDo(tau=0.9, period=3.0))
    memory, acted = w.begin(redo, params), []
    for _ in range(7):
        memory, after, _ = w.act(redo, memory, params)
        acted.append(any(mask.any() for mask in w.changed(params, after).values()))
    assert acted == [False, False, True, False, False, True, False]
    assert memory["updates"] == 7


def test_redo_renews_the_silent_units_and_no_others_without_a_change_of_outputs():
    params = silenced(silenced(w.world(), "policy", "dense_0", [1, 4]), "policy", "dense_1", [0])
    redo = as_arrays(ReDo(tau=0.01, period=1.0))
    _, after, touched = w.act(redo, w.begin(redo, params), params)
    layers = after["policy"]
    assert np.flatnonzero(np.any(w.changed(params, after)["policy/dense_0/kernel"], axis=0)).tolist() == [1, 4]
    # An outgoing weight becomes 0, unless it is an incoming one of a unit that is fresh itself.
    assert np.all(layers["dense_1"]["kernel"][np.array([1, 4])][:, 1:] == 0)
    assert np.all(layers["dense_1"]["kernel"][:, 0] != 0)
    assert np.all(layers["head"]["kernel"][0] == 0) and np.all(layers["head"]["kernel"][1:] != 0)
    assert np.all(layers["dense_0"]["bias"][np.array([1, 4])] == 0)
    expected = np.zeros((6, 5), bool)
    expected[[1, 4]], expected[:, 0] = True, True
    np.testing.assert_array_equal(touched["policy"]["dense_1"]["kernel"], expected)
    np.testing.assert_allclose(w.outputs(after), w.outputs(params), rtol=1e-5, atol=1e-6)
    assert not any(mask.any() for path, mask in w.changed(params, after).items() if path.startswith("value/"))


def test_the_threshold_itself_is_dormant():
    class Known:
        """Units with scores 0.5, 1 and 1.5, exactly."""

        @staticmethod
        def features(policy, obs):
            return {"policy/dense_0": jnp.array([[0.5, -1.0, 1.5]])}

    params = {"policy": w.world(widths=(3, 3), extras=False)["policy"]}
    params["policy"]["head"] = params["policy"].pop("dense_1")
    policy = Policy(params, {}, None)
    redo = as_arrays(ReDo(tau=1.0, period=1.0))
    act = quick(lambda memory: redo.after_update(jax.random.key(0), memory, Known, policy, w.BATCH, w.moment()))
    _, _, touched = act(redo.init(None, Known, policy))
    np.testing.assert_array_equal(touched["policy"]["dense_0"]["bias"], [True, True, False])


def exchanged(params, masks, means=None, num=None):
    """The parameters with units exchanged for fresh ones, and the entries that are void, as NumPy arrays."""
    draw = lambda params: neurons.fresh_units(jax.random.key(0), params, list(masks), num)  # noqa: E731
    exchange = quick(lambda params, masks, means: neurons.exchange(params, masks, draw(params), means))
    return jax.device_get(exchange(params, masks, means or {}))


def test_units_without_a_voice_are_exchanged_without_a_change_of_outputs():
    params = outgoing(outgoing(w.world(), "policy", "dense_1", [2, 3]), "policy", "head", [1])
    masks = {HIDDEN[0]: np.arange(6) // 2 == 1, HIDDEN[1]: np.arange(5) == 1}
    after, touched = exchanged(params, masks)
    assert np.any(after["policy"]["dense_0"]["kernel"] != params["policy"]["dense_0"]["kernel"])
    assert np.sum(touched["policy"]["dense_0"]["kernel"]) == 8
    np.testing.assert_allclose(w.outputs(after), w.outputs(params), rtol=1e-5, atol=1e-6)


def test_continual_backprop_leaves_the_mean_output_as_it_was():
    # With decay 0 the running mean is the minibatch's; the head is linear in what it reads.
    params, first = w.world(), ContinualBackprop(replacement_rate=1.0, maturity=0.0, decay=0.0)
    features = w.hidden(params["policy"], w.BATCH.obs, np.tanh)[1]
    after, _ = exchanged(params, {HIDDEN[1]: np.arange(5) == 3}, {HIDDEN[1]: features.mean(axis=0)}, num=1)
    np.testing.assert_allclose(w.outputs(after).mean(0), w.outputs(params).mean(0), rtol=1e-5, atol=1e-6)
    assert np.abs(w.outputs(after) - w.outputs(params)).max() > 1e-3
    # A unit that is constant is replaced without any change at all, by the whole intervention.
    constant = silenced(outgoing(params, "policy", "head", [3], 1e-3), "policy", "dense_1", [3])
    constant["policy"]["dense_1"]["bias"][3] = 0.7
    constant = outgoing(silenced(constant, "policy", "dense_0", [2]), "policy", "dense_1", [2])
    member = as_arrays(first)
    _, after, touched = w.act(member, w.begin(member, constant), constant)
    assert touched["policy"]["dense_1"]["bias"][3] and touched["policy"]["dense_0"]["bias"][2]
    np.testing.assert_allclose(w.outputs(after), w.outputs(constant), rtol=1e-5, atol=1e-6)


class Oracle:
    """One layer of continual backprop, in double precision and plain loops."""

    def __init__(self, width, rate, maturity, decay, centered):
        self.rate, self.maturity, self.decay, self.centered = rate, maturity, decay, centered
        self.utility, self.activation = np.zeros(width), np.zeros(width)
        self.age, self.owed = np.zeros(width, int), 0.0

    def step(self, hidden, weights):
        chosen, least = None, np.inf
        for i in range(len(self.age)):
            self.age[i] += 1
            seen = 1 - self.decay ** self.age[i]
            self.activation[i] = self.decay * self.activation[i] + (1 - self.decay) * hidden[:, i].mean()
            size = np.abs(hidden[:, i] - self.centered * self.activation[i] / seen).mean()
            self.utility[i] = self.decay * self.utility[i] + (1 - self.decay) * size * np.abs(weights[i]).sum()
            if self.age[i] > self.maturity:
                self.owed += self.rate
                if self.utility[i] / seen < least:
                    chosen, least = i, self.utility[i] / seen
        if chosen is None or self.owed < 1:
            return None
        self.owed -= 1
        self.utility[chosen] = self.activation[chosen] = self.age[chosen] = 0
        return chosen


@pytest.mark.parametrize("centered", [0.0, 1.0])
def test_continual_backprop_counts_and_chooses_as_an_oracle(centered):
    fields = {"rate": 0.0625, "maturity": 1, "decay": 0.98, "centered": centered}
    member = as_arrays(
        ContinualBackprop(replacement_rate=0.0625, maturity=1.0, decay=0.98, centered=centered, groups="policy")
    )
    params, rng = w.world(), np.random.default_rng(0)
    oracles = [Oracle(6, **fields), Oracle(5, **fields)]
    memory, replaced = w.begin(member, params), 0
    for seed in range(30):
        obs = rng.normal(size=(w.ROWS, 4)).astype(np.float32)
        # Training gives fresh units a voice, by which they compete with the old.
        params = jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape).astype(np.float32) / 3, params)
        hidden = w.hidden(params["policy"], obs, np.tanh)
        weights = [params["policy"][name]["kernel"] for name in ("dense_1", "head")]
        chosen = [o.step(np.asarray(h, float), np.asarray(k, float)) for o, h, k in zip(oracles, hidden, weights)]
        memory, params, touched = w.act(member, memory, params, seed, obs=obs)
        for i, oracle in enumerate(oracles):
            layer, gone = memory["policy"][f"dense_{i}"], touched["policy"][f"dense_{i}"]["bias"]
            assert np.flatnonzero(gone).tolist() == ([] if chosen[i] is None else [chosen[i]])
            replaced += chosen[i] is not None
            np.testing.assert_array_equal(layer["age"], oracle.age)
            np.testing.assert_allclose(layer["owed"], oracle.owed, atol=1e-5)
            np.testing.assert_allclose(layer["utility"], oracle.utility, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(layer["activation"], oracle.activation, rtol=1e-4, atol=1e-6)
    assert replaced >= 8


def test_the_gains_are_those_of_a_fresh_network(source):
    network = ft.MLP(width=16, depth=1)
    params = quick(lambda key: ft.PPO().init_params(key, source, network))(jax.random.key(0))
    for path in neurons.kernels(params):
        kernel = np.asarray(tree.flatten(params)[f"{path}/kernel"], np.float64)
        np.testing.assert_allclose((kernel**2).mean() ** 0.5, neurons.scale(path, kernel.shape), rtol=1e-4)
        np.testing.assert_allclose((kernel**2).sum(), neurons.gain(path) ** 2 * min(kernel.shape), rtol=1e-4)


def test_rough_noise_is_uniform_and_of_unit_variance():
    noise = np.asarray(quick(lambda key: neurons.rough_noise(key, 20_001))(jax.random.key(0)), np.float64)
    assert noise.shape == (20_001,) and len(np.unique(noise)) == 256
    np.testing.assert_allclose([noise.mean(), noise.var(), (noise**4).mean()], [0.0, 1.0, 1.8], atol=0.03)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.03


@pytest.mark.parametrize("shape", [(3, 8), (5, 2)])
def test_fresh_units_are_distributed_as_columns_of_the_initialiser(shape):
    layer = Layer("policy/dense_0", ("policy/head",))
    params = {"policy": {"dense_0": {"kernel": np.zeros(shape, np.float32)}}}

    def draw(key, other):
        column = lambda key: initializers.orthogonal(2**0.5)(key, shape)[:, 0]  # noqa: E731
        columns = jax.vmap(column)(jax.random.split(other, 2000)).T
        return neurons.fresh_units(key, params, [layer], 2000)[layer], columns

    fresh, columns = jax.device_get(quick(draw)(jax.random.key(0), jax.random.key(1)))
    for moments in (lambda x: x.mean(), lambda x: (x**2).mean(), lambda x: (x**4).mean()):
        np.testing.assert_allclose(moments(fresh), moments(columns), rtol=0.08, atol=0.03)
    norms = [np.quantile(np.linalg.norm(x, axis=0), [0.1, 0.5, 0.9]) for x in (fresh, columns)]
    np.testing.assert_allclose(*norms, rtol=0.05)


@pytest.mark.parametrize("shape", [(3, 8), (5, 2), (6, 1)])
def test_what_is_turned_stays_orthogonal_and_forgets_where_it_was(shape):
    def draw(key, other):
        matrix = initializers.orthogonal(0.5)(key, shape)
        return jax.vmap(lambda key: neurons.turned(key, {"x": matrix})["x"])(jax.random.split(other, 2000))

    many = np.asarray(quick(draw)(jax.random.key(0), jax.random.key(1)), np.float64)
    longer = many if shape[0] >= shape[1] else np.swapaxes(many, 1, 2)
    gram = np.einsum("kij,kil->kjl", longer, longer)
    np.testing.assert_allclose(gram, np.broadcast_to(0.25 * np.eye(min(shape)), gram.shape), atol=1e-5)
    np.testing.assert_allclose(many.mean(axis=0), np.zeros(shape), atol=0.03)
    np.testing.assert_allclose((many**2).mean(), 0.25 / max(shape), rtol=1e-5)


def test_resets_come_at_each_span_of_the_budget_until_they_stop():
    params, member = w.world(), as_arrays(PeriodicResets(period=0.2, stop=0.7))
    memory, at, heads = w.begin(member, params), [], []
    for i in range(20):
        memory, after, touched = w.act(member, memory, params, seed=i, at=w.moment((i + 0.5) / 20, i))
        if np.any(touched["policy"]["head"]["kernel"]):
            at.append(i)
            heads.append(after["value"]["head"]["kernel"])
    assert at == [4, 8, 12]
    assert np.all(heads[0] != heads[1]) and np.all(heads[1] != heads[2])


@pytest.mark.parametrize(
    "layers, renewed", [(1, ["head"]), (2, ["dense_1", "head"]), (65, ["dense_0", "dense_1", "head"])]
)
def test_resets_redraw_the_last_layers_as_the_initialiser_does(layers, renewed):
    params, member = w.world(), as_arrays(PeriodicResets(layers=layers, groups="value"))
    _, after, touched = w.act(member, w.begin(member, params), params, at=w.moment(0.5))
    differs = {path for path, mask in w.changed(params, after).items() if mask.any()}
    assert differs == {f"value/{layer}/{leaf}" for layer in renewed for leaf in ("kernel", "bias")}
    for layer in renewed:
        kernel, gain = after["value"][layer]["kernel"], 1.0 if layer == "head" else 2**0.5
        np.testing.assert_allclose(np.linalg.svd(kernel)[1], gain, rtol=1e-4)
        assert not np.any(after["value"][layer]["bias"])
        assert np.all(touched["value"][layer]["kernel"]) and np.all(touched["value"][layer]["bias"])
    assert sum(int(np.sum(mask)) for mask in jax.tree.leaves(touched)) == sum(
        tree.size(params["value"][layer]) for layer in renewed
    )

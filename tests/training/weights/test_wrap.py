"""Weights from elsewhere: they act as they did, and fine-tuning starts over with networks like theirs."""

import jax
import numpy as np
import pytest
from helpers.foreign_networks import OBS, forward, layers

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.training.spec import Budget, finetune_spec
from jaxrl_ft.training.weights import foreign_layers

EACH = {"steps": 512, "num_evals": 2, "eval_episodes": 2}


@pytest.fixture(scope="module")
def given():
    """A policy's layers for each of 4 agents."""
    return layers((4, 8, 8, 2), (4,))


def expected(given, seed, x=OBS, activation=np.tanh):
    return forward([(k[seed], b[seed]) for k, b in given], x, activation).argmax(axis=-1)


def test_wrapped_weights_act_as_they_did_one_agent_for_each_of_the_stack(given, source, tiny):
    wrapped = ft.wrap({"policy": given}, source, algo=tiny.algo)
    assert wrapped.num_seeds == 4
    for seed in range(4):
        np.testing.assert_array_equal(wrapped.policy(seed)(OBS), expected(given, seed))


def test_weights_without_a_leading_axis_are_one_agent_of_any_depth_and_activation(source, tiny):
    given = layers((4, 6, 5, 7, 2))
    wrapped = ft.wrap({"policy": given}, source, network=ft.MLP(activation="relu"), algo=tiny.algo)
    assert wrapped.num_seeds == 1 and wrapped.opt_state is None
    actions = forward(given, OBS, lambda x: np.maximum(x, 0)).argmax(axis=-1)
    np.testing.assert_array_equal(wrapped.policy(0)(OBS), actions)
    assert wrapped.select([0, 0]).num_seeds == 2 and wrapped.select([0]).opt_state is None


NAMES = [
    ("Dense_9", "Dense_10", "Dense_11"),
    ("dense_0", "dense_1", "head"),
    (0, 2, 4),
    ("mlp2_0_w", "mlp2_1_w", "out"),
]


@pytest.mark.parametrize("names", NAMES)
def test_wrapped_dicts_are_read_in_the_order_of_their_numbers(names, given, source, tiny):
    pairs = zip(names, given)
    named = {name: {"kernel": k, "bias": b} for name, (k, b) in sorted(pairs, key=lambda pair: str(pair[0]))}
    for form in (named, {"params": named}):
        act = ft.wrap({"policy": form}, source, algo=tiny.algo).policy(1)
        np.testing.assert_array_equal(act(OBS), expected(given, 1))


def test_a_missing_critic_is_fresh_and_the_report_says_so(given, source, tiny, same):
    value = layers((4, 8, 8, 1), (4,))
    without, other = (ft.wrap({"policy": given}, source, algo=tiny.algo, seed=seed) for seed in (0, 1))
    assert "critic: missing, freshly initialised" in without.report
    assert same(without.params["policy"], other.params["policy"])
    assert not same(without.params["value"], other.params["value"])
    both = ft.wrap({"policy": given, "value": value}, source, algo=tiny.algo)
    assert "critic: given" in both.report
    np.testing.assert_array_equal(both.params["value"]["head"]["kernel"], value[2][0].astype(np.float32))


def test_a_critic_that_nothing_trained_is_reported_as_fresh(given, source, target, tiny):
    for value, fate in ((None, "fresh"), (layers((4, 8, 8, 1), (4,)), "kept")):
        params = {"policy": given} if value is None else {"policy": given, "value": value}
        report = ft.finetune(ft.wrap(params, source, algo=tiny.algo), target, "full", **EACH).report
        assert f"critic: {fate}, trains: all 6 leaves" in report and "actor: kept, trains: all 6 leaves" in report


def test_given_statistics_normalise_what_the_policy_sees(given, source, tiny):
    mean, variance = np.array([1, -1, 2, 0.5]), np.array([4, 1, 0.25, 2])
    moments = {"obs_mean": mean, "obs_variance": variance}
    for numbers, (epsilon, clip) in (({}, (0.0, 10.0)), ({"obs_epsilon": 0.5, "obs_clip": 0.75}, (0.5, 0.75))):
        wrapped = ft.wrap({"policy": given}, source, algo=tiny.algo, **moments, **numbers)
        seen = np.clip((OBS - mean) / np.sqrt(variance + epsilon), -clip, clip)
        np.testing.assert_array_equal(wrapped.policy(2)(OBS), expected(given, 2, seen))
        fresh = wrapped.algo.init_statistics(source)["obs"]
        assert (float(fresh.clip), float(fresh.epsilon)) == (clip, pytest.approx(epsilon, abs=1e-7))
        assert wrapped.algo.normalize_obs and np.all(wrapped.statistics["obs"].num == 1e6)
    few = ft.wrap({"policy": given}, source, algo=tiny.algo, **moments, obs_count=7)
    np.testing.assert_array_equal(few.statistics["obs"].num, np.full(4, 7, np.float32))


def test_wrapped_agents_are_fine_tuned_like_any_other(given, source, target, tiny):
    wrapped = ft.wrap({"policy": given}, source, algo=tiny.algo)
    tuned = ft.finetune(wrapped, target, "full", steps=128, num_evals=2, eval_episodes=4)
    np.testing.assert_array_equal(tuned.env_steps, 128)
    assert tuned.status == ("ok",) * 4


SHAPES = [
    ((64, 64), (256, 256), ft.MLP(policy=(64, 64), value=(256, 256))),
    ((128, 32), None, ft.MLP(policy=(128, 32), value=(128, 32))),
    ((12, 12, 12), (12, 12, 12), ft.MLP(width=12, depth=3)),
]


@pytest.mark.parametrize("policy, value, network", SHAPES)
def test_the_config_is_that_of_the_arrays(policy, value, network, source, tiny):
    params = {"policy": layers((4, *policy, 2))} | ({"value": layers((4, *value, 1))} if value else {})
    wrapped = ft.wrap(params, source, algo=tiny.algo)
    assert wrapped.network == network
    assert ft.wrap(params, source, algo=tiny.algo, network=network) == wrapped
    fresh = jax.eval_shape(lambda: tiny.algo.init_params(jax.random.key(0), source, network))
    for found in (wrapped.params, wrapped.init_params):
        assert jax.tree.map(lambda leaf: leaf.shape[1:], found) == jax.tree.map(lambda leaf: leaf.shape, fresh)


@pytest.fixture(scope="module")
def uneven(source, tiny):
    return ft.wrap({"policy": layers((4, 6, 5, 2)), "value": layers((4, 9, 7, 1))}, source, algo=tiny.algo)


def test_every_method_takes_networks_of_uneven_widths(uneven, target, nothing_runs):
    for name in (name for name, method in ft.METHODS.items() if name != "norm" and not method.keeps):
        finetune_spec(uneven, target, ft.METHODS[name], Budget(20_480, 1, 3, 4))
    with pytest.raises(ValueError, match=r"pattern: '/norm_.*' matches no parameter"):
        finetune_spec(uneven, target, ft.METHODS["norm"], Budget(20_480, 1, 3, 4))


@pytest.mark.slow
def test_networks_of_uneven_widths_are_compared(uneven, target):
    result = ft.compare(
        uneven, {"long": target}, ["full", "head_reset"], seeds=2, **EACH, episodes=2, held_out_episodes=1
    )
    assert {row["total_parameters"] for row in result.runs} == {uneven.num_parameters}
    assert {row["status"] for row in result.runs} == {"ok"}


def test_a_missing_critic_has_the_widths_that_are_asked_for(source, tiny):
    wrapped = ft.wrap({"policy": layers((4, 6, 5, 2))}, source, algo=tiny.algo, network=ft.MLP(value=(9, 7)))
    assert wrapped.network == ft.MLP(policy=(6, 5), value=(9, 7))
    assert wrapped.params["value"]["dense_1"]["kernel"].shape == (1, 9, 7)


WORLDS = [("CartPole-v1", ft.MLP(width=8, layer_norm=True)), ("Pendulum-v1", ft.MLP(width=8))]


@pytest.mark.parametrize("id, network", WORLDS)
def test_parameters_of_agents_come_back_with_norms_and_log_std(id, network, random_params, tiny, same):
    task = ft.make_task(id)
    params = random_params(task, network)
    for given in (network, None):
        wrapped = ft.wrap(params, task, algo=tiny.algo, network=given)
        assert wrapped.network == network and same(tree.take(wrapped.params, 0), params)


def test_one_log_std_is_that_of_every_agent(tiny):
    task, policy = ft.make_task("Pendulum-v1"), layers((3, 8, 8, 1), (4,))
    for given, expected in ((None, np.zeros((4, 1))), ([-1.0], np.full((4, 1), -1)), (np.arange(4)[:, None],) * 2):
        wrapped = ft.wrap({"policy": policy}, task, algo=tiny.algo, log_std=given)
        np.testing.assert_array_equal(wrapped.params["policy"]["log_std"], np.float32(expected))
        assert f"log_std: {'missing, 0' if given is None else 'given'}" in wrapped.report


def turned(pairs):
    return [(np.swapaxes(kernel, -1, -2), bias) for kernel, bias in pairs]


def refusals():
    good = layers((4, 8, 2))
    nan = [(np.full((4, 8), np.nan), np.zeros(8)), good[1]]
    yield {}, {}, "'policy' is missing"
    yield {"policy": good, "critic": good}, {}, "params: 'critic' is not known"
    yield {"policy": []}, {}, "params.policy: 0 layers are not allowed"
    yield {"policy": layers((3, 8, 2))}, {}, r"layer 0 has kernel \(3, 8\)"
    yield {"policy": layers((4, 8, 3))}, {}, r"layer 1 .*it must have kernel \(8, 2\)"
    yield {"policy": good, "value": good}, {}, r"params.value: layer 1 .*\(8, 1\)"
    yield {"policy": [good[0], (good[1][0], np.zeros(3))]}, {}, r"bias \(3,\)"
    yield {"policy": nan}, {}, "params.policy: kernel of layer 0 holds NaN"
    yield {"policy": layers((4, 2))}, {}, "params.policy: 1 layers are not allowed; at least one hidden layer"
    yield {"policy": good, "value": layers((4, 1))}, {}, "params.value: 1 layers are not allowed"
    yield {"policy": turned(good)}, {}, r"params.policy: the kernels are \[out, in\].*np.swapaxes\(kernel, -1, -2\)"
    yield {"policy": turned(layers((4, 6, 6, 2), (3,)))}, {}, r"the kernels are \[out, in\]"
    yield {"policy": [("kernel", "bias"), good[1]]}, {}, "params.policy: kernel of layer 0 is no array of numbers"
    yield {"policy": [np.zeros((4, 8)), good[1]]}, {}, r"must hold \(kernel, bias\) pairs"
    yield {"policy": [(np.zeros(4), np.zeros(8)), good[1]]}, {}, "kernel of layer 0 has 1 axes; it must have 2"
    yield good, {}, "params: list is not allowed"
    named = dict(zip(("a_in", "hidden_two", "hidden_three", "out"), layers((4, 8, 8, 8, 2))))
    unordered = {name: {"kernel": kernel, "bias": bias} for name, (kernel, bias) in named.items()}
    yield {"policy": unordered}, {}, "the names a_in, hidden_two, hidden_three, out hold no distinct numbers"
    ordered = {f"dense_{i}": layer for i, layer in enumerate(unordered.values())}
    norm = {"scale": np.ones(8), "bias": np.zeros(8)}
    yield (
        {"policy": {**ordered, "norm_0": norm}},
        {},
        "1 layer norms are not allowed; it must be one after each of the 3",
    )
    narrow = {f"norm_{i}": {"scale": np.ones(8), "bias": np.zeros(8 - i)} for i in range(3)}
    yield {"policy": {**ordered, **narrow}}, {}, r"bias of norm 1 has shape \(7,\); it must be \(8,\)"
    normed = {**ordered, **{f"norm_{i}": norm for i in range(3)}}
    yield {"policy": normed, "value": layers((4, 8, 1))}, {}, "layer norms in one network alone"
    yield {"policy": good}, {"network": ft.MLP(layer_norm=True)}, "network.layer_norm: True is not allowed"
    yield {"policy": good}, {"network": ft.MLP(width=128)}, r"network.width: 128 .*params.policy have \(8,\) units"
    yield {"policy": good}, {"network": ft.MLP(depth=3)}, r"network.depth: 3 .*params.policy have \(8,\) units"
    yield {"policy": good}, {"network": ft.MLP(policy=(9,))}, r"network.policy: \(9,\) .*params.policy have \(8,\)"
    yield {"policy": good}, {"network": ft.PPO()}, "network: .* must be of type MLP"
    yield {"policy": good}, {"log_std": [0.0, 0.0]}, "log_std: is not allowed where actions are discrete"
    yield {"policy": layers((4, 8, 2), (2,)), "value": layers((4, 8, 1), (3,))}, {}, "disagree in their leading axis"
    yield {"policy": {"dense_0": {"kernel": good[0][0]}}}, {}, "must hold exactly a kernel and a bias"
    yield {"policy": good}, {"obs_mean": np.zeros(4)}, "give both or neither"
    yield {"policy": good}, {"obs_mean": np.zeros(4), "obs_variance": np.zeros(4)}, "variances above 0"
    for bad in (np.inf, np.nan, -1.0):
        yield {"policy": good}, {"obs_mean": np.zeros(4), "obs_variance": np.full(4, bad)}, "variances above 0"
    yield {"policy": good}, {"obs_clip": 5.0}, "obs_clip: is not allowed without obs_mean"
    for name in ("obs_count", "obs_epsilon", "obs_clip"):
        moments = {"obs_mean": np.zeros(4), "obs_variance": np.ones(4)}
        yield {"policy": good}, {**moments, name: -1.0}, f"{name}: -1.0 is not allowed"
    yield {"policy": good}, {"seed": -1}, "seed: -1"


@pytest.mark.parametrize("params, others, message", list(refusals()))
def test_wrap_refuses_what_does_not_fit(params, others, message, source, nothing_runs):
    with pytest.raises(ValueError, match=message):
        ft.wrap(params, source, **others)


@pytest.mark.parametrize("log_std", [[0.0, 0.0], [np.nan], "wide", np.zeros((3, 1))])
def test_wrap_refuses_a_log_std_of_another_size(log_std, tiny, nothing_runs):
    with pytest.raises(ValueError, match=r"log_std|leading axis"):
        ft.wrap({"policy": layers((3, 8, 1), (2,))}, ft.make_task("Pendulum-v1"), log_std=log_std)


def test_square_kernels_are_taken_as_they_are():
    square = layers((4, 4, 4))
    for given in (square, turned(square)):
        tree, log_std = foreign_layers.network("policy", given, 4, 4)
        np.testing.assert_array_equal(tree["head"]["kernel"][0], given[1][0].astype(np.float32))
        assert log_std is None


def test_the_weights_of_a_q_network_act_by_its_highest_value(given, source):
    wrapped = ft.wrap({"policy": given}, source, algo=ft.DQN())
    assert set(wrapped.params) == {"policy"}
    np.testing.assert_array_equal(wrapped.policy(1)(OBS), expected(given, 1))


@pytest.mark.parametrize(
    ("algo", "groups", "message"),
    [
        (ft.DQN(), ("policy", "value"), r"value/dense_0/bias of shape \(8,\) makes no agent of DQN, which has none"),
        (ft.SAC(), ("policy", "value"), r"value/head/bias of shape \(1,\) makes no agent of SAC, which has \(2,\)"),
        (ft.DQN(actor=ft.Boltzmann(dueling=True)), ("policy",), r"policy/head/bias of shape \(2,\) makes no agent"),
    ],
)
def test_networks_that_are_not_the_algorithms_are_refused(algo, groups, message, given, source, nothing_runs):
    params = {"policy": given, "value": layers((4, 8, 8, 1), (4,))}
    with pytest.raises(ValueError, match=message):
        ft.wrap({group: params[group] for group in groups}, source, algo=algo)

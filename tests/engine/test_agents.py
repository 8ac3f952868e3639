"""Agents: policies for deployment, selections, and weights from elsewhere."""

import itertools

import jax
import numpy as np
import pytest

import jaxrl_ft as ft

RNG = np.random.default_rng(5)
OBS = RNG.normal(size=(3, 7, 4)).astype(np.float32)


def forward(layers, x, activation=np.tanh):
    x = np.asarray(x, np.float64)
    for i, (kernel, bias) in enumerate(layers):
        x = x @ np.asarray(kernel, np.float64) + bias
        x = activation(x) if i < len(layers) - 1 else x
    return x


def layers(sizes, stack=()):
    return [(RNG.normal(size=(*stack, a, b)), RNG.normal(size=(*stack, b))) for a, b in itertools.pairwise(sizes)]


def of_agent(agents, seed):
    names = ("dense_0", "dense_1", "head")
    return [tuple(agents.params["policy"][n][leaf][seed] for leaf in ("kernel", "bias")) for n in names]


def test_a_policy_is_the_greedy_action_of_the_numpy_forward_pass(agents):
    for seed in (0, 3):
        act = agents.policy(seed)
        actions = act(OBS)
        assert isinstance(actions, np.ndarray) and actions.shape == (3, 7)
        np.testing.assert_array_equal(actions, forward(of_agent(agents, seed), OBS).argmax(axis=-1))
        assert act(OBS[0, 0]).shape == () and act(OBS[0, 0].tolist()) == actions[0, 0]


@pytest.mark.parametrize("seed", [-1, 4, 1.0])
def test_there_is_no_policy_of_another_seed(seed, agents):
    with pytest.raises(ValueError, match=r"seed: .* at most 3"):
        agents.policy(seed)


@pytest.mark.parametrize("obs", [np.zeros(3), np.zeros((2, 5)), 0.0])
def test_a_policy_refuses_observations_of_another_size(obs, agents):
    with pytest.raises(ValueError, match="the last axis must be 4"):
        agents.policy(0)(obs)


def test_select_takes_agents_in_order_and_again(agents, same):
    chosen = agents.select([2, 0, 2])
    assert chosen.num_seeds == 3 and len(chosen.status) == 3
    for part in ("params", "opt_state", "curve", "env_steps", "init_params"):
        whole, taken = getattr(agents, part), getattr(chosen, part)
        for place, index in enumerate((2, 0, 2)):
            pair = [jax.tree.map(lambda leaf, i=i: leaf[i], t) for t, i in ((whole, index), (taken, place))]
            assert same(*pair)


def test_an_agent_has_as_many_parameters_as_its_networks(agents):
    assert agents.num_parameters == (4 * 8 + 8 + 8 * 8 + 8) * 2 + 8 * 2 + 2 + 8 + 1


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


@pytest.mark.parametrize("names", [("Dense_9", "Dense_10", "Dense_11"), ("dense_0", "dense_1", "head")])
def test_wrapped_dicts_are_read_in_the_order_of_their_numbers(names, given, source, tiny):
    named = {name: {"kernel": k, "bias": b} for name, (k, b) in sorted(zip(names, given))}
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


def test_given_statistics_normalise_what_the_policy_sees(given, source, tiny):
    mean, variance = np.array([1, -1, 2, 0.5]), np.array([4, 1, 0.25, 2])
    act = ft.wrap({"policy": given}, source, algo=tiny.algo, obs_mean=mean, obs_variance=variance).policy(2)
    seen = np.clip((OBS - mean) / np.sqrt(variance), -10, 10)
    np.testing.assert_array_equal(act(OBS), expected(given, 2, seen))


def test_wrapped_agents_are_fine_tuned_like_any_other(given, source, target, tiny):
    wrapped = ft.wrap({"policy": given}, source, algo=tiny.algo)
    tuned = ft.finetune(wrapped, target, "full", steps=128, num_evals=2, eval_episodes=4)
    np.testing.assert_array_equal(tuned.env_steps, 128)
    assert tuned.status == ("ok",) * 4


def refusals():
    good = layers((4, 8, 2))
    nan = [(np.full((4, 8), np.nan), np.zeros(8)), good[1]]
    yield {}, {}, "'policy' is missing"
    yield {"policy": good, "critic": good}, {}, "params: 'critic' is not known"
    yield {"policy": []}, {}, "params.policy: no layers given"
    yield {"policy": layers((3, 8, 2))}, {}, r"layer 0 has kernel \(3, 8\)"
    yield {"policy": layers((4, 8, 3))}, {}, r"layer 1 .*it must have kernel \(8, 2\)"
    yield {"policy": good, "value": good}, {}, r"params.value: layer 1 .*\(8, 1\)"
    yield {"policy": [good[0], (good[1][0], np.zeros(3))]}, {}, r"bias \(3,\)"
    yield {"policy": nan}, {}, "params.policy: layer 0 holds NaN"
    yield {"policy": layers((4, 2))}, {}, "one layer is not allowed"
    yield {"policy": layers((4, 8, 2), (2,)), "value": layers((4, 8, 1), (3,))}, {}, "disagree in their leading axis"
    yield {"policy": {"dense_0": {"kernel": good[0][0]}}}, {}, "must hold exactly a kernel and a bias"
    yield {"policy": good}, {"obs_mean": np.zeros(4)}, "give both or neither"
    yield {"policy": good}, {"obs_mean": np.zeros(4), "obs_variance": np.zeros(4)}, "variances above 0"
    yield {"policy": good}, {"seed": -1}, "seed: -1"


@pytest.mark.parametrize("params, others, message", list(refusals()))
def test_wrap_refuses_what_does_not_fit(params, others, message, source, nothing_runs):
    with pytest.raises(ValueError, match=message):
        ft.wrap(params, source, **others)

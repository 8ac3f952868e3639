"""Arrays by name, in any container: which policy they are, what comes with it, and what does not fit."""

import json
import re

import numpy as np
import pytest
import safetensors.numpy
from helpers.foreign_files import FOLDER
from helpers.foreign_networks import POLICY, QUIET, ROWS, STATE, assert_acts_like, layers, named, relu

import jaxrl_ft as ft
from jaxrl_ft.core import tree

CARTPOLE = ft.make_task("CartPole-v1")


def test_names_tell_a_policy_whatever_the_container(tmp_path):
    (tmp_path / "a.bin").write_bytes(safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in STATE.items()}))
    np.savez(tmp_path / "b.npz", **STATE)
    wrapped = {"model_state_dict": {f"module.{name}": leaf for name, leaf in STATE.items()}, "epoch": 3}
    plain = ft.import_policy(STATE, CARTPOLE, **QUIET)
    assert_acts_like(plain, POLICY)
    assert plain.network == ft.MLP(width=8)
    for given in (tmp_path / "a.bin", tmp_path / "b.npz", str(tmp_path / "b.npz"), wrapped):
        agents = ft.import_policy(given, CARTPOLE, **QUIET)
        assert tree.bits(agents.params) == tree.bits(plain.params) and agents.network == plain.network
    assert "model_state_dict: is what was read; left out: epoch" in agents.report
    double = ft.import_policy({name: leaf.astype(np.float64) for name, leaf in STATE.items()}, CARTPOLE, **QUIET)
    assert "numbers: float64 became float32" in double.report


def test_agents_parameters_and_one_network_are_read(random_params, tiny, same, tmp_path):
    params = random_params(CARTPOLE, tiny.network)
    again = ft.import_policy(params, CARTPOLE, **QUIET)
    assert same(tree.take(again.params, 0), params) and again.network == tiny.network
    stacked = tree.flatten(tree.repeat(params, 3))
    np.savez(tmp_path / "w.npz", **{f"params/{name}": leaf for name, leaf in stacked.items()})
    assert same(ft.import_policy(tmp_path / "w.npz", CARTPOLE, **QUIET).params, tree.repeat(params, 3))
    alone = {name.replace("actor.", "layers."): leaf for name, leaf in STATE.items() if "actor" in name}
    alone = ft.import_policy(alone, CARTPOLE, **QUIET)
    np.testing.assert_array_equal(alone.params["policy"]["dense_1"]["kernel"][0], np.float32(POLICY[1][0]))
    told = layer("head", POLICY[2]) | layer("dense_0", POLICY[0]) | layer("dense_1", POLICY[1])
    assert tree.bits(ft.import_policy(told, CARTPOLE, **QUIET).params) == tree.bits(alone.params)
    assert "critic: missing, freshly initialised" in alone.report


def layer(name, given):
    return {f"{name}.{part}": np.float32(leaf.T) for part, leaf in zip(("weight", "bias"), given)}


def test_a_shared_trunk_stays_one():
    trunk, ((actor,), (critic,)) = layers((4, 8, 8)), (layers((8, 2)), layers((8, 1)))
    cleanrl = named(("network.",), (trunk,)) | layer("actor", actor) | layer("critic", critic)
    agents = ft.import_policy(cleanrl, CARTPOLE, **QUIET)
    assert_acts_like(agents, [*trunk, actor], relu)
    assert "shared trunk: kept; the critic is a head on the policy's hidden layers" in agents.report
    assert agents.network == ft.MLP(width=8, activation="relu", shared_trunk=True)
    np.testing.assert_array_equal(agents.params["value"]["head"]["kernel"][0], np.float32(critic[0]))
    assert set(agents.params["value"]) == {"head"}
    parts = [{"params": {f"Dense_{i}": {"kernel": k, "bias": b} for i, (k, b) in enumerate(part)}}
             for part in (trunk, [actor], [critic])]  # fmt: skip
    written = {"0": {"exp_name": "ppo_of_mine"}, "1": {str(i): part for i, part in enumerate(parts)}}
    for given in (parts, written):
        again = ft.import_policy(
            {str(i): part for i, part in enumerate(given)} if given is parts else given, CARTPOLE, **QUIET
        )
        assert tree.bits(again.params) == tree.bits(agents.params)
    assert "ppo_of_mine" in again.report[0]
    old = named(("mlp_extractor.shared_net.",), (trunk,)) | layer("action_net", actor) | layer("value_net", critic)
    agents = ft.import_policy(old, CARTPOLE, **QUIET)
    assert_acts_like(agents, [*trunk, actor])
    assert agents.network == ft.MLP(width=8, shared_trunk=True)


def test_hidden_layers_behind_a_shared_trunk_make_two_networks():
    trunk, actor, critic = layers((4, 8)), layers((8, 6, 2)), layers((8, 5, 1))
    prefixes = ("mlp_extractor.shared_net.", "mlp_extractor.policy_net.", "mlp_extractor.value_net.")
    given = named(prefixes, (trunk, actor[:1], critic[:1]))
    agents = ft.import_policy(given | layer("action_net", actor[1]) | layer("value_net", critic[1]), CARTPOLE, **QUIET)
    assert_acts_like(agents, [*trunk, *actor])
    assert agents.network == ft.MLP(policy=(8, 6), value=(8, 5))
    assert any("shared trunk: copied into policy and critic" in line for line in agents.report)


def test_a_game_of_gymnasium_is_a_check():
    agents = ft.import_policy(STATE, CARTPOLE, gymnasium_env="CartPole-v1", **QUIET)
    found = re.fullmatch(
        r"gymnasium: mean return (\S+) there and (\S+) on CartPole-v1, 50 greedy episodes each; \S+ apart, no "
        r"more than chance \(standard error \S+\)",
        agents.report[-1],
    )
    assert found and all(8 < float(number) <= 500 for number in found.groups())


def test_an_activation_and_an_algorithm_that_are_given_win():
    agents = ft.import_policy(STATE, CARTPOLE, activation="silu", algo=ft.A2C(gamma=0.9), **QUIET)
    assert agents.algo == ft.A2C(gamma=0.9) and agents.network.activation == "swish"
    assert "swish (given)" in agents.report[0]


def test_statistics_are_the_same_from_every_kind_of_file(tmp_path):
    numbers = {"mean": np.arange(4.0), "var": np.arange(1.0, 5.0), "count": np.array(7.0), "epsilon": np.array(0.5)}
    np.savez(tmp_path / "a", **numbers)
    (tmp_path / "b").write_bytes(safetensors.numpy.save(numbers))
    (tmp_path / "c").write_text(json.dumps({name: leaf.tolist() for name, leaf in numbers.items()}))
    for given in (numbers, tmp_path / "a.npz", tmp_path / "b", tmp_path / "c"):
        agents = ft.import_policy(STATE, CARTPOLE, normalizer=given, **QUIET)
        assert_acts_like(agents, POLICY, seen=(ROWS - numbers["mean"]) / np.sqrt(numbers["var"] + 0.5))
        assert agents.statistics["obs"].num[0] == 7
        assert "normaliser: no clip told, so nothing is clipped" in agents.report


def test_statistics_beside_a_file_are_pointed_at(tmp_path):
    np.savez(tmp_path / "policy.npz", **STATE)
    (tmp_path / "VecNormalize.pkl").touch()
    agents = ft.import_policy(tmp_path / "policy.npz", CARTPOLE, **QUIET)
    assert "normaliser: VecNormalize.pkl beside the file is not read; give it as normalizer=" in agents.report


def test_imported_agents_are_saved_like_any_other(tmp_path):
    agents = ft.import_policy(STATE, CARTPOLE, **QUIET)
    ft.save(agents, tmp_path / "agents")
    assert ft.load(tmp_path / "agents") == agents


@pytest.mark.slow
def test_imported_agents_are_fine_tuned_like_any_other(tiny, target):
    agents = ft.import_policy(STATE, CARTPOLE, algo=tiny.algo, **QUIET)
    tuned = ft.finetune(agents.select([0] * 4), target, "full", **tiny.budget)
    assert tuned.status == ("ok",) * 4 and "critic: kept" in "\n".join(tuned.report)


def refusals():
    """What is given, with what arguments, on what task, and the message."""
    good, extra = dict(STATE), np.ones(3, np.float32)
    bad = {**good, "actor.0.weight": np.full((8, 4), np.nan, np.float32)}
    yield bad, {}, "policy: params.policy: kernel of layer 0 holds NaN"
    yield {k: v for k, v in good.items() if k != "actor.2.bias"}, {}, "layer 'actor.2' has no bias"
    yield {**good, "actor.2.weight": np.ones((6, 9), np.float32)}, {}, "params.policy: layer 1 has kernel (9, 6)"
    yield {**good, "actor.2.weight": extra}, {}, "layer 'actor.2' is a layer norm"
    yield {**good, "actor.2.weight": np.array(["a"])}, {}, "it must be an array of plain numbers"
    yield {**good, "encoder.0.weight": np.ones((2, 2))}, {}, "holds parts that no policy here has: encoder.0.weight"
    yield {**good, "network.0.weight": np.ones((8, 4, 3, 3))}, {}, "layer 'network.0' has no bias"
    yield {**good, "lstm.weight_ih_l0": np.ones((8, 4))}, {}, "holds a recurrent network"
    yield {"actor.mu.0.weight": np.ones((8, 4)), "actor.mu.0.bias": np.ones(8)}, {}, "is TD3 or DDPG"
    yield {"weights": np.ones(3)}, {}, "a dict of arrays of weights; these names tell no policy"
    yield {"a.weight": np.ones((2, 4)), "b.weight": np.ones((2, 4))}, {}, "which tell no policy"
    yield {"policy": POLICY, "actor": POLICY}, {}, "policy: 'actor' is not known"
    yield {}, {}, "these names tell no policy"
    yield [1], {}, "it must be a path, or a dict of arrays"
    yield "", {}, "policy: '' is not allowed"
    yield "nowhere.zip", {}, "nowhere.zip: cannot be read: No such file"
    yield FOLDER, {}, "is a directory; ft.load reads saved agents"
    yield {"policy": layers((3, 8, 2))}, {}, "obs_map: the file has 3 observations, and the task 4; say which is which"
    yield {"policy": layers((4, 8, 3))}, {}, "action_map: the file has 3 actions, and the task 2"


def refused_arguments():
    """The same of what is allowed without them."""
    good = dict(STATE)
    yield good, {"network": ft.CNN()}, "policy: holds no convolutions, and network and obs_scale are for these"
    yield good, {"obs_scale": 0.5}, "policy: holds no convolutions"
    yield good, {"obs_scale": 0}, "obs_scale: 0 is not allowed"
    yield good, {"gymnasium_env": "CartPole-v7"}, "env: 'CartPole-v7' is no id of gymnasium"
    yield good, {"activation": "gelu"}, "activation: 'gelu' is not known"
    yield good, {"algo": ft.SAC()}, "makes no agent of SAC"
    yield good, {"tolerance": -1}, "tolerance: -1 is not allowed"
    yield good, {"seed": -1}, "seed: -1"
    yield good, {"verbose": "no"}, "verbose: 'no' is not allowed"
    yield good, {"expected": ROWS}, "expected: must be a pair"
    yield good, {"expected": (ROWS[:, :3], ROWS[:, 0])}, "expected: observations of shape (21, 3) are not allowed"
    yield good, {"expected": (ROWS, ROWS[:3, 0])}, "expected: actions of shape (3,) are not allowed"
    yield good, {"expected": (ROWS, np.full(21, 2))}, "expected: actions must be whole numbers from 0 to 1"
    yield good, {"normalizer": {"mean": np.zeros(4)}}, "normalizer: holds no variance"
    yield (
        good,
        {"normalizer": {"mean": np.zeros(4), "varience": 1}},
        "'varience' is not known; did you mean 'variance'?",
    )
    yield good, {"normalizer": {"mean": np.zeros(3), "var": np.ones(3)}}, "the file has 4 observations"
    yield good, {"normalizer": {"mean": ["a"] * 4, "var": np.ones(4)}}, "normalizer: mean is not allowed"
    yield good, {"normalizer": 3}, "normalizer: 3 is not allowed"
    yield good, {"obs_map": [0, 1]}, "obs_map: 2 entries are not allowed; the task has 4"
    yield (
        good,
        {"obs_map": [0, 1, 2, 9]},
        "obs_map: 9 is not allowed; it must be a whole number of at least 0 and at most 3",
    )
    yield good, {"obs_map": {"speed": 0}}, "obs_map: 'speed' is not known"
    yield good, {"obs_map": [None] * 4}, "obs_map: nothing of the file is used"
    yield good, {"obs_map": ["a", "a", "b", "c"]}, "obs_map: 3 names are not allowed"
    yield good, {"action_map": {5: 0}}, "action_map: 5 is not allowed"


CASES = [*refusals(), *refused_arguments()]


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: CASES[i][2][:50])
def test_what_does_not_fit_is_refused_in_one_line(case, nothing_runs):
    given, arguments, message = CASES[case]
    with pytest.raises(ValueError) as caught:
        ft.import_policy(given, CARTPOLE, **{**QUIET, **arguments})
    text = str(caught.value)
    assert message in text and "\n" not in text and len(text) < 600

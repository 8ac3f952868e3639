"""`ft.compress`: what becomes of policies, what they take, and what is refused before anything runs."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import image_worlds
from helpers.exported import KINDS, kind, random_agents

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.deploy.compression import measure, report
from jaxrl_ft.deploy.compression.techniques.prune import pruned
from jaxrl_ft.deploy.compression.techniques.units import narrowed

QUIET = {"episodes": 0, "progress": False}
EXACT = ("float32", "delta")
WITHOUT_TRAINING = ("float32", "int8", "int8_channel", "int4", "prune_50", "prune_90", "prune_90_global", "low_rank")


@pytest.fixture(scope="module")
def usual():
    """Agents of the usual size, without training."""
    return random_agents(ft.make_task("CartPole-v1"), ft.PPO(), ft.MLP(), seeds=3)


def policy(agents):
    return {path: np.asarray(leaf) for path, leaf in tree.flatten(agents.params["policy"]).items()}


@pytest.mark.parametrize("name", WITHOUT_TRAINING)
def test_the_critic_and_the_given_agents_stay(name, usual):
    before = usual.digest
    found = ft.compress(usual, name, **QUIET)
    assert usual.digest == before and found.agents.params["value"] is usual.params["value"]
    assert found.env_steps == 0 and found.agents.report[-1] == f"policy: compressed by {name}"
    assert (tree.bits(found.agents.params) == tree.bits(usual.params)) == (name in EXACT)
    assert found.before.size.numbers == 4610 and found.before.size.bytes == 4 * 4610


def test_eight_bits_take_a_quarter():
    agents = random_agents(ft.make_task("CartPole-v1"), ft.PPO(), ft.MLP(), seeds=3)
    size = ft.compress(agents, "int8", **QUIET).after.size
    # A byte for each parameter, and a scale for each of three kernels and three biases.
    assert size.bytes == 4610 + 6 * 4
    # What is rounded to zero is not multiplied.
    assert size.stored_bytes <= 4610 and 0.97 * 4480 < size.multiply_adds < 4480
    four = ft.compress(agents, "int4", **QUIET).after.size
    assert four.bytes == 4480 / 2 + 130 + (64 + 64 + 2) * 4 + 3 * 4


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_smallest_entries_become_zero(scope, usual):
    before, after = policy(usual), pruned(policy(usual), 0.9, scope)
    zeros = {path: (leaf == 0).reshape(3, -1).sum(axis=1) for path, leaf in after.items()}
    kernels = [path for path in before if path.endswith("/kernel")]
    if scope == "layer":
        for path in kernels:
            np.testing.assert_array_equal(zeros[path], round(0.9 * before[path][0].size))
    for seed in range(3):
        groups = [kernels] if scope == "global" else [[path] for path in kernels]
        for group in groups:
            gone = np.concatenate([before[p][seed][after[p][seed] == 0] for p in group])
            left = np.concatenate([after[p][seed][after[p][seed] != 0] for p in group])
            assert np.abs(gone).max() <= np.abs(left).min()
    assert all(np.array_equal(before[path], after[path]) for path in before if path not in kernels)
    assert sum(zeros[path] for path in kernels).tolist() == pytest.approx([0.9 * 4480] * 3, abs=2)
    equal = pruned({"a/kernel": np.ones((1, 2, 5), np.float32)}, 0.5, scope)
    assert np.count_nonzero(equal["a/kernel"]) == 5


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_every_entry_of_the_observation_keeps_its_largest_weights(scope, usual):
    before = policy(usual)
    # Entry 2 has small weights, of which a ranking alone would leave none.
    before["dense_0/kernel"][:, 2] *= 1e-3
    before = {f"policy/{path}": leaf for path, leaf in before.items()}
    path = "policy/dense_0/kernel"
    assert not pruned(before, 0.9, scope)[path][:, 2].any()
    after = pruned(before, 0.9, scope, per_input=3)
    kept = after[path] != 0
    assert kept.sum(axis=2).min() == 3
    largest = np.sort(np.abs(before[path][:, 2]), axis=1)[:, -3:]
    np.testing.assert_array_equal(np.sort(np.abs(after[path][:, 2]), axis=1)[:, -3:], largest)
    zeros = sum((leaf == 0).sum() for name, leaf in after.items() if name.endswith("/kernel"))
    assert zeros == pytest.approx(3 * 0.9 * 4480, abs=6)
    assert not pruned(before, 1.0, scope, per_input=3)[path].any()


def test_the_share_rises_by_the_cubic_schedule():
    shares = ft.PruneWeights(share=0.8, rounds=4).shares()
    np.testing.assert_allclose(shares, [0.8 * (1 - (1 - t) ** 3) for t in (0.25, 0.5, 0.75, 1.0)], rtol=1e-12)
    assert ft.PruneWeights(share=0.8).shares() == ft.PruneWeights(share=0.8, rounds=1).shares() == [0.8]


def test_units_that_never_change_are_taken_out_without_a_change_of_the_outputs():
    agents, _, obs, _ = kind("ppo")
    layers = tree.map_leaves(np.array, agents.params["policy"])
    # Half of the units of each layer are constant: they read nothing.
    for i in range(2):
        layers[f"dense_{i}"]["kernel"][:, :, ::2] = 0.0
    means = {f"policy/dense_{i}": np.tanh(layers[f"dense_{i}"]["bias"]) for i in range(2)}
    found = {path: (mean, np.tile([0.0, 1.0], (2, 8))) for path, mean in means.items()}
    small, widths = narrowed(layers, found, 0.5)
    assert widths == (8, 8) and small["dense_1"]["kernel"].shape == (2, 8, 8)
    big, narrow = (replace(agents, params={**agents.params, "policy": each}) for each in (layers, small))
    outputs = [measure.unchecked(each, measure.host(each, 1)).policy().outputs(obs[:500]) for each in (big, narrow)]
    np.testing.assert_allclose(*outputs, atol=2e-5)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "name", ["ppo_normalized", *(pytest.param(name, marks=SLOW) for name in KINDS if name != "ppo_normalized")]
)
def test_every_kind_of_policy_is_compressed_and_read_again(name, tmp_path):
    agents = kind(name)[0]
    found = ft.compress(agents, "int8", **QUIET)
    found.save(tmp_path / "small")
    read = ft.load_compressed(tmp_path / "small")
    assert tree.bits(read.params["policy"]) == tree.bits(found.agents.params["policy"])
    assert tree.bits(read.statistics) == tree.bits(agents.statistics)
    assert set(read.params) == set(agents.params) and read.task == agents.task
    assert found.before.size.multiply_adds == kind(name)[1].num_multiplications


@SLOW
@pytest.mark.parametrize("network", ["cnn", "cnn_shared", "mlp_shared"])
def test_convolutions_are_counted_at_every_place(network):
    agents = random_agents(image_worlds.task(), ft.PPO(), image_worlds.NETWORKS[network], seeds=1)
    found = ft.compress(agents, "prune_90", **QUIET)
    whole = measure.unchecked(agents, measure.host(agents, 0)).num_multiplications
    assert found.before.size.multiply_adds == pytest.approx(whole, rel=1e-6)
    assert found.after.size.multiply_adds == pytest.approx(0.1 * whole, rel=5e-2)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (ft.CNN(), r"takes dense networks \(MLP\), not CNN; quantisation, .* take any"),
        (ft.MLP(shared_trunk=True), "takes no shared_trunk"),
    ],
    ids=["cnn", "shared"],
)
def test_networks_whose_layers_cannot_be_narrower_are_refused(network, message, usual, nothing_runs):
    for name in ("student", "linear", "units_50"):
        with pytest.raises(ValueError, match=f"^agents: .* {message}"):
            ft.compress(replace(usual, network=network), name, **QUIET)
    with pytest.raises(ValueError, match=r"^agents: pruning of units takes no layer_norm"):
        ft.compress(replace(usual, network=ft.MLP(layer_norm=True)), "units_50", **QUIET)
    added = {**usual.params, "policy": {**usual.params["policy"], "residual": {}}}
    with pytest.raises(ValueError, match=r"^agents: distillation takes no networks with parts .* \(residual\)"):
        ft.compress(replace(usual, params=added), "student", **QUIET)


@pytest.mark.parametrize("name", WITHOUT_TRAINING)
def test_a_base_at_hand_changes_a_delta_alone(name, usual):
    base = replace(usual, params=tree.map_leaves(lambda leaf: leaf + 1.0, usual.params))
    alone, beside = (ft.compress(usual, name, base=given, **QUIET).agents for given in (None, base))
    assert tree.bits(alone.params) == tree.bits(beside.params)


def test_a_delta_names_its_base_and_needs_it(usual, tmp_path):
    moved = tree.map_leaves(np.array, usual.params)
    moved["policy"]["head"]["kernel"][:, 3, 1] += 1.0
    tuned = replace(usual, params=moved)
    found = ft.compress(tuned, "delta", base=usual, **QUIET)
    assert found.base_digest == usual.digest and tree.bits(found.agents.params) == tree.bits(moved)
    assert found.after.size.bytes == 64 * 2 / 8 + 4
    found.save(tmp_path / "delta")
    read = ft.load_compressed(tmp_path / "delta", base=usual)
    assert tree.bits(read.params["policy"]) == tree.bits(moved["policy"])
    with pytest.raises(ValueError, match=rf"^base: is missing; .* with SHA-256 {usual.digest}"):
        ft.load_compressed(tmp_path / "delta")
    with pytest.raises(ValueError, match=rf"^base: has SHA-256 {tuned.digest}, and .* from {usual.digest}"):
        ft.load_compressed(tmp_path / "delta", base=tuned)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"how": "int9"}, r"^compression: 'int9' is not known; did you mean 'int8'\?"),
        ({"how": ft.Quantize(bits=9)}, r"^compression.bits: 9 is not allowed"),
        ({"how": ft.PruneWeights(share=1.5)}, r"^compression.share: 1.5 is not allowed"),
        ({"how": 8}, r"^how: 8 is not allowed"),
        ({"how": "delta"}, r"^base: is missing"),
        ({"steps": 0}, r"^steps: 0 is not allowed"),
        ({"seed": -1}, r"^seed: -1 is not allowed"),
        ({"episodes": -1}, r"^episodes: -1 is not allowed"),
        ({"how": "units_50_tuned", "steps": 64}, r"^steps: 64 is not allowed; it must exceed"),
        ({"task": ft.make_task("Acrobot-v1")}, r"^task: 6 observations, 3 discrete actions do not fit"),
        ({"tasks": {"other": []}}, r"^tasks: 'other' has no task"),
        ({"tasks": 1}, r"^tasks: 1 is not allowed"),
        ({"base": 1}, r"^base: 1 is not allowed"),
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_runs(arguments, message, usual, nothing_runs):
    with pytest.raises(ValueError, match=message):
        ft.compress(usual, **{"how": "int8", **QUIET, **arguments})
    with pytest.raises(ValueError, match=r"^agents: 1 is not allowed"):
        ft.compress(1)


def test_agents_that_are_not_finite_are_named(usual, nothing_runs):
    params = tree.map_leaves(np.array, usual.params)
    params["policy"]["head"]["bias"][1, 0] = np.nan
    with pytest.raises(ValueError, match=r"^agents: not finite: 1 of 3; agents.select"):
        ft.compress(replace(usual, params=params), **QUIET)


def test_files_that_hold_something_else_are_refused(usual, tmp_path):
    ft.save(usual, tmp_path / "agents")
    with pytest.raises(ValueError, match=r"holds 'agents', not compressed policies; ft.load reads agents"):
        ft.load_compressed(tmp_path / "agents")
    ft.compress(usual, **QUIET).save(tmp_path / "small")
    with pytest.raises(ValueError, match=r"holds 'compressed_policies', not agents"):
        ft.load(tmp_path / "small")


def test_the_table_has_before_and_after(usual):
    found = ft.compress(usual, "int8", **QUIET)
    returns = {"source": np.array([500.0, 400.0, 300.0])}
    found = replace(found, before=found.before._replace(returns=returns))
    found = replace(found, after=found.after._replace(returns={"source": returns["source"] - 10.0}))
    headings, (before, after) = report.cells([found])
    assert headings[-2:] == ["return, source", "change"] and before[0] == "before" and after[0] == "int8"
    assert after[headings.index("share")] == "25.1%" and before[-1] == "-"
    assert after[-2].startswith("390 [") and after[-1] == "-10.0 [-10.0, -10.0]"
    assert "before" in repr(found) and "int8" in found.report
    rows = report.raw([found])
    assert len(rows) == 6 and rows[-1] == {"compression": "int8", "task": "source", "seed": 2, "return": 290.0}

"""Laws of every registered adapter, and closed forms of each."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.rl import actor_critic

EXACT = (ft.Full, ft.Partial, ft.LastK, ft.LoRA)
OBS = np.random.default_rng(7).normal(size=(5, 4)).astype(np.float32)
NETWORK = ft.MLP(width=8, layer_norm=True)


def outputs(params, network=NETWORK):
    policy = Policy(params, {}, network)
    return actor_critic.distribution(policy, OBS)[0], actor_critic.values(policy, OBS)


def train(adapter, base):
    """The delta after two gradient steps of size 0.01 towards outputs of 1."""

    def loss(delta):
        logits, values = outputs(adapter.merge(base, delta))
        return jnp.sum((logits - 1.0) ** 2) + jnp.sum((values - 1.0) ** 2)

    delta = adapter.init(jax.random.key(1), base)
    for _ in range(2):
        delta = jax.tree.map(lambda leaf, grad: leaf - 0.01 * grad, delta, jax.grad(loss)(delta))
    return delta


@pytest.fixture(scope="module", params=list(ft.ADAPTERS))
def adapter(request):
    return as_arrays(ft.ADAPTERS[request.param])


@pytest.fixture(scope="module")
def base(random_params, source):
    return random_params(source, NETWORK)


@pytest.fixture(scope="module")
def trained(adapter, base):
    return train(adapter, base)


def assert_same_outputs(adapter, base, merged):
    for before, after in zip(outputs(base), outputs(merged)):
        if isinstance(adapter, EXACT):
            np.testing.assert_array_equal(after, before)
        else:
            np.testing.assert_allclose(after, before, atol=1e-6)


def test_at_init_outputs_are_the_bases(adapter, base):
    assert_same_outputs(adapter, base, adapter.merge(base, adapter.init(jax.random.key(0), base)))


def test_init_again_on_merged_parameters_keeps_the_outputs(adapter, base, trained):
    merged = jax.tree.map(np.asarray, adapter.merge(base, trained))
    again = adapter.merge(merged, adapter.init(jax.random.key(2), merged))
    assert_same_outputs(adapter, merged, again)
    assert tree.size(again) == tree.size(merged)


def test_the_deltas_top_level_keys_are_groups_of_the_base(adapter, base):
    delta = adapter.init(jax.random.key(0), base)
    assert delta
    assert set(delta) <= set(base)


def test_training_changes_what_the_delta_reaches_and_nothing_else(adapter, base, trained):
    merged = tree.flatten(adapter.merge(base, trained))
    reached = set(tree.flatten(adapter.init(jax.random.key(0), base)))
    reached |= {re.sub("/lora_[ab]$", "/kernel", path) for path in reached}
    assert not any("lora" in path for path in merged)
    for path, leaf in tree.flatten(base).items():
        changed = not np.array_equal(leaf, merged[path])
        assert changed == (path in reached), path


def test_the_delta_is_what_the_name_says(base):
    def paths(adapter):
        return set(tree.flatten(adapter.init(jax.random.key(0), base)))

    everything = set(tree.flatten(base))
    heads = {f"{group}/head/{leaf}" for group in base for leaf in ("kernel", "bias")}
    assert paths(ft.Full()) == paths(ft.ADAPTERS["partial"]) == everything
    assert paths(ft.ADAPTERS["head"]) == paths(ft.LastK(k=1)) == heads
    assert paths(ft.ADAPTERS["bias"]) == {path for path in everything if path.endswith("/bias")}
    assert paths(ft.LastK(k=2)) == {path for path in everything if "_0" not in path}
    assert paths(ft.LastK(k=3)) == paths(ft.LastK(k=9)) == everything
    assert paths(ft.InputAffine()) == {f"{g}/input/{leaf}" for g in base for leaf in ("kernel", "bias")}


def test_last_k_counts_the_input_map_as_the_first_layer(base):
    mapped = ft.InputAffine().merge(base, ft.InputAffine().init(jax.random.key(0), base))
    three, four = (tree.flatten(ft.LastK(k=k).init(jax.random.key(0), mapped)) for k in (3, 4))
    assert not any("/input/" in path for path in three)
    assert set(four) == set(tree.flatten(mapped))


@pytest.mark.parametrize(
    "adapter",
    [
        ft.Partial(pattern="policy/head", critic="full"),
        ft.LastK(k=1, critic="full"),
        ft.LoRA(critic="full"),
        ft.InputAffine(critic="full"),
    ],
    ids=lambda adapter: type(adapter).__name__,
)
def test_critic_full_trains_all_of_the_critic_as_it_is(adapter, base):
    delta = adapter.init(jax.random.key(0), base)
    assert set(tree.flatten(delta["value"])) == set(tree.flatten(base["value"]))
    jax.tree.map(np.testing.assert_array_equal, delta["value"], base["value"])
    assert set(tree.flatten(delta["policy"])) != set(tree.flatten(base["policy"]))
    assert_same_outputs(adapter, base, adapter.merge(base, delta))


def test_partial_refuses_a_pattern_that_matches_nothing_and_names_the_paths(base):
    with pytest.raises(ValueError, match=r"'headd' matches no parameter .*policy/head/kernel"):
        ft.Partial(pattern="headd").init(jax.random.key(0), base)


def test_partial_refuses_what_is_no_regular_expression():
    with pytest.raises(ValueError, match=r"pattern: '\(' is not a regular expression"):
        ft.Partial(pattern="(").check()


def test_lora_equals_the_forward_pass_that_keeps_its_factors_apart(random_params, source):
    network = ft.MLP(width=8)
    base = random_params(source, network)
    adapter = as_arrays(ft.LoRA(rank=3, alpha=6.0))
    rng = np.random.default_rng(1)
    delta = jax.tree.map(lambda leaf: (0.3 * rng.normal(size=leaf.shape)).astype(np.float32),
                         adapter.init(jax.random.key(0), base))  # fmt: skip
    got = outputs(adapter.merge(base, delta), network)
    for group, actual in zip(("policy", "value"), (got[0], got[1][:, None])):
        x = OBS.astype(np.float64)
        for layer in ("dense_0", "dense_1", "head"):
            a, b = (np.asarray(delta[group][layer][name], np.float64) for name in ("lora_a", "lora_b"))
            rank = a.shape[1]
            x = x @ base[group][layer]["kernel"] + (6.0 / rank) * (x @ a) @ b + base[group][layer]["bias"]
            x = x if layer == "head" else np.tanh(x)
        # the log-probabilities' level is free
        np.testing.assert_allclose(actual, x, atol=2e-6)


def test_lora_caps_the_rank_at_the_smaller_side(base):
    delta = ft.LoRA(rank=5).init(jax.random.key(0), base)
    shapes = {path: leaf.shape for path, leaf in tree.flatten(delta["policy"]).items()}
    assert shapes == {
        "dense_0/lora_a": (4, 4), "dense_0/lora_b": (4, 8), "dense_1/lora_a": (8, 5), "dense_1/lora_b": (5, 8),
        "head/lora_a": (8, 2), "head/lora_b": (2, 2),
    }  # fmt: skip


def test_loras_a_is_kaiming_uniform_and_differs_between_layers():
    wide = {"policy": {name: {"kernel": np.zeros((400, 300), np.float32)} for name in ("dense_0", "head")}}
    delta = ft.LoRA(rank=200).init(jax.random.key(0), wide)["policy"]
    first, second = (np.asarray(delta[name]["lora_a"]) for name in ("dense_0", "head"))
    bound = 400**-0.5
    assert 0.999 * bound < np.abs(first).max() <= bound
    np.testing.assert_allclose(first.std(), bound / np.sqrt(3), rtol=0.01)
    assert not np.array_equal(first, second)


def test_the_input_map_undoes_an_affine_fault_of_the_sensors(random_params, source):
    network = ft.MLP(width=8)
    base = random_params(source, network)
    fault, offset = np.diag([2.0, 0.5, -1.0, 4.0]).astype(np.float32), np.array([1, -1, 0.5, 2], np.float32)
    undo = {"kernel": np.linalg.inv(fault), "bias": -offset @ np.linalg.inv(fault)}
    mapped = ft.InputAffine().merge(base, {group: {"input": undo} for group in base})
    policy, faulty = Policy(mapped, {}, network), OBS @ fault + offset
    np.testing.assert_allclose(actor_critic.values(policy, faulty), outputs(base, network)[1], atol=1e-5)
    np.testing.assert_allclose(actor_critic.distribution(policy, faulty)[0], outputs(base, network)[0], atol=1e-5)

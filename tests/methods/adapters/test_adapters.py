"""Laws of every registered adapter on a Gaussian policy with layer norms, and of each on networks with added parts."""

import re
from dataclasses import fields
from functools import cache, partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.trees import drawn

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.methods import adapters
from jaxrl_ft.methods.adapters import ADAPTERS
from jaxrl_ft.methods.adapters.base import RESTS
from jaxrl_ft.nets import actor_critic, forward

NETWORK = ft.MLP(width=8, layer_norm=True)
OBS = jnp.asarray(np.random.default_rng(7).normal(size=(5, 4)).astype(np.float32))
NOT_EXACT = (adapters.DoRA,)
"""Adapters whose outputs at init are the base's but for rounding."""
GROWS = (adapters.ResidualPolicy, adapters.PlasticityInjection, adapters.ProgressiveColumn)
"""Adapters that add a network each time."""
REACHES = {
    "full": "", "partial": "", "head": "/head/", "bias": "/bias$", "norm": "/norm_", "first_layer": "/dense_0/",
    "last_k": "/(dense_1|norm_1|head)/|log_std", "lora": "/kernel$", "rslora": "/kernel$", "dora": "/kernel$",
    "random_subspace": "", "sparse": "/kernel$", "ia3": "/(dense_1|head)/kernel$", "input_affine": "/dense_0/",
    "output_affine": "/head/", "bottleneck": "/bottleneck_", "residual": "/residual/|log_std",
    "plasticity": "/residual/|log_std", "progressive": "/column/|log_std",
}  # fmt: skip
"""The paths that training changes."""


def outputs(params):
    return actor_critic.policy_outputs(params, NETWORK, OBS), actor_critic.values(params, NETWORK, OBS)


outputs_of_both = quick(jax.vmap(outputs))
network_of = quick(lambda layers: forward.apply(layers, NETWORK, OBS)[0])


@cache
def shapes_of(gaussian):
    return jax.eval_shape(lambda: actor_critic.init(jax.random.key(0), NETWORK, 4, 2, gaussian))


def random_tree(seed=0, gaussian=True):
    return drawn(shapes_of(gaussian), np.random.default_rng(seed))


def started(adapter, key, base):
    frozen = adapter.freeze(jax.random.fold_in(key, 0), base)
    return frozen, adapter.init(jax.random.fold_in(key, 1), frozen)


def restarted(adapter, key, base):
    """The parameters merged before any training."""
    return adapter.merge(*started(adapter, key, base))


def with_full_critic(name):
    return type(ADAPTERS[name])(**{**vars(ADAPTERS[name]), "critic": "full"})


@quick
@partial(jax.vmap, in_axes=(None, 0, 0))
def begin(adapter, keys, bases):
    """What is frozen, the delta and what they make together, for two runs side by side."""
    frozen, delta = started(adapter, keys, bases)
    return frozen, delta, adapter.merge(frozen, delta)


@quick
@partial(jax.vmap, in_axes=(None, 0, 0))
def step(adapter, frozen, delta):
    """The delta after a gradient step, and the parameters that it makes, for two runs side by side."""

    def loss(delta):
        params = adapter.merge(frozen, delta)
        logits, values = outputs(params)
        return jnp.sum((logits - 1.0) ** 2) + jnp.sum((values - 1.0) ** 2) + jnp.sum(params["policy"]["log_std"])

    moved = jax.tree.map(lambda leaf, grad: leaf - 0.01 * grad, delta, jax.grad(loss)(delta))
    return moved, adapter.merge(frozen, moved)


@pytest.fixture(scope="module", params=list(ADAPTERS))
def lived(request):
    """What a registered adapter makes of two bases before and after three steps, and starting again, [2, ...]."""
    adapter = as_arrays(ADAPTERS[request.param])
    bases = tree.stack([random_tree(seed) for seed in (0, 1)])
    frozen, delta, start = begin(adapter, jax.random.split(jax.random.key(0), 2), bases)
    trained = delta
    for _ in range(3):
        trained, after = step(adapter, frozen, trained)
    *_, again = begin(adapter, jax.random.split(jax.random.key(2), 2), after)
    found = {"frozen": frozen, "delta": delta, "start": start, "after": after, "again": again}
    return SimpleNamespace(name=request.param, adapter=adapter, bases=bases, **jax.device_get(found))


def test_at_init_outputs_are_the_bases(lived):
    for before, after in zip(outputs_of_both(lived.bases), outputs_of_both(lived.start)):
        if isinstance(lived.adapter, NOT_EXACT):
            np.testing.assert_allclose(after, before, atol=1e-6)
        else:
            np.testing.assert_array_equal(after, before)


def test_training_changes_what_the_delta_reaches_and_nothing_else(lived):
    before, after = tree.flatten(lived.bases), tree.flatten(lived.after)
    assert set(before) <= set(after)
    for path, leaf in after.items():
        reached = re.search(REACHES[lived.name], path) is not None
        if path in before:
            moved = [not np.array_equal(*pair) for pair in zip(leaf, before[path])]
            assert moved == [reached] * 2, path
        else:
            assert reached or "/offset/" in path


def test_starting_again_keeps_the_outputs_and_adds_only_what_has_to_be_added(lived):
    for before, after in zip(outputs_of_both(lived.after), outputs_of_both(lived.again)):
        np.testing.assert_allclose(after, before, atol=1e-5)
    assert (tree.size(lived.again) > tree.size(lived.after)) == isinstance(lived.adapter, GROWS)


def test_the_deltas_top_level_keys_are_the_groups(lived):
    assert set(lived.delta) == set(lived.bases)


def test_a_plain_delta_holds_parameters_of_the_base_under_their_own_paths(lived):
    before, delta = tree.flatten(lived.bases), tree.flatten(lived.delta)
    own = all(path in before and np.array_equal(leaf, before[path]) for path, leaf in delta.items())
    assert own == lived.adapter.plain


def test_runs_draw_numbers_of_their_own(lived):
    drawn = {**tree.flatten({"frozen": lived.frozen, "delta": lived.delta})}
    names = {"lora": "lora_a", "rslora": "lora_a", "dora": "lora_a", "random_subspace": "projection",
             "sparse": "entries", "bottleneck": "down/kernel", "residual": "residual/dense_0/kernel",
             "plasticity": "offset/dense_0/kernel", "progressive": "column/dense_0/kernel"}  # fmt: skip
    if lived.name in names:
        found = [leaf for path, leaf in drawn.items() if names[lived.name] in path]
        assert found and all(not np.array_equal(leaf[0], leaf[1]) for leaf in found if leaf[0].size > 8)
        first = {leaf.shape: leaf for leaf in found}
        assert all(leaf is first[leaf.shape] or not np.array_equal(leaf, first[leaf.shape]) for leaf in found)


@pytest.fixture(scope="module")
def rich():
    """Parameters with every part, as fine-tuning again and again leaves them."""
    params, rng = random_tree(), np.random.default_rng(3)
    sequence = [adapters.Bottleneck(width=2), adapters.ResidualPolicy(width=3), adapters.PlasticityInjection(),
                adapters.ProgressiveColumn(width=3)]  # fmt: skip
    for adapter in sequence:
        shapes = jax.eval_shape(lambda params, a=adapter: restarted(a, jax.random.key(0), params), params)
        params = tree.overlay(drawn(shapes, rng), params)
    return params


def test_fine_tuning_again_and_again_nests_what_was_added(rich):
    policy = rich["policy"]
    assert set(policy["residual"]) >= {"residual", "offset", "dense_0", "dense_1", "head"}
    assert set(policy["column"]) >= {"lateral_1", "lateral_head", "dense_0", "head"}
    more = jax.eval_shape(
        lambda params: restarted(adapters.ProgressiveColumn(width=2), jax.random.key(0), params), rich
    )
    assert more["policy"]["column"]["column"]["lateral_1"]["kernel"].shape == (8 + 3, 2)


@pytest.mark.parametrize("kind", {type(adapter): name for name, adapter in ADAPTERS.items()}.values())
def test_what_was_adapted_before_can_be_adapted_by_any(kind, rich):
    adapter = as_arrays(ADAPTERS[kind] if kind == "full" else with_full_critic(kind))
    restart = restarted if adapter.plain else quick(restarted)
    again = restart(adapter, jax.random.key(4), rich)
    for group in rich:
        np.testing.assert_allclose(network_of(again[group]), network_of(rich[group]), atol=2e-5)


@pytest.mark.parametrize("name", list(ADAPTERS))
def test_without_a_spread_there_is_none(name):
    base = random_tree(gaussian=False)
    start = jax.eval_shape(lambda base: restarted(ADAPTERS[name], jax.random.key(0), base), base)
    assert "log_std" not in start["policy"] and set(start) == {"policy", "value"}


@pytest.mark.parametrize("name", [name for name, adapter in ADAPTERS.items() if hasattr(adapter, "critic")])
def test_critic_full_adapts_the_policy_alone(name):
    adapter, base = with_full_critic(name), random_tree()
    frozen, delta = jax.eval_shape(lambda base: started(adapter, jax.random.key(0), base), base)
    same = jax.eval_shape(lambda base: started(ADAPTERS[name], jax.random.key(0), base)[1], base)
    assert jax.tree.structure(delta["value"]) == jax.tree.structure(base["value"])
    assert jax.tree.structure(delta["policy"]) == jax.tree.structure(same["policy"])
    merged = jax.eval_shape(adapter.merge, frozen, delta)
    assert jax.tree.structure(merged["value"]) == jax.tree.structure(base["value"])


@quick
def raised_critic(adapter, key, base):
    """The delta, and the parameters merged with one added to all of its critic."""
    frozen, delta = started(adapter, key, base)
    return delta, adapter.merge(frozen, {**delta, "value": jax.tree.map(lambda leaf: leaf + 1.0, delta["value"])})


@pytest.mark.parametrize("name", ["head", "last_k", "lora", "sparse", "ia3", "input_affine", "output_affine"])
def test_critic_full_starts_at_the_critic_as_it_is_and_moves_all_of_it(name):
    adapter, base = as_arrays(with_full_critic(name)), random_tree()
    delta, moved = raised_critic(adapter, jax.random.key(0), base)
    jax.tree.map(np.testing.assert_array_equal, delta["value"], base["value"])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b + 1.0), moved["value"], base["value"])


def test_every_row_is_within_its_bounds_and_has_a_text():
    for name, adapter in ADAPTERS.items():
        check_config(adapter, name)
        assert ADAPTERS.text(name)


@pytest.mark.parametrize("name", list(ADAPTERS))
def test_a_parameter_is_described_by_what_moved_it(name):
    adapter, path = ADAPTERS[name], "policy/log_std"
    assert adapter.describe(path, (2,), {path: True}, changed=True) == "trains"
    assert adapter.describe(path, (2,), {path: False}, changed=False) == RESTS
    assert adapter.describe(path, (2,), {}, changed=False) == "frozen"
    through = "frozen" if adapter.plain else f"through {type(adapter).__name__}"
    assert adapter.describe(path, (2,), {"policy/z": True}, changed=True) == through


def test_defaults_are_those_that_results_were_measured_with():
    low_rank = {"rank": 4, "alpha": 4.0, "rank_power": 1.0}
    expected = {
        "partial": {"pattern": ".*"}, "head": {"pattern": "/head/"}, "bias": {"pattern": "/bias$"},
        "norm": {"pattern": r"/norm_\d+/"}, "first_layer": {"pattern": "/(conv|dense)_0/"}, "last_k": {"k": 2},
        "lora": low_rank, "rslora": {**low_rank, "rank_power": 0.5}, "dora": low_rank, "sparse": {"per_thousand": 20},
        "random_subspace": {"dimensions": 32}, "bottleneck": {"width": 8}, "residual": {"width": 64},
        "progressive": {"width": 64},
    }  # fmt: skip
    for name, adapter in ADAPTERS.items():
        critic = {} if name == "full" else {"critic": "same"}
        assert {f.name: getattr(adapter, f.name) for f in fields(adapter)} == expected.get(name, {}) | critic


def test_methods_that_differ_in_floats_alone_share_a_program():
    one, other = (as_arrays(ADAPTERS[name]) for name in ("lora", "rslora"))
    assert jax.tree.structure(one) == jax.tree.structure(other)

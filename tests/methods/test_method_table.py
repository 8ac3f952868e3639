"""Rows of METHODS keep the laws that their names state, in real fine-tunes."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.methods import catalogue
from jaxrl_ft.training.report import AXES

TRAINED = {
    "zero_shot": (0, "$^"),
    "full": (251, ".*"),
    "lora": (152 + 148, "/kernel$"),
    "head": (27, "/head/"),
    "bias": (35, "/bias$"),
    "last_k": (171, "/(dense_1|head)/"),
    "first_layer": (80, "/dense_0/"),
    "freeze_head": (224, "/dense_"),
    "input_affine": (40, "/dense_0/"),
}
"""Numbers in the delta of a 4-8-8-2 actor and a 4-8-8-1 critic, and the paths that change."""
SLOW = ("head", "bias", "last_k", "first_layer", "freeze_head", "input_affine")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in TRAINED]
)
def test_what_a_method_names_is_what_changes(name, finetuned, agents, tiny):
    tuned, (numbers, pattern) = finetuned(name), TRAINED[name]
    assert tuned.trainable == numbers
    after, before = tree.flatten(tuned.params), tree.flatten(agents.params)
    for path, leaf in after.items():
        old = before.get(path, np.broadcast_to(np.eye(*leaf.shape[1:]) if leaf.ndim == 3 else 0.0, leaf.shape))
        each = [not np.array_equal(leaf[i], old[i]) for i in range(tiny.seeds)]
        assert each == [re.search(pattern, path) is not None] * tiny.seeds, path


def test_zero_shot_is_the_base_untouched(finetuned, agents, same):
    tuned = finetuned("zero_shot")
    for part in ("params", "statistics", "init_params", "opt_state", "env_steps"):
        assert same(getattr(tuned, part), getattr(agents, part))
    assert np.all(tuned.curve == tuned.curve[:, :1])


def test_scratch_does_not_depend_on_the_agents_parameters(finetuned, agents, target, tiny, same):
    others = replace(agents, params=jax.tree.map(lambda leaf: -3 * leaf, agents.params))
    tuned = ft.finetune(others, target, "scratch", seed=1, **tiny.budget)
    assert same(tuned.params, finetuned("scratch").params)


def test_scratch_is_pretraining_on_the_target(finetuned, target, tiny, same):
    fresh = ft.pretrain(target, algo=tiny.algo, network=tiny.network, seeds=tiny.seeds, seed=1, **tiny.budget)
    tuned = finetuned("scratch")
    for part in ("params", "init_params", "opt_state", "curve", "curve_steps"):
        assert same(getattr(fresh, part), getattr(tuned, part))


def test_critic_reset_and_softening_keep_the_greedy_policy_at_the_start(finetuned):
    for name in ("critic_reset", "soften", "probe_soften"):
        np.testing.assert_array_equal(finetuned(name).curve[:, 0], finetuned("zero_shot").curve[:, 0])


def test_shrink_perturb_starts_elsewhere(finetuned, agents, target, tiny):
    warm = ft.ShrinkPerturb(shrink=0.0, perturb=1.0)
    tuned = ft.finetune(agents, target, ft.Method(warm_start=warm), seed=1, **tiny.budget)
    # shrunk to nothing and perturbed by one fresh network is that network
    np.testing.assert_array_equal(tuned.curve, finetuned("scratch").curve)


def with_adam(**changes):
    return ft.Method(optimizer=ft.Adam(**changes))


def test_critic_warmup_rests_the_policy_bit_for_bit(agents, target, tiny, same):
    method = with_adam(rates=ft.Rates(policy_start=1.0))
    tuned = ft.finetune(agents, target, method, seed=1, **tiny.budget)
    assert same(tuned.params["policy"], agents.params["policy"])
    assert not np.any(tuned.opt_state.inner["policy"][0].count)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(tuned.opt_state.inner["policy"]))
    assert not same(tuned.params["value"], agents.params["value"])
    steps = 8 * tiny.algo.num_epochs * tiny.algo.num_minibatches
    np.testing.assert_array_equal(tuned.opt_state.inner["value"][0].count, steps)


def test_discriminative_rates_of_decay_zero_train_the_output_alone(agents, target, tiny, same):
    tuned = ft.finetune(agents, target, with_adam(rates=ft.Rates(layer_decay=0.0)), seed=1, **tiny.budget)
    for group in ("policy", "value"):
        assert same(tuned.params[group]["dense_0"], agents.params[group]["dense_0"])
        assert not same(tuned.params[group]["head"], agents.params[group]["head"])


def test_learning_rate_zero_is_the_start(agents, target, tiny, same):
    tuned = ft.finetune(agents, target, with_adam(learning_rate=0.0), seed=1, **tiny.budget)
    assert same(tuned.params, agents.params)


@pytest.mark.parametrize("name", ["lora", pytest.param("input_affine", marks=pytest.mark.slow)])
def test_fine_tuned_agents_can_be_fine_tuned_again_and_the_adapter_replaces_its_predecessor(name, finetuned, target):
    once = finetuned(name)
    still = replace(ft.METHODS[name], optimizer=ft.Adam(learning_rate=0.0))
    twice = ft.finetune(once, target, still, steps=64, num_evals=2, eval_episodes=4, seed=1)
    assert tree.size(twice.params) == tree.size(once.params)
    for one, two in zip(jax.tree.leaves(once.params), jax.tree.leaves(twice.params)):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(twice.env_steps, once.env_steps + 64)


def test_the_recommended_method_is_the_default(agents, target, tiny, monkeypatch, same):
    """Shown with another row in its place: the recommended one trains for long."""
    assert catalogue.resolve_method(None) == ft.METHODS[ft.RECOMMENDED]
    monkeypatch.setattr(catalogue, "RECOMMENDED", "soften")
    default, named = (ft.finetune(agents, target, method, seed=1, **tiny.budget) for method in (None, "soften"))
    assert default.method == ft.METHODS["soften"] and same(default.params, named.params)


def test_every_part_of_every_row_is_of_a_class_in_its_table():
    for method in ft.METHODS.values():
        for axis, table in AXES.items():
            assert type(getattr(method, axis)) in {type(member) for member in table.values()}, axis
        assert jax.tree.leaves(as_arrays(method))

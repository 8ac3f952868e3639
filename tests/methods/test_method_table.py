"""Every row of METHODS runs a real fine-tune, and keeps the law that its name states."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays

EVERY = ".*"
TRAINED = {
    "zero_shot": (0, "$^"),
    "head": (27, "/head/"),
    "bias": (35, "/bias$"),
    "last_k": (171, "/(dense_1|head)/"),
    "lora": (132 + 121, "/kernel$"),
    "input_affine": (40, "/input/"),
}
"""Numbers in the delta of a 4-8-8-2 actor and a 4-8-8-1 critic, and the paths that change; the rest train all 251."""
KEEPS = [
    name for name, row in ft.METHODS.items() if type(row.warm_start) is type(ft.Method().warm_start) or not row.trains
]
"""Methods that start from the base itself."""


@pytest.mark.parametrize("name", list(ft.METHODS))
def test_every_method_fine_tunes(name, finetuned, agents, target, tiny):
    tuned = finetuned(name)
    numbers, pattern = TRAINED.get(name, (251, EVERY))
    spent = ft.METHODS[name].warm_start.probe_episodes * ft.METHODS[name].warm_start.probe_steps
    assert tuned.trainable == numbers
    assert tuned.status == ("ok",) * tiny.seeds
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tuned.params))
    assert tuned.task is target and tuned.source is agents.source and tuned.method == ft.METHODS[name]
    assert tuned.curve.shape == tuned.curve_steps.shape == (tiny.seeds, 3)
    np.testing.assert_array_equal(tuned.curve_steps, np.tile([spent, spent + 256, spent + 512], (tiny.seeds, 1)))
    np.testing.assert_array_equal(tuned.env_steps - agents.env_steps, 512 + spent if ft.METHODS[name].trains else 0)
    assert tuned.report
    after, before = tree.flatten(tuned.params), tree.flatten(agents.params)
    for path, leaf in after.items():
        old = before.get(path, np.broadcast_to(np.eye(*leaf.shape[1:]) if leaf.ndim == 3 else 0.0, leaf.shape))
        each = [not np.array_equal(leaf[i], old[i]) for i in range(tiny.seeds)]
        assert each == [re.search(pattern, path) is not None] * tiny.seeds, path


@pytest.mark.parametrize("name", KEEPS)
def test_the_curve_of_what_starts_from_the_base_starts_at_zero_shot(name, finetuned):
    np.testing.assert_array_equal(finetuned(name).curve[:, 0], finetuned("zero_shot").curve[:, 0])


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


@pytest.mark.parametrize("name", ["lora", "input_affine"])
def test_fine_tuned_agents_can_be_fine_tuned_again_and_the_adapter_replaces_its_predecessor(name, finetuned, target):
    once = finetuned(name)
    still = replace(ft.METHODS[name], optimizer=ft.Adam(learning_rate=0.0))
    twice = ft.finetune(once, target, still, steps=64, num_evals=2, eval_episodes=4, seed=1)
    assert tree.size(twice.params) == tree.size(once.params)
    for one, two in zip(jax.tree.leaves(once.params), jax.tree.leaves(twice.params)):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(twice.env_steps, once.env_steps + 64)


def test_the_recommended_method_is_a_row_and_the_default(finetuned, agents, target, same):
    assert ft.RECOMMENDED in ft.METHODS
    tuned = ft.finetune(agents, target, seed=1, steps=1024, num_evals=3, eval_episodes=4)
    assert tuned.method == ft.METHODS[ft.RECOMMENDED]
    assert same(tuned.params, finetuned(ft.RECOMMENDED).params)


def test_every_row_has_a_text_and_known_axes():
    for name, row in ft.METHODS.items():
        assert ft.METHODS.text(name)
        assert type(row.adapter) in {type(member) for member in ft.ADAPTERS.values()}
        assert type(row.penalty) in {type(member) for member in ft.PENALTIES.values()}
        assert type(row.warm_start) in {type(member) for member in ft.WARM_STARTS.values()}
        assert type(row.optimizer) in {type(member) for member in ft.OPTIMIZERS.values()}
        assert jax.tree.leaves(as_arrays(row))

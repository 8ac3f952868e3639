"""Laws of every registered penalty."""

from dataclasses import fields, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from penalty_worlds import (
    ALGO,
    ANCHORS,
    BATCH,
    NETWORK,
    STATES,
    loss,
    memory_of,
    moment,
    policy_of,
    source_of,
)

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.validation import check_config

HOLDING = [name for name in ft.PENALTIES if name != "none"]
ELASTIC = ["l1", "l1sp", "l2", "l2sp", "l2init", "ewc", "mas"]


@pytest.fixture(scope="module")
def worlds(random_params, source):
    """Parameters: the base, the network's first ones, where training is, where it was a step before, and zero."""
    names = ("base", "init", "now", "before")
    drawn = {name: random_params(source, NETWORK, seed) for seed, name in enumerate(names)}
    return drawn | {"zero": jax.tree.map(np.zeros_like, drawn["base"])}


def scaled(name, coef):
    penalty = ft.PENALTIES[name]
    return penalty if name == "none" else replace(penalty, coef=coef)


def largest(grads):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(grads))


def test_every_penalty_is_tested():
    assert set(ANCHORS) == set(HOLDING)


@pytest.mark.parametrize("name", list(ft.PENALTIES))
def test_the_loss_is_linear_in_the_coefficient_and_zero_without_it(name, worlds):
    now = worlds["now"]
    value, grads = jax.value_and_grad(lambda p: loss(scaled(name, 0.0), worlds, p))(now)
    assert value == 0 and largest(grads) == 0
    one, two = (loss(scaled(name, coef), worlds, now) for coef in (0.25, 0.5))
    assert one.shape == () and one.dtype == jnp.float32
    assert np.float32(2) * one == two
    assert one > 0 or name == "none"


@pytest.mark.parametrize("name", HOLDING)
def test_at_its_anchor_value_and_gradient_are_zero_and_elsewhere_neither_is(name, worlds):
    evaluate = jax.value_and_grad(lambda p: loss(scaled(name, 1.0), worlds, p))
    value, grads = evaluate(worlds[ANCHORS[name]])
    assert abs(value) < 1e-7 and largest(grads) < 1e-6
    value, grads = evaluate(worlds["now"])
    assert value > 1e-3 and largest(grads) > 1e-3


@pytest.mark.parametrize("name", HOLDING)
def test_gradients_agree_with_finite_differences(name, worlds):
    penalty = scaled(name, 0.1)
    check_grads(lambda p: loss(penalty, worlds, p), (worlds["now"],), 1, ["rev"], atol=2e-2, rtol=2e-2, eps=1e-2)


@pytest.mark.parametrize("name", list(ft.PENALTIES))
def test_the_term_is_the_same_loss_on_the_same_memory_and_its_own_term(name, worlds):
    penalty = as_arrays(scaled(name, 0.3))
    memory, policy, at = memory_of(penalty, worlds), policy_of(worlds["now"]), moment()
    term = penalty.term()
    assert term.loss(memory, ALGO, policy, BATCH, at) == penalty.loss(memory, ALGO, policy, BATCH, at)
    assert jax.tree.structure(term.term()) == jax.tree.structure(term)
    assert term.other_batch == penalty.other_batch


@pytest.mark.parametrize("name", list(ft.PENALTIES))
def test_the_term_of_many_runs_has_a_number_for_each(name):
    penalty = ft.PENALTIES[name]
    many = tree.repeat(as_arrays(penalty), 5).term()
    assert {leaf.shape for leaf in jax.tree.leaves(many)} <= {(5,)}
    assert jax.tree.structure(many) == jax.tree.structure(penalty.term())
    for all_of_them, one in zip(jax.tree.leaves(many), jax.tree.leaves(as_arrays(penalty.term()))):
        np.testing.assert_array_equal(all_of_them, np.full(5, one))


@pytest.mark.parametrize("family", [["l1", "l1sp"], ["l2", "l2sp", "l2init", "ewc", "mas"], ["kl", "kl_reverse"]])
def test_penalties_that_differ_in_their_memory_alone_share_a_program(family, worlds):
    def program(name):
        penalty = as_arrays(ft.PENALTIES[name])
        return jax.tree.map(jnp.shape, memory_of(penalty, worlds)), jax.tree.structure(penalty.term())

    assert all(program(name) == program(family[0]) for name in family)


@pytest.mark.parametrize("name", list(ft.PENALTIES))
def test_no_gradient_flows_into_the_memory(name, worlds):
    penalty = scaled(name, 1.0)
    memory = memory_of(penalty, worlds)
    grads = jax.grad(lambda m: penalty.loss(m, ALGO, policy_of(worlds["now"]), BATCH, moment()))(memory)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize("name", list(ft.PENALTIES))
def test_the_memory_lasts_but_for_the_policy_before_the_step(name, worlds):
    penalty, memory = ft.PENALTIES[name], {"anything": np.ones(2)}
    assert penalty.after_update(memory, ALGO, policy_of(worlds["now"]), BATCH) is memory
    after = penalty.after_step(memory, ALGO, policy_of(worlds["before"]))
    assert after is (worlds["before"] if name == "churn" else memory)


@pytest.mark.parametrize("name", ["l1", "ewc", "mas", "kl", "cloning", "features", "infer", "churn"])
def test_a_run_beside_others_equals_the_run_alone(name, worlds):
    """vmap over runs of everything a penalty does, within one scan over steps."""
    names = ("base", "init", "now", "before")
    runs = [dict(zip(names, (worlds[names[(i + shift) % 4]] for i in range(4)))) for shift in range(3)]
    penalties = [as_arrays(scaled(name, 0.1 * (i + 1))) for i in range(3)]

    def run(key, penalty, worlds, states, obs):
        penalty, start = penalty.term(), policy_of(worlds["now"])
        memory = ft.PENALTIES[name].init(key, ALGO, start, source_of(worlds, STATES._replace(obs=states)))

        def step(memory, number):
            params = tree.where(number == 0, worlds["now"], worlds["before"])
            at = moment(0.25)._replace(step=number)
            value, grads = jax.value_and_grad(
                lambda p: penalty.loss(memory, ALGO, policy_of(p), BATCH._replace(obs=obs), at)
            )(params)
            return penalty.after_step(memory, ALGO, policy_of(params)), (value, grads)

        return jax.lax.scan(step, memory, jnp.arange(2, dtype=jnp.int32))[1]

    keys = jax.random.split(jax.random.key(1), 3)
    states, obs = (np.stack([data.obs * (i + 1) for i in range(3)]) for data in (STATES, BATCH))
    together = jax.jit(jax.vmap(run))(keys, tree.stack(penalties), tree.stack(runs), states, obs)
    alone = jax.jit(run)(keys[1], penalties[1], runs[1], states[1], obs[1])
    for one, beside in zip(jax.tree.leaves(alone), jax.tree.leaves(together)):
        np.testing.assert_allclose(beside[1], one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", HOLDING)
def test_low_rank_deltas_are_held_through_what_they_make_of_the_parameters(name, worlds):
    adapter, base, penalty = ft.LoRA(rank=2), worlds["base"], scaled(name, 1.0)
    delta = adapter.init(jax.random.key(0), base)
    assert (abs(loss(penalty, worlds, adapter.merge(base, delta))) < 1e-7) == (ANCHORS[name] == "base")
    factors = tree.flatten(delta)
    moved = {path: leaf + 0.5 if path.endswith("lora_b") else leaf for path, leaf in factors.items()}
    other = {path: leaf * (0.5 if path.endswith("lora_b") else 2.0) for path, leaf in moved.items()}
    one, two = (loss(penalty, worlds, adapter.merge(base, tree.unflatten(part))) for part in (moved, other))
    np.testing.assert_allclose(one, two, rtol=1e-5)
    grads = jax.grad(lambda d: loss(penalty, worlds, adapter.merge(base, d)))(tree.unflatten(moved))
    assert largest(grads["policy"]) > 1e-4


@pytest.mark.parametrize("name", ELASTIC)
def test_what_an_adapter_added_has_no_anchor(name, worlds):
    """Leaves that the base lacks: only the size penalties count them."""

    def at(part):
        params = {**worlds["base"], "policy": {**worlds["base"]["policy"], "part": {"kernel": part}}}
        memory = penalty.init(jax.random.key(0), ALGO, policy_of(params), source_of(worlds))
        return penalty.loss(memory, ALGO, policy_of(params), BATCH, moment())

    penalty, part = scaled(name, 1.0), np.full((2, 2), 0.5, np.float32)
    added = {"l1": 4 * 0.5, "l2": 0.5 * 4 * 0.25}.get(name, 0.0)
    np.testing.assert_allclose(at(part) - at(0 * part), added, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(at)(part), np.full((2, 2), {"l1": 1.0, "l2": 0.5}.get(name, 0.0)))


@pytest.mark.parametrize("name", [name for name in ELASTIC if ft.PENALTIES[name].anchored])
def test_a_network_that_grew_has_no_elastic_anchor(name, worlds, random_params, source):
    grown = random_params(source, ft.MLP(width=5, depth=1))
    with pytest.raises(ValueError, match=r"/dense_0/\w+ has shape \(.*5,?\), its anchor \(.*3,?\)"):
        ft.PENALTIES[name].init(jax.random.key(0), ALGO, policy_of(grown), source_of(worlds))


@pytest.mark.parametrize("name", [name for name in ft.PENALTIES if not ft.PENALTIES[name].anchored])
def test_a_network_that_grew_is_held_by_what_has_no_anchor(name, worlds, random_params, source):
    grown, penalty = policy_of(random_params(source, ft.MLP(width=5, depth=1))), scaled(name, 1.0)
    memory = penalty.init(jax.random.key(0), ALGO, grown, source_of(worlds))
    assert np.isfinite(penalty.loss(memory, ALGO, grown, BATCH, moment()))


def test_which_compare_shapes_which_see_other_states_and_which_need_the_source():
    anchored = {name for name, penalty in ft.PENALTIES.items() if penalty.anchored}
    assert anchored == {"l1sp", "l2sp", "l2init", "ewc", "mas", "features", "infer"}
    assert {name for name, penalty in ft.PENALTIES.items() if penalty.other_batch} == {"churn"}
    needing = {name: penalty.source_steps for name, penalty in ft.PENALTIES.items() if penalty.source_steps}
    assert needing == {"ewc": 2048, "mas": 2048, "cloning": 2048}


@pytest.mark.parametrize("name", [name for name in ft.PENALTIES if not ft.PENALTIES[name].source_steps])
def test_without_need_of_the_source_there_may_be_no_data(name, worlds):
    policy = policy_of(worlds["now"])
    memory = ft.PENALTIES[name].init(jax.random.key(0), ALGO, policy, source_of(worlds, None))
    assert np.isfinite(ft.PENALTIES[name].loss(memory, ALGO, policy, BATCH, moment()))


@pytest.mark.parametrize("name", HOLDING)
def test_coefficients_are_at_least_zero_and_finite(name):
    penalty = ft.PENALTIES[name]
    check_config(penalty, name)
    check_config(penalty.term(), name)
    for field in [field.name for field in fields(penalty) if field.type is float]:
        for value in (-1.0, np.inf, np.nan):
            with pytest.raises(ValueError, match=rf"{name}.{field}: "):
                check_config(replace(penalty, **{field: value}), name)

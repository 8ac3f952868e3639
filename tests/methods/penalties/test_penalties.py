"""Laws of every registered penalty."""

from dataclasses import fields, replace
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.penalty_worlds import (
    ALGO,
    ANCHORS,
    BATCH,
    NETWORK,
    STATES,
    examine,
    loss_at_start,
    memory_of,
    moment,
    policy_of,
    source_of,
)
from jax.test_util import check_vjp

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.validation import check_config

HOLDING = [name for name in ft.PENALTIES if name != "none"]
ELASTIC = ["l1", "l1sp", "l2", "l2sp", "l2init", "ewc", "mas"]
quick_loss_at_start = quick(loss_at_start)


@pytest.fixture(scope="module")
def worlds(random_params, source):
    """Parameters: the base, the network's first ones, where training is, and where it was a step before."""
    return {name: random_params(source, NETWORK, seed) for seed, name in enumerate(("base", "init", "now", "before"))}


def scaled(name, coef):
    penalty = ft.PENALTIES[name]
    return penalty if name == "none" else replace(penalty, coef=coef)


def largest(grads):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(grads))


def test_every_penalty_is_tested():
    assert set(ANCHORS) == set(HOLDING)


@pytest.mark.parametrize("name", list(ft.PENALTIES))
def test_the_loss_is_linear_in_the_coefficient_and_zero_without_it(name, worlds):
    none, one, two = (examine(scaled(name, coef), worlds, worlds["now"]) for coef in (0.0, 0.25, 0.5))
    assert none.loss == 0 and largest(none.slope) == 0
    assert one.loss.shape == () and one.loss.dtype == np.float32
    assert np.float32(2) * one.loss == two.loss
    assert one.loss > 0 or name == "none"


@pytest.mark.parametrize("name", HOLDING)
def test_at_its_anchor_value_and_gradient_are_zero_and_elsewhere_neither_is(name, worlds):
    anchors = {**worlds, "zero": jax.tree.map(np.zeros_like, worlds["base"])}
    there, elsewhere = (examine(scaled(name, 1.0), worlds, at) for at in (anchors[ANCHORS[name]], worlds["now"]))
    assert abs(there.loss) < 1e-7 and largest(there.slope) < 1e-6
    assert elsewhere.loss > 1e-3 and largest(elsewhere.slope) > 1e-3


def pullback(penalty, worlds, params):
    """The loss, and the map from its cotangent to those of the parameters."""
    found = examine(penalty, worlds, params)
    return found.loss, lambda slope: (jax.tree.map(lambda leaf: slope * leaf, found.slope),)


@pytest.mark.parametrize("name", HOLDING)
def test_gradients_agree_with_finite_differences(name, worlds):
    # the coefficient gives the gradient norm 1, so that no tolerance is wider than what it is to hold
    slope = examine(scaled(name, 1.0), worlds, worlds["now"]).slope
    size = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(slope)))
    known, tolerances = (scaled(name, float(1 / size)), worlds), {"atol": 2e-2, "rtol": 2e-2, "eps": 1e-2}
    check_vjp(lambda params: examine(*known, params).loss, partial(pullback, *known), (worlds["now"],), **tolerances)


@pytest.mark.parametrize("name", list(ft.PENALTIES))
def test_the_term_is_the_same_loss_on_the_same_memory_and_its_own_term(name, worlds):
    penalty = as_arrays(scaled(name, 0.3))
    found, term = examine(penalty, worlds, worlds["now"]), penalty.term()
    assert found.term_loss == found.loss
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
        memory = jax.eval_shape(memory_of, penalty, worlds, STATES)
        return jax.tree.map(lambda leaf: leaf.shape, memory), jax.tree.structure(penalty.term())

    assert all(program(name) == program(family[0]) for name in family)


@pytest.mark.parametrize("name", list(ft.PENALTIES))
def test_no_gradient_flows_into_the_memory(name, worlds):
    found = examine(scaled(name, 1.0), worlds, worlds["now"])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(found.memory_slope))


@pytest.mark.parametrize("name", list(ft.PENALTIES))
def test_the_memory_lasts_but_for_the_policy_before_the_step(name, worlds):
    penalty, memory = ft.PENALTIES[name], {"anything": np.ones(2)}
    assert penalty.after_update(memory, ALGO, policy_of(worlds["now"]), BATCH) is memory
    after = penalty.after_step(memory, ALGO, policy_of(worlds["before"]))
    assert after is (worlds["before"] if name == "churn" else memory)


def run(key, penalty, worlds, states, obs):
    """Everything that a penalty does, within one scan over steps."""
    memory = penalty.init(key, ALGO, policy_of(worlds["now"]), source_of(worlds, STATES._replace(obs=states)))
    term, batch = penalty.term(), BATCH._replace(obs=obs)

    def step(memory, number):
        params = tree.where(number == 0, worlds["now"], worlds["before"])
        at = moment(0.25)._replace(step=number)
        found = jax.value_and_grad(lambda p: term.loss(memory, ALGO, policy_of(p), batch, at))(params)
        return term.after_step(memory, ALGO, policy_of(params)), found

    return jax.lax.scan(step, memory, jnp.arange(2, dtype=jnp.int32))[1]


@quick
def runs_together_and_second_alone(*runs):
    return jax.vmap(run)(*runs), run(*tree.take(runs, 1))


@pytest.mark.parametrize("name", ["l1", "ewc", "mas", "kl", "cloning", "features", "infer", "churn"])
def test_a_run_beside_others_equals_the_run_alone(name, worlds):
    names = list(worlds)
    runs = tree.stack([dict(zip(names, (worlds[names[(i + by) % 4]] for i in range(4)))) for by in range(3)])
    penalties = tree.stack([as_arrays(scaled(name, 0.1 * (i + 1))) for i in range(3)])
    states, obs = (np.stack([data.obs * (i + 1) for i in range(3)]) for data in (STATES, BATCH))
    keys = jax.random.split(jax.random.key(1), 3)
    together, alone = jax.device_get(runs_together_and_second_alone(keys, penalties, runs, states, obs))
    for one, beside in zip(jax.tree.leaves(alone), jax.tree.leaves(together)):
        np.testing.assert_allclose(beside[1], one, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def low_rank(worlds):
    """Parameters that LoRA makes of the base at first, of factors elsewhere, and of others with the same product."""
    adapter, base = ft.LoRA(rank=2), worlds["base"]
    delta = jax.device_get(quick(adapter.init)(jax.random.key(0), base))
    moved = {path: leaf + 0.5 if path.endswith("lora_b") else leaf for path, leaf in tree.flatten(delta).items()}
    other = {path: leaf * (0.5 if path.endswith("lora_b") else 2.0) for path, leaf in moved.items()}
    moved, other, merge = tree.unflatten(moved), tree.unflatten(other), quick(adapter.merge)
    pulled = quick(lambda slope: jax.vjp(lambda delta: adapter.merge(base, delta), moved)[1](slope)[0])
    return SimpleNamespace(merged=[merge(base, part) for part in (delta, moved, other)], pulled=pulled)


@pytest.mark.parametrize("name", HOLDING)
def test_low_rank_deltas_are_held_through_what_they_make_of_the_parameters(name, worlds, low_rank):
    first, one, two = (examine(scaled(name, 1.0), worlds, params) for params in low_rank.merged)
    assert (abs(first.loss) < 1e-7) == (ANCHORS[name] == "base")
    np.testing.assert_allclose(one.loss, two.loss, rtol=1e-5)
    assert largest(low_rank.pulled(one.slope)["policy"]) > 1e-4


@quick
def loss_and_slope_of_a_part(penalty, worlds, part):
    def loss(part):
        params = {**worlds["base"], "policy": {**worlds["base"]["policy"], "part": {"kernel": part}}}
        return loss_at_start(penalty, params, source_of(worlds))

    return jax.value_and_grad(loss)(part)


@pytest.mark.parametrize("name", ELASTIC)
def test_what_an_adapter_added_has_no_anchor(name, worlds):
    """Leaves that the base lacks: only the size penalties count them."""
    penalty, part = as_arrays(scaled(name, 1.0)), np.full((2, 2), 0.5, np.float32)
    there, without = (jax.device_get(loss_and_slope_of_a_part(penalty, worlds, x)) for x in (part, 0 * part))
    added = {"l1": 4 * 0.5, "l2": 0.5 * 4 * 0.25}.get(name, 0.0)
    np.testing.assert_allclose(there[0] - without[0], added, rtol=1e-5)
    np.testing.assert_allclose(there[1], np.full((2, 2), {"l1": 1.0, "l2": 0.5}.get(name, 0.0)))


@pytest.mark.parametrize("name", [name for name in ELASTIC if ft.PENALTIES[name].anchored])
def test_a_network_that_grew_has_no_elastic_anchor(name, worlds, random_params, source):
    grown = random_params(source, ft.MLP(width=5, depth=1))
    with pytest.raises(ValueError, match=r"/dense_0/\w+ has shape \(.*5,?\), its anchor \(.*3,?\)"):
        jax.eval_shape(loss_at_start, ft.PENALTIES[name], grown, source_of(worlds))


@pytest.mark.parametrize("name", [name for name in ft.PENALTIES if not ft.PENALTIES[name].anchored])
def test_a_network_that_grew_is_held_by_what_has_no_anchor(name, worlds, random_params, source):
    grown = random_params(source, ft.MLP(width=5, depth=1))
    assert np.isfinite(quick_loss_at_start(scaled(name, 1.0), grown, source_of(worlds)))


def test_which_compare_shapes_which_see_other_states_and_which_need_the_source():
    anchored = {name for name, penalty in ft.PENALTIES.items() if penalty.anchored}
    assert anchored == {"l1sp", "l2sp", "l2init", "ewc", "mas", "features", "infer"}
    assert {name for name, penalty in ft.PENALTIES.items() if penalty.other_batch} == {"churn"}
    needing = {name: penalty.source_steps for name, penalty in ft.PENALTIES.items() if penalty.source_steps}
    assert needing == {"ewc": 2048, "mas": 2048, "cloning": 2048}


@pytest.mark.parametrize("name", [name for name in ft.PENALTIES if not ft.PENALTIES[name].source_steps])
def test_without_need_of_the_source_there_may_be_no_data(name, worlds):
    assert np.isfinite(quick_loss_at_start(ft.PENALTIES[name], worlds["now"], source_of(worlds, None)))


@pytest.mark.parametrize("name", HOLDING)
def test_coefficients_are_at_least_zero_and_finite(name):
    penalty = ft.PENALTIES[name]
    check_config(penalty, name)
    check_config(penalty.term(), name)
    for config in (penalty, penalty.term()):
        for field in [field.name for field in fields(config) if field.type is float]:
            for value in (-1.0, np.inf, np.nan):
                with pytest.raises(ValueError, match=rf"{name}.{field}: "):
                    check_config(replace(config, **{field: value}), name)


def test_defaults_are_those_that_results_were_measured_with():
    found = {name: {f.name: getattr(row, f.name) for f in fields(row)} for name, row in ft.PENALTIES.items()}
    weighed, divergence = {"coef": 1e-2, "normalize": True, "source_steps": 2048}, {"coef": 0.1, "decay": 0.0}
    assert found == {
        "none": {}, "l1": {"coef": 1e-5}, "l1sp": {"coef": 1e-5}, "l2": {"coef": 1e-4}, "l2sp": {"coef": 1e-3},
        "l2init": {"coef": 1e-3}, "ewc": weighed, "mas": weighed, "kl": {**divergence, "direction": "forward"},
        "kl_reverse": {**divergence, "direction": "reverse"}, "features": {"coef": 1.0},
        "cloning": {"coef": 1.0, "decay": 0.0, "batch_size": 64, "source_steps": 2048},
        "infer": {"coef": 0.1, "num_heads": 10}, "churn": {"coef": 10.0},
    }  # fmt: skip

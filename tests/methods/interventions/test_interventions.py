"""Laws of every registered intervention, and closed forms of those that act on weights."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import intervention_world as w
from helpers.compiling import quick

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays, from_json, to_json
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.methods.interventions import (
    INTERVENTIONS,
    ContinualBackprop,
    NormalizeProject,
    PeriodicResets,
    ReDo,
    SoftShrinkPerturb,
    WeightClipping,
    neurons,
)
from jaxrl_ft.methods.interventions.base import Intervention

INF = float("inf")
OFF = {
    "none": {},
    "redo": {"tau": -1.0},
    "continual_backprop": {"replacement_rate": 0.0},
    "soft_shrink_perturb": {"shrink": 0.0, "perturb": 0.0},
    "weight_clipping": {"kappa": 1e9},
    "normalize_project": {"strength": 0.0},
    "head_resets": {"period": INF},
    "critic_resets": {"period": INF},
}
ON = {
    "none": {},
    "redo": {"tau": 0.9, "period": 1.0},
    "continual_backprop": {"replacement_rate": 1.0, "maturity": 0.0},
    "soft_shrink_perturb": {"shrink": 0.1, "perturb": 0.1},
    "weight_clipping": {"kappa": 0.3},
    "normalize_project": {},
    "head_resets": {},
    "critic_resets": {},
}
DENSE = re.compile(r"(policy|value)/(dense_\d+|head)/(kernel|bias)")


def moved(params):
    """Parameters a gradient step away, a zero of either sign among them."""
    away = jax.tree.map(lambda leaf: np.float32(1.1) * leaf + np.float32(0.01), params)
    away["policy"]["dense_0"]["bias"][:2] = [0.0, -0.0]
    away["value"]["dense_1"]["kernel"][0, :4] = [0.0, -0.0, 0.0, -0.0]
    return away


def step(intervention, carry, seed):
    memory, params, touched = w.outcome(intervention, *carry, seed, w.moment(0.3 + 0.1 * seed, seed))
    return (memory, params), touched


def three_steps(intervention, params, away):
    """Memory and parameters after three goes, and every mask."""
    start = (w.first_memory(intervention, params), away)
    return jax.lax.scan(lambda carry, seed: step(intervention, carry, seed), start, jnp.arange(3))


def on(name, **changes):
    return as_arrays(replace(INTERVENTIONS[name], **ON[name], **changes))


@pytest.fixture(scope="module")
def lanes():
    """A function from a name to three runs, compiled as one: switched off, and switched on in two worlds."""
    known = {}

    def run(name):
        if name not in known:
            members = [as_arrays(replace(INTERVENTIONS[name], **OFF[name])), on(name), on(name)]
            worlds = [w.world(seed) for seed in (0, 0, 1)]
            inputs = (tree.stack(members), tree.stack(worlds), tree.stack([moved(params) for params in worlds]))
            known[name] = jax.device_get(quick(jax.vmap(three_steps))(*inputs))
        return known[name]

    return run


def test_the_tables_of_this_file_are_complete():
    assert set(OFF) == set(ON) == set(INTERVENTIONS)
    assert type(INTERVENTIONS["none"]) is Intervention


@pytest.mark.parametrize("name", list(INTERVENTIONS))
def test_switched_off_it_is_bit_identical_and_touches_nothing(name, lanes, same):
    (_, after), touched = tree.take(lanes(name), 0)
    assert same(after, moved(w.world()))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(touched))


@pytest.mark.parametrize("name", list(INTERVENTIONS))
def test_switched_on_it_changes_dense_layers_alone_and_touches_just_what_it_renews(name):
    intervention, params = on(name), w.world()
    memory, before = w.begin(intervention, params), moved(params)
    _, after, touched = w.act(intervention, memory, before)
    differs = w.changed(before, after)
    assert any(mask.any() for mask in differs.values()) or name == "none"
    assert all(DENSE.fullmatch(path) for path, mask in differs.items() if mask.any())
    assert jax.tree.structure(after) == jax.tree.structure(before)
    assert (touched is not None) == intervention.resets
    for path, mask in tree.flatten(touched if intervention.resets else {}).items():
        assert mask.dtype == bool and mask.shape == differs[path].shape
        # The bias that takes over a lost mean keeps its moments; a bias that was 0 is fresh without a change.
        if not (name == "continual_backprop" and path.endswith("bias")):
            zeros = np.equal(tree.flatten(before)[path], 0) & np.equal(tree.flatten(after)[path], 0)
            np.testing.assert_array_equal(mask & ~zeros, differs[path], err_msg=path)


@pytest.mark.parametrize("name", list(INTERVENTIONS))
def test_under_vmap_and_scan_each_run_is_as_alone_and_step_by_step(name, lanes):
    for lane, seed in [(1, 0), (2, 1)]:
        params = w.world(seed)
        carry = (w.begin(on(name), params), moved(params))
        for i in range(3):
            *carry, touched = w.act(on(name), *carry, seed=i, at=w.moment(0.3 + 0.1 * i, i))
        together, masks = tree.take(lanes(name), lane)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), together, tuple(carry))
        jax.tree.map(np.testing.assert_array_equal, tree.take(masks, -1), touched)


@pytest.mark.parametrize("name", list(INTERVENTIONS))
def test_hooks_are_the_methods_that_a_member_has(name):
    own = type(INTERVENTIONS[name])
    has = [hook for hook in ("after_step", "after_update") if getattr(own, hook) is not getattr(Intervention, hook)]
    assert list(own.hooks) == has


@pytest.mark.parametrize("name", list(INTERVENTIONS))
def test_configs_are_valid_and_come_back_from_json(name):
    check_config(INTERVENTIONS[name], "method.intervention")
    assert from_json(to_json(INTERVENTIONS[name])) == INTERVENTIONS[name]
    assert INTERVENTIONS.text(name)


@pytest.mark.parametrize(
    "member, field",
    [
        (ReDo(period=0.5), "period"),
        (ReDo(tau=-2.0), "tau"),
        (ContinualBackprop(decay=1.0), "decay"),
        (ContinualBackprop(groups="critic"), "groups"),
        (PeriodicResets(layers=0), "layers"),
        (PeriodicResets(period=0.0), "period"),
        (SoftShrinkPerturb(shrink=1.5), "shrink"),
        (NormalizeProject(strength=-1.0), "strength"),
        (WeightClipping(kappa=-1.0), "kappa"),
    ],
)
def test_bad_fields_are_refused_by_name(member, field):
    with pytest.raises(ValueError, match=f"x.{field}: "):
        check_config(member, "x")


@pytest.mark.parametrize("groups", ["policy", "value"])
@pytest.mark.parametrize("name", [name for name in INTERVENTIONS if name not in ("none", "critic_resets")])
def test_groups_choose_the_network(name, groups):
    intervention = on(name, groups=groups)
    before = moved(w.world())
    _, after, _ = w.act(intervention, w.begin(intervention, w.world()), before)
    differs = [path for path, mask in w.changed(before, after).items() if mask.any()]
    assert differs and all(path.startswith(f"{groups}/") for path in differs)


def test_floats_share_one_trace():
    traces = []

    def once(intervention, params):
        traces.append(1)
        return step(intervention, (w.first_memory(intervention, params), params), 0)

    program = quick(once)
    params = w.world()
    counts = [neurons_renewed(program(as_arrays(ReDo(tau=0.9, period=period)), params)) for period in (1.0, 2.5, INF)]
    assert len(traces) == 1
    assert counts[0] > 0 and counts[1:] == [0, 0]


def neurons_renewed(result):
    return sum(int(mask.sum()) for mask in jax.tree.leaves(jax.device_get(result[1])))


def test_soft_shrink_perturb_adds_noise_of_the_initialisers_scale():
    params = w.world(widths=(40, 30), extras=False)
    intervention = as_arrays(SoftShrinkPerturb(shrink=0.25, perturb=0.5))
    _, after, _ = w.act(intervention, {}, params)
    _, other, _ = w.act(intervention, {}, params, seed=2)
    expected = {"policy/dense_0": (2 / 40) ** 0.5, "value/dense_1": (2 / 40) ** 0.5, "policy/head": 0.01 / 30**0.5}
    flat, new, again = (tree.flatten(t) for t in (params, after, other))
    for path, scale in expected.items():
        noise = new[f"{path}/kernel"] - 0.75 * flat[f"{path}/kernel"]
        np.testing.assert_allclose(noise.std(), 0.5 * scale, rtol=0.2)
        np.testing.assert_allclose(noise.mean(), 0.0, atol=4 * 0.5 * scale / noise.size**0.5)
        np.testing.assert_allclose(new[f"{path}/bias"], 0.75 * flat[f"{path}/bias"], rtol=1e-6)
        assert np.mean(np.equal(new[f"{path}/kernel"], again[f"{path}/kernel"])) < 0.05


def test_shrinking_alone_is_a_factor():
    params = w.world()
    _, after, _ = w.act(as_arrays(SoftShrinkPerturb(shrink=0.25, perturb=0.0)), {}, params)
    for path in neurons.kernels(params):
        np.testing.assert_allclose(
            tree.flatten(after)[f"{path}/kernel"], 0.75 * tree.flatten(params)[f"{path}/kernel"], rtol=1e-6
        )


def test_weight_clipping_does_nothing_at_the_start_and_then_holds_each_layers_largest_entry(same):
    params = jax.tree.map(lambda leaf: 4.0 * leaf, w.world())
    clipping = as_arrays(WeightClipping())
    memory = w.begin(clipping, params)
    assert same(w.act(clipping, memory, params)[1], params)
    _, after, _ = w.act(clipping, memory, jax.tree.map(lambda leaf: 1.5 * leaf, params))
    kernel, bound = params["value"]["dense_1"]["kernel"], np.abs(params["value"]["dense_1"]["kernel"]).max()
    np.testing.assert_allclose(after["value"]["dense_1"]["kernel"], np.clip(1.5 * kernel, -bound, bound), rtol=1e-6)


def test_without_a_start_the_bound_is_the_papers():
    params = jax.tree.map(lambda leaf: 100.0 * leaf, w.world())
    clipping = as_arrays(WeightClipping(kappa=3.0, start=0.0))
    _, after, _ = w.act(clipping, w.begin(clipping, params), params)
    fans = {"dense_0": 4, "dense_1": 6, "head": 5}
    for layer, fan in fans.items():
        for leaf in ("kernel", "bias"):
            entries = np.abs(after["policy"][layer][leaf])
            np.testing.assert_allclose(entries.max(), 3.0 / fan**0.5, rtol=1e-6)


def test_projection_restores_the_norm_and_keeps_the_direction():
    params, project = w.world(), as_arrays(NormalizeProject())
    away = jax.tree.map(lambda leaf: leaf + np.float32(0.7), params)
    _, after, _ = w.act(project, w.begin(project, params), away)
    for path in neurons.kernels(params):
        old, new, then = (np.asarray(tree.flatten(t)[f"{path}/kernel"], np.float64) for t in (params, after, away))
        np.testing.assert_allclose((new**2).sum(), (old**2).sum(), rtol=1e-5)
        np.testing.assert_allclose(new / then, (new / then).mean(), rtol=1e-5)


def test_projection_can_leave_the_head_free_and_survives_a_kernel_of_zeros(same):
    params, project = w.world(), as_arrays(NormalizeProject(head=0.0))
    memory = w.begin(project, params)
    away = jax.tree.map(lambda leaf: 2.0 * leaf, params)
    _, after, _ = w.act(project, memory, away)
    assert same(after["policy"]["head"], away["policy"]["head"])
    np.testing.assert_allclose(after["policy"]["dense_1"]["kernel"], params["policy"]["dense_1"]["kernel"], rtol=1e-5)
    _, zeros, _ = w.act(project, memory, jax.tree.map(np.zeros_like, params))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(zeros))

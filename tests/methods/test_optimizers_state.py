"""An optimizer's state: entries forgotten, parts inherited, layers that start late, rates that adapt."""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.methods import optimizers
from jaxrl_ft.methods.optimizers.keeping import Keep

SHAPES = {"dense_0": {"kernel": (3, 2)}, "dense_1": {"kernel": (2, 2)}, "head": {"bias": (2,)}}
KL0 = np.float32(0)


def draw(seed):
    rng = np.random.default_rng(seed)
    return {
        group: jax.tree.map(
            lambda shape: rng.normal(size=shape).astype(np.float32),
            SHAPES,
            is_leaf=lambda leaf: isinstance(leaf, tuple),
        )
        for group in ("policy", "value")
    }


PARAMS, GRADS = draw(0), [draw(seed) for seed in range(1, 9)]


@jax.jit
def begin(optimizer, params):
    return optimizer.build().init(params)


@jax.jit
def update(optimizer, grads, state, params, progress, kl):
    updates, state = optimizer.build().update(grads, state, params, progress=progress, kl=kl)
    return jax.tree.map(jnp.add, params, updates), state


def walk(optimizer, points, kls=None, grads=GRADS, start=None):
    """Parameters and state after a step at each of the given points of progress."""
    optimizer = as_arrays(optimizer)
    params, state = start or (PARAMS, begin(optimizer, PARAMS))
    seen = []
    for i, point in enumerate(points):
        kl = KL0 if kls is None else np.float32(kls[i])
        params, state = update(optimizer, grads[i % len(grads)], state, params, np.float32(point), kl)
        seen.append((params, state))
    return seen


def gap(one, other):
    return max(np.abs(a - b).max() for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other)))


def leaves(state):
    """The numbers of a group's state by path."""
    flat, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in flat}


def touched_entries():
    """Every second entry of the policy's, and one whole layer of the critic's."""
    marks = jax.tree.map(lambda leaf: np.arange(leaf.size).reshape(leaf.shape) % 2 == 0, PARAMS["policy"])
    value = {name: jax.tree.map(lambda leaf, n=name: np.full(leaf.shape, n == "head"), layer)
             for name, layer in PARAMS["value"].items()}  # fmt: skip
    return {"policy": marks, "value": value}


# Fields over entries that are places, not moments: they start again from the parameters.
PLACES = ("z", "x0", "params0", "init_params")
# A scale and a ratio of norms belong to no entry, and are not forgotten with any.
SHARED = ("trac", "adaptive_decay")


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_forgetting_zeroes_the_touched_entries_and_nothing_else(name, same):
    optimizer = replace(ft.OPTIMIZERS[name], per_entry=True)
    touched = touched_entries()
    _, state = walk(optimizer, [0.0, 0.1, 0.2])[-1]
    after = optimizer.forget(state, touched)
    for group, mask in ((group, np.asarray(tree.ravel(touched[group]))) for group in PARAMS):
        before, later = leaves(state.inner[group]), leaves(after.inner[group])
        over_entries = [path for path in before if before[path].shape == mask.shape]
        assert over_entries or name == "sgd"
        for path in before:
            expected = before[path].copy()
            if path in over_entries and not path.endswith(PLACES):
                expected[mask] = 0
            np.testing.assert_array_equal(later[path], expected)
    assert same(after[1:5], state[1:5])


@pytest.mark.parametrize("name", [n for n, row in ft.OPTIMIZERS.items() if not row.ANCHORED and n not in SHARED])
def test_a_forgotten_optimizer_is_a_fresh_one_but_for_what_entries_share(name):
    optimizer = replace(ft.OPTIMIZERS[name], per_entry=True)
    _, state = walk(optimizer, [0.0, 0.0])[-1]
    everything = jax.tree.map(lambda leaf: np.ones(leaf.shape, bool), PARAMS)
    forgotten = optimizer.forget(state, everything)
    again = walk(optimizer, [0.0, 0.0], start=(PARAMS, forgotten))[-1][0]
    assert gap(again, walk(optimizer, [0.0, 0.0])[-1][0]) == 0


@pytest.mark.parametrize("name", [name for name, row in ft.OPTIMIZERS.items() if row.ANCHORED])
def test_forgotten_entries_start_from_their_new_parameters(name):
    optimizer = replace(ft.OPTIMIZERS[name], per_entry=True)
    params, state = walk(optimizer, [0.0] * 4)[-1]
    touched = touched_entries()
    moved = jax.tree.map(lambda leaf, mark: np.where(mark, 5.0, leaf).astype(np.float32), params, touched)
    state = optimizer.forget(state, touched)
    averaged = optimizer.evaluation(state, moved)
    after, state = walk(optimizer, [0.0], start=(moved, state))[-1]
    for one in (averaged, after):
        jax.tree.map(lambda leaf, mark: np.testing.assert_allclose(leaf[mark], 5.0, atol=0.05), one, touched)
    assert not any(np.any(entries) for entries in state.fresh.values())


def test_forgetting_needs_steps_counted_by_entry():
    state = begin(as_arrays(ft.Adam()), PARAMS)
    with pytest.raises(ValueError, match="per_entry: False"):
        ft.Adam().forget(state, touched_entries())


@pytest.mark.parametrize("name", ["adam", "nadam", "adamw", "adam_rel", "cautious"])
def test_counting_by_entry_changes_nothing_until_something_is_forgotten(name):
    points = np.repeat(np.linspace(0, 0.9, 10), 4)
    plain = walk(ft.OPTIMIZERS[name], points)[-1]
    counted = walk(replace(ft.OPTIMIZERS[name], per_entry=True), points)[-1]
    # parameters are up to 2 in size, where float32 numbers are 2.4e-7 apart, and a power of β₂ is off by 7e-6
    assert gap(plain[0], counted[0]) < 5e-7
    assert gap(plain[0], PARAMS) > 0.04
    count = lambda state: next(leaf for path, leaf in leaves(state.inner["policy"]).items() if "count" in path)  # noqa: E731
    assert set(count(counted[1])) == {int(count(plain[1]))}


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.999999])
def test_counting_by_entry_is_adam_in_float64(beta):
    optimizer = replace(ft.Adam(), per_entry=True, beta1=beta, beta2=beta, max_grad_norm=1e9)
    optimizer = replace(optimizer, schedule=ft.SCHEDULES["constant"])
    params, _ = walk(optimizer, [0.0] * 8)[-1]
    b, mu, nu, place = float(np.float32(beta)), 0.0, 0.0, np.asarray(tree.ravel(PARAMS), np.float64)
    for t, grads in enumerate(GRADS, 1):
        g = np.asarray(tree.ravel(grads), np.float64)
        mu, nu = b * mu + (1 - b) * g, b * nu + (1 - b) * g * g
        place = place - 3e-3 * (mu / (1 - b**t)) / (np.sqrt(nu / (1 - b**t)) + 1e-5)
    np.testing.assert_allclose(tree.ravel(params), place, atol=1e-6)


def test_adam_rel_counts_from_every_update_and_keeps_the_moments():
    plain, local = (walk(ft.Adam(local_time=on), [0.0, 0.0, 0.5, 0.5]) for on in (0.0, 1.0))
    counts = [int(state.inner["policy"][0].count) for _, state in local]
    assert counts == [1, 2, 1, 2]
    assert gap(plain[1][0], local[1][0]) == 0
    mu, nu = local[1][1].inner["policy"][0][1:]
    g = np.asarray(tree.ravel(GRADS[2]["policy"]))
    norm = np.linalg.norm(np.asarray(tree.ravel(GRADS[2])))
    g = g * min(1.0, 0.5 / norm)
    mean, square = 0.9 * mu + 0.1 * g, 0.999 * nu + 0.001 * g * g
    step = 3e-3 * 0.5 * (mean / 0.1) / (np.sqrt(square / 0.001) + 1e-5)
    moved = tree.ravel(local[2][0]["policy"]) - tree.ravel(local[1][0]["policy"])
    np.testing.assert_allclose(moved, -step, rtol=1e-3, atol=1e-7)


def test_a_cautious_step_has_no_entry_against_the_gradient_and_rescales_each_tensor():
    optimizer = ft.Adam(cautious=True, schedule=ft.SCHEDULES["constant"])
    points = [0.0] * 5
    params, state = walk(optimizer, points)[-1]
    start = (params, state)
    careful = walk(optimizer, [0.0], start=start, grads=[GRADS[5]])[-1][0]
    plain = walk(replace(optimizer, cautious=False), [0.0], start=start, grads=[GRADS[5]])[-1][0]
    dropped = 0
    for x, one, other, g in zip(*(jax.tree.leaves(t) for t in (params, careful, plain, GRADS[5]))):
        agrees = (other - x) * g < 0
        expected = np.where(agrees, other - x, 0) / max(agrees.mean(), 1e-3)
        np.testing.assert_allclose(one - x, expected, atol=5e-7)
        dropped += (~agrees).sum()
    assert dropped > 0


def test_adaptive_decay_is_a_running_share_of_the_gradients_norm_over_the_parameters():
    optimizer = optimizers.AdaptiveDecay(decay_ratio=3.0, max_grad_norm=1e9, schedule=ft.SCHEDULES["constant"])
    average, (params, state) = 0.0, (PARAMS, begin(as_arrays(optimizer), PARAMS))
    for i in range(3):
        norms = [np.linalg.norm(np.asarray(tree.ravel(t["policy"]))) for t in (GRADS[i], params)]
        average = 0.1 * average + 0.9 * 3.0 * norms[0] / norms[1]
        bare = {name: inner._replace(average=jnp.zeros(())) for name, inner in state.inner.items()}
        start = (params, state._replace(inner=bare))
        plain = walk(replace(optimizer, decay_ratio=0.0), [0.0], start=start, grads=[GRADS[i]])[-1][0]
        before = params
        params, state = walk(optimizer, [0.0], start=(params, state), grads=[GRADS[i]])[-1]
        np.testing.assert_allclose(state.inner["policy"].average, average, rtol=1e-5)
        shrunk = tree.ravel(plain["policy"]) - 3e-3 * average * tree.ravel(before["policy"])
        np.testing.assert_allclose(tree.ravel(params["policy"]), shrunk, atol=1e-6)


ALL = Keep(first_moment=1.0, second_moment=1.0, step_count=1.0)
KINDS = {"first_moment": ("mu", "trace"), "second_moment": ("nu",), "step_count": ("count",)}


@pytest.mark.parametrize("name", ["adam", "nadamw", "sgd", "rmsprop", "cautious", "trac", "muon", "schedule_free"])
@pytest.mark.parametrize("part", [*KINDS, "nothing", "everything"])
@pytest.mark.parametrize("runs", [False, True])
def test_what_is_kept_is_the_old_and_the_rest_is_fresh(name, part, runs, same):
    optimizer = ft.OPTIMIZERS[name]
    _, old = walk(optimizer, [0.0, 0.5])[-1]
    fresh = begin(as_arrays(optimizer), PARAMS)
    keep = {"nothing": Keep(), "everything": ALL}.get(part) or Keep(**{part: 1.0})
    if runs:
        fresh, old, keep = tree.repeat(fresh, 3), tree.repeat(old, 3), tree.repeat(as_arrays(keep), 3)
    got = optimizer.inherit(fresh, old, keep)
    parts = {"nothing": [], "everything": list(KINDS)}.get(part, [part])
    ours, theirs, new = (leaves(state.inner) for state in (got, old, fresh))
    for path in ours:
        kept = any(path.endswith(f".{field}") for kind in parts for field in KINDS[kind])
        np.testing.assert_array_equal(ours[path], (theirs if kept else new)[path])
    assert same(got[1:], fresh[1:])


def test_inheriting_under_vmap_is_inheriting_with_an_axis_of_runs(same):
    _, old = walk(ft.Adam(), [0.0])[-1]
    fresh = begin(as_arrays(ft.Adam()), PARAMS)
    several = (tree.repeat(fresh, 2), tree.stack([old, fresh]), tree.stack([as_arrays(ALL), as_arrays(Keep())]))
    assert same(*(jax.tree.map(np.asarray, f(*several)) for f in (ft.Adam().inherit, jax.vmap(ft.Adam().inherit))))


def test_everything_kept_goes_on_as_if_nothing_had_happened():
    first = walk(ft.Adam(), [0.5, 0.5])[-1]
    whole = walk(ft.Adam(), [0.5, 0.5, 0.5], start=None)[-1][0]
    state = ft.Adam().inherit(begin(as_arrays(ft.Adam()), PARAMS), first[1], ALL)
    assert gap(whole, walk(ft.Adam(), [0.5], start=(first[0], state), grads=[GRADS[2]])[-1][0]) == 0


@pytest.mark.parametrize("runs", [False, True])
def test_shared_counts_become_counts_by_entry_and_back(runs):
    plain, counted = ft.Adam(), ft.Adam(per_entry=True)
    states = {o.per_entry: (begin(as_arrays(o), PARAMS), walk(o, [0.0, 0.0])[-1][1]) for o in (plain, counted)}
    repeat = (lambda state: tree.repeat(state, 3)) if runs else (lambda state: state)
    for optimizer, into, out_of in ((counted, True, False), (plain, False, True)):
        fresh, old = repeat(states[into][0]), repeat(states[out_of][1])
        count = optimizer.inherit(fresh, old, ALL).inner["value"][0].count
        assert np.all(np.asarray(count) == 2) and count.shape == fresh.inner["value"][0].count.shape


def test_a_state_that_does_not_fit_is_refused():
    adam, state = ft.Adam(), begin(as_arrays(ft.Adam()), PARAMS)
    with pytest.raises(ValueError, match="another optimizer"):
        adam.inherit(state, begin(as_arrays(ft.SGD()), PARAMS), ALL)
    with pytest.raises(ValueError, match="other parameter groups"):
        adam.inherit(state, begin(as_arrays(adam), {"policy": PARAMS["policy"]}), ALL)
    smaller = {**PARAMS, "value": {"head": PARAMS["value"]["head"]}}
    with pytest.raises(ValueError, match=r"value.*mu is \(2,\), and must be \(12,\)"):
        adam.inherit(state, begin(as_arrays(adam), smaller), ALL)
    for name in ("prodigy", "dog", "dowg"):
        row = ft.OPTIMIZERS[name]
        state = begin(as_arrays(row), PARAMS)
        with pytest.raises(ValueError, match="can keep nothing"):
            row.inherit(state, state, ALL)


def moving(optimizer, points):
    """Which tensors of the policy move at each point."""
    places = [PARAMS, *(params for params, _ in walk(optimizer.reduced(), points))]
    flats = [tree.flatten(place["policy"]) for place in places]
    return [{path.split("/")[0] for path in one if np.any(one[path] != two[path])} for one, two in pairwise(flats)]


def test_layers_start_one_after_another_from_the_output_down():
    seen = moving(ft.Adam(rates=ft.Rates(layer_start=0.25)), [0.0, 0.2, 0.25, 0.4, 0.5, 0.9])
    assert seen == [{"head"}] * 2 + [{"head", "dense_1"}] * 2 + [{"head", "dense_1", "dense_0"}] * 2


def test_the_body_starts_at_once():
    seen = moving(ft.SGD(rates=ft.Rates(body_start=0.5)), [0.0, 0.49, 0.5, 0.9])
    assert seen == [{"head"}] * 2 + [{"head", "dense_1", "dense_0"}] * 2


@pytest.mark.parametrize("name", list(ft.OPTIMIZERS))
def test_late_layers_rest_without_moments_counts_or_a_share_in_the_norm(name, same):
    # the leash of TRAC starts too short to be seen
    change = {"initial_scale": 1e-2} if name == "trac" else {}
    optimizer = replace(ft.OPTIMIZERS[name], rates=ft.Rates(body_start=0.5), per_entry=True, **change)
    huge = [{group: {**layers, "dense_0": {"kernel": 1e6 * layers["dense_0"]["kernel"]}} for group, layers in g.items()}
            for g in GRADS]  # fmt: skip
    (params, state), (other, _) = (walk(optimizer, [0.0, 0.1], grads=grads)[-1] for grads in (GRADS, huge))
    assert same(params, other)
    for layer in ("dense_0", "dense_1"):
        assert same(params["policy"][layer], jax.tree.map(jnp.asarray, PARAMS["policy"][layer]))
    start = leaves(begin(as_arrays(optimizer), PARAMS).inner["policy"])
    for path, leaf in leaves(state.inner["policy"]).items():
        if leaf.shape == (12,):
            np.testing.assert_array_equal(leaf[:10], start[path][:10])
    assert gap(walk(optimizer, [0.6], start=(params, state))[-1][0], params) > 0


def test_a_late_layer_steps_as_a_young_one():
    optimizer = ft.Adam(rates=ft.Rates(body_start=0.5), schedule=ft.SCHEDULES["constant"], max_grad_norm=1e9)
    late = walk(optimizer.reduced(), [0.0, 0.1, 0.2, 0.5, 0.6])
    young = walk(replace(optimizer, rates=ft.Rates()), [0.5, 0.6], grads=GRADS[3:5])[-1][0]
    for layer in ("dense_0", "dense_1"):
        assert gap(late[-1][0]["policy"][layer], young["policy"][layer]) < 5e-7


def test_reducing_shares_the_program_and_not_a_bit_changes(same):
    plain, set_ = ft.Adam(), ft.Adam(target_kl=0.01, desired_kl=0.01)
    assert jax.tree.structure(plain.reduced()) == jax.tree.structure(set_.reduced())
    assert plain.target_kl is None and plain.reduced().reduced() == plain.reduced()
    kls = [0.0, 1e30, np.nan, np.inf]
    one, other = (walk(optimizer, [0.0, 0.0, 0.5, 0.5], kls)[-1] for optimizer in (plain, plain.reduced()))
    assert same(one, other)
    assert not ft.Adam(rates=ft.Rates(policy_start=0.5)).reduced().per_entry


def test_the_rate_follows_the_kl_within_its_range():
    optimizer = ft.SGD(learning_rate=0.1, desired_kl=0.01, min_multiplier=0.5, max_multiplier=2.0)
    kls = [0.0, 0.01, 0.004, 0.006, 0.019, 0.021, 0.001, 0.001, 0.001, np.nan, 1.0, 1.0, 1.0, 1.0]
    factors = [float(state.multiplier) for _, state in walk(optimizer, np.linspace(0, 0.9, len(kls)), kls)]
    expected = [1, 1, 1.5, 1.5, 1.5, 1, 1.5, 2, 2, 2, 4 / 3, 8 / 9, 16 / 27, 0.5]
    np.testing.assert_allclose(factors, expected, rtol=1e-6)


def test_the_multiplier_scales_this_very_step_and_rests_after_a_stop():
    plain = ft.SGD(learning_rate=0.1)
    optimizer = replace(plain, desired_kl=0.01)
    ((one, _),), ((two, _),) = (walk(o, [0.0], [0.05]) for o in (plain, optimizer))
    difference = jax.tree.map(lambda a, b, p: (a - p) / (b - p), one, two, PARAMS)
    assert all(np.allclose(leaf, 1.5, rtol=1e-3) for leaf in jax.tree.leaves(difference))
    stopping = replace(optimizer, target_kl=0.02)
    factors = [float(state.multiplier) for _, state in walk(stopping, [0.0, 0.0, 0.0, 0.5], [0.05, 0.05, 0.05, 0.05])]
    np.testing.assert_allclose(factors, [2 / 3, 2 / 3, 2 / 3, 4 / 9], rtol=1e-6)


@pytest.mark.parametrize("field, value", [("first_moment", 1.5), ("step_count", -1.0)])
def test_keep_is_checked(field, value):
    check_config(ALL, "keep")
    with pytest.raises(ValueError, match=f"keep.{field}"):
        check_config(replace(ALL, **{field: value}), "keep")


def test_every_row_passes_the_check_at_the_door():
    for name, row in ft.OPTIMIZERS.items():
        check_config(row, name)
        check_config(replace(row, target_kl=0.01, desired_kl=0.01), name)

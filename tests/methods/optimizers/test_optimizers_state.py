"""An optimizer's state: what it remembers of each entry, entries forgotten, parts inherited."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers.optimizer_world import GRADS, PARAMS, begin, gap, go, leaves, walk
from helpers.trees import flat

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.methods import optimizers
from jaxrl_ft.methods.optimizers.keeping import Keep


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
    state = walk(optimizer, [0.0, 0.1, 0.2])[-1].state
    after = optimizer.forget(state, touched)
    for group, mask in ((group, flat(touched[group])) for group in PARAMS):
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
    state = walk(optimizer, [0.0, 0.0])[-1].state
    everything = jax.tree.map(lambda leaf: np.ones(leaf.shape, bool), PARAMS)
    forgotten = optimizer.forget(state, everything)
    again = walk(optimizer, [0.0, 0.0], start=(PARAMS, forgotten))[-1].params
    assert gap(again, walk(optimizer, [0.0, 0.0])[-1].params) == 0


@pytest.mark.parametrize("name", [name for name, row in ft.OPTIMIZERS.items() if row.ANCHORED])
def test_forgotten_entries_start_from_their_new_parameters(name):
    optimizer = replace(ft.OPTIMIZERS[name], per_entry=True)
    params, state, *_ = walk(optimizer, [0.0] * 4)[-1]
    touched = touched_entries()
    moved = jax.tree.map(lambda leaf, mark: np.where(mark, 5.0, leaf).astype(np.float32), params, touched)
    state = optimizer.forget(state, touched)
    averaged = go(optimizer, moved, state, num=0).evaluated
    after = walk(optimizer, [0.0], start=(moved, state))[-1]
    for one in (averaged, after.params):
        jax.tree.map(lambda leaf, mark: np.testing.assert_allclose(leaf[mark], 5.0, atol=0.05), one, touched)
    assert not any(np.any(entries) for entries in after.state.fresh.values())


def test_forgetting_needs_steps_counted_by_entry():
    state = begin(ft.Adam())
    with pytest.raises(ValueError, match="per_entry: False"):
        ft.Adam().forget(state, touched_entries())


@pytest.mark.parametrize("name", ["adam", "nadam", "adamw", "adam_rel", "cautious"])
def test_counting_by_entry_changes_nothing_until_something_is_forgotten(name):
    points = np.repeat(np.linspace(0, 0.9, 10), 4)
    plain = walk(ft.OPTIMIZERS[name], points)[-1]
    counted = walk(replace(ft.OPTIMIZERS[name], per_entry=True), points)[-1]
    # parameters are up to 2 in size, where float32 numbers are 2.4e-7 apart, and a power of β₂ is off by 7e-6
    assert gap(plain.params, counted.params) < 5e-7
    assert gap(plain.params, PARAMS) > 0.04
    count = lambda state: next(leaf for path, leaf in leaves(state.inner["policy"]).items() if "count" in path)  # noqa: E731
    assert set(count(counted.state)) == {int(count(plain.state))}


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.999999])
def test_counting_by_entry_is_adam_in_float64(beta):
    optimizer = replace(ft.Adam(), per_entry=True, beta1=beta, beta2=beta, max_grad_norm=1e9)
    optimizer = replace(optimizer, schedule=ft.SCHEDULES["constant"])
    params = walk(optimizer, [0.0] * 8)[-1].params
    b, mu, nu, place = float(np.float32(beta)), 0.0, 0.0, flat(PARAMS).astype(np.float64)
    for t, grads in enumerate(GRADS, 1):
        g = flat(grads).astype(np.float64)
        mu, nu = b * mu + (1 - b) * g, b * nu + (1 - b) * g * g
        place = place - 3e-3 * (mu / (1 - b**t)) / (np.sqrt(nu / (1 - b**t)) + 1e-5)
    np.testing.assert_allclose(flat(params), place, atol=1e-6)


def test_adam_rel_counts_from_every_update_and_keeps_the_moments():
    plain, local = (walk(ft.Adam(local_time=on), [0.0, 0.0, 0.5, 0.5]) for on in (0.0, 1.0))
    counts = [int(place.state.inner["policy"][0].count) for place in local]
    assert counts == [1, 2, 1, 2]
    assert gap(plain[1].params, local[1].params) == 0
    mu, nu = local[1].state.inner["policy"][0][1:]
    g = flat(GRADS[2]["policy"])
    norm = np.linalg.norm(flat(GRADS[2]))
    g = g * min(1.0, 0.5 / norm)
    mean, square = 0.9 * mu + 0.1 * g, 0.999 * nu + 0.001 * g * g
    step = 3e-3 * 0.5 * (mean / 0.1) / (np.sqrt(square / 0.001) + 1e-5)
    moved = flat(local[2].params["policy"]) - flat(local[1].params["policy"])
    np.testing.assert_allclose(moved, -step, rtol=1e-3, atol=1e-7)


def test_a_cautious_step_has_no_entry_against_the_gradient_and_rescales_each_tensor():
    optimizer = ft.Adam(cautious=True, schedule=ft.SCHEDULES["constant"])
    points = [0.0] * 5
    params, state, *_ = walk(optimizer, points)[-1]
    start = (params, state)
    careful = walk(optimizer, [0.0], start=start, grads=[GRADS[5]])[-1].params
    plain = walk(replace(optimizer, cautious=False), [0.0], start=start, grads=[GRADS[5]])[-1].params
    dropped = 0
    for x, one, other, g in zip(*(jax.tree.leaves(t) for t in (params, careful, plain, GRADS[5]))):
        agrees = (other - x) * g < 0
        expected = np.where(agrees, other - x, 0) / max(agrees.mean(), 1e-3)
        np.testing.assert_allclose(one - x, expected, atol=5e-7)
        dropped += (~agrees).sum()
    assert dropped > 0


def test_adaptive_decay_is_a_running_share_of_the_gradients_norm_over_the_parameters():
    optimizer = optimizers.AdaptiveDecay(decay_ratio=3.0, max_grad_norm=1e9, schedule=ft.SCHEDULES["constant"])
    average, (params, state) = 0.0, (PARAMS, begin(optimizer))
    for i in range(3):
        norms = [np.linalg.norm(flat(t["policy"])) for t in (GRADS[i], params)]
        average = 0.1 * average + 0.9 * 3.0 * norms[0] / norms[1]
        bare = {name: inner._replace(average=np.float32(0)) for name, inner in state.inner.items()}
        start = (params, state._replace(inner=bare))
        plain = walk(replace(optimizer, decay_ratio=0.0), [0.0], start=start, grads=[GRADS[i]])[-1].params
        before = params
        params, state, *_ = walk(optimizer, [0.0], start=(params, state), grads=[GRADS[i]])[-1]
        np.testing.assert_allclose(state.inner["policy"].average, average, rtol=1e-5)
        shrunk = flat(plain["policy"]) - 3e-3 * average * flat(before["policy"])
        np.testing.assert_allclose(flat(params["policy"]), shrunk, atol=1e-6)


ALL = Keep(first_moment=1.0, second_moment=1.0, step_count=1.0, rate_factor=1.0)
KINDS = {"first_moment": ("mu", "trace"), "second_moment": ("nu",), "step_count": ("count",)}


@pytest.mark.parametrize("name", ["adam", "nadamw", "sgd", "rmsprop", "cautious", "trac", "muon", "schedule_free"])
@pytest.mark.parametrize("part", [*KINDS, "nothing", "everything"])
@pytest.mark.parametrize("runs", [False, True])
def test_what_is_kept_is_the_old_and_the_rest_is_fresh(name, part, runs, same):
    optimizer = ft.OPTIMIZERS[name]
    old = walk(optimizer, [0.0, 0.5])[-1].state
    fresh = begin(optimizer)
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


@pytest.mark.parametrize("runs", [False, True])
def test_the_factor_that_follows_the_divergence_goes_on_where_it_is_kept(runs):
    optimizer = ft.Adam(desired_kl=0.01)
    old = begin(optimizer)._replace(multiplier=np.float32(2.25))
    fresh, keeps = begin(optimizer), (ALL, replace(ALL, rate_factor=0.0))
    if runs:
        fresh, old, keeps = (tree.repeat(as_arrays(part), 3) for part in (fresh, old, keeps))
    factors = [optimizer.inherit(fresh, old, keep).multiplier for keep in keeps]
    assert [np.unique(factor).tolist() for factor in factors] == [[2.25], [1.0]]


def test_the_running_mean_of_an_adaptive_decay_goes_on_with_the_first_moments():
    optimizer = ft.AdaptiveDecay()
    old, fresh = walk(optimizer, [0.0, 0.5])[-1].state, begin(optimizer)
    for keep, state in ((ALL, old), (Keep(second_moment=1.0), fresh)):
        got = optimizer.inherit(fresh, old, keep)
        assert float(got.inner["policy"].average) == float(state.inner["policy"].average)
    assert float(old.inner["policy"].average) > 0


def test_inheriting_under_vmap_is_inheriting_with_an_axis_of_runs(same):
    old = walk(ft.Adam(), [0.0])[-1].state
    fresh = begin(ft.Adam())
    several = (tree.repeat(fresh, 2), tree.stack([old, fresh]), tree.stack([as_arrays(ALL), as_arrays(Keep())]))
    assert same(*(jax.tree.map(np.asarray, f(*several)) for f in (ft.Adam().inherit, jax.vmap(ft.Adam().inherit))))


def test_everything_kept_goes_on_as_if_nothing_had_happened():
    first = walk(ft.Adam(), [0.5, 0.5])[-1]
    whole = walk(ft.Adam(), [0.5, 0.5, 0.5], start=None)[-1].params
    state = ft.Adam().inherit(begin(ft.Adam()), first.state, ALL)
    assert gap(whole, walk(ft.Adam(), [0.5], start=(first.params, state), grads=[GRADS[2]])[-1].params) == 0


@pytest.mark.parametrize("runs", [False, True])
def test_shared_counts_become_counts_by_entry_and_back(runs):
    plain, counted = ft.Adam(), ft.Adam(per_entry=True)
    states = {o.per_entry: (begin(o), walk(o, [0.0, 0.0])[-1].state) for o in (plain, counted)}
    repeat = (lambda state: tree.repeat(state, 3)) if runs else (lambda state: state)
    for optimizer, into, out_of in ((counted, True, False), (plain, False, True)):
        fresh, old = repeat(states[into][0]), repeat(states[out_of][1])
        count = optimizer.inherit(fresh, old, ALL).inner["value"][0].count
        assert np.all(np.asarray(count) == 2) and count.shape == fresh.inner["value"][0].count.shape


def test_a_state_that_does_not_fit_is_refused():
    adam, state = ft.Adam(), begin(ft.Adam())
    with pytest.raises(ValueError, match="another optimizer"):
        adam.inherit(state, begin(ft.SGD()), ALL)
    with pytest.raises(ValueError, match="other parameter groups"):
        adam.inherit(state, begin(adam, {"policy": PARAMS["policy"]}), ALL)
    smaller = {**PARAMS, "value": {"head": PARAMS["value"]["head"]}}
    with pytest.raises(ValueError, match=r"value.*mu is \(3,\), and must be \(7,\)"):
        adam.inherit(state, begin(adam, smaller), ALL)
    for name in ("prodigy", "dog", "dowg"):
        row = ft.OPTIMIZERS[name]
        state = begin(row)
        with pytest.raises(ValueError, match="can keep nothing"):
            row.inherit(state, state, ALL)


@pytest.mark.parametrize("field, value", [("first_moment", 1.5), ("step_count", -1.0)])
def test_keep_is_checked(field, value):
    check_config(ALL, "keep")
    with pytest.raises(ValueError, match=f"keep.{field}"):
        check_config(replace(ALL, **{field: value}), "keep")


def test_every_row_passes_the_check_at_the_door():
    for name, row in ft.OPTIMIZERS.items():
        check_config(row, name)
        check_config(replace(row, target_kl=0.01, desired_kl=0.01), name)

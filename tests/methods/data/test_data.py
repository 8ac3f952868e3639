"""Laws of every source of experience, and closed forms of each."""

from dataclasses import fields, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.envs.cartpole import gymnax_params
from jaxrl_ft.methods.data import DATA, Between, Data, JumpStart, Mixture, Replay
from jaxrl_ft.methods.penalties import Source

NUM_ENVS = 8
OFF = {"mixture": "share", "between": "spread", "replay": "share", "jump_start": "guide_steps",
       "jump_start_curriculum": "guide_steps"}  # fmt: skip
FAR = {"half_length": 1.5, "pole_mass": 0.7, "cart_mass": 3.0, "obs_offset": (1.0, -1.0, 0.5, -0.0),
       "flip_actions": True, "obs_permutation": (2, 3, 0, 1), "action_delay": 3, "episode_limit": 200}  # fmt: skip
TWO_ENDED = ("flip_actions", "obs_permutation", "action_delay", "episode_limit")


class Rows(NamedTuple):
    obs: jax.Array
    action: jax.Array


@pytest.fixture(scope="module")
def far():
    return ft.make_task("CartPole-v1", **FAR)


def rows(num, first):
    """Rows whose every entry tells which row it is."""
    numbers = np.arange(first, first + num)
    return Rows(np.repeat(numbers[:, None], 4, 1).astype(np.float32), numbers.astype(np.int32))


@partial(quick, static_argnames="num_envs")
def _tasks_of(data, key, source, target, progress, num_envs):
    return data.tasks(key, source, target, progress, num_envs)


def tasks_of(data, source, target, progress=0.0, num_envs=NUM_ENVS, seed=0):
    key = jax.random.key(seed)
    return jax.device_get(_tasks_of(as_arrays(data), key, source, target, np.float32(progress), num_envs))


def quantities(task):
    return {f.name: np.asarray(getattr(task.env_params, f.name)) for f in fields(task.env_params)}


@quick
def remembered(data, stored=None):
    return data.init(jax.random.key(0), Source(None, None)._replace(data=stored))


@quick
def horizon(data, memory, progress):
    return data.horizon(memory, progress)


@quick
def updated(data, memory, metrics):
    return data.after_update(memory, metrics)


@quick
def _mixed(data, key, memory, new, indices):
    return data.mix(key, memory, new, indices)


def mixed(data, memory, new, indices):
    """Rows and places, in NumPy."""
    return jax.device_get(_mixed(as_arrays(data), jax.random.key(1), memory, new, indices))


def average_of(*returns):
    """Metrics of a rollout in which episodes of these returns ended."""
    return {"rollout/num": np.float32(len(returns)), "rollout/episode_return": np.float32(sum(returns)),
            "rollout/episode_length": np.float32(0)}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_switched_off_it_is_the_target_alone_bit_for_bit(name, source, far, same):
    data = DATA[name] if name == "target" else replace(DATA[name], **{OFF[name]: 0.0})
    plain = tree.repeat(far, NUM_ENVS)
    for progress in (0.0, 0.7):
        assert same(tasks_of(data, source, far, progress), plain)
    memory, new = remembered(as_arrays(data), rows(9, 100)), rows(12, 0)
    assert horizon(as_arrays(data), memory, np.float32(0.1)) == 0
    indices = np.arange(12, dtype=np.int32)[::-1].reshape(3, 4)
    found, places = mixed(data, memory, new, indices)
    assert same(tree.take(found, places), tree.take(new, indices))


@pytest.mark.parametrize("name", DATA)
def test_it_says_what_the_engine_has_to_do_for_it(name, source, far):
    data = DATA[name]
    check_config(data, "data")
    data.check_tasks(source, far)
    assert data.guided == isinstance(data, JumpStart)
    assert data.replays == isinstance(data, Replay) == (data.source_steps > 0)
    if not data.guided:
        memory = {"anything": np.ones(2)}
        assert data.after_update(memory, average_of(1.0)) is memory


def everything(data, key, progress, source, target):
    """All that a source of experience does."""
    memory = data.init(key, Source(None, None)._replace(data=rows(5, 50)))
    for metrics in (average_of(10.0), average_of(12.0, 30.0)):
        memory = data.after_update(memory, metrics)
    mixed = data.mix(key, rows(5, 50), rows(6, 0), jnp.arange(6, dtype=jnp.int32).reshape(1, 6))
    return data.tasks(key, source, target, progress, NUM_ENVS), data.horizon(memory, progress), mixed, memory


alone, together = quick(everything), quick(jax.vmap(everything, (0, 0, 0, None, None)))


@pytest.mark.parametrize("name", DATA)
def test_runs_side_by_side_are_the_runs_alone(name, source, far):
    """Under jit, with every float traced and different in each run."""
    shares = np.linspace(0.5, 1.0, 3, dtype=np.float32)
    data = jax.tree.map(lambda leaf: leaf * shares, as_arrays(DATA[name]))
    runs = (data, jax.random.split(jax.random.key(3), 3), np.linspace(0.0, 0.6, 3, dtype=np.float32))
    side_by_side = jax.device_get(together(*runs, source, far))
    for i in range(3):
        found = alone(*tree.take(runs, i), source, far)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), tree.take(side_by_side, i), found)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.3, 0.45, 0.8, 1.0])
@pytest.mark.parametrize("num_envs", [1, 5, 8, 512])
def test_a_share_of_the_environments_is_on_the_source(share, num_envs, source, target):
    lengths = quantities(tasks_of(Mixture(share=share), source, target, 0.4, num_envs))["half_length"]
    on_source = lengths == np.float32(0.5)
    count = int(np.ceil(share * num_envs - 0.5))
    np.testing.assert_array_equal(on_source, np.arange(num_envs) < count)
    np.testing.assert_array_equal(lengths[count:], np.float32(1.0))


@pytest.mark.parametrize("decay, progress, count", [(0.0, 0.9, 8), (1.0, 0.0, 8), (1.0, 0.5, 4), (2.0, 0.5, 2)])
def test_the_share_falls_with_a_power_of_what_is_left(decay, progress, count, source, target):
    lengths = quantities(tasks_of(Mixture(share=1.0, decay=decay), source, target, progress))["half_length"]
    assert np.sum(lengths == np.float32(0.5)) == count


@pytest.mark.parametrize("spread, decay, progress, reach", [(1.0, 0.0, 0.9, 1.0), (0.4, 0.0, 0.0, 0.4),
                                                            (1.0, 1.0, 0.75, 0.25)])  # fmt: skip
def test_physics_are_uniform_in_the_box(spread, decay, progress, reach, source, far):
    num = 2000
    drawn = quantities(tasks_of(Between(spread=spread, decay=decay), source, far, progress, num))
    shares = {}
    for name, values in drawn.items():
        old, new = (np.asarray(getattr(task.env_params, name), float) for task in (source, far))
        low, high = np.minimum(old, new).astype(values.dtype), np.maximum(old, new).astype(values.dtype)
        assert np.all((values >= low) & (values <= high)), name
        assert values.dtype == getattr(far.env_params, name).dtype
        if name in TWO_ENDED or not np.any(old != new):
            continue
        moved = (values - new) / np.where(old == new, 1.0, old - new)
        share = moved.reshape(num, -1)[:, 0]
        assert share.min() >= 0 and share.max() <= reach * (1 + 1e-5)
        # A uniform variable's quantiles, to 4 standard errors.
        np.testing.assert_allclose(np.quantile(share, [0.25, 0.5, 0.75]), reach * np.array([0.25, 0.5, 0.75]),
                                   atol=reach * 0.045)  # fmt: skip
        shares[name] = share
    assert set(shares) == {"half_length", "pole_mass", "cart_mass", "obs_offset"}
    correlations = np.corrcoef(list(shares.values())) - np.eye(len(shares))
    assert np.abs(correlations).max() < 0.1


@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_what_cannot_be_divided_comes_whole_from_one_end(spread, source, far):
    num = 2000
    drawn = quantities(tasks_of(Between(spread=spread), source, far, 0.0, num))
    from_source = []
    for name in TWO_ENDED:
        old, new = (np.asarray(getattr(task.env_params, name)) for task in (source, far))
        is_old, is_new = ((drawn[name].reshape(num, -1) == np.ravel(end)).all(axis=1) for end in (old, new))
        assert np.all(is_old ^ is_new), name
        from_source.append(is_old)
    assert all(np.array_equal(from_source[0], other) for other in from_source)
    assert abs(from_source[0].mean() - spread / 2) < 0.045


def test_derived_quantities_follow(source, far):
    drawn = tasks_of(Between(), source, far)
    built = quick(jax.vmap(gymnax_params))(drawn.env_params)
    of = {name: np.float64(value) for name, value in quantities(drawn).items()}
    np.testing.assert_allclose(built.total_mass, of["cart_mass"] + of["pole_mass"], rtol=1e-6)
    np.testing.assert_allclose(built.polemass_length, of["pole_mass"] * of["half_length"], rtol=1e-6)
    assert len(np.unique(built.total_mass)) == NUM_ENVS


def test_physics_are_drawn_anew(source, far):
    one, other = (quantities(tasks_of(Between(), source, far, seed=seed))["half_length"] for seed in (0, 1))
    assert not np.intersect1d(one, other).size


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 1.0])
def test_a_share_of_every_minibatch_points_to_source_rows(share):
    old, new = rows(50, 1000), rows(64, 0)
    indices = np.random.default_rng(0).permutation(64).astype(np.int32).reshape(4, 16)
    data = as_arrays(Replay(share=share))
    found, places = mixed(data, remembered(data, old), new, indices)
    assert jax.tree.leaves(found)[0].shape[0] == 64 + 50
    taken = found.action[places]
    replayed = taken >= 1000
    np.testing.assert_array_equal(replayed.sum(axis=1), round(share * 16))
    np.testing.assert_array_equal(taken[~replayed], indices[~replayed])
    assert np.all(taken[replayed] < 1050)


def test_source_rows_and_their_places_are_uniform():
    old, new, indices = rows(10, 1000), rows(4, 0), np.zeros((4000, 8), np.int32)
    _, places = mixed(Replay(share=0.25), old, new, indices)
    np.testing.assert_allclose((places >= 4).mean(axis=0), 0.25, atol=0.03)
    np.testing.assert_allclose(np.bincount(places[places >= 4] - 4, minlength=10) / 8000, 0.1, atol=0.015)


@pytest.mark.parametrize("stop", [0.0, 0.5, 1.0])
def test_the_linear_horizon_is_a_line_to_its_stop(stop):
    data = as_arrays(JumpStart(guide_steps=40.0, stop=stop))
    memory = remembered(data)
    progress = np.linspace(0, 0.99, 12, dtype=np.float32)
    expected = 40 * np.clip(1 - progress / stop, 0, 1) if stop else np.zeros(12)
    found = [horizon(data, memory, p) for p in progress]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    for _ in range(3):
        memory = updated(data, memory, average_of(5.0))
    assert memory["stage"] == 2
    np.testing.assert_array_equal(found, [horizon(data, memory, p) for p in progress])


def curriculum(returns, steps, stages, tolerance, smoothing):
    """Horizons after each update, in plain Python; `returns` has the list of returns of each."""
    average = best = None
    stage, horizons = 0, []
    for ended in returns:
        if ended:
            mean = sum(ended) / len(ended)
            average = mean if average is None else (1 - smoothing) * average + smoothing * mean
            if best is None:
                best = average
            else:
                stage += average >= best - tolerance * abs(best)
                best = max(best, average)
        horizons.append(steps * max(0.0, (stages - stage) / stages))
    return horizons


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("tolerance, smoothing", [(0.0, 1.0), (0.05, 0.3), (0.3, 0.1)])
def test_the_curriculum_goes_on_when_the_average_return_holds(sign, tolerance, smoothing):
    rng = np.random.default_rng(4)
    returns = [list(50 * sign + k + rng.uniform(-20, 20, rng.integers(0, 4))) for k in range(40)]
    expected = curriculum(returns, 30.0, 12.0, tolerance, smoothing)
    data = as_arrays(JumpStart(guide_steps=30.0, curriculum=1.0, stages=12.0, tolerance=tolerance, smoothing=smoothing))
    memory, found = remembered(data), []
    for ended in returns:
        memory = updated(data, memory, average_of(*ended))
        found.append(horizon(data, memory, np.float32(0.9)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    assert 3 < len(set(expected)) < 14


def test_tasks_of_two_simulators_are_refused(source):
    pendulum = ft.make_task("Pendulum-v1")
    for data in (Mixture(), Between()):
        with pytest.raises(ValueError, match=r"target: Pendulum-v1 is not allowed.*source's simulator \(CartPole\)"):
            data.check_tasks(source, pendulum)
    Data().check_tasks(source, pendulum)


def test_a_box_with_impossible_physics_is_refused():
    wide = ft.make_task("CartPole-v1", reset_range=0.5, theta_threshold=1.0)
    narrow = ft.make_task("CartPole-v1", reset_range=0.01, theta_threshold=0.1)
    for source, target in ((wide, narrow), (narrow, wide)):
        with pytest.raises(ValueError, match=r"reset_range: .* must be less than theta_threshold"):
            Between().check_tasks(source, target)
        Mixture().check_tasks(source, target)


@pytest.mark.parametrize("data, field", [(Mixture(share=1.5), "share"), (Between(spread=-0.1), "spread"),
                                         (Replay(source_steps=0), "source_steps"), (JumpStart(stages=0.5), "stages"),
                                         (JumpStart(smoothing=0.0), "smoothing")])  # fmt: skip
def test_fields_out_of_their_range_are_refused(data, field):
    with pytest.raises(ValueError, match=rf"data\.{field}: .* is not allowed"):
        check_config(data, "data")

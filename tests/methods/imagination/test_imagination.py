"""Laws of the model behind imagination: affine worlds are learned exactly, and it knows what it cannot tell."""

import numpy as np
import pytest
from helpers.target_worlds import NETWORK, linear, looks

import jaxrl_ft as ft
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.methods.imagination import Imagination, fit

STARTS = np.random.default_rng(5).uniform(-1, 1, (50, 3))


def world(num=200, actions=2, continuous=False, seed=0):
    rng = np.random.default_rng(seed)
    made = {"slopes": rng.normal(size=(3, 3)) / 3, "pushes": rng.normal(size=(actions, 3))}
    return linear(rng, num, 3, actions, STARTS, continuous, **made), made


def change_of(model, obs, action, continuous=False):
    """The change [M, O] that a model tells."""
    columns = [obs, action, np.ones((len(obs), 1))] if continuous else [obs, np.ones((len(obs), 1))]
    kind = np.zeros(len(obs), int) if continuous else action
    return np.einsum("mi,mio->mo", np.concatenate(columns, axis=1), model.weights[kind])


@pytest.mark.parametrize("num", [30, 200])
def test_a_discrete_affine_world_is_learned_exactly(num):
    seen, made = world(num)
    model = fit(seen, 2)
    assert model.weights.shape == (2, 4, 3) and model.reward.shape == (2, 4)
    for action in range(2):
        np.testing.assert_allclose(model.weights[action, :3], made["slopes"], atol=1e-5)
        np.testing.assert_allclose(model.weights[action, 3], made["pushes"][action], atol=1e-5)
    np.testing.assert_allclose(model.reward, [[0, 0, 0, 1]] * 2, atol=1e-5)
    assert model.accuracy > 0.999999
    np.testing.assert_allclose(model.error, 0, atol=1e-5)


def test_a_continuous_affine_world_is_learned_exactly():
    seen, made = world(actions=2, continuous=True)
    seen = seen._replace(reward=seen.obs @ [1.0, -2, 0] + seen.action @ [0.5, 3] - 1)
    model = fit(seen, None)
    assert model.weights.shape == (1, 6, 3)
    np.testing.assert_allclose(
        model.weights[0], np.concatenate([made["slopes"], made["pushes"], np.zeros((1, 3))]), atol=1e-5
    )
    np.testing.assert_allclose(model.reward[0], [1, -2, 0, 0.5, 3, -1], atol=1e-5)
    assert model.accuracy > 0.999999


def test_slopes_that_differ_between_actions_are_each_learned():
    seen, _ = world()
    factor = np.where(seen.action == 1, 2.0, 1.0)[:, None]
    model = fit(seen._replace(next_obs=seen.obs + factor * seen.obs), 2)
    np.testing.assert_allclose(model.weights[:, :3], [np.eye(3), 2 * np.eye(3)], atol=1e-5)


def test_an_action_that_was_hardly_taken_shares_the_slopes_of_the_others():
    seen, made = world(actions=4)
    # action 3 never, action 2 three times
    rare = np.flatnonzero(seen.action == 2)[3:]
    kept = np.setdiff1d(np.arange(200), np.concatenate([rare, np.flatnonzero(seen.action == 3)]))
    rows = {name: getattr(seen, name)[kept] for name in ("obs", "action", "next_obs", "reward", "terminated")}
    model = fit(seen._replace(**rows), 4)
    np.testing.assert_allclose(model.weights[:, :3], [made["slopes"]] * 4, atol=1e-4)
    np.testing.assert_allclose(model.weights[2, 3], made["pushes"][2], atol=1e-4)
    assert np.isfinite(model.weights).all() and model.accuracy > 0.9999


def test_units_do_not_matter():
    seen, made = world()
    units = np.array([1e-3, 1.0, 1e4])
    model = fit(seen._replace(obs=seen.obs * units, next_obs=seen.next_obs * units, starts=STARTS * units), 2)
    np.testing.assert_allclose(model.weights[0, :3] * units[:, None] / units, made["slopes"], atol=1e-4)
    assert model.accuracy > 0.999999


def test_noise_is_measured_and_lowers_the_accuracy():
    seen, made = world(4000)
    rng = np.random.default_rng(3)
    noise = np.array([0.0, 0.3, 3.0])
    model = fit(seen._replace(next_obs=seen.next_obs + noise * rng.normal(size=(4000, 3))), 2)
    np.testing.assert_allclose(model.error, noise, rtol=0.05, atol=1e-6)
    spread = (np.square(made["slopes"]).sum(axis=0) + made["pushes"].var(axis=0))[2]
    assert model.accuracy == pytest.approx(spread / (spread + 9.0), abs=0.05)


def test_what_is_hidden_lowers_the_accuracy():
    seen, made = world()
    late = np.roll(seen.action, 8)
    assert fit(seen._replace(next_obs=seen.obs + seen.obs @ made["slopes"] + made["pushes"][late]), 2).accuracy < 0.9
    bent = seen._replace(next_obs=seen.obs + seen.obs**2)
    assert fit(bent, 2).accuracy < 0.5


def test_a_reward_that_is_not_affine_lowers_the_accuracy():
    seen, _ = world()
    assert fit(seen._replace(reward=-np.square(seen.obs).sum(axis=1)), 2).accuracy < 0.9
    # one that differs in a rare last step alone is nearly told
    rare = np.arange(200) % 50 > 47
    assert 0.9 < fit(seen._replace(reward=np.where(rare, 0.0, -1.0)), 2).accuracy < 0.99


def test_constant_observations_are_no_obstacle():
    seen, _ = world()
    fixed = np.array([1.0, 1.0, 0.0]), np.array([0.0, 0.0, 7.0])
    obs, following = (rows * fixed[0] + fixed[1] for rows in (seen.obs, seen.next_obs))
    model = fit(seen._replace(obs=obs, next_obs=following, starts=STARTS * fixed[0] + fixed[1]), 2)
    assert model.low[2] < 7 < model.high[2] and model.start_spread[2] == 0
    np.testing.assert_allclose(change_of(model, obs, seen.action)[:, 2], 0, atol=1e-5)


@pytest.mark.parametrize("field", ["obs", "next_obs", "reward", "starts"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_not_used(field, bad):
    seen, _ = world()
    rows = getattr(seen, field).copy()
    rows[3] = bad
    model = fit(seen._replace(**{field: rows}), 2)
    assert model.accuracy == -np.inf
    assert all(np.isfinite(part).all() for part in model[:-2]) and not model.teaches
    assert [np.shape(part) for part in model] == [np.shape(part) for part in fit(seen, 2)]


@pytest.mark.parametrize("num", [1, 2, 8])
def test_too_little_is_not_used(num):
    seen, _ = world()
    rows = {name: getattr(seen, name)[:num] for name in ("obs", "action", "next_obs", "reward", "terminated")}
    assert not fit(seen._replace(**rows), 2).accuracy > 0.9


def bounded(reward=1.0, ended=((0, 5.0), (0, -5.0))):
    """Rows within a unit box, and some that end beyond one sensor."""
    seen, _ = world()
    obs = np.random.default_rng(2).uniform(-1, 1, (200, 3))
    following, terminated = obs.copy(), np.zeros(200, bool)
    obs[0], obs[1] = 1, -1
    following[:2] = obs[:2]
    for row, (sensor, value) in enumerate(ended, 10):
        following[row, sensor], terminated[row] = value, True
    return seen._replace(obs=obs, next_obs=following, terminated=terminated, reward=np.full(200, reward))


def test_an_episode_ends_where_it_was_seen_to_and_room_is_left_where_it_was_not():
    model = fit(bounded(), 2)
    np.testing.assert_allclose(model.low, [-1, -3, -3], atol=1e-3)
    np.testing.assert_allclose(model.high, [1, 3, 3], atol=1e-3)
    np.testing.assert_array_equal(model.ends, 1)


def test_where_an_end_is_a_gain_it_is_imagined_only_where_it_was_seen():
    np.testing.assert_array_equal(fit(bounded(-1.0), 2).ends, [1, 0, 0])
    np.testing.assert_array_equal(fit(bounded(-1.0, ()), 2).ends, 0)


def test_the_fewest_sensors_explain_the_ends():
    seen = bounded(-1.0, ((0, 5.0), (0, 6.0), (0, 7.0), (2, -4.0)))
    # this one is beyond sensor 1 as well, which is not needed
    seen.next_obs[10, 1] = 9.0
    np.testing.assert_array_equal(fit(seen, 2).ends, [1, 0, 1])


def test_ends_that_no_range_explains_lower_the_accuracy():
    seen, _ = world()
    ended = np.zeros(200, bool)
    # the farthest of all, and three in the middle
    ended[np.abs(seen.next_obs[:, 0]).argmax()] = True
    ended[np.square(seen.next_obs).sum(axis=1).argsort()[:3]] = True
    assert fit(seen._replace(terminated=ended), 2).accuracy == 0.25


@pytest.mark.parametrize("reward", [1.0, -1.0])
def test_one_reward_and_no_end_teach_nothing_however_well_they_are_explained(reward):
    alone = fit(bounded(reward, ()), 2)
    assert not alone.teaches and fit(bounded(reward), 2).teaches
    varied = bounded(reward, ())
    varied.reward[7] += 0.5
    assert fit(varied, 2).teaches


def test_starts_have_the_moments_of_those_seen():
    model = fit(world()[0], 2)
    np.testing.assert_allclose(model.start_mean, STARTS.mean(axis=0), rtol=1e-5)
    # a uniform distribution of half-width h has the variance h^2 / 3
    np.testing.assert_allclose(model.start_spread**2 / 3, STARTS.var(axis=0), rtol=1e-5)
    one = fit(world()[0]._replace(starts=STARTS[:1]), 2)
    np.testing.assert_array_equal(one.start_spread, 0)


def test_cartpoles_are_told_nearly_and_delays_and_noise_are_refused(random_params):
    physics = ({}, {"half_length": 1.5}, {"force": 1.0}, {"tau": 0.1}, {"action_delay": 3}, {"obs_noise": 0.1})
    tasks = [ft.make_task("CartPole-v1", **quantities) for quantities in physics]
    seen = looks(random_params(tasks[0], NETWORK), tasks)
    for quantities, several in zip(physics, seen):
        accuracies = [fit(one, 2).accuracy for one in several]
        told = not quantities.keys() & {"action_delay", "obs_noise"}
        assert (min(accuracies) > 0.99) if told else (max(accuracies) < 0.8), quantities
    model, other = fit(seen[0][0], 2), seen[0][1]
    near = np.abs(other.obs[:, 2]) < 0.05
    obs, change = other.obs[near].astype(float), (other.next_obs - other.obs)[near]
    error = change_of(model, obs, other.action[near]) - change
    assert np.all(np.abs(error).mean(axis=0) < 5e-3 * np.abs(change).mean(axis=0))


@pytest.mark.parametrize("field, value", [("accuracy", 1.5), ("goal", -0.1), ("rounds", 0), ("steps", -1)])
def test_fields_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        check_config(Imagination(**{field: value}), "imagination")
    check_config(Imagination(), "imagination")

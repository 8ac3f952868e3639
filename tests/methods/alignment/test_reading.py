"""Laws of readings: what is found is there, nothing is found that is not, and what is not sure is left alone."""

import numpy as np
import pytest
from helpers.target_worlds import NETWORK, linear, looks

import jaxrl_ft as ft
from jaxrl_ft.methods.alignment import Realignment
from jaxrl_ft.methods.alignment.reading import NEAR_TIE, SPREAD, UNSEEN, estimate
from jaxrl_ft.methods.alignment.realignment import retold

NONE = Realignment(np.arange(4), np.zeros(4), np.ones(4), np.arange(2), False)


def worlds(change, seed=0, size=4, starts=None, gains=(1.0, 1.0)):
    """Experience of a random linear source, and of the target that a change and gains of its rows make of it."""
    rng = np.random.default_rng(seed)
    num, continuous = len(change.actions), change.continuous
    made = {"slopes": rng.normal(size=(size, size)) / 5, "pushes": rng.normal(size=(num, size))}
    other = {"slopes": made["slopes"] * gains[0], "pushes": made["pushes"] * gains[1]}
    begun = rng.uniform(-1, 1, (40, size)) + 0.5
    source = linear(rng, 400, size, num, begun, continuous, **made)
    seen = linear(rng, 200, size, num, begun if starts is None else starts, continuous, **other)
    obs, action = retold(seen.obs, seen.action, change)
    rows = {name: retold(getattr(seen, name), seen.action, change)[0] for name in ("next_obs", "starts")}
    return source, seen._replace(obs=obs, action=action, **rows)


CHANGES = {
    "nothing": NONE,
    "order": NONE._replace(order=np.array([3, 0, 1, 2])),
    "offset": NONE._replace(offset=np.array([4.0, 0.0, 0.0, -3.0])),
    "scale": NONE._replace(scale=np.array([3.0, 0.2, 1.0, 10.0])),
    "flip": NONE._replace(actions=np.array([1, 0])),
    "signs": NONE._replace(scale=np.array([1.0, -1.0, 1.0, -1.0])),
    "three actions": NONE._replace(actions=np.array([2, 0, 1])),
    "all": Realignment(
        np.array([1, 3, 0, 2]), np.array([50, 9, -3, 40.0]), np.array([4, 0.2, 0.1, 7]), np.array([1, 2, 0]), False
    ),
    "sign": NONE._replace(actions=np.array([-1, -1]), continuous=True),
    "continuous": NONE._replace(actions=np.array([1, 1]), continuous=True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_a_linear_world_is_found_exactly(name):
    change = CHANGES[name]
    found = estimate(*worlds(change), len(change.actions), change.continuous)
    assert found.parts == change.parts
    for part in ("order", "actions"):
        np.testing.assert_array_equal(getattr(found, part), getattr(change, part))
    np.testing.assert_allclose(found.scale, change.scale, rtol=1e-6)
    np.testing.assert_allclose(found.offset, change.offset, rtol=1e-6, atol=1e-9)
    assert found.trust > 0.999 and not found.left_alone and not found.untried


@pytest.mark.parametrize("name", ["nothing", "order", "flip", "signs", "three actions", "sign"])
@pytest.mark.parametrize("seed", range(3))
def test_a_change_is_found_beside_other_physics(name, seed):
    """Sensors' effects on each sensor, and those of the actions, are multiplied by gains between a third and three."""
    change, gains = CHANGES[name], np.exp(np.random.default_rng(seed + 5).uniform(-1.1, 1.1, (2, 4)))
    found = estimate(*worlds(change, seed, gains=gains), len(change.actions), change.continuous)
    for part in ("order", "scale", "actions"):
        np.testing.assert_array_equal(getattr(found, part), getattr(change, part))


def test_sensors_that_may_be_exchanged_are_left_as_they_are():
    rng, made = np.random.default_rng(0), {"slopes": -0.2 * np.eye(4), "pushes": np.array([[1.0] * 4, [-1.0] * 4])}
    source, target = (linear(rng, num, 4, 2, rng.uniform(-1, 1, (30, 4)), **made) for num in (400, 200))
    found = estimate(source, target, 2, False)
    assert not found.changes and not found.left_alone and found.trust > 0.999


def test_what_noise_hides_is_left_alone_with_the_reason():
    source, target = worlds(CHANGES["flip"])
    noise = 30 * np.random.default_rng(3).normal(size=target.next_obs.shape)
    found = estimate(source, target._replace(next_obs=target.next_obs + noise), 2, False)
    assert not found.changes and found.left_alone == NEAR_TIE and found.trust < 0.995


def test_starts_that_spread_otherwise_for_another_reason_are_left_alone_with_the_reason():
    source, target = worlds(NONE)
    wide = target._replace(starts=target.starts.mean(axis=0) + 5 * (target.starts - target.starts.mean(axis=0)))
    found = estimate(source, wide, 2, False)
    assert not found.changes and found.left_alone == SPREAD


def test_too_little_is_left_alone_with_the_reason():
    source, target = worlds(CHANGES["order"])
    few = {name: getattr(target, name)[:8] for name in ("obs", "action", "next_obs", "reward", "terminated")}
    found = estimate(source, target._replace(**few), 2, False)
    assert not found.changes and found.left_alone == UNSEEN


@pytest.mark.parametrize("seed", range(3))
def test_other_starts_and_other_pushes_hide_little(seed):
    change = CHANGES["all"]
    starts = np.random.default_rng(seed + 9).uniform(-1, 1, (30, 4)) + 0.5
    found = estimate(*worlds(change, seed, starts=starts), 3, False)
    assert found.parts == change.parts
    np.testing.assert_array_equal(found.order, change.order)
    np.testing.assert_allclose(found.scale, change.scale, rtol=0.1)
    np.testing.assert_allclose(found.offset, change.offset, atol=0.5 * change.scale.max())


def test_more_sensors_than_can_be_ordered_keep_their_order_and_actions_may_be_reversed():
    change = Realignment(np.arange(6), np.zeros(6), np.ones(6), np.arange(5)[::-1], False)
    found = estimate(*worlds(change, size=6), 5, False)
    np.testing.assert_array_equal(found.actions, change.actions)
    assert found.parts == change.parts
    assert found.untried == ("orders of 6 sensors", "changes of 5 actions but their reversal")
    eight = Realignment(np.arange(8), np.zeros(8), np.ones(8), np.arange(2), False)
    assert estimate(*worlds(eight, size=8), 2, False).untried == (
        "orders of 8 sensors",
        "reversed signs of 8 sensors",
    )


def test_starts_that_never_vary_are_no_evidence():
    source, target = worlds(NONE)
    for fixed in (source._replace(starts=np.zeros((8, 4))), source):
        found = estimate(fixed, target._replace(starts=np.zeros((1, 4)) + fixed.starts.mean(axis=0)), 2, False)
        assert not found.changes


def test_a_few_starts_that_are_alike_by_chance_are_no_offset():
    # nothing depends on where the sensors stand, so that the starts alone could tell of an offset
    rng, made = np.random.default_rng(0), {"slopes": np.zeros((4, 4)), "pushes": np.array([[1.0] * 4, [-1.0] * 4])}
    source = linear(rng, 400, 4, 2, rng.uniform(-1, 1, (40, 4)), **made)
    alike, apart = (0.4 + 1e-3 * rng.normal(size=(4, 4)), 4.0 + rng.uniform(-1, 1, (8, 4)))
    for starts, found in ((alike, False), (apart, True)):
        assert estimate(source, linear(rng, 200, 4, 2, starts, **made), 2, False).parts["sensors shifted"] == found


def test_actions_that_take_effect_late_are_not_taken_for_others():
    for seed in range(20):
        source, target = worlds(NONE, seed)
        # as random as before, so that half of them are right by chance
        late = np.random.default_rng(seed).permutation(target.action)
        assert not estimate(source, target._replace(action=late), 2, False).changes


def test_a_world_in_which_nothing_moves_is_left_as_it_is():
    source, _ = worlds(NONE)
    still = {name: np.zeros_like(getattr(source, name)) for name in ("obs", "next_obs", "starts")}
    assert not estimate(source._replace(**still), source._replace(**still), 2, False).changes


def test_pure_noise_tells_nothing():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        still = {"slopes": -np.eye(4), "pushes": np.zeros((2, 4))}
        both = []
        for num, wide in ((1024, 1.0), (256, 3.0)):
            seen = linear(rng, num, 4, 2, wide * rng.normal(size=(12, 4)), **still)
            both.append(seen._replace(obs=wide * seen.obs, next_obs=wide * rng.normal(size=(num, 4))))
        assert not estimate(*both, 2, False).changes


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["obs", "next_obs", "starts"])
def test_what_is_not_finite_changes_nothing(field, bad):
    source, target = worlds(CHANGES["order"])
    rows = getattr(target, field).copy()
    rows[3, 1] = bad
    found = estimate(source, target._replace(**{field: rows}), 2, False)
    assert not found.changes and found.left_alone == UNSEEN


PHYSICS = (
    {},
    {"half_length": 1.5},
    {"half_length": 3.0},
    {"gravity": 50.0},
    {"tau": 0.1},
    {"force": 1.0},
    {"cart_mass": 10.0},
    {"obs_noise": 0.1},
    {"obs_noise": 1.0},
    {"action_delay": 1},
    {"action_delay": 2},
    {"action_delay": 3},
    {"reset_range": 0.2},
    {"reset_range": 0.0},
)
SENSES = (
    ({"flip_actions": True}, {"actions changed"}),
    ({"obs_permutation": (2, 3, 0, 1)}, {"sensors reordered"}),
    ({"obs_permutation": (3, 1, 2, 0), "flip_actions": True}, {"sensors reordered", "actions changed"}),
    ({"obs_offset": (1.0, -1.0, 0.5, 1.0)}, {"sensors shifted"}),
    ({"obs_scale": (3.0, 3.0, 0.3, 0.3)}, {"sensors rescaled"}),
    ({"obs_permutation": (1, 0, 3, 2), "half_length": 1.5}, {"sensors reordered"}),
)


@pytest.mark.slow
def test_cartpoles_of_other_physics_are_left_alone_and_other_senses_are_undone(random_params):
    changed = [*PHYSICS, *(physics for physics, _ in SENSES)]
    tasks = [ft.make_task("CartPole-v1", **physics) for physics in changed]
    seen = looks(random_params(tasks[0], NETWORK), tasks)
    source = seen[0]
    for physics, targets in zip(changed, seen):
        expected = next((parts for other, parts in SENSES if other is physics), set())
        for i, target in enumerate(targets):
            found = estimate(source[(i + 1) % len(source)], target, 2, False)
            assert {what for what, there in found.parts.items() if there} == expected, physics
            order = list(physics.get("obs_permutation", range(4)))
            assert [order[j] for j in found.order] == [0, 1, 2, 3], physics


BOTH = (
    *({"flip_actions": True, **p} for p in ({"force": 5.0}, {"cart_mass": 1.5}, {"tau": 0.04}, {"action_delay": 2})),
    *({"flip_actions": True, **p} for p in ({"half_length": 1.5}, {"force": 20.0}, {"obs_noise": 0.05})),
    *({"obs_permutation": (2, 3, 0, 1), **p} for p in ({"force": 5.0}, {"half_length": 1.5}, {"action_delay": 2})),
    {"obs_scale": -1.0, "force": 5.0},
    {"obs_scale": -1.0},
)


def test_what_changed_beside_the_physics_of_a_cartpole_is_read_or_left_alone(random_params):
    tasks = [ft.make_task("CartPole-v1", **physics) for physics in ({}, *BOTH)]
    source, *seen = looks(random_params(tasks[0], NETWORK), tasks)
    read = []
    for physics, targets in zip(BOTH, seen):
        # CartPole is its own mirror image: all signs reversed are as other actions
        flipped = physics.keys() & {"flip_actions", "obs_scale"}
        expected = {"actions changed"} if flipped else {"sensors reordered"}
        for i, target in enumerate(targets):
            found = estimate(source[(i + 1) % len(source)], target, 2, False)
            changed = {what for what, there in found.parts.items() if there}
            assert changed == expected or (not changed and found.left_alone), physics
            read.append(bool(changed))
    assert np.mean(read) > 0.8

"""Laws of realignment: what it undoes acts as before, what it finds is there, and it finds nothing that is not."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import quick
from target_worlds import NETWORK, linear, looks

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.realignment import Realignment, estimate, realigned, retold
from jaxrl_ft.nets import parts
from jaxrl_ft.rl import actor_critic
from jaxrl_ft.rl.normalizer import Moments

RNG = np.random.default_rng(0)
OBS = RNG.normal(size=(20, 4)).astype(np.float32)
ORDERS, SCALES, OFFSETS = (
    ([0, 1, 2, 3], [2, 0, 3, 1]),
    ([1, 1, 1, 1], [2, 0.5, 3, 0.1]),
    ([0, 0, 0, 0], [1, -1, 0.5, 2]),
)
NONE = Realignment(np.arange(4), np.zeros(4), np.ones(4), np.arange(2), False)


def network(outputs, gaussian, kind):
    rng = np.random.default_rng(1)

    def draw(shapes):
        return jax.tree.map(lambda leaf: (0.5 * rng.normal(size=np.shape(leaf))).astype(np.float32), shapes)

    def plain(size):
        layers = {"dense_0": (4, 8), "dense_1": (8, 8), "head": (8, size)}
        return draw({name: {"kernel": np.zeros(s), "bias": np.zeros(s[1])} for name, s in layers.items()})

    groups = {"policy": plain(outputs), "value": plain(1)}
    for group, size in (("policy", outputs), ("value", 1)):
        if kind == "residual":
            groups[group] |= {"residual": {**plain(size), "residual": plain(size)}, "offset": plain(size)}
        if kind == "column":
            column = jax.eval_shape(lambda by=groups[group]: parts.column(jax.random.key(0), by, 4))
            groups[group]["column"] = draw(column)
    if gaussian:
        groups["policy"]["log_std"] = np.array([-0.5, 0.25], np.float32)
    return groups


@quick
def outputs(params, moments, obs):
    policy = Policy(params, {"obs": moments} if moments else {}, NETWORK)
    chosen = actor_critic.distribution(policy, obs)
    return chosen.mean if hasattr(chosen, "mean") else chosen.logits, actor_critic.values(policy, obs)


def check(change, kind, normalised):
    params = network(len(change.actions), change.continuous, kind)
    moments = Moments(np.float32([0.1, -0.2, 0.3, 0.4]), np.float32([1, 2, 0.5, 3]), np.float32(9))
    statistics = {"obs": moments, "reward": "untouched"} if normalised else {}
    moved, after = realigned(params, statistics, change)
    assert jax.tree.map(np.shape, moved) == jax.tree.map(np.shape, params)
    told, _ = retold(OBS, np.zeros(1, int) if not change.continuous else np.zeros((1, 2)), change)
    seen = ((params, statistics, OBS), (moved, after, told))
    before, now = (jax.device_get(outputs(by, known.get("obs"), obs)) for by, known, obs in seen)
    acts = now[0] * change.actions if change.continuous else now[0][:, change.actions]
    np.testing.assert_allclose(acts, before[0], atol=3e-5)
    np.testing.assert_allclose(now[1], before[1], atol=3e-5)
    if change.continuous:
        np.testing.assert_array_equal(moved["policy"]["log_std"], params["policy"]["log_std"])
    if normalised:
        assert after["reward"] == "untouched" and after["obs"].num == 9
        assert statistics["obs"].mean[0] == np.float32(0.1)


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("kind", ["plain", "residual", "column"])
@pytest.mark.parametrize("continuous", [False, True])
def test_a_realigned_policy_acts_as_before(continuous, kind, normalised):
    usual, other = ([1, 1], [-1, 1]) if continuous else ([0, 1, 2], [1, 2, 0])
    all_changes = itertools.product(ORDERS, SCALES, OFFSETS, (usual, other))
    chosen = (
        list(all_changes) if (kind, continuous) == ("plain", False) else [(ORDERS[1], SCALES[1], OFFSETS[1], other)]
    )
    for order, scale, offset, actions in chosen:
        arrays = (np.array(order), np.array(offset, float), np.array(scale, float), np.array(actions))
        check(Realignment(*arrays, continuous), kind, normalised)


def test_no_change_leaves_every_bit(same):
    params = network(2, False, "column")
    assert same(realigned(params, {}, NONE)[0], params)
    assert not NONE.changes and not any(NONE.parts.values())


def test_what_is_retold_reads_back_in_the_source_s_terms():
    change = Realignment(np.array(ORDERS[1]), np.array(OFFSETS[1]), np.array(SCALES[1]), np.array([1, 2, 0]), False)
    action = np.array([0, 1, 2, 1], np.int32)
    obs, told = retold(OBS[:4], action, change)
    np.testing.assert_allclose((obs[:, change.order] - change.offset) / change.scale, OBS[:4], atol=1e-5)
    np.testing.assert_array_equal(np.argsort(change.actions)[told], action)
    assert told.dtype == action.dtype and obs.dtype == OBS.dtype


def worlds(change, seed=0, size=4, starts=None):
    """Experience of a random linear source, and of the target that a change makes of it."""
    rng = np.random.default_rng(seed)
    num, continuous = len(change.actions), change.continuous
    made = {"slopes": rng.normal(size=(size, size)) / 5, "pushes": rng.normal(size=(num, size))}
    begun = rng.uniform(-1, 1, (40, size)) + 0.5
    source = linear(rng, 400, size, num, begun, continuous, **made)
    seen = linear(rng, 200, size, num, begun if starts is None else starts, continuous, **made)
    obs, action = retold(seen.obs, seen.action, change)
    rows = {name: retold(getattr(seen, name), seen.action, change)[0] for name in ("next_obs", "starts")}
    return source, seen._replace(obs=obs, action=action, **rows)


CHANGES = {
    "nothing": NONE,
    "order": NONE._replace(order=np.array([3, 0, 1, 2])),
    "offset": NONE._replace(offset=np.array([4.0, 0.0, 0.0, -3.0])),
    "scale": NONE._replace(scale=np.array([3.0, 0.2, 1.0, 10.0])),
    "flip": NONE._replace(actions=np.array([1, 0])),
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
    assert (found.gain > 0.5) == (name not in ("nothing", "continuous"))


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
    assert not estimate(source, target._replace(**{field: rows}), 2, False).changes


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


@quick
def motions(params, task, draws):
    """Where the greedy policy takes the cart and the pole."""
    policy = Policy(params, {}, NETWORK)

    def step(carry, draw):
        action = jnp.argmax(actor_critic.distribution(policy, carry[0]).logits)
        obs, env_state, *_ = task.transition(draw, carry[1], action)
        return (obs, env_state), env_state.motion

    return jax.lax.scan(step, task.initial(tree.take(draws, 0)), tree.take(draws, slice(1, None)))[1]


def test_a_realigned_policy_acts_on_the_other_senses_as_on_its_own(random_params):
    physics = {"obs_permutation": (3, 1, 2, 0), "flip_actions": True, "obs_offset": (1.0, -1.0, 0.5, 1.0)}
    plain, other = ft.make_task("CartPole-v1"), ft.make_task("CartPole-v1", **physics)
    params = random_params(plain, NETWORK)
    change = Realignment(np.array([3, 1, 2, 0]), np.float64([1, -1, 0.5, 1]), np.ones(4), np.array([1, 0]), False)
    moved, _ = realigned(params, {}, change)
    draws = quick(lambda key: plain.draw(key, (12,)))(jax.random.key(3))
    paths = [motions(params, plain, draws), motions(moved, other, draws)]
    np.testing.assert_allclose(*paths, atol=1e-5)

"""Laws of realignment: what it undoes acts as before, and no change leaves every bit."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.target_worlds import NETWORK

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.alignment import Realignment
from jaxrl_ft.methods.alignment.realignment import realigned, retold
from jaxrl_ft.nets import parts
from jaxrl_ft.rl import actor_critic
from jaxrl_ft.rl.normalizer import Moments

RNG = np.random.default_rng(0)
OBS = RNG.normal(size=(20, 4)).astype(np.float32)
ORDERS, SCALES, OFFSETS = (
    ([0, 1, 2, 3], [2, 0, 3, 1]),
    ([1, 1, 1, 1], [2, -0.5, 3, 0.1]),
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

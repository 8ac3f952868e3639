"""Laws of what comes before the first update: the look, what it tells, realignment, imagination and its fallback."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.imagination import Imagination, fit
from jaxrl_ft.training import devices
from jaxrl_ft.training.evaluation.episodes import Outcome, expected_return, possible_share, tells_apart
from jaxrl_ft.training.preparation import imagine, prepare
from jaxrl_ft.training.preparation.look import BEFORE, ON_SOURCE, ON_TARGET, Look, experience_before, look_at
from jaxrl_ft.training.spec import Budget, finetune_spec

ALIGNED = ft.Method(look=ft.Look(steps=64), alignment=ft.Realign())
IMAGINED = ft.Method(
    look=ft.Look(steps=64), warm_start=ft.Soften(), imagination=Imagination(steps=256, rounds=1, goal=1.0)
)


def outcome(returns, lengths, ended):
    return Outcome(*(np.array(part, float) for part in (returns, lengths, ended)))


@pytest.mark.parametrize(
    "returns, lengths, ended, share",
    [
        # no end in 40 steps of reward 1: it could go on to the limit
        ([[20, 20]], [[20, 20]], [[0, 0]], 1.0),
        # an end in 100 steps: 100 steps are expected
        ([[50, 50]], [[50, 50]], [[1, 0]], 0.2),
        ([[10, 10]], [[10, 10]], [[1, 1]], 0.02),
        # the limit caps what is expected
        ([[300, 300]], [[600, 600]], [[1, 0]], 0.5),
    ],
)
def test_the_possible_share_of_cartpole(returns, lengths, ended, share, source):
    expected = expected_return(outcome(returns, lengths, ended), source)
    np.testing.assert_allclose(possible_share(expected, *source.return_range), [share])


def test_the_possible_share_where_rewards_are_negative():
    task = ft.make_task("Acrobot-v1")
    # every step costs 1, and an episode that ends after 100 steps keeps 400 of 500
    found = expected_return(outcome([[-100, -100], [-64, -64]], [[100, 100], [64, 64]], [[1, 1], [0, 0]]), task)
    np.testing.assert_allclose(found, [-100, -500])
    np.testing.assert_allclose(possible_share(found, *task.return_range), [0.8, 0.0])


def test_the_share_is_counted_from_random_actions():
    found = possible_share(np.array([20.0, 260.0, 5.0, 500.0, 40.0]), np.array([20.0, 20.0, 20.0, 500.0, 500.0]), 500.0)
    # where random actions already reach everything there is no way to go
    np.testing.assert_allclose(found, [0.0, 0.5, 0.0, 1.0, 1.0])


@pytest.mark.parametrize(
    "returns, ended, tells", [([-64, -64], [0, 0], False), ([-64, -60], [0, 0], True), ([64, 64], [0, 1], True)]
)
def test_an_end_or_rewards_that_differ_tell_good_policies_from_bad(returns, ended, tells):
    np.testing.assert_array_equal(tells_apart(outcome([returns], [[64, 64]], [ended])), [tells])


def spec_of(agents, target, method):
    return finetune_spec(agents, target, method, Budget(4096, 1, 3, 4))


def prepared(agents, target, method):
    return prepare.prepare(spec_of(agents, target, method))


@pytest.fixture(scope="module")
def left(agents):
    """Agents that always go left."""
    params = jax.tree.map(np.zeros_like, agents.params)
    params["policy"]["head"]["bias"] = np.tile(np.float32([50, -50]), (4, 1))
    return replace(agents, params=params)


def test_a_look_shows_the_policy_in_half_of_the_environments_and_chance_in_the_others(left, target):
    spec = spec_of(left, target, IMAGINED)
    policy = Policy(left.params, left.statistics, left.network)
    seen_all = look_at(spec, policy, target, ON_TARGET)
    look, own = seen_all.experiences, seen_all.own
    assert len(look) == 4
    for i, seen in enumerate(look):
        assert seen.obs.shape == seen.next_obs.shape == (512, 4) and seen.action.shape == (512,)
        actions, ended = seen.action.reshape(64, 8), seen.terminated.reshape(64, 8)
        assert not actions[:, 4:].any()
        assert 0.35 < actions[:, :4].mean() < 0.65
        np.testing.assert_array_equal(own.terminated[i], ended[:, 4:].sum(axis=0))
        np.testing.assert_array_equal(seen_all.random.terminated[i], ended[:, :4].sum(axis=0))
        assert seen.num_envs == 8
        np.testing.assert_array_equal(own.episode_return[i], 64)
        np.testing.assert_array_equal(own.episode_length[i], 64)
        # every observation is the one before's next, unless that ended; then, and at first, an episode starts
        after, before = seen.obs.reshape(64, 8, 4)[1:], seen.next_obs.reshape(64, 8, 4)[:-1]
        np.testing.assert_array_equal(np.all(after == before, axis=-1), ~ended[:-1])
        assert len(seen.starts) == 8 + ended[:-1].sum() and np.abs(seen.starts).max() <= 0.05
    assert not np.array_equal(look[0].obs, look[1].obs)
    assert not np.array_equal(look_at(spec, policy, target, ON_SOURCE).experiences[0].obs, look[0].obs)
    assert np.all(seen_all.share(target) < 0.05)


def test_of_the_source_more_starts_are_known_than_a_look_shows(left, target):
    spec, policy = spec_of(left, target, IMAGINED), Policy(left.params, left.statistics, left.network)
    known, look = experience_before(spec, policy), look_at(spec, policy, spec.before, BEFORE).experiences
    for one, seen in zip(known, look):
        np.testing.assert_array_equal(one.obs, seen.obs)
        np.testing.assert_array_equal(one.starts[:-128], seen.starts)
        # of a uniform variable on (-0.05, 0.05)
        assert np.abs(one.starts).max() <= 0.05
        np.testing.assert_allclose(one.starts[-128:].std(axis=0), 0.1 / np.sqrt(12), rtol=0.2)
    assert not np.array_equal(known[0].starts[-128:], known[1].starts[-128:])


def test_continuous_actions_are_seen_within_their_bounds(tiny, random_params):
    task = ft.make_task("Pendulum-v1")
    params = random_params(task, tiny.network)
    params["policy"]["log_std"] = np.float32([2.0])
    layers = [tuple(params["policy"][n][k] for k in ("kernel", "bias")) for n in ("dense_0", "dense_1", "head")]
    wrapped = ft.wrap({"policy": layers}, task, algo=tiny.algo)
    params = tree.repeat(params, 1)
    spec = finetune_spec(wrapped, task, replace(IMAGINED, look=ft.Look(steps=16)), Budget(4096, 1, 3, 4))
    look = look_at(spec, Policy(params, {}, tiny.network), task, ON_TARGET).experiences
    actions = look[0].action.reshape(16, 8)
    own = np.abs(actions[:, 4:])
    assert own.max() == 2.0 and (own == 2.0).mean() > 0.5
    assert np.abs(actions[:, :4]).max() < 2.0 and 0.9 < actions[:, :4].std() < 1.4


def test_senses_are_undone_and_source_rows_are_told_as_the_target_would(agents, same):
    order = (2, 3, 0, 1)
    other = ft.make_task("CartPole-v1", obs_permutation=order, flip_actions=True)
    plain = replace(ALIGNED, penalty=ft.EWC())
    found = prepared(agents, other, plain)
    assert all(change.changes for change in found.changes)
    before = prepared(agents, other, replace(plain, alignment=ft.Alignment())).start.source.data
    after = found.start.source.data
    np.testing.assert_array_equal(after.obs, before.obs[..., list(order)])
    np.testing.assert_array_equal(after.action, 1 - before.action)
    # what the aligned policy makes of them is what the base made of the source's own
    for policy, data in ((found.start.policy, after), (Policy(agents.params, {}, agents.network), before)):
        one = agents.algo.distribution(tree.take(policy, 0), jnp.asarray(data.obs[0]))
        np.testing.assert_allclose(one.log_prob(jnp.asarray(data.action[0])), before.log_prob[0], atol=1e-4)
    # and the parameters that a penalty may be anchored to read the target likewise
    first = [Policy(params, {}, agents.network) for params in (agents.init_params, found.start.source.init_params)]
    theirs, ours = (
        agents.algo.distribution(tree.take(policy, 0), jnp.asarray(data.obs[0])).log_prob(jnp.asarray(data.action[0]))
        for policy, data in zip(first, (before, after))
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert same(found.start.init_params, found.start.source.init_params)
    assert found.start.probe_steps == 512 and found.source_steps == 512 + before.obs.shape[1]
    np.testing.assert_array_equal(found.start.share, np.float32([change.trust for change in found.changes]))
    assert found.start.share.min() > 0.99


def test_other_physics_leave_every_bit_of_an_aligned_base(agents, target, same):
    found = prepared(agents, target, ALIGNED)
    assert not any(change.changes for change in found.changes)
    assert same(found.start.policy.params, agents.params) and found.imagined is None
    assert np.all(found.start.share < 1.0)


def test_a_run_whose_model_is_not_accurate_goes_on_without_it(agents, target, same):
    # the accuracy that separates two of the four runs
    spec = spec_of(agents, target, IMAGINED)
    base = Policy(agents.params, agents.statistics, agents.network)
    look = look_at(spec, base, target, ON_TARGET).experiences
    accuracy = np.array([fit(experience, 2).accuracy for experience in look])
    middle = float(np.median(accuracy))
    method = replace(IMAGINED, imagination=replace(IMAGINED.imagination, accuracy=middle))
    found = prepared(agents, target, method)
    np.testing.assert_array_equal(found.imagined.accuracy, accuracy)
    np.testing.assert_array_equal(found.imagined.used, accuracy >= middle)
    assert found.imagined.used.sum() == 2
    warm = prepared(agents, target, replace(method, imagination=Imagination())).start
    np.testing.assert_array_equal(np.isnan(found.imagined.reached), ~found.imagined.used)
    for i, used in enumerate(found.imagined.used):
        moved = not same(tree.take(found.start.policy.params, i), tree.take(warm.policy.params, i))
        assert not moved or used
        assert used or found.start.rate[i] == 1.0
    assert found.start.probe_steps == warm.probe_steps == 512
    np.testing.assert_array_equal(found.start.share, warm.share)


def test_delayed_actions_are_not_imagined_and_the_look_is_paid_for(agents, same):
    late = ft.make_task("CartPole-v1", action_delay=3)
    tuned = ft.finetune(agents, late, IMAGINED, steps=1024, num_evals=3, eval_episodes=4)
    line = next(line for line in tuned.report if line.startswith("imagined:"))
    assert "in 0 of 4 runs" in line
    np.testing.assert_array_equal(tuned.curve_steps[0], [0, 512, 768, 1024])
    np.testing.assert_array_equal(tuned.env_steps, agents.env_steps + 1024)
    assert any("target before the first update 512 " in text for text in tuned.report)
    assert tuned.status == ("ok",) * 4
    found = prepared(agents, late, IMAGINED)
    warm = prepared(agents, late, replace(IMAGINED, imagination=Imagination())).start
    assert not found.imagined.used.any() and same(found.start.policy.params, warm.policy.params)


def test_no_model_of_one_reward_and_no_end_is_used_however_well_it_explains(agents, target):
    spec, base = spec_of(agents, target, IMAGINED), Policy(agents.params, agents.statistics, agents.network)
    look = look_at(spec, base, target, ON_TARGET)
    endless = [seen._replace(terminated=np.zeros_like(seen.terminated)) for seen in look.experiences]
    found = imagine.imagine(spec, SimpleNamespace(policy=base), look._replace(experiences=endless), [])
    assert found.accuracy.min() > 0.98 and not found.teaches.any() and not found.used.any()
    assert found.policy is base


def test_a_fresh_policy_looks_for_itself(agents, target, same):
    method = ft.Method(look=ft.Look(steps=64), warm_start=ft.WARM_STARTS["scratch"])
    found = prepared(agents, target, method)
    fresh = found.fresh
    assert same(found.start.policy.params, fresh.params) and same(found.start.base.params, fresh.params)
    assert same(found.start.init_params, fresh.params)
    kept = prepared(agents, target, ft.Method(look=ft.Look(steps=64)))
    assert same(kept.start.base.params, agents.params) and same(kept.start.init_params, agents.init_params)


def test_a_probe_takes_the_place_of_what_the_look_tells(agents, target):
    looked = prepared(agents, target, ft.Method(look=ft.Look(steps=64))).start
    both = prepared(agents, target, ft.Method(look=ft.Look(steps=64, probe_episodes=8))).start
    probed = prepared(agents, target, ft.Method(look=ft.Look(probe_episodes=8)))
    alone = probed.start
    # chance is what the look's random actions reach, or without one a fresh policy on the source
    assert probed.source_steps == 512
    np.testing.assert_allclose(both.share, alone.share, atol=0.05)
    assert not np.array_equal(both.share, looked.share)
    assert (looked.probe_steps, both.probe_steps, alone.probe_steps) == (512, 1024, 512)


def test_what_a_run_imagines_depends_neither_on_the_others_nor_on_its_batch(agents, target, monkeypatch):
    """Batches of one width, each filled up: one of four runs, two of three, and one that holds a single run."""
    method = replace(IMAGINED, imagination=replace(IMAGINED.imagination, rounds=2))
    whole = prepared(agents, target, method)
    assert whole.imagined.used.all()
    monkeypatch.setattr(devices, "batch", lambda num_runs: 3)
    batched = prepared(agents, target, method)
    np.testing.assert_allclose(batched.imagined.reached, whole.imagined.reached, rtol=0.02)
    pairs = zip(jax.tree.leaves(batched.start.policy.params), jax.tree.leaves(whole.start.policy.params))
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_a_run_that_does_well_in_the_model_from_the_start_is_not_trained_in_it(agents, target, monkeypatch, same):
    # as if random actions reached nothing, for these agents do little better
    monkeypatch.setattr(Look, "chance", lambda look, task: np.zeros(4))
    at_once = replace(IMAGINED, imagination=replace(IMAGINED.imagination, goal=0.0))
    untrained = prepared(agents, target, at_once)
    warm = prepared(agents, target, replace(IMAGINED, imagination=Imagination())).start
    assert same(untrained.start.policy.params, warm.policy.params)
    first = untrained.imagined.reached
    middle = np.median(first) / target.return_range[1]
    asked = []
    train = imagine.train_alone

    def spy(alone, start, policy, rows, number):
        asked.append(rows)
        return train(alone, start, policy, rows, number)

    monkeypatch.setattr(imagine, "train_alone", spy)
    found = prepared(agents, target, replace(IMAGINED, imagination=replace(IMAGINED.imagination, goal=middle)))
    np.testing.assert_array_equal(np.concatenate(asked), np.flatnonzero(first < np.median(first)))
    assert 0 < len(asked[0]) < 4
    for i in set(range(4)) - set(asked[0]):
        assert same(tree.take(found.start.policy.params, i), tree.take(warm.policy.params, i))
        assert found.imagined.reached[i] == first[i]
    assert np.all(found.imagined.reached >= first)

"""Running moments against NumPy on everything at once, and their life in an agent."""

import functools

import jax
import numpy as np
import pytest
from helpers.compiling import quick
from helpers.rl_probes import probe

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.rl import normalizer

TASK = probe(length=6, each=1.0, random_signal=1.0)
ALGO = ft.PPO(
    num_envs=4, num_steps=16, num_epochs=1, num_minibatches=1, gamma=0.5, normalize_obs=True, normalize_reward=True
)
normalize, scale = quick(normalizer.normalize), quick(normalizer.scale)


distribution = quick(ft.PPO().distribution)


@quick
def moments_of(*orders):
    """The moments after all batches of each of some lists."""
    return [functools.reduce(normalizer.update, batches, normalizer.init(batches[0].shape[1:])) for batches in orders]


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_the_moments_are_those_of_all_batches_together(shape):
    random = np.random.default_rng(0)
    scale, offset = random.uniform(0.1, 10, shape), random.normal(size=shape) * 5
    batches = [(random.normal(size=(n, *shape)) * scale + offset).astype(np.float32) for n in (1, 64, 7, 64)]
    together = np.concatenate(batches).astype(float)
    for moments in moments_of(batches, batches[::-1]):
        np.testing.assert_allclose(moments.mean, together.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(moments.variance, together.var(axis=0), rtol=1e-5)
        assert float(moments.num) == 136


def test_a_large_offset_costs_no_digits_of_the_variance():
    random = np.random.default_rng(1)
    batches = [(1000.0 + random.normal(size=(64, 2))).astype(np.float32) for _ in range(10)]
    together = np.concatenate(batches).astype(float)
    (moments,) = moments_of(batches)
    np.testing.assert_allclose(moments.variance, together.var(axis=0), rtol=1e-3)


def test_a_constant_stream_has_no_variance_and_normalises_to_zero():
    (moments,) = moments_of([np.full((8, 2), 3.0, np.float32)] * 3)
    np.testing.assert_array_equal(moments.variance, 0.0)
    np.testing.assert_array_equal(normalize(moments, np.full((4, 2), 3.0, np.float32)), 0.0)


def test_normalised_data_has_mean_0_and_variance_1_and_outliers_are_cut():
    data = (np.random.default_rng(2).normal(size=(500, 3)) * [0.01, 1, 100] + [1, 2, 3]).astype(np.float32)
    (moments,) = moments_of([data])
    result = np.asarray(normalize(moments, data), float)
    np.testing.assert_allclose(result.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(result.std(axis=0), 1.0, rtol=1e-2)
    far = np.array([[1e9, -1e9, 3.0]], np.float32)
    np.testing.assert_allclose(np.asarray(normalize(moments, far))[0, :2], [10.0, -10.0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_do_not_enter(value):
    """Others take their place, so that the moments are those of a batch that never had them."""
    random = np.random.default_rng(3)
    first, batch = (random.normal(size=(16, 3)).astype(np.float32) for _ in range(2))
    broken, healed = batch.copy(), batch.copy()
    broken[0, 1] = broken[5, 0] = broken[6] = value
    healed[0], healed[5], healed[6] = batch[1], batch[4], batch[4]
    for ours, expected in zip(*moments_of([first, broken], [first, healed])):
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_batch_without_a_usable_row_changes_no_bit(value):
    first = np.random.default_rng(4).normal(size=(16, 3)).astype(np.float32)
    before, after = moments_of([first], [first, np.full((16, 3), value, np.float32)])
    for ours, theirs in zip(before, after):
        np.testing.assert_array_equal(ours, theirs)


def test_moments_of_nothing_change_nothing():
    data = np.array([[0.5, -2.0]], np.float32)
    normalized = quick(lambda x: normalizer.normalize(normalizer.init((2,)), x))(data)
    scaled = quick(lambda x: normalizer.scale(normalizer.init(), x))(data)
    for unchanged in (normalized, scaled):
        np.testing.assert_allclose(unchanged, data, rtol=1e-6)


def test_scaling_keeps_signs_and_zero():
    (moments,) = moments_of([np.array([1.0, 5.0, 9.0], np.float32)])
    reward = np.array([-2.0, 0.0, 2.0], np.float32)
    np.testing.assert_allclose(scale(moments, reward), reward / np.std([1.0, 5.0, 9.0]), rtol=1e-6)


def test_a_batch_of_another_shape_is_refused():
    for shape, batch in (((3,), (8, 2)), ((), (8, 2)), ((2,), (2,))):
        moments = jax.eval_shape(functools.partial(normalizer.init, shape))
        with pytest.raises(AssertionError):
            jax.eval_shape(normalizer.update, moments, np.zeros(batch, np.float32))


@pytest.fixture(scope="module")
def agents():
    return ft.pretrain(
        TASK, algo=ALGO, network=ft.MLP(width=4, depth=1), seeds=2, steps=640, num_evals=3, eval_episodes=2
    )


def test_the_statistics_are_those_of_all_experience(agents):
    """Over 160 steps of 4 environments times run through 0, ..., 5, and signals are fair coins."""
    obs = agents.statistics["obs"]
    times = np.arange(160) % 6 / 6
    np.testing.assert_array_equal(obs.num, 640)
    np.testing.assert_allclose(obs.mean[:, 1], times.mean(), rtol=1e-5)
    np.testing.assert_allclose(obs.variance[:, 1], times.var(), rtol=1e-4)
    np.testing.assert_allclose(obs.variance[:, 0], 1 - obs.mean[:, 0].astype(float) ** 2, rtol=1e-4)
    assert np.all(np.abs(obs.mean[:, 0]) < 4 / np.sqrt(640 / 6))


def test_reward_moments_are_those_of_the_discounted_sums_since_the_episode_s_start(agents):
    """Of a reward of 1 and gamma 0.5 these are 1, 1.5, 1.75, ... over six steps, and then again."""
    reward = agents.statistics["reward"]
    sums = 2 - 0.5 ** (np.arange(160) % 6)
    np.testing.assert_array_equal(reward.num, 640)
    np.testing.assert_allclose(reward.mean, sums.mean(), rtol=1e-5)
    np.testing.assert_allclose(reward.variance, sums.var(), rtol=1e-4)


def test_evaluation_leaves_the_statistics_as_they_are(agents):
    before = jax.tree.map(np.copy, agents.statistics)
    returns = ft.evaluate(agents, TASK, episodes=2)
    after = jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), before, agents.statistics)
    assert jax.tree.all(after)
    np.testing.assert_array_equal(returns, ft.evaluate(agents, TASK, episodes=2))


def test_evaluation_reads_the_agent_s_statistics(agents):
    """Greedy actions on normalised observations are those on raw ones with the moments swapped for none."""
    obs = np.array([[1.0, 0.5], [-1.0, 0.2]], np.float32)
    seen = normalize(tree.take(agents.statistics["obs"], 0), obs)
    policy = distribution(policy_of(agents, agents.statistics), obs).logits
    plain = distribution(policy_of(agents, {}), seen).logits
    np.testing.assert_array_equal(policy, plain)


def policy_of(agents, statistics):
    params, statistics = tree.take((agents.params, statistics), 0)
    return Policy(params, statistics, agents.network)


def test_statistics_travel_with_the_agent(agents):
    """Fine-tuning goes on from them; from scratch, which shares the program, starts from none."""
    more = {"steps": 640, "num_evals": 3, "eval_episodes": 2}
    tuned = ft.finetune(agents, TASK, "full", **more)
    fresh = ft.finetune(agents, TASK, "scratch", **more)
    np.testing.assert_array_equal(tuned.statistics["obs"].num, 1280)
    np.testing.assert_array_equal(fresh.statistics["obs"].num, 640)
    times = np.concatenate([np.arange(160) % 6 / 6] * 2)
    np.testing.assert_allclose(tuned.statistics["obs"].mean[:, 1], times.mean(), rtol=1e-5)


def test_zero_shot_keeps_the_statistics(agents):
    kept = ft.finetune(agents, TASK, "zero_shot", steps=640, num_evals=2, eval_episodes=2)
    same = jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), kept.statistics, agents.statistics)
    assert jax.tree.all(same)

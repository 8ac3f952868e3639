"""Changes around any task: none changes nothing, and each does what its closed form says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from helpers.compiling import quick
from helpers.own_worlds import Count, CountParams, Point

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import from_json, to_json
from jaxrl_ft.envs.catalogue import held_out_grid, make_task, near


class Echo:
    """Shows the action that acted, and how many steps it took; rewards are 1, and it ends after 12 steps."""

    default_params = CountParams(last=12, max_steps_in_episode=30)

    def __init__(self, continuous=False):
        self.name = "Echo-vector" if continuous else "Echo"
        self.continuous = continuous

    def action_space(self, params):
        return (
            spaces.Box(jnp.array([-1.0, -2.0]), jnp.array([1.0, 4.0]), (2,)) if self.continuous else spaces.Discrete(4)
        )

    def reset(self, key, params):
        return jnp.full(3, -1.0), jnp.int32(0)

    def step(self, key, state, action, params):
        obs = jnp.append(action, jnp.float32(state + 1)) if self.continuous else jnp.stack([action, action, state + 1])
        return obs.astype(jnp.float32), state + 1, 1.0, state + 1 >= params.last, {}


DISCRETE, VECTOR = ft.make_task(Echo()), ft.make_task(Echo(continuous=True))


def seen(task, actions, key=0):
    """True next observations, rewards and both flags of these actions from a reset, one after another."""

    def run(task, actions, key):
        draws = task.draw(key, (len(actions) + 1,))

        def one(env_state, inputs):
            after = task.transition(inputs[0], env_state, inputs[1])
            return after[1], (after[5], after[2], after[3], after[4])

        return jax.lax.scan(
            one, task.initial(jax.tree.map(lambda x: x[0], draws))[1], (jax.tree.map(lambda x: x[1:], draws), actions)
        )[1]

    return jax.device_get(quick(run)(task, actions, jax.random.key(key)))


@pytest.mark.parametrize("id", ["Pendulum-v1", "Acrobot-v1", "CartPole-v1", "MountainCarContinuous-v0"])
def test_no_change_changes_nothing(id):
    plain = make_task(id, episode_limit=4)
    around = plain.widened()
    assert around.describe() == plain.describe() and near(around, plain) and around.widened() == around
    assert around.return_range == plain.return_range and around.episode_limit == 4

    def run(plain, around, key):
        draws = around.draw(key, (8,))
        action = jnp.full(1, 0.3) if hasattr(plain.action_space, "size") else jnp.int32(1)
        inner = jax.tree.map(lambda leaf: leaf[:, 0], draws.world)
        first = (
            plain.initial(jax.tree.map(lambda leaf: leaf[0], inner)),
            around.initial(jax.tree.map(lambda leaf: leaf[0], draws)),
        )

        def one(states, inputs):
            ours, theirs = (
                plain.transition(inputs[0], states[0], action),
                around.transition(inputs[1], states[1], action),
            )
            return (ours[1], theirs[1]), (ours[:1] + ours[2:], theirs[:1] + theirs[2:])

        return jax.lax.scan(one, (first[0][1], first[1][1]), (inner, draws))[1]

    ours, theirs = jax.device_get(quick(run)(plain, around, jax.random.key(0)))
    # Programs that differ round differently.
    for one, other in zip(ours, theirs):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_sensors_are_scaled_then_offset_then_permuted():
    task = DISCRETE.changed(obs_scale=(1.0, 2.0, -1.0), obs_offset=(0.0, 0.5, 0.0), obs_permutation=(2, 0, 1))
    obs, *_ = seen(task, jnp.array([3, 0]))
    np.testing.assert_array_equal(obs, [[-1, 3, 6.5], [-2, 0, 0.5]])


def test_noise_has_its_spread_and_is_drawn_anew_each_step():
    obs, *_ = seen(DISCRETE.changed(obs_noise=0.5), jnp.zeros(400, jnp.int32))
    noise = obs[:, :2]
    assert abs(noise.std() - 0.5) < 0.05 and abs(noise.mean()) < 0.06 and len(np.unique(noise)) == noise.size


@pytest.mark.parametrize("delay", [0, 1, 3, 8])
def test_a_delayed_action_acts_later_and_the_idle_one_before(delay):
    actions = jnp.array([1, 2, 3, 1, 2, 3, 1, 2, 3, 1])
    obs, *_ = seen(DISCRETE.changed(action_delay=delay, idle_action=2), actions)
    np.testing.assert_array_equal(obs[:, 0], [2] * delay + actions.tolist()[: 10 - delay])
    vectors = jnp.stack([actions / 4.0, -actions / 4.0], axis=1)
    obs, *_ = seen(VECTOR.changed(action_delay=delay, idle_action=(0.5, 1.0)), vectors)
    np.testing.assert_array_equal(obs[:, :2], [[0.5, 1.0]] * delay + vectors.tolist()[: 10 - delay])


def test_actions_are_flipped_permuted_and_scaled_within_their_bounds():
    obs, *_ = seen(DISCRETE.changed(flip_actions=True), jnp.arange(4))
    np.testing.assert_array_equal(obs[:, 0], [3, 2, 1, 0])
    obs, *_ = seen(DISCRETE.changed(action_permutation=(1, 2, 3, 0)), jnp.arange(4))
    np.testing.assert_array_equal(obs[:, 0], [1, 2, 3, 0])
    actions = jnp.array([[0.5, 3.0], [9.0, 1.0]])
    cases = [
        ({"flip_actions": True}, [[-0.5, -1.0], [-1.0, 1.0]]),
        ({"action_scale": (2.0, 0.5)}, [[1.0, 1.5], [1.0, 0.5]]),
        ({"action_permutation": (1, 0)}, [[1.0, 0.5], [1.0, 1.0]]),
    ]
    for changes, expected in cases:
        np.testing.assert_array_equal(seen(VECTOR.changed(**changes), actions)[0][:, :2], expected)


def test_a_sticky_action_acts_again_as_often_as_it_should():
    actions = jnp.arange(600) % 4
    obs, *_ = seen(DISCRETE.changed(sticky_actions=0.3, last=10_000, episode_limit=10_000), actions)
    again = obs[1:, 0] != actions[1:]
    assert abs(again.mean() - 0.3) < 0.06
    np.testing.assert_array_equal(obs[1:, 0][again], obs[:-1, 0][again])


def test_skipped_frames_sum_their_rewards_and_end_where_the_episode_ends():
    task = DISCRETE.changed(frame_skip=5, reward_scale=2.0)
    obs, reward, terminated, truncated = seen(task, jnp.ones(4, jnp.int32))
    assert obs[:, 2].tolist() == [5, 10, 12, 5] and reward.tolist() == [10, 10, 4, 10]
    assert terminated.tolist() == [False, False, True, False] and not truncated.any()
    obs, reward, terminated, truncated = seen(task.changed(episode_limit=7), jnp.ones(2, jnp.int32))
    assert obs[:, 2].tolist() == [5, 7] and truncated.tolist() == [False, True] and not terminated.any()
    assert int(task.changed(episode_limit=7).episode_limit) == 2
    assert task.describe() == "Echo reward_scale=2 frame_skip=5" and task.changed(frame_skip=1) != task


def test_a_changed_task_is_saved_told_apart_and_combined_with_a_plain_one(tmp_path):
    task = make_task("Pendulum-v1", g=12.0, obs_noise=0.2, frame_skip=2)
    assert task == make_task("Pendulum-v1", g=12.0).changed(obs_noise=0.2, frame_skip=2)
    assert task.describe() == "Pendulum-v1 g=12 obs_noise=0.2 frame_skip=2" and task.id == "Pendulum-v1"
    assert tree.bits(from_json(to_json(task)).checked()) == tree.bits(task)
    source, target = make_task("Pendulum-v1"), make_task("Pendulum-v1", obs_noise=0.2)
    found = [round(float(task.quantities["obs_noise"]), 3) for _, task in held_out_grid(source, target)]
    assert found == [0.05, 0.1, 0.15, 0.23, 0.26] and not near(source, target)
    low, high = make_task("Pendulum-v1", reward_scale=-1.0).return_range
    assert low == 0 and high == -source.return_range[0]


@pytest.mark.parametrize(
    ("id", "changes", "message"),
    [
        (
            "Acrobot-v1",
            {"action_scale": 2.0},
            "action_scale: is not allowed for Acrobot-v1, whose actions are discrete",
        ),
        ("Acrobot-v1", {"obs_permutation": (0, 1)}, "it must hold 0, 1, 2, 3, 4 and 5 once each"),
        ("Acrobot-v1", {"idle_action": 3}, "idle_action: 3 is not allowed"),
        ("Acrobot-v1", {"action_delay": 9}, "action_delay: 9 is not allowed"),
        ("Acrobot-v1", {"sticky_actions": 1.0}, "sticky_actions: 1.0 is not allowed"),
        ("Pendulum-v1", {"frame_skip": 0}, "frame_skip: 0 is not allowed"),
        ("Pendulum-v1", {"frame_skip": 2.5}, "frame_skip: 2.5 is not allowed"),
        ("Pendulum-v1", {"reward_scale": 0.0}, "reward_scale: 0 is not allowed"),
        ("Pendulum-v1", {"obs_scale": 0.0}, "obs_scale: 0 is not allowed for every entry"),
        ("Pendulum-v1", {"obs_noise": float("nan")}, "obs_noise: nan is not allowed"),
        ("Pendulum-v1", {"obs_nois": 1.0}, "'obs_nois' is not known"),
    ],
)
def test_bad_changes_are_refused(id, changes, message):
    with pytest.raises(ValueError) as caught:
        make_task(id, **changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_agents_learn_and_are_combined_across_a_change():
    algo = ft.PPO(num_envs=2, num_steps=4, num_minibatches=2)
    source = ft.make_task(Count())
    agents = ft.pretrain(source, algo=algo, seeds=1, steps=8, num_evals=2, eval_episodes=1)
    target = source.changed(obs_noise=0.1)
    for method in ("full", "mixture"):
        tuned = ft.finetune(agents, target, method=method, steps=8, num_evals=2, eval_episodes=1)
        assert tuned.task.describe() == "Count obs_noise=0.1" and tuned.source.describe() == "Count"
    assert ft.evaluate(agents, [source, target]).tolist() == [[3.0, 3.0]]


def test_every_shape_of_observation_can_be_changed():
    obs, *_ = seen(ft.make_task(Point()).changed(obs_scale=2.0), jnp.zeros((1, 2)))
    np.testing.assert_array_equal(obs[0, :6], 2.0 * np.arange(6))

"""CartPole against gymnasium's own class, closed forms, and the laws of its sensors, flip, delay and endings."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv

from jaxrl_ft.envs.cartpole import (
    NO_FORCE,
    QUANTITIES,
    CartPoleDraws,
    CartPoleState,
    cartpole_params,
    gymnax_params,
)
from jaxrl_ft.envs.catalogue import make_task
from jaxrl_ft.envs.task import Task

PHYSICS = ("gravity", "cart_mass", "pole_mass", "half_length", "force", "tau", "x_threshold", "theta_threshold")
NUM_PHYSICS, NUM_STATES = 10_000, 10
RANGES = {
    "gravity": (0.1, 200.0), "cart_mass": (0.01, 100.0), "pole_mass": (0.01, 100.0), "half_length": (0.01, 10.0),
    "force": (0.1, 1000.0), "tau": (1e-4, 0.2), "x_threshold": (0.1, 100.0), "theta_threshold": (0.01, math.pi),
    "reset_range": (0.0, 1.0), "episode_limit": (1, 10_000), "obs_scale": (-100.0, 100.0),
    "obs_offset": (-100.0, 100.0), "obs_noise": (0.0, 100.0), "action_delay": (0, 3),
}  # fmt: skip
"""Saved tasks within these must stay readable."""

transition = jax.jit(Task.transition)
transitions = jax.jit(jax.vmap(jax.vmap(Task.transition, (None, 0, 0, 0))))


def still(shape=()) -> CartPoleDraws:
    return CartPoleDraws(*(np.zeros((*shape, 4), np.float32) for _ in range(3)))


def at(motion, time=0) -> CartPoleState:
    motion = jnp.asarray(motion, jnp.float32)
    return CartPoleState(motion=motion, time=jnp.int32(time), queue=jnp.full(3, NO_FORCE, jnp.float32))


def play(task: Task, actions, motion=(0.01, 0.02, 0.03, -0.04)) -> np.ndarray:
    env_state, seen = at(motion), []
    for action in actions:
        *_, final_obs = outcome = transition(task, still(), env_state, jnp.float32(action))
        env_state = outcome[1]
        seen.append(final_obs)
    return np.array(seen)


@pytest.fixture(scope="module")
def worlds():
    """Physics drawn log-uniformly from the accepted ranges through the one constructor, stacked [NUM_PHYSICS]."""
    generator = np.random.default_rng(0)
    ranges = [(QUANTITIES[name].low, QUANTITIES[name].high) for name in PHYSICS]
    drawn = [np.exp(generator.uniform(math.log(low), math.log(high), NUM_PHYSICS)) for low, high in ranges]
    rows = [cartpole_params(reset_range=0.0, **dict(zip(PHYSICS, row))) for row in np.transpose(drawn).tolist()]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def test_the_usual_physics_are_gymnasium_s():
    params, env = cartpole_params(), CartPoleEnv()
    theirs = (env.gravity, env.masscart, env.masspole, env.length, env.force_mag, env.tau, env.x_threshold)
    expected = dict(zip(PHYSICS, (*theirs, env.theta_threshold_radians))) | {"reset_range": 0.05, "episode_limit": 500}
    assert {name: np.float32(value) for name, value in expected.items()} == {
        name: np.float32(getattr(params, name)) for name in expected
    }
    sensors = {"obs_scale": [1] * 4, "obs_offset": [0] * 4, "obs_permutation": [0, 1, 2, 3], "obs_noise": 0}
    for name, value in (sensors | {"flip_actions": 0, "action_delay": 0}).items():
        np.testing.assert_array_equal(getattr(params, name), value)


def test_ranges_end_where_they_ended_before():
    assert {name: (quantity.low, quantity.high) for name, quantity in QUANTITIES.items()} == RANGES


def test_there_are_two_actions_and_one_reward_a_step():
    task = make_task("CartPole-v1", episode_limit=40)
    assert task.action_space.num_actions == 2 and task.return_range == (0.0, 40.0)


def place(env, physics) -> None:
    """Gives a gymnasium environment these physics (numbers, or arrays for the vectorised class), derived ones too."""
    env.gravity, env.masscart, env.masspole, env.length = (physics[name] for name in PHYSICS[:4])
    env.force_mag, env.tau, env.x_threshold, env.theta_threshold_radians = (physics[name] for name in PHYSICS[4:])
    env.total_mass, env.polemass_length = env.masscart + env.masspole, env.masspole * env.length


def reference_steps(worlds, motions, actions):
    """gymnasium's next states [P, S, 4] and terminated flags [P, S], by its vectorised class in float64."""
    env = CartPoleVectorEnv(num_envs=actions.size)
    env.reset(seed=0)
    wide = {name: np.repeat(np.asarray(getattr(worlds, name), np.float64), actions.shape[1]) for name in PHYSICS}
    place(env, wide)
    env.state = motions.reshape(-1, 4).T.astype(np.float64)
    _, _, ended, _, _ = env.step(actions.reshape(-1))
    return env.state.T.reshape(motions.shape), ended.reshape(actions.shape)


def test_gymnasium_s_two_classes_agree_on_changed_physics(worlds):
    generator = np.random.default_rng(2)
    few = jax.tree.map(lambda leaf: leaf[:300], worlds)
    motions = generator.normal(size=(300, 1, 4)).astype(np.float32)
    actions = generator.integers(0, 2, (300, 1))
    after, ended = reference_steps(few, motions, actions)
    env = CartPoleEnv()
    for i in range(300):
        place(env, {name: float(getattr(few, name)[i]) for name in PHYSICS})
        env.state, env.steps_beyond_terminated = motions[i, 0].astype(np.float64), None
        assert env.step(int(actions[i, 0]))[2] == ended[i, 0]
        np.testing.assert_allclose(env.state, after[i, 0], rtol=1e-9)


def term_sizes(worlds, motions):
    """The summed magnitudes [P, S, 4] of what is added up in a step: the scale of a float32 rounding error."""
    g, cart, pole, length, force, tau, *_ = (np.asarray(getattr(worlds, n), np.float64)[:, None] for n in PHYSICS)
    x, x_dot, theta, theta_dot = np.abs(np.moveaxis(motions.astype(np.float64), -1, 0))
    drive = (force + pole * length * theta_dot**2 * np.sin(theta)) / (cart + pole)
    turn = (g * np.sin(theta) + drive) / (length * (4 / 3 - pole * np.cos(theta) ** 2 / (cart + pole)))
    push = drive + pole * length * turn / (cart + pole)
    return np.stack([x + tau * x_dot, x_dot + tau * push, theta + tau * theta_dot, theta_dot + tau * turn], -1)


def test_a_step_is_gymnasium_s_over_the_accepted_physics(worlds):
    generator = np.random.default_rng(1)
    shape = (NUM_PHYSICS, NUM_STATES)
    limits = np.stack([worlds.x_threshold, worlds.theta_threshold], -1)[:, None]
    positions = generator.uniform(-1, 1, (*shape, 2)) * limits
    # from still to fast enough to cross both thresholds in one step
    speeds = generator.uniform(-1, 1, (*shape, 2)) ** 5 * 3 * limits / worlds.tau[:, None, None]
    motions = np.stack([positions, speeds], -1).reshape(*shape, 4).astype(np.float32)
    actions = generator.integers(0, 2, shape)
    states = CartPoleState(
        motion=motions, time=np.zeros(shape, np.int32), queue=np.full((*shape, 3), NO_FORCE, np.float32)
    )
    tasks = Task(simulator="CartPole", env_params=worlds)
    _, _, reward, terminated, _, after = transitions(tasks, still(shape), states, actions)
    expected, ended = reference_steps(worlds, motions, actions)
    error = np.abs(np.asarray(after, np.float64) - expected) / term_sizes(worlds, motions)
    assert error.max() < 1e-5
    margin = np.abs(np.abs(expected[..., [0, 2]]) / limits - 1).min(-1)
    assert not np.any((np.asarray(terminated) != ended) & (margin > 1e-6))
    assert 0.1 < ended.mean() < 0.9
    assert np.all(np.asarray(reward) == 1)


def test_derived_quantities_cannot_go_stale(worlds):
    for params in (worlds, dataclasses.replace(worlds, pole_mass=worlds.pole_mass * 3, half_length=worlds.gravity)):
        built = gymnax_params(params)
        np.testing.assert_array_equal(built.total_mass, built.masscart + built.masspole)
        np.testing.assert_array_equal(built.polemass_length, built.masspole * built.length)
        np.testing.assert_array_equal(built.masspole, params.pole_mass)
        np.testing.assert_array_equal(built.length, params.half_length)


@pytest.mark.parametrize(
    "physics",
    [{}, {"half_length": 2.0}, {"pole_mass": 5.0}, {"gravity": 40.0}, {"cart_mass": 0.1, "pole_mass": 1.0}],
)
def test_a_free_pole_falls_at_the_rate_of_the_linear_theory(physics):
    p = {name: float(getattr(make_task("CartPole-v1", **physics).env_params, name)) for name in PHYSICS}
    share = p["pole_mass"] / (p["cart_mass"] + p["pole_mass"])
    rate = math.sqrt(p["gravity"] / (p["half_length"] * (4 / 3 - share)))
    task = make_task("CartPole-v1", tau=1 / (rate * 400), **physics)
    fallen = play(task, [NO_FORCE] * 400, motion=(0.0, 0.0, 1e-3, 0.0))
    assert fallen[-1, 2] == pytest.approx(1e-3 * math.cosh(1), rel=0.01)
    # nothing pushes from outside, so the centre of mass stays where it is: x + share * half_length * theta
    assert fallen[-1, 0] == pytest.approx(-share * p["half_length"] * (fallen[-1, 2] - 1e-3), rel=0.01)


def test_a_push_moves_the_cart_and_tips_the_pole_the_other_way():
    after = play(make_task("CartPole-v1"), [1], motion=(0, 0, 0, 0))[0]
    assert after[1] > 0 > after[3]


def test_a_flip_swaps_the_actions():
    actions = [0, 0, 1, 0, 1, 1, 1]
    flipped = play(make_task("CartPole-v1", flip_actions=True), actions)
    np.testing.assert_array_equal(flipped, play(make_task("CartPole-v1"), [1 - a for a in actions]))
    assert np.any(flipped != play(make_task("CartPole-v1"), actions))


@pytest.mark.parametrize("delay", [0, 1, 2, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_a_delay_shifts_the_actions_and_leaves_the_first_steps_without_force(delay, flip):
    actions = [1, 1, 0, 1, 0, 0]
    delayed = play(make_task("CartPole-v1", action_delay=delay, flip_actions=flip), actions)
    shifted = ([NO_FORCE] * delay + actions)[: len(actions)]
    np.testing.assert_array_equal(delayed, play(make_task("CartPole-v1", flip_actions=flip), shifted))


def test_a_reset_empties_the_queue_of_delayed_actions():
    task = make_task("CartPole-v1", action_delay=3, episode_limit=4)
    env_state = at(np.zeros(4))
    for _ in range(4):
        _, env_state, *_ = transition(task, still(), env_state, jnp.float32(1))
    np.testing.assert_array_equal(env_state.queue, [NO_FORCE] * 3)


def test_sensors_scale_then_offset_then_permute():
    scale, offset, order = np.array([2.0, -1.0, 0.5, 3.0]), np.array([1.0, 0.0, -2.0, 0.25]), [2, 0, 3, 1]
    actions = [1, 0, 1]
    plain = play(make_task("CartPole-v1"), actions)
    task = make_task("CartPole-v1", obs_scale=scale, obs_offset=tuple(offset), obs_permutation=order)
    np.testing.assert_allclose(play(task, actions), (plain * scale + offset)[:, order], rtol=1e-6)
    obs, env_state = task.reset(jax.random.key(0))
    np.testing.assert_allclose(obs, (np.asarray(env_state.motion) * scale + offset)[order], rtol=1e-6)


def test_noise_is_normal_independent_and_on_the_observation_alone():
    noisy, plain, count = make_task("CartPole-v1", obs_noise=0.5), make_task("CartPole-v1"), 20_000

    def observed(task, draws):
        obs, env_state = task.initial(draws)
        _, after, *_, final_obs = task.transition(draws, env_state, jnp.float32(1))
        return obs, final_obs, env_state, after

    both = jax.jit(jax.vmap(observed, (None, 0)))
    draws = noisy.draw(jax.random.key(3), (count,))
    *seen, _, after = both(noisy, draws)
    *true, start, true_after = both(plain, draws)
    jax.tree.map(np.testing.assert_array_equal, after, true_after)
    noise = (np.concatenate(seen, -1) - np.concatenate(true, -1)) / 0.5
    assert abs(noise.mean(0)).max() < 5 / math.sqrt(count)
    np.testing.assert_allclose(noise.std(0), 1.0, atol=0.025)
    np.testing.assert_allclose((noise**4).mean(0), 3.0, atol=0.3)
    together = np.corrcoef(np.concatenate([noise, start.motion], -1).T)
    assert abs(together - np.eye(12)).max() < 5 / math.sqrt(count)


def test_episodes_start_uniformly_within_the_reset_range():
    task = make_task("CartPole-v1", reset_range=0.2)
    motion = np.asarray(jax.jit(jax.vmap(task.initial))(task.draw(jax.random.key(0), (20_000,)))[1].motion)
    assert 0.199 < abs(motion).max() <= 0.2
    np.testing.assert_allclose(motion.var(0), 0.2**2 / 3, rtol=0.03)
    np.testing.assert_allclose(motion.mean(0), 0, atol=0.005)


@pytest.mark.parametrize(
    ("motion", "time", "flags"),
    [
        ((0, 0, 0, 0), 3, (False, False)),
        ((0, 0, 0, 0), 499, (False, True)),
        ((2.39, 5.0, 0, 0), 3, (True, False)),
        ((-2.39, -5.0, 0, 0), 3, (True, False)),
        ((0, 0, 0.2, 3.0), 3, (True, False)),
        ((0, 0, -0.2, -3.0), 499, (True, True)),
    ],
)
def test_endings_reset_and_keep_the_final_observation(motion, time, flags):
    task = make_task("CartPole-v1")
    env_state = at(motion, time)
    obs, after, reward, terminated, truncated, info = jax.jit(Task.step)(task, jax.random.key(1), env_state, 1)
    final = np.asarray(info["final_observation"])
    assert (bool(terminated), bool(truncated)) == flags
    assert reward == 1
    np.testing.assert_allclose(final[[0, 2]], np.add(motion[::2], np.multiply(0.02, motion[1::2])), atol=1e-6)
    if any(flags):
        assert int(after.time) == 0
        assert abs(obs).max() <= 0.05
        np.testing.assert_array_equal(obs, after.motion)
    else:
        assert int(after.time) == time + 1
        np.testing.assert_array_equal(obs, final)


def test_a_step_is_the_transition_of_its_draws():
    task = make_task("CartPole-v1", obs_noise=0.1)
    key, env_state = jax.random.key(5), at((2.39, 5.0, 0, 0))
    *outcome, info = jax.jit(Task.step)(task, key, env_state, jnp.float32(0))
    *expected, final_obs = transition(task, task.draw(key, ()), env_state, jnp.float32(0))
    jax.tree.map(np.testing.assert_array_equal, (*outcome, info["final_observation"]), (*expected, final_obs))

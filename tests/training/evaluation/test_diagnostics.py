"""What is measured beside returns: divergences with closed forms, grids and recordings that evaluation confirms."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.envs.catalogue import physics_grid
from jaxrl_ft.training.evaluation import diagnostics


def constant(agents, logits):
    """Agents that take the same distribution everywhere."""
    params = jax.tree.map(np.zeros_like, agents.params)
    params["policy"]["head"]["bias"] = np.tile(np.asarray(logits, np.float32), (agents.num_seeds, 1))
    return replace(agents, params=params)


def kl(p, q):
    p, q = (np.exp(x) / np.exp(x).sum() for x in (np.asarray(p, float), np.asarray(q, float)))
    return float((p * np.log(p / q)).sum())


def test_the_divergence_is_from_the_base_to_the_tuned_policy(agents, target):
    tuned, base = (0.0, 1.0), (3.0, 0.0)
    found = diagnostics.divergence(constant(agents, tuned), constant(agents, base), target)
    np.testing.assert_allclose(found, np.full(4, kl(base, tuned)), rtol=1e-5)
    assert abs(kl(base, tuned) - kl(tuned, base)) > 0.1


def test_a_policy_does_not_diverge_from_itself_and_fine_tuning_does(agents, finetuned, target):
    np.testing.assert_array_equal(diagnostics.divergence(agents, agents, target), np.zeros(4))
    found = diagnostics.divergence(finetuned("full"), agents, target)
    assert found.shape == (4,) and (found > 0).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_states_are_those_that_the_tuned_policy_visits(sign, agents, source):
    """The base goes away from the middle or back to it; a policy that only ever goes one way leaves the middle."""
    params = jax.tree.map(np.zeros_like, agents.params)
    for layer, weight in (("dense_0", 1.0), ("dense_1", 1.0), ("head", 50.0 * sign)):
        params["policy"][layer]["kernel"][:, 0, 0] = weight
    base = replace(agents, params=params)
    for sure in ((-40.0, 40.0), (40.0, -40.0)):
        # about 80 nats times the base's chance of the other action, which is a half where x is as often left as right
        found = diagnostics.divergence(constant(agents, sure), base, source)
        assert (found > 50).all() if sign > 0 else (found < 30).all()


def test_a_run_that_is_not_finite_has_no_divergence(agents, target):
    params = jax.tree.map(np.copy, agents.params)
    params["policy"]["head"]["bias"][1] = np.nan
    found = diagnostics.divergence(replace(agents, params=params), agents, target)
    assert np.isnan(found[1]) and np.isfinite(found[[0, 2, 3]]).all()


def test_divergences_are_reproducible_and_of_the_seed(agents, finetuned, target):
    one, two, other = (diagnostics.divergence(finetuned("full"), agents, target, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_every_cell_of_a_grid_is_an_evaluation_and_compiles_nothing(agents, target, compilations):
    lengths, forces = (0.5, 1.0), (5.0, 10.0, 20.0)
    grid = physics_grid(target, {"half_length": lengths, "force": forces})
    expected = ft.evaluate(agents, ft.make_task("CartPole-v1", half_length=0.5, force=20.0), episodes=5, seed=6)
    compilations.reset()
    found = diagnostics.returns_over(agents, grid, episodes=5, seed=6)
    assert compilations.names == [] and found.shape == (4, 2, 3)
    np.testing.assert_array_equal(found[:, 0, 2], expected.mean(axis=1))


@pytest.mark.parametrize("shift", ["long-pole", "noisy-sensors", "delayed-actions"])
def test_a_recording_is_the_episode_that_evaluation_plays(shift, agents):
    task = ft.make_task("CartPole-v1", shift=shift)
    returns = ft.evaluate(agents, task, episodes=20, seed=5)
    for episode in (0, 17):
        recording = diagnostics.record(agents, task, episode=episode, seed=5)
        np.testing.assert_array_equal(recording.outcome.episode_return, returns[:, episode])
        np.testing.assert_array_equal(recording.alive.sum(axis=1), returns[:, episode])
        np.testing.assert_array_equal(recording.returns, recording.alive.cumsum(axis=1))
        assert recording.alive.shape == (4, 500) and recording.action.shape == (4, 500)


def test_recorded_states_follow_from_each_other_and_the_last_one_is_out_of_bounds(agents, source):
    recording = diagnostics.record(agents, source, seed=5)
    assert recording.outcome.terminated.all()
    for run in range(4):
        length = int(recording.alive[run].sum())
        motion = np.concatenate([recording.start.motion[run, None], recording.after.motion[run, :length]])
        assert (np.abs(motion[0]) <= 0.05).all()
        # gymnax integrates by Euler: positions move by the velocities before the step
        np.testing.assert_allclose(np.diff(motion[:, [0, 2]], axis=0), 0.02 * motion[:-1, [1, 3]], atol=1e-6)
        pushed_right = np.diff(motion[:, 1]) > 0
        np.testing.assert_array_equal(pushed_right, recording.action[run, :length] == 1)
        out = (np.abs(motion[:, 0]) > 2.4) | (np.abs(motion[:, 2]) > 12 * np.pi / 180)
        assert out[-1] and not out[:-1].any()


def test_a_recording_is_cut_where_it_is_told(agents, source):
    short = diagnostics.record(agents, source, seed=5, max_steps=7)
    whole = diagnostics.record(agents, source, seed=5)
    assert short.alive.shape == (4, 50)
    np.testing.assert_array_equal(short.after.motion[:, :7], whole.after.motion[:, :7])


def test_bad_arguments_are_refused(agents, source, nothing_runs):
    with pytest.raises(ValueError, match="base: 2 agents are not allowed"):
        diagnostics.divergence(agents, agents.select([0, 1]), source)
    with pytest.raises(ValueError, match="seed: -1"):
        diagnostics.divergence(agents, agents, source, seed=-1)
    with pytest.raises(ValueError, match="do not fit agents"):
        diagnostics.record(agents, ft.make_task("Acrobot-v1"))
    with pytest.raises(ValueError, match="episode: -1"):
        diagnostics.record(agents, source, episode=-1)
    with pytest.raises(ValueError, match="max_steps: 0"):
        diagnostics.record(agents, source, max_steps=0)

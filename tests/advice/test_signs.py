"""The signs that agents show on a target before anything is trained."""

import numpy as np
import pytest

import jaxrl_ft as ft
from jaxrl_ft.advice import signs
from jaxrl_ft.advice.signs import examine
from jaxrl_ft.core import tree

CHANGES = ("changed_meaning", "state_kl", "entropy", "dormant", "value_error", "gradient")


@pytest.fixture(scope="module")
def there(agents, target):
    return examine(agents, target, seed=7)


@pytest.fixture(scope="module")
def here(agents):
    return examine(agents, agents.source, seed=7)


def test_a_source_shows_no_change_from_itself(here):
    for name in CHANGES:
        np.testing.assert_allclose(here.signs[name], 0.0, atol=1e-9, err_msg=name)
    np.testing.assert_array_equal(here.signs["zero_shot"], here.signs["source"])
    np.testing.assert_array_equal(here.env_steps, here.source_steps)


def test_another_target_shows_some(there, here):
    for name in ("state_kl", "value_error", "gradient"):
        assert np.all(there.signs[name] != 0), name
    assert np.all(there.signs["state_kl"] > 0)
    np.testing.assert_array_equal(there.signs["source"], here.signs["source"])
    assert all(sign.shape == (4,) and np.isfinite(sign).all() for sign in there.signs.values())


def test_returns_and_steps_are_those_of_the_episodes(there, agents, target):
    # CartPole pays 1 a step, so that two episodes take as many steps as they return
    look, rollout = 512, 64
    np.testing.assert_allclose(there.env_steps, look + rollout + 2 * 500 * there.signs["zero_shot"], atol=1e-3)
    np.testing.assert_allclose(there.source_steps, look + rollout + 2 * 500 * there.signs["source"], atol=1e-3)
    assert signs.most_steps(agents.algo, target) == look + rollout + 1000


def test_equal_seeds_show_equal_signs_and_others_others(there, agents, target):
    again, other = (examine(agents, target, seed=seed) for seed in (7, 8))
    for name, sign in there.signs.items():
        np.testing.assert_array_equal(again.signs[name], sign)
    assert not np.array_equal(other.signs["state_kl"], there.signs["state_kl"])


def test_units_that_are_switched_off_are_dormant(agents, target, there):
    flat = tree.flatten(agents.params)
    for name in ("kernel", "bias"):
        flat[f"value/dense_0/{name}"] = np.array(flat[f"value/dense_0/{name}"])
        flat[f"value/dense_0/{name}"][..., :4] = 0.0
    params = tree.unflatten(flat)
    silent = examine(_with(agents, params), target, seed=7)
    # on target and source alike, so that nothing has changed, and only the critic's loss tells
    np.testing.assert_array_equal(silent.signs["zero_shot"], there.signs["zero_shot"])
    np.testing.assert_allclose(silent.signs["dormant"], 0.0, atol=0.1)
    assert np.any(silent.signs["value_error"] != there.signs["value_error"])


def _with(agents, params):
    import dataclasses

    return dataclasses.replace(agents, params=params)


def test_flipped_actions_are_seen_to_mean_something_else(agents):
    flipped = examine(agents, ft.make_task("CartPole-v1", "flipped-actions"))
    np.testing.assert_array_equal(flipped.signs["changed_meaning"], 1.0)
    assert np.all(flipped.signs["explained"] > 0.98)


def test_divergence_of_normal_distributions_in_closed_form():
    def moments(mean, covariance):
        return {"obs_mean": np.array([mean]), "obs_covariance": np.array([covariance])}

    wide, narrow = moments([1.0, 0.0], np.diag([4.0, 1.0])), moments([0.0, 0.0], np.eye(2))
    # one dimension: log(s'/s) + (s² + (m - m')²) / 2s'² - 1/2
    assert signs.normal_kl(wide, narrow) == pytest.approx(-np.log(2) + (4 + 1) / 2 - 0.5, abs=1e-4)
    assert signs.normal_kl(narrow, wide) == pytest.approx(np.log(2) + (1 + 1) / 8 - 0.5, abs=1e-4)
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    turned = [moments(turn @ m["obs_mean"][0], turn @ m["obs_covariance"][0] @ turn.T) for m in (wide, narrow)]
    assert signs.normal_kl(*turned) == pytest.approx(signs.normal_kl(wide, narrow), abs=1e-4)


def test_a_target_of_other_sizes_is_refused(agents, nothing_runs):
    with pytest.raises(ValueError, match="do not fit agents"):
        examine(agents, ft.make_task("Acrobot-v1"))
    with pytest.raises(ValueError, match="seed: -1"):
        examine(agents, agents.source, seed=-1)

"""A2C and REINFORCE: losses and slopes against NumPy in float64, returns by closed form, probes, and refusals."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers import loss_references
from helpers.compiling import quick
from helpers.rl_probes import probe

import jaxrl_ft as ft
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.rl import a2c, on_policy, reinforce, returns

NETWORK = ft.MLP(width=5, depth=1)
A2C, REINFORCE = ft.A2C(ent_coef=0.03, vf_coef=0.7), ft.REINFORCE(ent_coef=0.03, vf_coef=0.7)
NO_CARRY = on_policy.Carry(None, None, None, None, {})
CASES = {
    "a2c": (loss_references.a2c, A2C),
    "a2c, normalised": (loss_references.a2c, replace(A2C, normalize_advantage=True)),
    "reinforce": (loss_references.reinforce, REINFORCE),
    "reinforce, mean": (loss_references.reinforce, replace(REINFORCE, baseline="mean")),
    "reinforce, plain": (loss_references.reinforce, replace(REINFORCE, baseline="none", normalize_advantage=False)),
}


def batch_of(algo, num=12):
    random = np.random.default_rng(0)
    normal = random.normal(size=(num, 5)).astype(np.float32)
    flags = (random.random((2, num)) < 0.7).astype(np.float32)
    action = random.integers(0, 2, num).astype(np.int32)
    if isinstance(algo, ft.A2C):
        return a2c.Batch(normal[:, :2], action, flags[0], normal[:, 2], normal[:, 3])
    return reinforce.Batch(normal[:, :2], action, flags[0], flags[1], normal[:, 2])


@quick
def loss_and_slope(algo, params, batch, direction):
    def loss(params):
        return algo.loss(Policy(params, {}, NETWORK), NO_CARRY, batch)[0]

    return jax.jvp(loss, (params,), (direction,))


@pytest.mark.parametrize("name", list(CASES))
def test_loss_and_gradient_equal_the_reference(name, random_params):
    reference, algo = CASES[name]
    params, direction = (random_params(probe(), NETWORK, seed) for seed in (1, 2))
    if "value" not in jax.eval_shape(lambda: algo.init_params(jax.random.key(0), probe(), NETWORK)):
        params, direction = ({"policy": tree["policy"]} for tree in (params, direction))
    batch = batch_of(algo)
    found, slope = loss_and_slope(as_arrays(algo), params, batch, direction)
    double = jax.tree.map(lambda leaf: np.asarray(leaf, float), (params, direction, batch._asdict()))
    np.testing.assert_allclose(found, reference(double[0], double[0], double[2], algo), rtol=1e-4)
    expected = loss_references.directional(reference, double[0], *double[::2], algo, direction=double[1])
    np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-5)


def test_monte_carlo_returns_are_sums_to_the_end_of_the_episode():
    random = np.random.default_rng(1)
    reward, done = random.normal(size=(40, 50)).astype(np.float32), random.random((40, 50)) < 0.1
    total, ended = quick(returns.monte_carlo)(reward, done, 0.9)
    for n in range(50):
        for t in range(40):
            ends = np.flatnonzero(done[t:, n])
            assert ended[t, n] == bool(ends.size)
            last = t + ends[0] if ends.size else 39
            expected = sum(0.9 ** (k - t) * float(reward[k, n]) for k in range(t, last + 1))
            np.testing.assert_allclose(total[t, n], expected, rtol=1e-4, atol=1e-5)


LEARNERS = {
    "a2c": ft.A2C(num_envs=8, num_steps=16, gamma=0.9),
    "reinforce": ft.REINFORCE(num_envs=8, num_steps=16, gamma=0.9),
    "reinforce, mean": ft.REINFORCE(num_envs=8, num_steps=16, gamma=0.9, baseline="mean"),
}


@pytest.mark.parametrize(
    "name", ["a2c", *(pytest.param(name, marks=pytest.mark.slow) for name in ("reinforce", "reinforce, mean"))]
)
def test_they_learn_what_action_and_observation_earn_together(name):
    task = probe(by_both=1.0, random_signal=1.0)
    optimizer = ft.Adam(learning_rate=3e-2)
    agents = ft.pretrain(
        task, algo=LEARNERS[name], network=ft.MLP(width=8), optimizer=optimizer, seeds=4, steps=20_000, num_evals=2
    )
    assert np.all(agents.curve[:, -1] == 1.0)
    assert ("value" in agents.params) is (name != "reinforce, mean")


@pytest.mark.parametrize(
    ("algo", "task", "message"),
    [
        (ft.REINFORCE(num_steps=10), probe(20), "algo: num_steps: 10 is not allowed for episodes of up to 20 steps"),
        (ft.A2C(num_envs=1, num_steps=1, normalize_advantage=True), probe(), "algo.normalize_advantage: True is not"),
        (ft.REINFORCE(baseline="critic"), probe(), "algo.baseline: 'critic' is not known"),
        (ft.A2C(gae_lambda=1.5), probe(), "algo.gae_lambda: 1.5 is not allowed; it must be in [0, 1]"),
    ],
)
def test_what_makes_no_sense_is_refused(algo, task, message, nothing_runs):
    with pytest.raises(ValueError, match=re.escape(message)):
        ft.pretrain(task, algo=algo)

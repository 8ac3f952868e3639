"""SAC: losses against NumPy in float64 for both kinds of actions, soft values by closed form, and what it learns."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import sac_reference
from helpers.compiling import quick
from helpers.loss_references import directional
from helpers.rl_probes import probe

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.rl.q_learning import off_policy

NETWORK = ft.MLP(width=5, depth=1)
TASKS = {"discrete": probe(), "continuous": ft.make_task("Pendulum-v1")}


def params_of(task, seed):
    shapes = jax.eval_shape(lambda: ft.SAC().init_params(jax.random.key(0), task, NETWORK))
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: random.normal(scale=0.5, size=leaf.shape).astype(np.float32), shapes)


def batch_of(kind, num=16):
    random = np.random.default_rng(0)
    size = TASKS[kind].obs_size
    obs, next_obs = random.normal(size=(2, num, size)).astype(np.float32)
    reward, weight = random.normal(size=(2, num)).astype(np.float32)
    discount = np.where(random.random(num) < 0.3, 0.0, 0.9).astype(np.float32)
    action, noise = random.integers(0, 2, num).astype(np.int32), None
    if kind == "continuous":
        action = random.uniform(-2, 2, size=(num, 1)).astype(np.float32)
        noise = random.normal(size=(num, 2)).astype(np.float32)
    return off_policy.Batch(obs, action, reward, discount, next_obs, np.abs(weight), noise)


@quick
def loss_and_slope(algo, params, statistics, target, batch, direction):
    carry = off_policy.Carry(None, None, None, None, {}, None, target, None, None)
    return jax.jvp(
        lambda params: algo.loss(Policy(params, statistics, NETWORK), carry, batch)[0], (params,), (direction,)
    )


@pytest.mark.parametrize("kind", list(TASKS))
def test_loss_and_gradient_equal_the_reference(kind):
    algo, task = ft.SAC(), TASKS[kind]
    params, target, direction = (params_of(task, seed) for seed in (1, 2, 3))
    statistics = jax.device_get(quick(algo.init_statistics)(task))
    batch = batch_of(kind)
    target = {"value": target["value"]}
    found, slope = loss_and_slope(as_arrays(algo), params, statistics, target, batch, direction)
    rows = {name: np.asarray(leaf, float) for name, leaf in batch._asdict().items() if leaf is not None}
    params, target, direction = jax.tree.map(lambda leaf: leaf.astype(float), (params, target, direction))
    held = {"fixed": params, "target": target["value"]}
    np.testing.assert_allclose(found, sac_reference.loss(params, held, rows, algo), rtol=1e-4)
    expected = directional(sac_reference.loss, params, held, rows, algo, direction=direction)
    np.testing.assert_allclose(slope, expected, rtol=2e-3, atol=1e-5)


GAMMA = 0.9
BANDIT = probe(1, by_action=1.0)


@pytest.mark.slow
def test_a_bandit_has_the_soft_optimal_policy_at_the_wanted_entropy():
    """Rewards of -1 and 1 make both critics' values; the temperature makes the policy's entropy what is wanted."""
    algo = ft.SAC(
        num_envs=8, num_steps=8, gradient_steps=8, gamma=GAMMA, tau=0.05, target_entropy=0.3, replay_size=4096
    )
    agents = ft.pretrain(
        BANDIT, algo=algo, network=ft.MLP(width=8), optimizer=ft.Adam(learning_rate=1e-2), seeds=4, steps=30_000,
        num_evals=2,
    )  # fmt: skip
    policy = tree.take(agents.policies, 0)
    obs = jnp.zeros((1, 2), jnp.float32)
    for i in range(4):
        policy = tree.take(agents.policies, i)
        found = algo.distribution(policy, obs)
        assert float(found.entropy()[0]) == pytest.approx(0.3, abs=0.05)
        assert int(found.mode()[0]) == 1
        x = {name: np.asarray(leaf) for name, leaf in (("obs", obs),)}["obs"]
        values = sac_reference.twin(jax.tree.map(np.asarray, policy.params["value"]), x)
        np.testing.assert_allclose(np.stack(values), np.broadcast_to([[[-1.0, 1.0]]], (2, 1, 2)), atol=0.1)


@pytest.mark.slow
def test_pendulum_runs_within_its_bounds_and_fine_tunes():
    task = TASKS["continuous"]
    algo = ft.SAC(num_envs=2, num_steps=8, gradient_steps=2, batch_size=16, replay_size=256, learning_starts=32)
    small = {"num_evals": 2, "eval_episodes": 2}
    agents = ft.pretrain(task, algo=algo, network=ft.MLP(width=8), seeds=2, steps=128, **small)
    assert agents.status == ("ok",) * 2
    np.testing.assert_array_equal(agents.statistics["action"].low, np.full((2, 1), -2.0))
    obs = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    assert np.abs(agents.policy(0)(obs)).max() <= 2.0
    before = np.asarray(agents.params["policy"]["log_alpha"])
    for method in ("full", "lora", "ewc", "redo"):
        tuned = ft.finetune(agents, task, method, steps=96, seed=1, **small)
        assert tuned.status == ("ok",) * 2
    assert np.all(before != 0)


@pytest.mark.parametrize(
    ("algo", "message"),
    [
        (ft.SAC(entropy_share=1.5), "algo.entropy_share: 1.5 is not allowed; it must be in [0, 1]"),
        (ft.SAC(replay_size=32), "algo.replay_size: 32 is not allowed; it is below batch_size, 64"),
        (ft.SAC(actor=ft.SoftActor(min_log_std=3.0)), "algo.actor.min_log_std: 3.0 is not allowed; it is above 2.0"),
    ],
)
def test_what_makes_no_sense_is_refused(algo, message, nothing_runs):
    with pytest.raises(ValueError, match=re.escape(message)):
        ft.pretrain(BANDIT, algo=algo)

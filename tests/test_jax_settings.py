"""Whatever the user asks of JAX's types and promotions, everything runs in float32 and gives the same bits."""

from contextlib import contextmanager
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.own_worlds import Parted, Point

import jaxrl_ft as ft

RESULTS = ("params", "statistics", "init_params", "opt_state", "env_steps", "curve", "curve_steps")
METHODS = ("lora", "dora", "ewc", "redo", "replay", "pbt", "soup", "imagine", "keep_adam", "schedule_free", "muon",
           "trac", "mixture", "jump_start_curriculum", "net2wider", "sparse")  # fmt: skip


@contextmanager
def strictest():
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


def assert_same_results(one, other, same):
    for part in RESULTS:
        assert same(getattr(one, part), getattr(other, part)), part


@pytest.mark.slow
def test_the_way_of_an_agent_has_the_same_bits(agents, finetuned, source, target, tiny, tmp_path, same):
    with strictest():
        again = ft.pretrain(source, algo=tiny.algo, network=tiny.network, seeds=tiny.seeds, seed=0, **tiny.budget)
        tuned = ft.finetune(again, target, "full", seed=1, **tiny.budget)
        ft.save(tuned, tmp_path / "tuned")
        loaded = ft.load(tmp_path / "tuned")
        returns = ft.evaluate(loaded, target, episodes=4)
        each = ft.evaluate(loaded, [source, target], greedy=False)
        action = loaded.policy(1)(np.zeros((3, 4)))
    assert_same_results(again, agents, same)
    assert_same_results(loaded, finetuned("full"), same)
    assert returns.dtype == each.dtype == np.float32 and action.dtype == np.int32
    np.testing.assert_array_equal(returns, ft.evaluate(tuned, target, episodes=4))


def test_continuous_actions_and_normalisers_are_float32(tiny):
    task = ft.make_task("Pendulum-v1")
    algo = replace(tiny.algo, normalize_obs=True, normalize_reward=True, value_clip_eps=0.2)
    with strictest():
        agents = ft.pretrain(task, algo=algo, network=tiny.network, seeds=2, steps=64, num_evals=2, eval_episodes=1)
    leaves = jax.tree.leaves((agents.params, agents.statistics, agents.opt_state))
    assert {leaf.dtype.name for leaf in leaves} == {"float32", "int32", "bool"}


@pytest.mark.parametrize("kind", [Point, Parted])
def test_any_world_with_every_change_steps_in_float32(kind):
    plain = ft.make_task(kind(), episode_limit=9)
    changes = {"obs_noise": 0.1, "action_delay": 2, "sticky_actions": 0.1, "frame_skip": 2, "flip_actions": True}
    task = plain.changed(obs_scale=2.0, reward_scale=3.0, **changes)

    def stepped(key):
        _, env_state = task.reset(key)
        action = jnp.zeros(2, jnp.float32) if kind is Point else jnp.int32(1)
        return env_state, task.step(key, env_state, action)

    with strictest():
        first, after = jax.eval_shape(stepped, jax.random.key(0))
    assert after[0].dtype == after[2].dtype == np.float32
    for ours, theirs in zip(jax.tree.leaves(first), jax.tree.leaves(after[1])):
        assert (ours.dtype, ours.shape, theirs.weak_type) == (theirs.dtype, theirs.shape, False)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_same_bits(name, agents, finetuned, rows, enough, target, tiny, same):
    method = rows(name)
    with strictest():
        tuned = ft.finetune(agents, target, method, seed=1, **{**tiny.budget, "steps": enough(method)})
    assert_same_results(tuned, finetuned(name), same)


@pytest.mark.slow
def test_comparisons_searches_and_advice_run(agents, target):
    short = {"steps": 256, "num_evals": 2, "eval_episodes": 2}
    with strictest():
        result = ft.compare(agents, {"long": target}, ["l2sp"], seeds=2, episodes=2, **short)
        ft.search(agents, {"long": target}, ["l2sp"], {"penalty.coef": [1e-3, 1e-2]}, trials=2, seeds=2, **short)
        ft.advise(agents, target)
    assert {row["status"] for row in result.runs} == {"ok"}

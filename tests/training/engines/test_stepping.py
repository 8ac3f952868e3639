"""A training whose environments the host steps is the compiled one: the same random numbers give the same agents."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.algorithms import SMALL

import jaxrl_ft as ft
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.catalogue import resolve_method
from jaxrl_ft.rl import rollout
from jaxrl_ft.rl.algorithm import Stepwise
from jaxrl_ft.training.collect import environments
from jaxrl_ft.training.engines.stepping import Outcome, Stepping
from jaxrl_ft.training.finetune import finetune_together
from jaxrl_ft.training.keys import CARRY, stream_key
from jaxrl_ft.training.spec import Budget, finetune_spec


class SameNumbers:
    """A compiled task, stepped one step at a time by the random numbers that a compiled rollout draws."""

    def __init__(self, spec):
        self.algo, self.tasks = spec.training_algo, environments(spec.task, spec.algo.num_envs)
        self.warm = self.algo.steps_before() // self.algo.steps_per_update()
        self.transition = jax.jit(jax.vmap(jax.vmap(Task.transition, (0, 0, 0, 0)), (None, 0, 0, 0)))

    def reset(self, seeds):
        self.seeds, self.steps = seeds, 0
        start = jax.vmap(
            lambda *s: rollout.start(stream_key(*s, CARRY), self.tasks, self.algo.num_envs), in_axes=(0, 0)
        )
        obs, self.states = start(*map(jnp.asarray, seeds))
        return np.asarray(obs)

    def draws(self, seed, index, number):
        warming = number < 0
        if warming:
            key = jax.random.fold_in(stream_key(seed, index, CARRY), 1)
            keys = (jax.random.split(key, self.warm)[number + self.warm],)
        else:
            keys, _ = self.algo.keys(stream_key(seed, index, number))
        moment, nothing = Moment(0.0, number), Policy({}, {}, ft.MLP())
        behaviour = self.algo.behaviour(keys, self.tasks, nothing, moment, warming=warming)
        return self.tasks.draw(behaviour.key, (self.algo.num_steps, self.algo.num_envs))

    def step(self, action):
        number, step = divmod(self.steps, self.algo.num_steps)
        if step == 0:
            drawn = [self.draws(*map(int, pair), number - self.warm) for pair in zip(*self.seeds)]
            self.drawn = jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)
        draws = jax.tree.map(lambda leaf: leaf[:, step], self.drawn)
        obs, self.states, *rest = self.transition(self.tasks, draws, self.states, jnp.asarray(action))
        self.steps += 1
        return Outcome(*map(np.asarray, (obs, *rest)))

    def returns(self, act, seeds, episodes, point):
        return np.zeros((len(seeds.seeds), episodes))


def both(agents, target, method, budget):
    spec = finetune_spec(agents, target, resolve_method(method), Budget(**budget))
    return (finetune_together([spec], **how)[0] for how in ({}, {"engine": Stepping(SameNumbers(spec))}))


def assert_same_agents(ours, theirs):
    assert theirs.status == ours.status == ("ok",) * ours.num_seeds
    np.testing.assert_array_equal(ours.curve_steps, theirs.curve_steps)
    for name in ("params", "statistics", "opt_state"):
        pairs = zip(jax.tree.leaves(getattr(ours, name)), jax.tree.leaves(getattr(theirs, name)), strict=True)
        for one, other in pairs:
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_host_and_a_program_step_to_the_same_agents(agents, target, finetuned, tiny):
    ours, spec = finetuned("full"), finetune_spec(agents, target, ft.METHODS["full"], Budget(seed=1, **tiny.budget))
    (theirs,) = finetune_together([spec], engine=Stepping(SameNumbers(spec)))
    assert_same_agents(ours, theirs)
    moved = [np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (theirs.params, agents.params)))]
    assert max(moved) > 1e-2
    assert ours.report == theirs.report


NORMALIZING = {"normalize_obs": True, "normalize_reward": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fields", "method"),
    [
        ("ppo", NORMALIZING, "lora"),
        ("ppo", {}, "jump_start"),
        ("ppo", {}, "replay"),
        ("ppo", {}, "soup"),
        ("a2c", {}, "full"),
        ("reinforce", {}, "full"),
        ("pqn", {}, "jump_start"),
        ("dqn", {}, "full"),
        ("dqn", {"prioritized": True, **NORMALIZING}, "kl"),
        ("sac", {"finetune_random_start": 0.5}, "full"),
    ],
)
def test_so_do_all_algorithms_and_axes(source, target, name, fields, method):
    algo = replace(ft.ALGOS[name], **{**SMALL[name], **fields})
    assert isinstance(algo, Stepwise)
    steps = 4 * algo.steps_per_update() + algo.steps_before()
    agents = ft.pretrain(source, algo=algo, network=ft.MLP(width=8), seeds=2, steps=steps, num_evals=2, progress=False)
    steps *= resolve_method(method).population
    assert_same_agents(*both(agents, target, method, {"steps": steps, "num_evals": 2, "eval_episodes": 2}))


@pytest.mark.slow
def test_so_do_continuous_actions():
    source, target = ft.make_task("Pendulum-v1"), ft.make_task("Pendulum-v1", m=1.3)
    algo = ft.SAC(**SMALL["sac"])
    budget = {"steps": 256, "num_evals": 2, "eval_episodes": 2}
    agents = ft.pretrain(source, algo=algo, network=ft.MLP(width=8), seeds=2, progress=False, **budget)
    assert_same_agents(*both(agents, target, "full", budget))

"""Looks at CartPoles of many kinds by one policy, in one small program, and linear worlds."""

from functools import partial

import jax
import numpy as np

import jaxrl_ft as ft
from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.methods.alignment import Experience
from jaxrl_ft.training.keys import seeds_of
from jaxrl_ft.training.preparation.experience import transitions

NETWORK = ft.MLP(width=8)
NUM_ENVS, NUM_STEPS, NUM_LOOKS, MOST = 8, 64, 3, 20


@partial(jax.jit, static_argnums=(0, 1))
def _looks(num_envs, num_steps, policy, tasks, seeds):
    look = partial(transitions.one, num_envs, num_steps, ft.PPO(), policy, number=0)
    return jax.vmap(look)(tasks, seeds)


def looks(params, tasks):
    """For every CartPole the experiences of `NUM_LOOKS` looks at it by a policy of these parameters."""
    # Always as many, so that one program serves all tests.
    padded = [*tasks, *[tasks[0]] * (MOST - len(tasks))]
    stacked = tree.stack([task for task in padded for _ in range(NUM_LOOKS)])
    seeds = seeds_of(0, MOST * NUM_LOOKS)
    first, steps = tree.to_host(_looks(NUM_ENVS, NUM_STEPS, Policy(params, {}, NETWORK), stacked, seeds))
    found = [experience(first[i], tree.take(steps, i)) for i in range(len(tasks) * NUM_LOOKS)]
    return [found[i : i + NUM_LOOKS] for i in range(0, len(found), NUM_LOOKS)]


def experience(first, steps):
    """First observations [N, O] and transitions [T, N, ...] as flat rows."""
    done = (steps.terminated | steps.truncated)[:-1]
    names = ("obs", "action", "next_obs", "reward", "terminated")
    flat = {name: getattr(steps, name).reshape((-1, *getattr(steps, name).shape[2:])) for name in names}
    return Experience(**flat, starts=np.concatenate([first, steps.obs[1:][done]]), num_envs=first.shape[0])


def linear(rng, num, size, actions, starts, continuous=False, slopes=None, pushes=None):
    """Transitions of a linear world, obs' = obs + obs A + b_a, or + u B with continuous actions u."""
    obs = rng.normal(size=(num, size))
    if continuous:
        action = rng.uniform(-1, 1, (num, actions))
        change = obs @ slopes + action @ pushes
    else:
        action = rng.integers(0, actions, num)
        change = obs @ slopes + pushes[action]
    return Experience(obs, action, obs + change, np.ones(num), np.zeros(num, bool), starts)

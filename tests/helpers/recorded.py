"""Episodes as they are recorded, written down without a simulator, and random states of drawn environments."""

import numpy as np

import jaxrl_ft as ft
from jaxrl_ft.envs.cartpole import CartPoleState
from jaxrl_ft.envs.gymnax_worlds.world import WorldState
from jaxrl_ft.training.evaluation.episodes import Outcome, Recording

REACH = {"CartPole": (2.0, 1.0, 0.2, 1.0), "MountainCar": (0.5, 0.05), "Acrobot": (3.0, 3.0, 1.0, 1.0)}
"""How far states go; 3 of others."""


def physics(name):
    task = ft.make_task("CartPole-v1" if name == "CartPole" else name)
    return {key: float(leaf) for key, leaf in task.quantities.items() if np.ndim(leaf) == 0}


def random_motion(name, world, num, seed=0):
    """States [num, D]."""
    reach = next((far for start, far in REACH.items() if name.startswith(start)), 3.0)
    return np.random.default_rng(seed).uniform(-1, 1, (num, world.columns)) * reach


def recording(start, after, lived, action, rewards, terminated):
    steps = len(rewards)
    alive = np.arange(steps) < lived
    returns = np.where(alive, rewards, 0.0).cumsum()
    outcome = Outcome(returns[-1], np.int32(lived), np.bool_(terminated))
    return Recording(start, after, action, alive, returns.astype(np.float32), outcome)


def cartpole(lived, steps=50, terminated=True):
    """An episode of CartPole whose pole leans ever more; it falls in the step after the last."""
    motion = np.zeros((steps + 1, 4), np.float32)
    motion[:, 2] = 0.2 * np.arange(steps + 1) / max(lived - 0.5, 0.5)
    state = [CartPoleState(motion=part, time=0, queue=np.zeros(3)) for part in (motion[0], motion[1:])]
    return recording(*state, lived, np.ones(steps, np.int32), np.ones(steps), terminated)


def game(images, lived, reward=0.5):
    """An episode of a game that shows these images [T + 1, H, W, C]."""
    flat = np.reshape(images, (len(images), -1))
    steps = len(images) - 1
    states = [WorldState(inner=part, obs=part, time=part, cut=part) for part in (flat[0], flat[1:])]
    return recording(*states, lived, np.zeros(steps, np.int32), np.full(steps, reward), False)

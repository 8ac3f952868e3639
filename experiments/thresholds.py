"""What it means to solve an environment of classic control: a mean greedy return, and when agents first reach it."""

import numpy as np

import jaxrl_ft as ft

THRESHOLDS = {
    "CartPole-v1": 475.0,
    "Acrobot-v1": -100.0,
    "MountainCar-v0": -110.0,
    "Pendulum-v1": -200.0,
    "MountainCarContinuous-v0": 90.0,
}


def first_reached(agents: ft.Agents, threshold: float) -> np.ndarray:
    """Env steps [S] of the first point of each curve at or above the threshold; infinite where there is none."""
    reached = agents.curve >= threshold
    steps = np.take_along_axis(agents.curve_steps, reached.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(reached.any(axis=1), steps, np.inf)

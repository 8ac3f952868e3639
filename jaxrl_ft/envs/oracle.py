"""The return of a controller made from a CartPole task's physics, which shows that a shift can be solved.

The controller is a linear-quadratic regulator of the dynamics linearised about upright, discretised as the simulator
steps them and augmented by the queue of delayed actions. It reads the true state, so sensors do not matter to it, and
pushes with full force in the direction the regulator wants. Its cost weights are searched: for each task the best of
a few on one set of episodes is reported on another. NumPy in float64, and no part of the simulator's own step.
"""

import itertools

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.curves import Floats
from jaxrl_ft.envs.cartpole import MAX_DELAY, CartPoleParams
from jaxrl_ft.envs.task import Task

POSITION_WEIGHTS = (0.01, 0.1, 1.0, 10.0)
EFFORT_WEIGHTS = (1e-3, 1e-2, 0.1, 1.0, 10.0)
SEARCH_EPISODES = 32


def oracle_return(task: Task, episodes: int = 200, seed: int = 0) -> Floats:
    """The returns [episodes] of the best controller on fresh episodes.

    Raises:
        ValueError: the task is not a CartPole, or a count or seed is out of range.
    """
    episodes = checks.count("episodes", episodes)
    params = _params(task)
    searching, reporting = np.random.SeedSequence(checks.seed(seed)).spawn(2)
    gain = _best_gain(params, np.random.default_rng(searching))
    start = _starts(params, episodes, np.random.default_rng(reporting))
    returns: Floats = rollout(params, gain[None], start)[0]
    return returns


def oracle_gain(task: Task, seed: int = 0) -> Floats:
    """The gain k [7] of that controller, which pushes right when `k @ (x, x_dot, theta, theta_dot, pushes) > 0`.

    `pushes` are the forces chosen 1, 2 and 3 steps ago in units of the full force: -1 left, 1 right, 0 none.

    Raises:
        ValueError: the task is not a CartPole.
    """
    searching, _ = np.random.SeedSequence(checks.seed(seed)).spawn(2)
    return _best_gain(_params(task), np.random.default_rng(searching))


def regulator(params: CartPoleParams, position_weight: float, effort_weight: float) -> Floats:
    """The gain [7] of the discrete-time linear-quadratic regulator, with errors in units of the thresholds.

    The Riccati equation is solved by structured doubling (Chu, Fan, Lin and Wang 2004,
    doi:10.1080/00207170410001714988).
    """
    transition, control = linearised(params)
    cost = np.zeros(4 + MAX_DELAY)
    cost[[0, 2]] = position_weight / float(params.x_threshold) ** 2, 1 / float(params.theta_threshold) ** 2
    a, g, h = transition, np.outer(control, control) / effort_weight, np.diag(cost)
    identity = np.eye(len(a))
    for _ in range(40):
        solved = np.linalg.solve(identity + g @ h, np.hstack([a, g]))
        left, right = solved[:, : len(a)], solved[:, len(a) :]
        change = a.T @ h @ left
        a, g, h = a @ left, g + a @ right @ a.T, h + change
        if np.max(np.abs(change)) <= 1e-12 * np.max(np.abs(h)):
            break
    return -(control @ h @ transition) / (effort_weight + control @ h @ control)


def linearised(params: CartPoleParams) -> tuple[Floats, Floats]:
    """The matrices A [7, 7] and B [7] of `next = A state + B push` near upright; the last 3 states are the queue."""
    p = {name: float(getattr(params, name)) for name in ("gravity", "cart_mass", "pole_mass", "half_length", "tau")}
    total = p["cart_mass"] + p["pole_mass"]
    inertia = p["half_length"] * (4 / 3 - p["pole_mass"] / total)
    share = p["pole_mass"] * p["half_length"] / total
    acceleration = float(params.force) / total
    step, push = np.eye(4), np.zeros(4)
    step[0, 1] = step[2, 3] = p["tau"]
    step[3, 2] = p["tau"] * p["gravity"] / inertia
    step[1, 2] = -share * step[3, 2]
    push[3] = -p["tau"] * acceleration / inertia
    push[1] = p["tau"] * acceleration - share * push[3]
    delay = int(params.action_delay)
    transition, control = np.zeros((7, 7)), np.zeros(7)
    transition[:4, :4] = step
    transition[[5, 6], [4, 5]] = 1.0
    control[4] = 1.0
    if delay:
        transition[:4, 3 + delay] = push
    else:
        control[:4] = push
    return transition, control


def rollout(params: CartPoleParams, gains: Floats, start: Floats) -> Floats:
    """The returns [C, E] of C controllers, gains [C, 7], from the states start [E, 4]."""
    state = np.broadcast_to(start.T[:, None], (4, len(gains), len(start))).copy()
    queue = np.zeros((MAX_DELAY, *state.shape[1:]))
    alive = np.ones(state.shape[1:], bool)
    returns = np.zeros(alive.shape)
    thresholds = float(params.x_threshold), float(params.theta_threshold)
    for _ in range(int(params.episode_limit)):
        wanted = np.einsum("ci,ice->ce", gains, np.concatenate([state, queue]))
        recent = np.concatenate([np.where(wanted > 0, 1.0, -1.0)[None], queue])
        state, queue = euler(params, state, recent[int(params.action_delay)]), recent[:MAX_DELAY]
        returns += alive
        alive &= (np.abs(state[0]) <= thresholds[0]) & (np.abs(state[2]) <= thresholds[1])
        if not alive.any():
            break
        state = np.where(alive, state, 0.0)
    return returns


def euler(params: CartPoleParams, state: Floats, push: Floats) -> Floats:
    """The motion [4, ...] one step after a push in units of the full force."""
    _, x_dot, theta, theta_dot = state
    pole, length = float(params.pole_mass), float(params.half_length)
    total = pole + float(params.cart_mass)
    sine, cosine = np.sin(theta), np.cos(theta)
    drive = (push * float(params.force) + pole * length * theta_dot**2 * sine) / total
    turn = (float(params.gravity) * sine - cosine * drive) / (length * (4 / 3 - pole * cosine**2 / total))
    rates = np.stack([x_dot, drive - pole * length * turn * cosine / total, theta_dot, turn])
    return state + float(params.tau) * rates


def _best_gain(params: CartPoleParams, generator: np.random.Generator) -> Floats:
    gains = np.stack([regulator(params, *pair) for pair in itertools.product(POSITION_WEIGHTS, EFFORT_WEIGHTS)])
    returns = rollout(params, gains, _starts(params, SEARCH_EPISODES, generator))
    best: Floats = gains[np.argmax(returns.mean(axis=1))]
    return best


def _starts(params: CartPoleParams, episodes: int, generator: np.random.Generator) -> Floats:
    return generator.uniform(-1.0, 1.0, (episodes, 4)) * float(params.reset_range)


def _params(task: Task) -> CartPoleParams:
    if not isinstance(task.env_params, CartPoleParams):
        raise ValueError(f"task: {task.describe()} is not allowed; the oracle knows CartPole alone")
    return task.env_params

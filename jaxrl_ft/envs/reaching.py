"""Whether MountainCar and Acrobot can reach their goal at all, by controllers that pump in energy all the time.

Pushing the way it moves does positive work in every step, which is how both are solved (Sutton and Barto 2018,
Reinforcement Learning, examples 10.1 and 11.3 of the first edition). NumPy in float64, and no part of the simulators'
own steps.
"""

import functools
import math

import numpy as np

from jaxrl_ft.core.curves import Floats

CAR_STARTS = (-0.6, -0.4)
"""Where gymnax starts the car, at rest."""
ACROBOT_STARTS = 0.1
"""Half-width of gymnax's uniform start of each angle (rad) and each speed (rad/s)."""
_GRAVITY = 9.8


@functools.lru_cache(maxsize=4096)
def car_reaches_goal(
    *,
    min_position: float,
    max_position: float,
    max_speed: float,
    goal_position: float,
    goal_velocity: float,
    force: float,
    gravity: float,
    steps: int,
) -> bool:
    """Whether a car that always pushes the way it moves ends an episode within so many steps, from its best start."""
    position = np.tile(np.linspace(*CAR_STARTS, 21), 2)
    speed, push = np.zeros(42), np.repeat([-1.0, 1.0], 21)
    for _ in range(steps):
        push = np.where(position <= min_position, 1.0, np.where(speed == 0, push, np.sign(speed)))
        speed = np.clip(speed + push * force - np.cos(3 * position) * gravity, -max_speed, max_speed)
        position = np.clip(position + speed, min_position, max_position)
        speed = np.where((position == min_position) & (speed < 0), 0.0, speed)
        if np.any((position >= goal_position) & (speed >= goal_velocity)):
            return True
    return False


@functools.lru_cache(maxsize=4096)
def acrobot_swings_up(
    *,
    dt: float,
    link_length_1: float,
    link_mass_1: float,
    link_mass_2: float,
    link_com_pos_1: float,
    link_com_pos_2: float,
    link_moi: float,
    max_vel_1: float,
    max_vel_2: float,
    steps: int,
) -> bool:
    """Whether a torque of 1 N m the way the second link turns ends a quarter of 16 episodes within so many steps.

    A weaker arm gets there from single starts by luck, for the motion is chaotic.
    """
    links = (link_length_1, link_mass_1, link_mass_2, link_com_pos_1, link_com_pos_2, link_moi)
    state = np.random.default_rng(0).uniform(-ACROBOT_STARTS, ACROBOT_STARTS, (4, 16))
    fastest, ended = np.array([[max_vel_1], [max_vel_2]]), np.zeros(16, bool)
    with np.errstate(all="ignore"):
        for _ in range(steps):
            torque = np.where(state[3] >= 0, 1.0, -1.0)
            state = _runge_kutta(state, torque, links, dt)
            state[:2] = (state[:2] + math.pi) % (2 * math.pi) - math.pi
            state[2:] = np.clip(state[2:], -fastest, fastest)
            ended |= -np.cos(state[0]) - np.cos(state[0] + state[1]) > 1.0
            if ended.mean() >= 0.25:
                return True
    return False


def _runge_kutta(state: Floats, torque: Floats, links: tuple[float, ...], dt: float) -> Floats:
    first = _rates(state, torque, links)
    second = _rates(state + dt / 2 * first, torque, links)
    third = _rates(state + dt / 2 * second, torque, links)
    fourth = _rates(state + dt * third, torque, links)
    return state + dt / 6 * (first + 2 * second + 2 * third + fourth)


def _rates(state: Floats, torque: Floats, links: tuple[float, ...]) -> Floats:
    """Time derivatives [4, N] of two angles and two speeds, as in Sutton and Barto's "book" version of Acrobot."""
    length, mass_1, mass_2, com_1, com_2, moi = links
    angle_1, angle_2, speed_1, speed_2 = state
    across = mass_2 * length * com_2
    inertia = mass_1 * com_1**2 + mass_2 * (length**2 + com_2**2) + 2 * across * np.cos(angle_2) + 2 * moi
    coupling = mass_2 * com_2**2 + across * np.cos(angle_2) + moi
    second = mass_2 * com_2 * _GRAVITY * np.sin(angle_1 + angle_2)
    first = -across * np.sin(angle_2) * speed_2 * (speed_2 + 2 * speed_1)
    first += (mass_1 * com_1 + mass_2 * length) * _GRAVITY * np.sin(angle_1) + second
    drive = torque + coupling / inertia * first - across * speed_1**2 * np.sin(angle_2) - second
    turn_2 = drive / (mass_2 * com_2**2 + moi - coupling**2 / inertia)
    turn_1 = -(coupling * turn_2 + first) / inertia
    return np.stack([speed_1, speed_2, turn_1, turn_2])

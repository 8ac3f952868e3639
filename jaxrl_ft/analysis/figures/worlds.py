"""The environments that a report can draw."""

import math
from collections.abc import Mapping

import numpy as np

from jaxrl_ft.analysis.figures.world import UNIT, Chart, Part, World, arrow, turn, unwrapped
from jaxrl_ft.core.curves import Floats


class CartPole(World):
    """A cart on a track with a pole; `motion` is x (m), x_dot (m/s), theta (rad), theta_dot (rad/s)."""

    noun, fields, columns = "cart-pole", ("motion",), 4
    wide, high = 50.0, 26.0
    """Of the cart, on whose top the hinge is."""
    base = -high

    def __init__(self, physics: Mapping[str, float]) -> None:
        self._physics = physics
        self._length = 2.0 * physics["half_length"]
        self._x_limit, self._theta_limit = physics["x_threshold"], physics["theta_threshold"]
        self.tau = physics["tau"]
        half, height = self._x_limit * UNIT + 45.0, self._length * UNIT + self.high + 90.0
        self.box = (-half, -height + 22.5, 2.0 * half, height)

    def outline(self, motion: Floats) -> Floats:
        """The hinge, at height zero, and the end of the pole, which leans to the right by theta."""
        x, theta = motion[:, 0], motion[:, 2]
        hinge = np.stack([x, np.zeros_like(x)], axis=-1)
        return np.stack([hinge, hinge + self._length * np.stack([np.sin(theta), np.cos(theta)], axis=-1)], axis=1)

    def parts(self, motion: Floats) -> list[Part]:
        """The cart, and the pole on it."""
        still = np.zeros(1)
        return [
            Part("body", UNIT * motion[:, 0], np.array([-self.high]), still),
            Part("swing", still, still, np.degrees(motion[:, 2])),
        ]

    def ground(self) -> str:
        """The track and its ends."""
        left, top, width, _ = self.box
        ends = "".join(
            f'<path class="limit" d="M{side * self._x_limit * UNIT:.1f} 0V{top + 22.5:.1f}"/>' for side in (-1, 1)
        )
        return f'<path class="track" d="M{left:.1f} 0H{left + width:.1f}"/>{ends}'

    def body(self) -> str:
        """The cart with the arrow of its motor, and the pole."""
        half = self.wide / 2.0
        return (
            f'<g class="body"><rect class="cart" x="{-half}" y="0" width="{self.wide}" height="{self.high}" rx="4"/>'
            f"{arrow(half + 6.0, self.high / 2.0)}"
            f'<g class="swing"><path class="pole" stroke-width="9" d="M0 0V{-self._length * UNIT:.1f}"/></g>'
            '<circle class="hinge" r="4"/></g>'
        )

    def push(self, actions: Floats) -> Floats:
        """The motor's force; flipped actions push the other way, and delayed ones begin later."""
        pushed = 2.0 * (1.0 - actions if self._physics["flip_actions"] > 0 else actions) - 1.0
        delay = min(int(self._physics["action_delay"]), len(pushed))
        return np.concatenate([np.zeros(delay), pushed[: len(pushed) - delay]])

    def chart(self, motion: Floats) -> Chart:
        """The angle of the pole, between those at which an episode ends."""
        limit = math.degrees(self._theta_limit)
        lines = [("limit", limit, f"{limit:.0f}°"), ("middle", 0.0, "0°"), ("limit", -limit, f"-{limit:.0f}°")]
        return Chart("angle of the pole", np.degrees(motion[:, 2]), -1.1 * limit, 1.1 * limit, lines)

    def verdict(self, motion: Floats) -> tuple[bool, str]:
        """Whether the pole fell or the cart left the track."""
        x, theta = abs(motion[-1, 0]), abs(motion[-1, 2])
        if theta > self._theta_limit:
            return True, "fell after"
        return (True, "left the track after") if x > self._x_limit else (False, "still up after")


class Acrobot(World):
    """Two links that hang from a pivot; `motion` is both angles (rad) and their speeds (rad/s), zero hanging down.

    Both links are drawn with a length of one, since the environment's goal counts them so whatever their physics.
    """

    noun, fields, columns = "acrobot", ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"), 4
    goal = 1.0
    """The height of the tip above the pivot at which an episode ends."""

    def __init__(self, physics: Mapping[str, float]) -> None:
        self.tau = physics["dt"]
        self.box = (-2.4 * UNIT, -2.25 * UNIT, 4.8 * UNIT, 4.5 * UNIT)

    def outline(self, motion: Floats) -> Floats:
        """The pivot, the elbow and the tip; positive angles are counter-clockwise."""
        first, second = motion[:, 0], motion[:, 0] + motion[:, 1]
        elbow = np.stack([np.sin(first), -np.cos(first)], axis=-1)
        tip = elbow + np.stack([np.sin(second), -np.cos(second)], axis=-1)
        return np.stack([np.zeros_like(elbow), elbow, tip], axis=1)

    def parts(self, motion: Floats) -> list[Part]:
        """The first link, and the second on it."""
        first, second = (unwrapped(motion[:, angle], motion[:, angle + 2], self.tau) for angle in (0, 1))
        still = np.zeros(1)
        return [
            Part("first", still, still, -np.degrees(first)),
            Part("second", still, np.array([UNIT]), -np.degrees(second)),
        ]

    def ground(self) -> str:
        """The height to be reached, and the pivot."""
        left, _, width, _ = self.box
        return f'<path class="goal" d="M{left} {-self.goal * UNIT}H{left + width}"/><circle class="mount" r="9"/>'

    def body(self) -> str:
        """Both links, with the arrow of the torque at the elbow."""
        link = f'<path class="pole" stroke-width="14" d="M0 0V{UNIT}"/><circle class="hinge" r="4"/>'
        return f'<g class="first">{link}<g class="second">{link}{turn(34.0)}</g></g>'

    def push(self, actions: Floats) -> Floats:
        """The torque on the second link, counter-clockwise for 1."""
        return actions - 1.0

    def chart(self, motion: Floats) -> Chart:
        """The height of the tip."""
        lines = [("goal", self.goal, "goal"), ("middle", 0.0, "pivot"), ("middle", -2.0, "bottom")]
        return Chart("height of the tip", self.outline(motion)[:, -1, 1], -2.2, 2.2, lines)

    def verdict(self, motion: Floats) -> tuple[bool, str]:
        """Whether the tip came above the line."""
        over = self.outline(motion[-1:])[0, -1, 1] > self.goal
        return False, "above the line after" if over else "not above the line after"


class MountainCar(World):
    """A car in a valley; `motion` is its position and its speed, the ground's height `rise` sin(3 x)."""

    noun, fields, columns, timed = "car in a valley", ("position", "velocity"), 2, False
    tau = 1.0 / 30.0
    rise = 0.45
    """As Gymnasium draws it; the environment gives the slope of the ground, but not its height."""

    def __init__(self, physics: Mapping[str, float]) -> None:
        self._left, self._right = physics["min_position"], physics["max_position"]
        self._goal, self._speed = physics["goal_position"], physics["goal_velocity"]
        self.scale = 540.0 / (self._right - self._left)
        height = self.rise * self.scale
        self.box = (self._left * self.scale - 30.0, -height - 75.0, 600.0, 2.0 * height + 95.0)

    def outline(self, motion: Floats) -> Floats:
        """The point of the ground that the car is on."""
        x = motion[:, 0]
        return np.stack([x, self.rise * np.sin(3.0 * x)], axis=-1)[:, None]

    def parts(self, motion: Floats) -> list[Part]:
        """The car, along the ground."""
        place = self.scale * self.outline(motion)[:, 0]
        slope = 3.0 * self.rise * np.cos(3.0 * motion[:, 0])
        return [Part("body", place[:, 0], -place[:, 1], -np.degrees(np.arctan(slope)))]

    def ground(self) -> str:
        """The hill and the flag."""
        x = np.linspace(self._left, self._right, 121)
        points = self.scale * self.outline(np.stack([x, x], axis=-1))[:, 0]
        (flag,) = self.scale * self.outline(np.array([[self._goal, 0.0]]))[:, 0]
        hill = " ".join(f"{a:.1f},{-b:.1f}" for a, b in points)
        return (
            f'<polyline class="track" fill="none" points="{hill}"/>'
            f'<path class="mast" d="M{flag[0]:.1f} {-flag[1]:.1f}v-60"/>'
            f'<path class="flag" d="M{flag[0]:.1f} {-flag[1] - 60.0:.1f}l26 9l-26 9z"/>'
        )

    def body(self) -> str:
        """The car with the arrow of its motor."""
        wheels = "".join(f'<circle class="wheel" cx="{x}" cy="-6" r="6"/>' for x in (-12, 12))
        return (
            '<g class="body"><path class="cart" d="M-22 -8v-9q0 -3 3 -3h6l6 -9h12l7 9h7q3 0 3 3v9z"/>'
            f"{wheels}{arrow(28.0, -14.0)}</g>"
        )

    def push(self, actions: Floats) -> Floats:
        """The motor's force, to the right for 1."""
        return actions - 1.0

    def chart(self, motion: Floats) -> Chart:
        """The position of the car."""
        bottom = -math.pi / 6.0
        lines = [("goal", self._goal, "flag"), ("middle", bottom, "valley")]
        room = 0.05 * (self._right - self._left)
        return Chart("position of the car", motion[:, 0], self._left - room, self._right + room, lines)

    def verdict(self, motion: Floats) -> tuple[bool, str]:
        """Whether the car is at the flag, and fast enough."""
        there = motion[-1, 0] >= self._goal and motion[-1, 1] >= self._speed
        return False, "at the flag after" if there else "not at the flag after"


class MountainCarContinuous(MountainCar):
    """A car in a valley whose motor has any force from -1 to 1."""

    def push(self, actions: Floats) -> Floats:
        """The motor's force, to the right above zero."""
        return np.clip(actions, -1.0, 1.0)


class Pendulum(World):
    """A rod on a motor, drawn with a length of one; `motion` is its angle (rad), zero upright, and speed (rad/s)."""

    noun, fields, columns = "pendulum", ("theta", "theta_dot"), 2
    upright = math.radians(15.0)
    """Angles that count as upright."""

    def __init__(self, physics: Mapping[str, float]) -> None:
        self._torque = physics["max_torque"]
        self.tau = physics["dt"]
        self.box = (-1.5 * UNIT, -1.25 * UNIT, 3.0 * UNIT, 2.5 * UNIT)

    def outline(self, motion: Floats) -> Floats:
        """The pivot and the tip; positive angles are counter-clockwise."""
        theta = motion[:, 0]
        tip = np.stack([-np.sin(theta), np.cos(theta)], axis=-1)
        return np.stack([np.zeros_like(tip), tip], axis=1)

    def parts(self, motion: Floats) -> list[Part]:
        """The rod."""
        still = np.zeros(1)
        return [Part("swing", still, still, -np.degrees(motion[:, 0]))]

    def ground(self) -> str:
        """Where upright is."""
        return f'<path class="goal" d="M0 0V{-1.2 * UNIT}"/>'

    def body(self) -> str:
        """The rod, and the arrow of the torque around its pivot."""
        rod = f'<g class="swing"><path class="pole" stroke-width="16" d="M0 0V{-UNIT}"/></g>'
        return f'{rod}<circle class="mount" r="9"/>{turn(70.0)}'

    def push(self, actions: Floats) -> Floats:
        """The torque as a share of the largest, counter-clockwise above zero."""
        return np.clip(actions / self._torque, -1.0, 1.0)

    def chart(self, motion: Floats) -> Chart:
        """The height of the tip."""
        lines = [("goal", 1.0, "upright"), ("middle", 0.0, "level"), ("middle", -1.0, "down")]
        return Chart("height of the tip", np.cos(motion[:, 0]), -1.15, 1.15, lines)

    def verdict(self, motion: Floats) -> tuple[bool, str]:
        """In how many steps the rod is upright."""
        away = np.abs(np.remainder(motion[1:, 0] + np.pi, 2.0 * np.pi) - np.pi)
        return False, f"within 15° of upright in {int((away < self.upright).sum())} of"


WORLDS: Mapping[str, type[World]] = {
    "CartPole": CartPole,
    "Acrobot-v1": Acrobot,
    "MountainCar-v0": MountainCar,
    "MountainCarContinuous-v0": MountainCarContinuous,
    "Pendulum-v1": Pendulum,
}
"""By the name of the simulator."""

"""The named changes of Acrobot, the two mountain cars and Pendulum, and those that several environments share.

What can be reached on each, and what agents of the source reach untouched, stands in the README of this folder.
"""

from jaxrl_ft.envs.shifts import SHIFTS, Shift

ACROBOT, CAR, CAR_CONTINUOUS, PENDULUM = ("Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1")
CLASSIC = (ACROBOT, CAR, CAR_CONTINUOUS, PENDULUM)
GAMES = tuple(f"{game}-MinAtar" for game in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders"))
_CARS, _ALL = (CAR, CAR_CONTINUOUS), (*CLASSIC, *GAMES)


def _add(name: str, environments: tuple[str, ...] | str, text: str, **physics: object) -> None:
    ids = (environments,) if isinstance(environments, str) else environments
    SHIFTS.add(name, Shift(physics, environments=ids), text)


_add("sticky-actions", _ALL, "in a quarter of all steps the last action acts once more", sticky_actions=0.25)
_add("stickier-actions", _ALL, "in half of all steps the last action acts once more", sticky_actions=0.5)
_add("doubled-steps", _ALL, "every action acts twice", frame_skip=2)
_add("mirrored-actions", _ALL, "actions in reverse order, or mirrored within their bounds", flip_actions=True)
_add("late-actions", _ALL, "every action takes effect 2 steps late", action_delay=2)
_add("very-late-actions", _ALL, "every action takes effect 6 steps late", action_delay=6)
_add("cycled-actions", (ACROBOT, CAR, GAMES[1], GAMES[2]), "three actions, each in the place of the one before it",
     action_permutation=(1, 2, 0))  # fmt: skip
_add("negative-sensors", _ALL, "every sensor times -1", obs_scale=-1.0)
_add("faint-sensors", _ALL, "every sensor times 0.1", obs_scale=0.1)

_add("heavy-forearm", ACROBOT, "a second link twice as heavy", link_mass_2=2.0)
_add("light-arm", ACROBOT, "both links half as heavy", link_mass_1=0.5, link_mass_2=0.5)
_add("long-upper-arm", ACROBOT, "a first link 1.5 times as long", link_length_1=1.5, link_com_pos_1=0.75)
_add("low-forearm", ACROBOT, "the second link's centre of mass further out", link_com_pos_2=0.8)
_add("inert-arm", ACROBOT, "links with 2.5 times the moment of inertia", link_moi=2.5)
_add("shaky-torque", ACROBOT, "uniform noise of 0.5 N m on the torque", torque_noise_max=0.5)
_add("quick-controller", ACROBOT, "an action every 0.1 s, twice as often", dt=0.1)
_add("permuted-arm-sensors", ACROBOT, "the second joint's sensors where the first one's were, and back",
     obs_permutation=(2, 3, 0, 1, 5, 4))  # fmt: skip
_add("biased-arm-sensors", ACROBOT, "a constant offset on every sensor", obs_offset=(0.0, 1.0, 0.0, -1.0, 2.0, -2.0))
_add("backward-arm-gyroscopes", ACROBOT, "both angular velocities times -1", obs_scale=(1.0, 1.0, 1.0, 1.0, -1.0, -1.0))
_add("noisy-arm-sensors", ACROBOT, "normal noise of 0.2 on every sensor", obs_noise=0.2)

_add("steeper-hill", _CARS, "gravity 1.12 times as strong", gravity=0.0028)
_add("gentle-hill", _CARS, "gravity 0.8 times as strong", gravity=0.002)
_add("nearer-goal", _CARS, "a goal at 0.3", goal_position=0.3)
_add("further-goal", _CARS, "a goal at the end of the road", goal_position=0.6)
_add("short-road", _CARS, "a wall on the left at -1", min_position=-1.0)
_add("swapped-car-sensors", _CARS, "the speed where the position was, and back", obs_permutation=(1, 0))
_add("backward-speedometer", _CARS, "the speed times -1", obs_scale=(1.0, -1.0))
_add("biased-speedometer", _CARS, "0.04 on top of the speed", obs_offset=(0.0, 0.04))
_add("very-biased-speedometer", _CARS, "0.1 on top of the speed, more than the car ever has", obs_offset=(0.0, 0.1))
_add("noisy-car-sensors", _CARS, "normal noise of 0.02 on both sensors", obs_noise=0.02)
_add("weak-car", CAR, "0.8 times the force", force=0.0008)
_add("strong-car", CAR, "twice the force", force=0.002)
_add("weak-engine", CAR_CONTINUOUS, "0.7 times the power", power=0.00105)
_add("weaker-engine", CAR_CONTINUOUS, "half of the power", power=0.00075)

_add("heavy-bob", PENDULUM, "1.3 times the mass", m=1.3)
_add("light-bob", PENDULUM, "half of the mass", m=0.5)
_add("short-pendulum", PENDULUM, "0.7 times the length", l=0.7)
_add("long-pendulum", PENDULUM, "1.5 times the length", l=1.5)
_add("low-gravity", PENDULUM, "half of the gravity", g=5.0)
_add("high-gravity", PENDULUM, "1.5 times the gravity", g=15.0)
_add("strong-torque", PENDULUM, "twice the torque", max_torque=4.0)
_add("tilted-sensors", PENDULUM, "the sine where the cosine was, and back", obs_permutation=(1, 0, 2))
_add("upside-down-sensors", PENDULUM, "sine and cosine times -1, as of the other side", obs_scale=(-1.0, -1.0, 1.0))
_add("backward-gyroscope", PENDULUM, "the angular velocity times -1", obs_scale=(1.0, 1.0, -1.0))
_add("biased-pendulum-sensors", PENDULUM, "a constant offset on every sensor", obs_offset=(0.5, 0.5, 2.0))
_add("noisy-pendulum-sensors", PENDULUM, "normal noise of 0.1 on every sensor", obs_noise=0.1)

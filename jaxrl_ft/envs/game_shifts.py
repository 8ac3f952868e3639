"""The named changes of MinAtar, beside those that it shares with classic control."""

from collections.abc import Callable

import numpy as np

from jaxrl_ft.envs.classic_shifts import GAMES
from jaxrl_ft.envs.shifts import SHIFTS, Shift

_SIDE = 10
"""Pixels along each side of a screen."""
_CHANNELS = {"Asterix-MinAtar": 4, "Breakout-MinAtar": 4, "Freeway-MinAtar": 7, "SpaceInvaders-MinAtar": 6}
_SAME_SCREEN = ("Asterix-MinAtar", "Breakout-MinAtar")


def _add(name: str, text: str, environments: tuple[str, ...] = GAMES, **physics: object) -> None:
    SHIFTS.add(name, Shift(physics, environments=environments), text)


def _moved(id: str, move: Callable[[np.ndarray], np.ndarray]) -> tuple[int, ...]:
    """The order of a screen's entries after its pixels or channels have moved."""
    entries = np.arange(_SIDE * _SIDE * _CHANNELS[id]).reshape((_SIDE, _SIDE, _CHANNELS[id]))
    return tuple(move(entries).ravel().tolist())


_add("rarely-sticky-actions", "in a tenth of all steps the last action acts once more", sticky_actions=0.1)
_add("seldom-sticky-actions", "in a fiftieth of all steps the last action acts once more", sticky_actions=0.02)
_add("hardly-sticky-actions", "in a hundredth of all steps the last action acts once more", sticky_actions=0.01)
_add("just-late-actions", "every action takes effect 1 step late", action_delay=1)
_add("speckled-screen", "normal noise of 0.1 on every pixel", obs_noise=0.1)
_add("faintly-speckled-screen", "normal noise of 0.01 on every pixel", obs_noise=0.01)
_add("lightly-speckled-screen", "normal noise of 0.03 on every pixel", obs_noise=0.03)
_add("noisy-screen", "normal noise of 1 on every pixel", obs_noise=1.0)
_add("bright-screen", "every pixel times 2", obs_scale=2.0)
_add("brighter-screen", "every pixel times 4", obs_scale=4.0)
_add("dim-screen", "every pixel times 0.8", obs_scale=0.8)
_add("dimmer-screen", "every pixel times 0.6", obs_scale=0.6)
_add("pale-screen", "0.02 on top of every pixel", obs_offset=0.02)
_add("grey-screen", "0.1 on top of every pixel", obs_offset=0.1)
_add("inverted-screen", "pixels that were 0 are 1, and back", obs_scale=-1.0, obs_offset=1.0)
_add(
    "cycled-commands",
    "four actions, each in the place of the one before it",
    ("SpaceInvaders-MinAtar",),
    action_permutation=(1, 2, 3, 0),
)
for _suffix, _ids in (("screen", _SAME_SCREEN), ("space", ("SpaceInvaders-MinAtar",)), ("road", ("Freeway-MinAtar",))):
    _first = _ids[0]
    _add(f"mirrored-{_suffix}", "left on the right, and back", _ids, obs_permutation=_moved(_first, np.fliplr))
    _add(f"inverse-{_suffix}", "top at the bottom, and back", _ids, obs_permutation=_moved(_first, np.flipud))
    _add(
        f"swapped-{_suffix}",
        "every channel in the place of the one before it",
        _ids,
        obs_permutation=_moved(_first, lambda entries: np.roll(entries, -1, axis=-1)),
    )

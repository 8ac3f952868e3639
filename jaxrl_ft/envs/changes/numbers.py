"""The numbers of the changes that every task can have, whatever its environment."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import config
from jaxrl_ft.core.types import EnvParams, Leaf
from jaxrl_ft.envs.quantities import Quantity, entries_of, permutation, switch
from jaxrl_ft.envs.simulator import ActionSpace, Box

MOST_DELAY, MOST_SKIP = 8, 64


@config
class Changes:
    """What lies between a policy with O sensors and A actions and its environment: NumPy leaves of fixed shape.

    Attributes:
        obs_scale: [O], factor of each entry of an observation.
        obs_offset: [O], added to each scaled entry.
        obs_permutation: [O] int32, which entry each one shows.
        obs_noise: standard deviation of the normal noise on each entry.
        flip_actions: 1 when discrete actions are in reverse order, or continuous ones mirrored within their bounds.
        action_permutation: [A] int32, what each discrete action, or each entry of a continuous one, stands for.
        action_scale: [A], factor of each entry of a continuous action, before the bounds; None of discrete ones.
        action_delay: steps before an action takes effect (int32).
        idle_action: what acts until the first one does: the number of an action, or a vector [A].
        sticky_actions: chance in each step of the environment that the last action acts once more, instead of the
            chosen one (Machado et al. 2018, arXiv:1709.06009, section 5).
        reward_scale: factor of every reward.
    """

    obs_scale: Leaf
    obs_offset: Leaf
    obs_permutation: Leaf
    obs_noise: Leaf
    flip_actions: Leaf
    action_permutation: Leaf
    action_scale: Leaf | None
    action_delay: Leaf
    idle_action: Leaf
    sticky_actions: Leaf
    reward_scale: Leaf


@config
class ChangedParams:
    """The physics of an environment, and the changes around it."""

    world: EnvParams
    changes: Changes


NAMES = tuple(field.name for field in dataclasses.fields(Changes))


def changes_of(id: str, obs_size: int, space: ActionSpace, given: Mapping[str, object]) -> Changes:
    """The changes of a task: those given, and none for the rest.

    Args:
        id: of the environment, for messages.
        obs_size: O.
        space: its actions.
        given: values by name; one number stands for all entries of `obs_scale`, `obs_offset` and `action_scale`.

    Raises:
        ValueError: an unknown name, a value that is not allowed, or one that fits no such actions.
    """
    for name in given:
        if name not in NAMES:
            raise checks.unknown(f"{id} quantity", name, NAMES)
    continuous = isinstance(space, Box)
    size = space.size if isinstance(space, Box) else space.num_actions
    if not continuous and given.get("action_scale") is not None:
        raise ValueError(f"action_scale: is not allowed for {id}, whose actions are discrete")

    def leaf(name: str, default: float, low: float, high: float, entries: int = 0, whole: bool = False) -> np.ndarray:
        value = given.get(name, default)
        if entries == 1:
            inside = entries_of(value)
            value = inside[0] if len(inside) == 1 else value
        found = Quantity(default, low, high, size=max(entries, 1), whole=whole).leaf(name, value)
        return np.broadcast_to(found, (entries,)).copy() if entries else found

    scale = leaf("obs_scale", 1.0, -100.0, 100.0, obs_size)
    if not np.any(scale):
        raise ValueError("obs_scale: 0 is not allowed for every entry; one at least must show something")
    reward_scale = leaf("reward_scale", 1.0, -1e6, 1e6)
    if reward_scale == 0:
        raise ValueError("reward_scale: 0 is not allowed; nothing could be learned")
    return Changes(
        obs_scale=scale,
        obs_offset=leaf("obs_offset", 0.0, -100.0, 100.0, obs_size),
        obs_permutation=permutation("obs_permutation", given.get("obs_permutation", range(obs_size)), obs_size),
        obs_noise=leaf("obs_noise", 0.0, 0.0, 100.0),
        flip_actions=switch("flip_actions", given.get("flip_actions", False)),
        action_permutation=permutation("action_permutation", given.get("action_permutation", range(size)), size),
        action_scale=leaf("action_scale", 1.0, -100.0, 100.0, size) if continuous else None,
        action_delay=leaf("action_delay", 0, 0, MOST_DELAY, whole=True),
        idle_action=leaf("idle_action", 0.0, -1e6, 1e6, size)
        if continuous
        else leaf("idle_action", 0, 0, size - 1, whole=True),
        sticky_actions=leaf("sticky_actions", 0.0, 0.0, 0.99),
        reward_scale=reward_scale,
    )


def steps_in_one(value: object) -> int:
    """The steps of the environment in one of the task.

    Raises:
        ValueError: not a whole number from 1 to 64.
    """
    entries = entries_of(value)
    return checks.count("frame_skip", entries[0] if len(entries) == 1 else value, 1, MOST_SKIP)

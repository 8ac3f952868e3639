"""Tasks that something else than a compiled program steps, such as Gymnasium."""

from collections.abc import Mapping

import numpy as np

from jaxrl_ft.envs.outside.outline import OutsideParams, name_of
from jaxrl_ft.envs.simulator import ActionSpace, Box
from jaxrl_ft.envs.task import Task


def outside_task(id: str, shapes: Mapping[str, tuple[int, ...]], actions: ActionSpace, episode_limit: int) -> Task:
    """The task of an environment that is stepped outside of compiled programs.

    Args:
        id: what to call it.
        shapes: of the parts of an observation, by name.
        actions: which it takes.
        episode_limit: the most steps an episode has.

    Raises:
        ValueError: observations, actions, bounds or a limit that are none.
    """
    none = np.zeros(0, np.float32)
    low, high = (actions.low, actions.high) if isinstance(actions, Box) else (none, none)
    params = OutsideParams(low=low, high=high, episode_limit=np.asarray(episode_limit, np.int32))
    return Task(simulator=name_of(id, shapes, actions), env_params=params).checked()

"""What policies see: the data of compressions that look at a policy's behaviour."""

import numpy as np

from jaxrl_ft.deploy.compression.base import Given
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.keys import seeds_of
from jaxrl_ft.training.preparation.experience import num_rollouts, source_rows


def spent(given: Given, steps: int) -> int:
    """Env steps that each agent takes to see at least so many observations."""
    algo = given.agents.algo
    return num_rollouts(algo, steps) * int(algo.steps_per_update())


def seen(given: Given, agents: Agents, steps: int, number: int) -> np.ndarray:
    """Observations [S, M, O] of at least so many env steps of policies that act by samples, as in training.

    Args:
        given: where, and the seed.
        agents: whose policies act.
        steps: env steps of each.
        number: of the look; equal numbers have equal random numbers.
    """
    num = agents.num_seeds
    seeds = seeds_of(given.seed, num, numbers=np.arange(num) + number * num)
    return np.asarray(source_rows(agents.algo, agents.policies, given.task, seeds, steps).obs)

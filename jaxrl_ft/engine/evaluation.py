"""Evaluation of agents on any task of their sizes."""

from typing import Any

import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.engine import specs, training
from jaxrl_ft.engine.agents import Agents
from jaxrl_ft.envs.task import Task


def evaluate(agents: Agents, task: Task, *, episodes: int = 100, greedy: bool = True, seed: int = 2) -> np.ndarray:
    """Undiscounted episode returns, [S, E].

    Episode e of agent i meets the same start and the same noise on every task and with every method.

    Args:
        agents: S agents.
        task: the task; observations and actions must have the agents' sizes.
        episodes: E.
        greedy: take the most probable action instead of a sample.
        seed: of the starts and the noise; 0 <= seed < 2^32.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    specs.check_sizes(agents, task)
    checks.count("episodes", episodes)
    checks.choice("greedy", greedy, (True, False))
    checks.seed(seed)
    policy: Any = Policy(agents.params, agents.statistics, agents.network)
    tasks = tree.repeat(task, agents.num_seeds)
    seeds = training.seeds_of(seed, agents.num_seeds)
    return training.evaluate_runs(
        agents.algo, policy, tasks, seeds, episodes, greedy, training.FINAL_STREAM
    ).episode_return

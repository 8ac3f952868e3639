"""Evaluation of agents on any task of their sizes, or on many at once."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.compatibility import check_sizes
from jaxrl_ft.training.evaluation.outcomes import EVAL_BLOCK, evaluate_each, evaluate_runs
from jaxrl_ft.training.keys import FINAL_STREAM, seeds_of
from jaxrl_ft.training.progress.bars import counting_bar

EPISODES = 100
"""Episodes on a task by default."""


def evaluate(
    agents: Agents,
    task: Task | Sequence[Task],
    *,
    episodes: int | None = None,
    greedy: bool = True,
    seed: int = 2,
    progress: bool = True,
) -> np.ndarray:
    """Undiscounted episode returns, [S, E].

    Episode e of agent i meets the same start and the same noise on every task and with every method. An agent whose
    parameters or statistics are not finite acts, but has no score: its returns are NaN, and a warning names it.

    Args:
        agents: S agents.
        task: the task, or a sequence of E tasks, as drawn from a distribution: episode e is played on the e-th, all
            of them side by side. Observations and actions must have the agents' sizes.
        episodes: E, 100 by default; with a sequence of tasks, their number.
        greedy: take the most probable action instead of a sample.
        seed: of the starts and the noise; 0 <= seed < 2^32.
        progress: show a bar on stderr where that is a terminal, and in a notebook, if there are many episodes.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    checks.switch("progress", progress)
    num = len(_checked(agents, task, episodes)) if isinstance(task, (list, tuple)) else _counted(episodes)
    with counting_bar(progress and num > EVAL_BLOCK, "evaluating", num) as done:
        returns = episode_returns(agents, task, episodes=episodes, greedy=greedy, seed=seed, done=done)
    broken = np.flatnonzero(~tree.finite_runs((agents.params, agents.statistics), agents.num_seeds))
    if broken.size:
        named = ", ".join(map(str, broken))
        warnings.warn(f"agents: not finite: {named} of {agents.num_seeds}; their returns are NaN", stacklevel=2)
    return returns


def episode_returns(
    agents: Agents,
    task: Task | Sequence[Task],
    *,
    episodes: int | None = None,
    greedy: bool = True,
    seed: int = 2,
    done: Callable[[int], None] | None = None,
) -> np.ndarray:
    """What `evaluate` returns, without the warning: for callers that say themselves which agents are not finite.

    Args:
        agents: as in `evaluate`.
        task: as in `evaluate`.
        episodes: as in `evaluate`.
        greedy: as in `evaluate`.
        seed: as in `evaluate`.
        done: called with the number of episodes of each agent that have ended.
    """
    each = _checked(agents, task, episodes)
    num_episodes = _counted(episodes)
    checks.switch("greedy", greedy)
    checks.seed(seed)
    seeds, stream = seeds_of(seed, agents.num_seeds), FINAL_STREAM
    if not isinstance(task, Task):
        outcome = evaluate_each(agents.algo, agents.policies, tree.stack(each), seeds, greedy, stream, done)
        return np.asarray(outcome.episode_return)
    tasks = tree.repeat(task, agents.num_seeds)
    outcome = evaluate_runs(agents.algo, agents.policies, tasks, seeds, num_episodes, greedy, stream, done=done)
    return np.asarray(outcome.episode_return)


def _counted(episodes: int | None) -> int:
    return checks.count("episodes", EPISODES if episodes is None else episodes)


def _checked(agents: Agents, given: PyTree, episodes: int | None) -> list[Task]:
    """The task, or those of a sequence, each of the agents' sizes and all of one simulator.

    Raises:
        ValueError: one of them is not, there is none, or `episodes` is another number than that of a sequence.
    """
    sequence = isinstance(given, (list, tuple))
    tasks = list(given) if sequence else [given]
    for task in tasks:
        check_sizes(agents, task)
    if len({task.simulator for task in tasks}) > 1:
        widened = [task.widened() for task in tasks]
        tasks = widened if len({task.simulator for task in widened}) == 1 else tasks
    simulators = sorted({task.simulator for task in tasks})
    if len(simulators) != 1:
        found = f"those of {' and '.join(simulators)}" if simulators else "an empty sequence"
        raise ValueError(f"task: {found} is not allowed; it must be tasks of one environment")
    if sequence and episodes not in (None, len(tasks)):
        raise ValueError(
            f"episodes: {checks.shown(episodes)} is not allowed; it must be left out, or {len(tasks)}, one on each"
        )
    return tasks

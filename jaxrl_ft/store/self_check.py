"""How far imported agents are from what the library that trained them does in the same observations."""

import numpy as np

from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.training.agents import Agents, scores
from jaxrl_ft.training.evaluation.evaluate import evaluate
from jaxrl_ft.training.gymnasium.episodes import gymnasium_returns

EPISODES, CHANCE = 50, 4.0
"""Episodes that are played in either world, and standard errors beyond which a difference of means is told."""


def checked(expected: PyTree, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """The observations [B, O] and the greedy actions [B] or [B, A] of another library.

    Raises:
        ValueError: they are no such pair for the task.
    """
    try:
        obs, actions = (np.asarray(part) for part in expected)
    except (TypeError, ValueError):
        raise ValueError("expected: must be a pair of observations [B, O] and actions [B, ...]") from None
    size, space = task.obs_size, task.action_space
    if obs.ndim != 2 or obs.shape[1] != size or not len(obs) or not np.isfinite(obs).all():
        raise ValueError(f"expected: observations of shape {obs.shape} are not allowed; it must be finite [B, {size}]")
    if isinstance(space, Box):
        return obs, _actions(actions, (len(obs), space.size))
    actions = _actions(actions, (len(obs),))
    if actions.min() < 0 or actions.max() >= space.num_actions or np.any(actions != np.round(actions)):
        raise ValueError(f"expected: actions must be whole numbers from 0 to {space.num_actions - 1}")
    return obs, actions.astype(int)


def compared(agents: Agents, expected: tuple[np.ndarray, np.ndarray], tolerance: float) -> str:
    """How far outputs are apart, in words.

    Args:
        agents: the imported ones.
        expected: as `checked` returns it.
        tolerance: the largest difference that is let through: of continuous actions; of discrete ones that of the
            scores of two actions of which either may then be the highest.

    Raises:
        ValueError: outputs are further apart.
    """
    compare = _continuous if isinstance(agents.task.action_space, Box) else _discrete
    return compare(agents, *expected, tolerance)


def played(agents: Agents, env: PyTree) -> str:
    """Greedy returns of the first agent in a Gymnasium environment and on its task, in words.

    Args:
        agents: the imported ones.
        env: as `gymnasium_returns` takes it.

    Raises:
        ValueError: the environment's observations or actions have not the agents' sizes.
    """
    first = agents.select(np.array([0]))
    there = gymnasium_returns(first, env, episodes=EPISODES)[0]
    here = evaluate(first, first.task, episodes=EPISODES)[0]
    error = float(np.sqrt((there.var() + here.var()) / EPISODES))
    gap = float(there.mean() - here.mean())
    told = "no more than chance" if abs(gap) <= CHANCE * error + 1e-6 * abs(here.mean()) else "more than chance"
    return (
        f"gymnasium: mean return {there.mean():.4g} there and {here.mean():.4g} on {first.task.id}, {EPISODES} greedy "
        f"episodes each; {abs(gap):.2g} apart, {told} (standard error {error:.2g})"
    )


def _actions(actions: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if actions.size != np.prod(shape) or actions.dtype.kind not in "biuf" or not np.isfinite(actions).all():
        raise ValueError(f"expected: actions of shape {actions.shape} are not allowed; it must be finite {shape}")
    return actions.reshape(shape)


def _continuous(agents: Agents, obs: np.ndarray, actions: np.ndarray, tolerance: float) -> str:
    space = agents.task.action_space
    assert isinstance(space, Box)
    found = agents.policy(0)(obs)
    gap = float(np.abs(found - np.clip(actions, space.low, space.high)).max())
    if gap > tolerance:
        raise ValueError(
            f"expected: actions are up to {gap:.3g} apart in {len(obs)} observations, and {tolerance:g} is allowed; "
            "a normaliser may be missing, or the activation another"
        )
    return f"self-check: actions at most {gap:.2g} apart in {len(obs)} observations"


def _discrete(agents: Agents, obs: np.ndarray, actions: np.ndarray, tolerance: float) -> str:
    found = scores(agents, 0, obs)
    behind = found.max(axis=1) - found[np.arange(len(obs)), actions]
    differing = int(np.sum(behind > tolerance))
    if differing:
        raise ValueError(
            f"expected: {differing} of {len(obs)} actions are others, up to {behind.max():.3g} behind the best score; "
            "a normaliser may be missing, or the activation another"
        )
    return f"self-check: all {len(obs)} actions are the same"

"""Episodes of agents in a Gymnasium environment: any id, environment, or vector of environments."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.training.agents import Agents, check_is_agents
from jaxrl_ft.training.compatibility import sizes
from jaxrl_ft.training.gymnasium import spaces as gymnasium_spaces
from jaxrl_ft.training.keys import FINAL_STREAM, stream_key

EPISODES = 100
SIDE_BY_SIDE = 16
"""Environments that are stepped side by side where an id is given."""
MOST = 2**20
"""Episodes at most."""
LONGEST = 100_000
"""Steps after which an episode is taken to have no end."""
Env: TypeAlias = PyTree
"""A gymnasium.Env or a gymnasium.vector.VectorEnv."""
Floats: TypeAlias = np.ndarray
Act: TypeAlias = Callable[[Floats, int], np.ndarray]
"""Actions [N, ...] from observations [N, O] and the number of the step."""


def gymnasium_returns(
    agents: Agents, env: Env | str, *, episodes: int = EPISODES, greedy: bool = True, seed: int = 2
) -> np.ndarray:
    """Undiscounted episode returns in a Gymnasium environment, [S, E], as `evaluate` gives them on a task.

    Every agent meets the same resets, as far as the environment's resets depend on its seed alone. Environment i of N
    side by side plays the episodes i, i + N, ...: each plays all of its share, so that short episodes count no more
    than long ones. An agent whose parameters or statistics are not finite does not act, and its returns are NaN.

    Args:
        agents: S agents. Continuous actions are clipped to the environment's own bounds.
        env: an id, such as `CartPole-v1`, of which 16 are then stepped side by side; or an environment; or a vector of
            environments, of any autoreset mode. Observations of several arrays are read in the order in which
            `make_task` reads them.
        episodes: E.
        greedy: take the most probable action instead of a sample.
        seed: of the resets and the samples; 0 <= seed < 2^32.

    Raises:
        ValueError: gymnasium is not installed, or an argument is not allowed, or observations or actions of the
            environment have not the agents' sizes, or an episode has not ended after 100,000 steps.
    """
    check_is_agents(agents)
    checks.count("episodes", episodes, 1, MOST)
    checks.switch("greedy", greedy)
    checks.seed(seed)
    there = _opened(env, episodes)
    try:
        spaces = gymnasium_spaces.read(there.name, there.observation_space, there.action_space)
        if spaces.sizes() != sizes(agents.task):
            raise ValueError(f"env: {there.name} has {spaces.sizes()}, and the agents act on {sizes(agents.task)}")
        finite = tree.finite_runs((agents.params, agents.statistics), agents.num_seeds)
        returns = np.full((agents.num_seeds, episodes), np.nan)
        for i in np.flatnonzero(finite):
            act = partial(_actions, agents, tree.take(agents.policies, int(i)), spaces, greedy, (seed, int(i)))
            returns[i] = there.play(act, spaces, episodes, seed)
    finally:
        there.close()
    if not finite.all():
        named = ", ".join(map(str, np.flatnonzero(~finite)))
        warnings.warn(f"agents: not finite: {named} of {agents.num_seeds}; their returns are NaN", stacklevel=2)
    return returns


def _actions(
    agents: Agents,
    policy: Policy,
    spaces: gymnasium_spaces.Spaces,
    greedy: bool,
    seeds: tuple[int, int],
    obs: Floats,
    step: int,
) -> np.ndarray:
    numbers = np.array([*seeds, step], np.uint32)
    return spaces.native(np.asarray(_act(agents.algo, greedy, policy, agents.task, numbers, obs)))


@partial(jax.jit, static_argnames="greedy")
def _act(
    algo: AnyAlgorithm, greedy: bool, policy: Policy, task: Task, numbers: PyTree, obs: Float[Array, "N O"]
) -> Shaped[Array, "..."]:
    found = algo.distribution(policy, obs)
    if greedy:
        return found.mode()
    key = jax.random.fold_in(stream_key(numbers[0], numbers[1], FINAL_STREAM), numbers[2])
    return found.sample(algo.noise(task, key, obs.shape[:1]))


@dataclass(frozen=True)
class _Opened:
    """An environment to play in."""

    env: Env
    name: str
    vector: bool
    ours: bool
    """whether it was made here, and is closed here"""

    @property
    def observation_space(self) -> PyTree:
        """That of one environment."""
        return self.env.single_observation_space if self.vector else self.env.observation_space

    @property
    def action_space(self) -> PyTree:
        """That of one environment."""
        return self.env.single_action_space if self.vector else self.env.action_space

    def close(self) -> None:
        """Close what was made here."""
        if self.ours:
            self.env.close()

    def play(self, act: Act, spaces: gymnasium_spaces.Spaces, episodes: int, seed: int) -> Floats:
        """The returns of the episodes, [E]."""
        play = _play_vector if self.vector else _play_one
        return play(self.env, self.name, act, spaces, episodes, seed)


def _opened(env: Env | str, episodes: int) -> _Opened:
    """The environment, made where an id is given.

    Raises:
        ValueError: gymnasium is missing, or it is neither an id that gymnasium knows nor an environment of it.
    """
    check_env(env)
    gymnasium = library()
    if isinstance(env, str):
        made = gymnasium.make_vec(env, num_envs=min(episodes, SIDE_BY_SIDE), vectorization_mode="sync")
        return _Opened(made, env, vector=True, ours=True)
    name = getattr(env.spec, "id", type(env.unwrapped).__name__)
    return _Opened(env, name, isinstance(env, gymnasium.vector.VectorEnv), ours=False)


def library() -> PyTree:
    """The module gymnasium.

    Raises:
        ValueError: it is not installed.
    """
    checks.package("env", "gymnasium", "gym")
    import gymnasium

    return gymnasium


def check_id(id: str, name: str = "env") -> None:
    """Refuse what is no id of an environment; one that names a module to import first is left to gymnasium.

    Args:
        id: of an environment.
        name: of the argument.

    Raises:
        ValueError: it is none; the nearest one is named.
    """
    registry = library().registry
    if id not in registry and ":" not in id:
        raise ValueError(f"{name}: {id!r} is no id of gymnasium{checks.nearest(id, registry)}")


def check_env(env: Env | str, name: str = "env") -> None:
    """Refuse what is neither an id nor an environment.

    Args:
        env: an id, or an environment.
        name: of the argument.

    Raises:
        ValueError: it is neither, or gymnasium is not installed.
    """
    gymnasium = library()
    if isinstance(env, str):
        check_id(env, name)
    else:
        kinds = (gymnasium.Env, gymnasium.vector.VectorEnv)
        checks.kind(name, env, kinds, "an id, a gymnasium.Env or a gymnasium.vector.VectorEnv")


def check_ends(name: str, length: int) -> None:
    """Refuse an episode of so many steps.

    Raises:
        ValueError: they are more than `LONGEST`.
    """
    if length > LONGEST:
        raise ValueError(
            f"env: an episode of {name} has not ended after {LONGEST:,} steps; gymnasium.wrappers.TimeLimit ends it"
        )


def _play_one(env: Env, name: str, act: Act, spaces: gymnasium_spaces.Spaces, episodes: int, seed: int) -> Floats:
    """Episode after episode, each begun with a seed of its own."""
    returns, step = np.zeros(episodes), 0
    for episode, start in enumerate(np.random.SeedSequence(seed).generate_state(episodes)):
        obs, _ = env.reset(seed=int(start))
        done, length = False, 0
        while not done:
            obs, reward, terminated, truncated, _ = env.step(act(spaces.flat(obs, ())[None], step)[0])
            returns[episode] += float(reward)
            done, step, length = bool(terminated or truncated), step + 1, length + 1
            check_ends(name, length)
    return returns


def _play_vector(env: Env, name: str, act: Act, spaces: gymnasium_spaces.Spaces, episodes: int, seed: int) -> Floats:
    """Environments side by side, each with its share of the episodes."""
    num = env.num_envs
    mode = env.metadata.get("autoreset_mode", "NextStep")
    mode = getattr(mode, "value", mode)
    obs, _ = env.reset(seed=int(np.random.SeedSequence(seed).generate_state(1)[0] // 2))
    returns, step = np.zeros(episodes), 0
    # Environment i is in episode `at[i]`; those beyond E are played and not counted.
    at, lengths, fresh = np.arange(num), np.zeros(num, int), np.zeros(num, bool)
    while (at < episodes).any():
        obs, reward, terminated, truncated, _ = env.step(act(spaces.flat(obs, (num,)), step))
        done = np.asarray(terminated) | np.asarray(truncated)
        # In this mode the step after the last one of an episode is no step, but the reset.
        counted = ~fresh if mode == "NextStep" else np.ones(num, bool)
        playing = counted & (at < episodes)
        returns[at[playing]] += np.asarray(reward, float)[playing]
        lengths = np.where(counted, lengths + 1, 0)
        check_ends(name, int(lengths.max()))
        ended = counted & done
        at, lengths, fresh = np.where(ended, at + num, at), np.where(ended, 0, lengths), ended
        if mode == "Disabled" and ended.any():
            obs, _ = env.reset(options={"reset_mask": ended})
        step += 1
    return returns

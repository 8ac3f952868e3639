"""Environments of Gymnasium to train on: many of them side by side, and others of their own for evaluation."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.outside.task import outside_task
from jaxrl_ft.envs.task import Task
from jaxrl_ft.training.engines.stepping import Act, Floats, Outcome
from jaxrl_ft.training.gymnasium import spaces as gymnasium_spaces
from jaxrl_ft.training.gymnasium.episodes import check_ends, check_id, library
from jaxrl_ft.training.keys import Seeds

Env: TypeAlias = PyTree
"""A gymnasium.Env."""
Make: TypeAlias = Callable[[], Env]
UNLIMITED = 2**31 - 1
"""The limit of episodes where the environment states none."""


class GymnasiumWorlds:
    """Environments that are stepped one after another; see `Worlds` in `jaxrl_ft.training.engines.stepping`.

    Args:
        make: makes a new environment.
    """

    def __init__(self, make: Make) -> None:
        self._make, self._vectors = make, list[PyTree]()
        env = make()
        checks.kind("env", env, library().Env, "an id, or a function that makes a gymnasium.Env")
        try:
            self.name = str(getattr(env.spec, "id", type(env.unwrapped).__name__))
            self._spaces = gymnasium_spaces.read(self.name, env.observation_space, env.action_space)
            limit = getattr(env.spec, "max_episode_steps", None)
            self.task: Task = outside_task(
                f"gymnasium:{self.name}", self._spaces.shapes(), self._spaces.space(), limit or UNLIMITED
            )
        finally:
            env.close()
        self._shape: tuple[int, int] = (0, 0)

    def close(self) -> None:
        """Close all that were made."""
        for vector in self._vectors:
            vector.close()
        self._vectors.clear()

    def open(self, runs: int, num_envs: int) -> None:
        """Make `num_envs` environments for each of so many runs."""
        self._shape = (runs, num_envs)
        self._training = self._vector(runs * num_envs)

    def reset(self, seeds: Seeds) -> Floats:
        """First observations [R, N, O]; environment j of a run is seeded by its run and j."""
        obs, _ = self._training.reset(seed=_seeds(seeds, self._shape[1], "training"))
        return self._flat(obs, self._shape)

    def step(self, action: np.ndarray) -> Outcome:
        """What one step of all environments came to."""
        runs, num = self._shape
        native = self._spaces.native(action.reshape((runs * num, *action.shape[2:])))
        obs, reward, terminated, truncated, _ = self._training.step(native)
        after = shown = self._flat(obs, self._shape)
        ended = np.asarray(terminated) | np.asarray(truncated)
        if ended.any():
            obs, _ = self._training.reset(options={"reset_mask": ended})
            shown = self._flat(obs, self._shape)
        reward, terminated, truncated = (
            np.array(part).reshape(self._shape) for part in (reward, terminated, truncated)
        )
        return Outcome(shown, reward.astype(np.float32), terminated, truncated, after)

    def returns(self, act: Act, seeds: Seeds, episodes: int, point: int) -> Floats:
        """Returns [R, E] of one episode in each of R x E environments."""
        shape = (len(seeds.seeds), episodes)
        env = self._vector(math.prod(shape))
        obs, _ = env.reset(seed=_seeds(seeds, episodes, "evaluation", point))
        returns, alive, length = np.zeros(shape), np.ones(shape, bool), 0
        while alive.any():
            action = act(self._flat(obs, shape))
            native = self._spaces.native(action.reshape((math.prod(shape), *action.shape[2:])))
            obs, reward, terminated, truncated, _ = env.step(native)
            returns += np.where(alive, np.asarray(reward, float).reshape(shape), 0.0)
            ended = (np.asarray(terminated) | np.asarray(truncated)).reshape(shape)
            alive, length = alive & ~ended, length + 1
            check_ends(self.name, length)
            if ended.any():
                obs, _ = env.reset(options={"reset_mask": ended.reshape(-1)})
        self._vectors.remove(env)
        env.close()
        return returns

    def _flat(self, obs: PyTree, shape: tuple[int, int]) -> Floats:
        return self._spaces.flat(obs, (math.prod(shape),)).reshape((*shape, -1))

    def _vector(self, num: int) -> PyTree:
        """New environments, which are reset by hand: what one showed last is then seen before its reset."""
        vector = library().vector
        made = vector.SyncVectorEnv([self._make] * num, autoreset_mode=vector.AutoresetMode.DISABLED)
        self._vectors.append(made)
        return made


def worlds_of(env: Make | str) -> GymnasiumWorlds:
    """The environments of an id, or of a function that makes one.

    Raises:
        ValueError: gymnasium is not installed, it is no id, an environment or something else, or a policy cannot act in
            it.
    """
    gymnasium = library()
    if isinstance(env, str):
        check_id(env)
        return GymnasiumWorlds(lambda: gymnasium.make(env))
    if isinstance(env, gymnasium.Env | gymnasium.vector.VectorEnv):
        raise ValueError(
            f"env: {env} is one environment, which is not allowed; each agent trains in several and is evaluated in "
            "others, so give an id, or a function that makes one, as in lambda: gymnasium.make(...)"
        )
    if not callable(env):
        raise ValueError(
            f"env: {checks.shown(env)} is not allowed; it must be an id, or a function that makes a gymnasium.Env"
        )
    return GymnasiumWorlds(env)


def _seeds(seeds: Seeds, num: int, use: str, point: int = 0) -> list[int]:
    """A seed for each of `num` environments of each run, which depends on nothing else."""
    streams = {"training": 0, "evaluation": 1}
    pairs = zip(np.asarray(seeds.seeds).tolist(), np.asarray(seeds.indices).tolist())
    drawn = (np.random.SeedSequence((*pair, streams[use], point)).generate_state(num) // 2 for pair in pairs)
    return [int(seed) for row in drawn for seed in row]

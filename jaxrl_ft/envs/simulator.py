"""The interface between a task and the library that simulates it, and the table of simulators."""

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import jax
import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import config
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.types import Draws, EnvParams, EnvState, Key, Leaf, PyTree


@config
class Discrete:
    """The actions 0, 1, ..., num_actions - 1."""

    num_actions: int


@config
class Box:
    """The actions [size], each entry within its own bounds: leaves [size], for they may depend on the physics."""

    size: int
    low: Leaf
    high: Leaf


ActionSpace = Discrete | Box


class Simulator(Protocol):
    """The pure functions of one environment; instances hold no arrays and live as long as the process.

    Every method takes one environment: callers vmap. `env_params` and `env_state` are the simulator's own pytrees.
    """

    @property
    def obs_size(self) -> int:
        """The number of entries of an observation."""
        ...

    @property
    def obs_shapes(self) -> dict[str, tuple[int, ...]]:
        """The parts of an observation by name, in the order in which they lie in it, with their shapes."""
        ...

    def flatten(self, obs: PyTree) -> Leaf:
        """An observation as the environment itself gives it as the vector [obs_size] that `observe` makes of it."""
        ...

    def action_space(self, env_params: EnvParams) -> ActionSpace:
        """The actions that `advance` takes."""
        ...

    def draw(self, key: Key, shape: tuple[int, ...]) -> Draws:
        """All random numbers of `shape` steps or resets, as a pytree of leaves [*shape, ...], from one call."""
        ...

    def initial(self, draws: Draws, env_params: EnvParams) -> EnvState:
        """The env_state at the start of an episode, with strongly typed leaves."""
        ...

    def advance(
        self, draws: Draws, env_state: EnvState, action: jax.Array, env_params: EnvParams
    ) -> tuple[EnvState, jax.Array, jax.Array]:
        """The next env_state, the reward (float32) and whether the episode ended naturally; never resets."""
        ...

    def truncated(self, env_state: EnvState, env_params: EnvParams) -> jax.Array:
        """Whether the time limit was reached."""
        ...

    def observe(self, draws: Draws, env_state: EnvState, env_params: EnvParams, at_reset: bool) -> jax.Array:
        """The observation [obs_size] of a state; `at_reset` picks the draws, so that no number is used twice."""
        ...

    def episode_limit(self, env_params: EnvParams) -> Leaf:
        """The most steps an episode has, an int32 leaf."""
        ...

    def return_range(self, env_params: EnvParams) -> tuple[Leaf, Leaf]:
        """The lowest and the highest undiscounted episode return that the rewards allow."""
        ...

    def quantities(self, env_params: EnvParams) -> dict[str, Leaf]:
        """Every number of the physics by name."""
        ...

    def changed(self, env_params: EnvParams, changes: Mapping[str, object]) -> EnvParams:
        """The physics with some quantities changed, derived ones recomputed, and all checked.

        Raises:
            ValueError: an unknown quantity, or a value that is not allowed.
        """
        ...

    def checked(self, env_params: EnvParams) -> EnvParams:
        """The same physics with NumPy leaves of the declared types, as it must be after reading it from a file.

        Raises:
            ValueError: a quantity is missing or out of range.
        """
        ...

    def describe(self, env_params: EnvParams) -> str:
        """The environment's id and what differs from its default physics."""
        ...


class PlainPhysics:
    """What simulators share whose env_params are one config, a field for each quantity, and whose obs is one vector."""

    obs_size: int

    @property
    def obs_shapes(self) -> dict[str, tuple[int, ...]]:
        """One part, `obs`."""
        return {"obs": (self.obs_size,)}

    def flatten(self, obs: PyTree) -> Leaf:
        """The observation, which is a vector."""
        return np.asarray(obs, np.float32)

    def quantities(self, env_params: EnvParams) -> dict[str, Leaf]:
        """The fields of the config."""
        return dict(vars(env_params))

    def changed(self, env_params: EnvParams, changes: Mapping[str, object]) -> EnvParams:
        """The config with some fields replaced, checked anew.

        Raises:
            ValueError: an unknown quantity, or a value that is not allowed.
        """
        for name in changes:
            if name not in vars(env_params):
                raise checks.unknown("quantity", name, vars(env_params))
        return self.checked(dataclasses.replace(env_params, **changes))

    def checked(self, env_params: EnvParams) -> EnvParams:
        """The same physics, checked anew."""
        raise NotImplementedError


SIMULATORS: Table[Simulator] = Table("simulator", separator="-")


def register_simulator(name: str, simulator: Simulator, text: str = "") -> Simulator:
    """The simulator, now known to every task that names it.

    Raises:
        ValueError: the name is taken: compiled programs remember a simulator by its name, so it cannot be replaced.
    """
    return SIMULATORS.add(name, simulator, text)

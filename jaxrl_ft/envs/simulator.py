"""The interface between a task and the library that simulates it, and the table of simulators."""

from typing import Protocol

import jax

from jaxrl_ft.core.config import config
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.types import Draws, EnvParams, EnvState, Key, Leaf


@config
class Discrete:
    """The actions 0, 1, ..., num_actions - 1."""

    num_actions: int


@config
class Box:
    """The actions [size] with every entry in [low, high]; the bounds are leaves, for they may depend on the physics."""

    size: int
    low: float | Leaf
    high: float | Leaf


ActionSpace = Discrete | Box


class Simulator(Protocol):
    """The pure functions of one environment; instances hold no arrays and live as long as the process.

    Every method takes one environment: callers vmap. `env_params` and `env_state` are the simulator's own pytrees.
    """

    @property
    def obs_size(self) -> int:
        """The number of entries of an observation."""
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

    def checked(self, env_params: EnvParams) -> EnvParams:
        """The same physics with NumPy leaves of the declared types, as it must be after reading it from a file.

        Raises:
            ValueError: a quantity is missing or out of range.
        """
        ...

    def describe(self, env_params: EnvParams) -> str:
        """The environment's id and what differs from its default physics."""
        ...


SIMULATORS: Table[Simulator] = Table("simulator", separator="-")


def register_simulator(name: str, simulator: Simulator, text: str = "") -> Simulator:
    """The simulator, now known to every task that names it.

    Raises:
        ValueError: the name is taken: compiled programs remember a simulator by its name, so it cannot be replaced.
    """
    return SIMULATORS.add(name, simulator, text)

"""The outline of an environment that something else steps, such as Gymnasium: what a policy has to know of it."""

import math
import re
from collections.abc import Mapping
from typing import NoReturn

import jax
import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.core.types import Draws, EnvParams, EnvState, Key, Leaf
from jaxrl_ft.envs.simulator import SIMULATORS, ActionSpace, Box, Discrete, PlainPhysics, register_simulator

_NAME = re.compile(r"(?P<id>[\w./:-]+)\((?P<obs>[\w./:=,-]+);(?P<kind>discrete|box)(?P<size>[1-9]\d*)\)")


@config
class OutsideParams:
    """What may differ between environments of one outline: leaves [A] or scalars."""

    low: Leaf
    """least continuous actions [A]; [0] of discrete ones"""
    high: Leaf
    """largest ones"""
    episode_limit: Leaf
    """the most steps an episode has, int32"""


class Outside(PlainPhysics):
    """The outline of an environment that no compiled program can step; see `Simulator`.

    Args:
        name: of the simulator; says all that is static, so that a saved task is whole: the id, the parts of an
            observation with their shapes, and how many actions there are, as `CartPole-v1(obs=4;discrete2)`.
    """

    def __init__(self, name: str) -> None:
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(f"name: {name!r} is not the name of an environment that is stepped outside")
        parts = (part.split("=") for part in found["obs"].split(","))
        self._id, self._kind, self._size = found["id"], found["kind"], int(found["size"])
        self._shapes = {part: tuple(int(size) for size in shape.split("x")) for part, shape in parts}

    @property
    def obs_size(self) -> int:  # type: ignore[override]
        """The number of entries of an observation."""
        return sum(math.prod(shape) for shape in self._shapes.values())

    @property
    def obs_shapes(self) -> dict[str, tuple[int, ...]]:
        """The parts of an observation by name, with their shapes."""
        return self._shapes

    def action_space(self, env_params: OutsideParams) -> ActionSpace:
        """The actions."""
        if self._kind == "discrete":
            return Discrete(num_actions=self._size)
        return Box(size=self._size, low=env_params.low, high=env_params.high)

    def _refuse(self) -> NoReturn:
        raise ValueError(
            f"task: {self._id} is not allowed here; it is stepped outside of compiled programs: "
            "ft.gymnasium_returns plays agents in it, and ft.finetune_gymnasium fine-tunes them to it"
        )

    def draw(self, key: Key, shape: tuple[int, ...]) -> Draws:
        """Refuse to."""
        self._refuse()

    def initial(self, draws: Draws, env_params: EnvParams) -> EnvState:
        """Refuse to."""
        self._refuse()

    def advance(
        self, draws: Draws, env_state: EnvState, action: jax.Array, env_params: EnvParams
    ) -> tuple[EnvState, jax.Array, jax.Array]:
        """Refuse to."""
        self._refuse()

    def truncated(self, env_state: EnvState, env_params: EnvParams) -> jax.Array:
        """Refuse to."""
        self._refuse()

    def observe(self, draws: Draws, env_state: EnvState, env_params: EnvParams, at_reset: bool) -> jax.Array:
        """Refuse to."""
        self._refuse()

    def changed(self, env_params: EnvParams, changes: Mapping[str, object]) -> EnvParams:
        """Refuse to, for nothing here decides how the environment moves."""
        self._refuse()

    def episode_limit(self, env_params: OutsideParams) -> Leaf:
        """The most steps an episode has."""
        return env_params.episode_limit

    def return_range(self, env_params: OutsideParams) -> tuple[Leaf, Leaf]:
        """Not known."""
        without = np.zeros_like(np.asarray(env_params.episode_limit), np.float32)
        return without - np.inf, without + np.inf

    def checked(self, env_params: OutsideParams) -> OutsideParams:
        """The same with NumPy leaves.

        Raises:
            ValueError: bounds or a limit that are none.
        """
        low, high = (np.asarray(bound, np.float32) for bound in (env_params.low, env_params.high))
        limit, size = np.asarray(env_params.episode_limit, np.int32), self._size if self._kind == "box" else 0
        if low.shape != (size,) or high.shape != (size,) or not (low < high).all():
            raise ValueError(f"action_space: {self._id} needs {size} bounds of actions, each low below its high")
        if limit.ndim or limit < 1:
            raise ValueError(f"episode_limit: {limit} is not allowed for {self._id}; it must be a number above 0")
        return OutsideParams(low=low, high=high, episode_limit=limit)

    def describe(self, env_params: EnvParams) -> str:
        """The id."""
        return self._id


def is_outside(name: str) -> bool:
    """Whether this is the name of an environment that is stepped outside; it is then in SIMULATORS."""
    if _NAME.fullmatch(name) is None:
        return False
    if name not in SIMULATORS:
        register_simulator(name, Outside(name), "stepped outside of compiled programs")
    return True


def name_of(id: str, shapes: Mapping[str, tuple[int, ...]], actions: ActionSpace) -> str:
    """The name of the outline of these sizes, which is then in SIMULATORS.

    Args:
        id: what to call it; what is no letter, digit, `.`, `/`, `:` or `-` becomes `-`.
        shapes: of the parts of an observation, by name.
        actions: which it takes.

    Raises:
        ValueError: it has no observations or no actions.
    """
    parts = ",".join(f"{_plain(part)}={'x'.join(map(str, shape or (1,)))}" for part, shape in shapes.items())
    kind = f"box{actions.size}" if isinstance(actions, Box) else f"discrete{actions.num_actions}"
    name = f"{_plain(id)}({parts};{kind})"
    if not is_outside(name):
        raise ValueError(f"env: {id} has no observations or no actions")
    return name


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9./:]+", "-", name)

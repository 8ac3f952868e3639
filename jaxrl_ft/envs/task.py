"""A task: an environment with its physics."""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import config
from jaxrl_ft.core.types import Draws, EnvParams, EnvState, Key, Leaf, PyTree
from jaxrl_ft.envs import cartpole as _cartpole  # noqa: F401 (a task finds its simulator by name)
from jaxrl_ft.envs import sisters as _sisters  # noqa: F401
from jaxrl_ft.envs.changes import wrapping
from jaxrl_ft.envs.gymnax_worlds import registry as _registry  # noqa: F401
from jaxrl_ft.envs.simulator import SIMULATORS, ActionSpace, Box, Simulator

Plain: TypeAlias = Any
"""A Python number, or an array or tracer where tasks are stacked or traced."""
Transition = tuple[jax.Array, EnvState, jax.Array, jax.Array, jax.Array, jax.Array]


@config
class Task:
    """An environment with its physics; steps as gymnax 1.x does, and can be jitted, vmapped and stacked.

    Attributes:
        simulator: a name in SIMULATORS.
        env_params: the physics, a pytree of NumPy leaves that only `make_task` builds.
    """

    simulator: str
    env_params: EnvParams

    def reset(self, key: Key) -> tuple[jax.Array, EnvState]:
        """The first observation [O] and env_state of an episode."""
        return self.initial(self.draw(key, ()))

    def step(
        self, key: Key, env_state: EnvState, action: jax.Array
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
        """`(obs, env_state, reward, terminated, truncated, info)`; a new episode starts in the step that ends one.

        `info["final_observation"]` is the true next observation: `obs`, unless the episode ended. Both flags may be
        set at once; only `terminated` means that nothing follows.
        """
        *outcome, final_obs = self.transition(self.draw(key, ()), env_state, action)
        obs, env_state, reward, terminated, truncated = outcome
        return obs, env_state, reward, terminated, truncated, {"final_observation": final_obs}

    def draw(self, key: Key, shape: tuple[int, ...]) -> Draws:
        """All random numbers of `shape` steps or resets, as a pytree of leaves [*shape, ...], from one call."""
        return self._simulator.draw(key, shape)

    def initial(self, draws: Draws) -> tuple[jax.Array, EnvState]:
        """The first observation [O] and env_state of an episode, determined by one set of draws."""
        env_state = self._simulator.initial(draws, self.env_params)
        return self._simulator.observe(draws, env_state, self.env_params, at_reset=True), env_state

    def transition(self, draws: Draws, env_state: EnvState, action: jax.Array) -> Transition:
        """`(obs, env_state, reward, terminated, truncated, final_obs)`: `step`, determined by one set of draws."""
        simulator = self._simulator
        after, reward, terminated = simulator.advance(draws, env_state, action, self.env_params)
        truncated = simulator.truncated(after, self.env_params)
        final_obs = simulator.observe(draws, after, self.env_params, at_reset=False)
        obs, fresh = self.initial(draws)
        done = terminated | truncated
        obs, env_state = jax.tree.map(lambda new, old: jnp.where(done, new, old), (obs, fresh), (final_obs, after))
        return obs, env_state, reward, terminated, truncated, final_obs

    def after(self, draws: Draws, env_state: EnvState, action: jax.Array) -> EnvState:
        """The env_state after a step and before any reset; `transition` gives the one after it."""
        return self._simulator.advance(draws, env_state, action, self.env_params)[0]

    @property
    def obs_size(self) -> int:
        """The number of entries O of an observation."""
        return self._simulator.obs_size

    @property
    def obs_shapes(self) -> dict[str, tuple[int, ...]]:
        """The parts of an observation by name, in the order in which they lie in it, with their shapes.

        An image is a part with more than one axis: `obs[..., i:j].reshape(*obs.shape[:-1], *shape)` restores it.
        """
        return self._simulator.obs_shapes

    def flatten(self, obs: PyTree) -> Leaf:
        """An observation of the environment's own as the vector [O] that policies read, for use outside of training."""
        return self._simulator.flatten(obs)

    @property
    def quantities(self) -> dict[str, Leaf]:
        """Every number of the physics by name, such as `half_length`."""
        return self._simulator.quantities(self.env_params)

    def changed(self, **quantities: object) -> "Task":
        """The task with these quantities changed, the derived ones recomputed.

        Beside those of the environment these are the changes that every task can have, such as `obs_noise`,
        `action_delay` or `frame_skip`: see `Changes`.

        Raises:
            ValueError: an unknown quantity, or a value that is not allowed.
        """
        return Task(**dict(zip(("simulator", "env_params"), wrapping.changed(*self._parts, quantities))))

    def widened(self) -> "Task":
        """The same task, with changes around it that change nothing where it has none."""
        return Task(**dict(zip(("simulator", "env_params"), wrapping.widened(*self._parts))))

    @property
    def action_space(self) -> ActionSpace:
        """`Discrete(num_actions)`, or `Box(size, low, high)` with bounds [size]."""
        return self._simulator.action_space(self.env_params)

    @property
    def episode_limit(self) -> Plain:
        """The most steps an episode has: an int, or an array or tracer when the physics is one."""
        return _plain(self._simulator.episode_limit(self.env_params))

    @property
    def return_range(self) -> tuple[Plain, Plain]:
        """The lowest and highest undiscounted episode return: floats, or arrays or tracers when the physics is.

        Infinite where they are not known. What is measured in shares of the way between them is then taken to be at
        its beginning.
        """
        low, high = self._simulator.return_range(self.env_params)
        return _plain(low), _plain(high)

    def alike(self, other: "Task") -> tuple["Task", "Task"]:
        """Both tasks as they can be combined: of one environment, both with changes around them where one has them."""
        inside = {wrapping.inside_of(task.simulator) for task in (self, other)}
        if self.simulator == other.simulator or len(inside) > 1:
            return self, other
        return self.widened(), other.widened()

    def checked(self) -> "Task":
        """The same task with NumPy leaves of the declared types, as it must be after reading it from a file.

        Raises:
            ValueError: unknown simulator, or a quantity that is missing or out of range.
        """
        return Task(simulator=SIMULATORS.name(self.simulator), env_params=self._simulator.checked(self.env_params))

    def describe(self) -> str:
        """The environment's id and what differs from its default physics, such as `CartPole-v1 half_length=1.5`."""
        return self._simulator.describe(self.env_params)

    @property
    def id(self) -> str:
        """The environment's id, such as `CartPole-v1`."""
        return self.describe().split()[0]

    def __repr__(self) -> str:
        """The description, or the number of tasks that are stacked."""
        try:
            stacked = np.shape(self.episode_limit)
            return f"<{stacked[0]} tasks of {self.simulator}>" if stacked else f"<Task {self.describe()}>"
        except (AttributeError, TypeError, ValueError):
            # A traced task, and one whose physics are not those of its simulator, have no description.
            return f"<Task of {self.simulator}>"

    @property
    def _parts(self) -> tuple[str, EnvParams]:
        return self.simulator, self.env_params

    @property
    def _simulator(self) -> Simulator:
        return SIMULATORS[self.simulator]


def _plain(value: Leaf) -> Plain:
    return value.item() if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0 else value


def check_is_task(field: str, value: object) -> None:
    """Refuse what is no task.

    Raises:
        ValueError: it is something else.
    """
    checks.kind(field, value, Task, "a Task, as ft.make_task returns")


def check_numbers(task: Task) -> None:
    """Refuse a task whose first observations, or rewards of a first step, are not finite.

    Raises:
        ValueError: names what is not finite.
    """
    found = jax.device_get(_first_numbers(task, jax.random.key(0)))
    for what, numbers in found.items():
        if not np.isfinite(numbers).all():
            raise ValueError(f"env: {what} of {task.describe()} is not finite: {numbers.tolist()}")


@jax.jit
def _first_numbers(task: Task, key: Key) -> dict[str, jax.Array]:
    space, draws = task.action_space, task.draw(key, (2,))
    if isinstance(space, Box):
        action = jnp.asarray(0.5 * (space.low + space.high))
    else:
        action = jnp.int32(0)
    first, second = (jax.tree.map(lambda leaf, place=place: leaf[place], draws) for place in (0, 1))
    obs, env_state = task.initial(first)
    after = task.transition(second, env_state, action)
    return {"the first observation": obs, "the observation after a step": after[5], "the reward of a step": after[2]}

"""Acrobot, MountainCar and Pendulum, stepped by gymnax under the names gymnax gives their physics.

Importing gymnax takes seconds and starts a JAX backend, so their default physics are written here, and a test holds
them against gymnax's. None of the three keeps a derived quantity among its fields, so none can go stale.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import config
from jaxrl_ft.envs.simulator import ActionSpace, Box, Discrete, register_simulator

_SIGNED = ("min_position", "max_position", "goal_position", "goal_velocity")
"""Quantities that may be negative; one whose default is 0 may be 0, and every other is positive."""
_LARGEST = 1e6


@config
class AcrobotParams:
    """Acrobot: lengths in m, masses in kg, `link_moi` in kg m2, `max_vel_*` in rad/s, torque in N m, `dt` in s."""

    dt: float = 0.2
    link_length_1: float = 1.0
    link_length_2: float = 1.0
    link_mass_1: float = 1.0
    link_mass_2: float = 1.0
    link_com_pos_1: float = 0.5
    link_com_pos_2: float = 0.5
    link_moi: float = 1.0
    max_vel_1: float = 4 * math.pi
    max_vel_2: float = 9 * math.pi
    torque_noise_max: float = 0.0
    episode_limit: Any = 500


@config
class MountainCarParams:
    """MountainCar in its own units: positions, and speeds, force and gravity per step."""

    min_position: float = -1.2
    max_position: float = 0.6
    max_speed: float = 0.07
    goal_position: float = 0.5
    goal_velocity: float = 0.0
    force: float = 0.001
    gravity: float = 0.0025
    episode_limit: Any = 200


@config
class PendulumParams:
    """Pendulum: speed in rad/s, torque in N m, `dt` in s, gravity `g` in m/s2, mass `m` in kg, length `l` in m."""

    max_speed: float = 8.0
    max_torque: float = 2.0
    dt: float = 0.05
    g: float = 10.0
    m: float = 1.0
    l: float = 1.0  # noqa: E741 (gymnax's name)
    episode_limit: Any = 200


@dataclasses.dataclass(frozen=True)
class GymnaxSimulator:
    """A gymnax environment whose action is what gymnax takes; see `Simulator`.

    Attributes:
        id: gymnax's name of the environment.
        obs_size: entries of an observation.
        num_actions: number of actions; 0 when the action is one number within plus or minus `max_torque`.
        params_type: the config of its physics, with gymnax's defaults.
    """

    id: str
    obs_size: int
    num_actions: int
    params_type: Any

    def params(self, **physics: Any) -> Any:
        """The physics with NumPy leaves: the given quantities, and gymnax's defaults for the rest.

        Raises:
            ValueError: an unknown quantity, or a value that is not finite or out of its range.
        """
        defaults = vars(self.params_type())
        for name in physics:
            if name not in defaults:
                raise checks.unknown(f"{self.id} quantity", name, defaults)
        return self.params_type(
            **{name: _leaf(name, physics.get(name, default), default) for name, default in defaults.items()}
        )

    def action_space(self, env_params: Any) -> ActionSpace:
        """The discrete actions, or one torque within the physics' bounds."""
        if self.num_actions:
            return Discrete(num_actions=self.num_actions)
        torque = env_params.max_torque
        return Box(size=1, low=-torque, high=torque)

    def draw(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Keys [*shape, 2]: one for the step and one for the reset, split as gymnax splits them."""
        return jax.random.split(key, (*shape, 2))

    def initial(self, draws: jax.Array, env_params: Any) -> Any:
        """The initial state of gymnax, its weak types made strong."""
        environment, _ = _gymnax(self.id)
        _, env_state = environment.reset_env(draws[1], self._gymnax_params(env_params))
        return jax.tree.map(_strong, env_state)

    def advance(
        self, draws: jax.Array, env_state: Any, action: jax.Array, env_params: Any
    ) -> tuple[Any, jax.Array, jax.Array]:
        """The next state, reward and natural ending, by gymnax."""
        environment, _ = _gymnax(self.id)
        params = self._gymnax_params(env_params)
        _, env_state, reward, terminated, _ = environment.step_env(draws[0], env_state, action, params)
        return jax.tree.map(_strong, env_state), jnp.asarray(reward, jnp.float32), terminated

    def truncated(self, env_state: Any, env_params: Any) -> jax.Array:
        """Whether the episode limit was reached."""
        return env_state.time >= env_params.episode_limit

    def observe(self, draws: jax.Array, env_state: Any, env_params: Any, at_reset: bool) -> jax.Array:
        """The observation [obs_size] by gymnax; it draws nothing."""
        environment, _ = _gymnax(self.id)
        return environment.get_obs(env_state)

    def episode_limit(self, env_params: Any) -> Any:
        """The most steps an episode has."""
        return env_params.episode_limit

    def return_range(self, env_params: Any) -> tuple[Any, Any]:
        """From the worst reward of a step, times the limit, to zero."""
        worst = 1.0
        if not self.num_actions:
            worst = math.pi**2 + 0.1 * env_params.max_speed**2 + 0.001 * env_params.max_torque**2
        return -worst * env_params.episode_limit, 0.0 * env_params.episode_limit

    def checked(self, env_params: Any) -> Any:
        """The same physics, checked anew and with NumPy leaves.

        Raises:
            ValueError: a value out of its range.
        """
        return self.params(**vars(env_params))

    def describe(self, env_params: Any) -> str:
        """For example `Pendulum-v1 g=15`."""
        default = vars(self.params())
        changed = [f"{name}={float(value):g}" for name, value in vars(env_params).items() if value != default[name]]
        return " ".join([self.id, *changed])

    def _gymnax_params(self, env_params: Any) -> Any:
        _, defaults = _gymnax(self.id)
        quantities = dict(vars(env_params))
        limit = quantities.pop("episode_limit")
        return jax.tree.map(jnp.asarray, defaults.replace(**quantities, max_steps_in_episode=limit))


@functools.cache
def _gymnax(name: str) -> tuple[Any, Any]:
    """The gymnax environment and its default parameters, as NumPy arrays so that no tracer outlives its trace."""
    import gymnax

    with jax.ensure_compile_time_eval():
        environment, defaults = gymnax.make(name)
        return environment, jax.tree.map(np.asarray, defaults)


def _strong(leaf: Any) -> jax.Array:
    leaf = jnp.asarray(leaf)
    return jax.lax.convert_element_type(leaf, leaf.dtype)


def _leaf(name: str, value: Any, default: Any) -> np.ndarray:
    """The checked value as float32 (int32 for the episode limit)."""
    value = value.item() if hasattr(value, "dtype") and np.size(value) == 1 else value
    if name == "episode_limit":
        return np.asarray(checks.count(name, value, 1, 10_000), np.int32)
    low = -_LARGEST if name in _SIGNED else 0.0
    return np.asarray(checks.number(name, value, low, _LARGEST, low_open=low == 0.0 and default > 0), np.float32)


ACROBOT = GymnaxSimulator(id="Acrobot-v1", obs_size=6, num_actions=3, params_type=AcrobotParams)
MOUNTAIN_CAR = GymnaxSimulator(id="MountainCar-v0", obs_size=2, num_actions=3, params_type=MountainCarParams)
PENDULUM = GymnaxSimulator(id="Pendulum-v1", obs_size=3, num_actions=0, params_type=PendulumParams)
SISTERS = {simulator.id: simulator for simulator in (ACROBOT, MOUNTAIN_CAR, PENDULUM)}
for _simulator in SISTERS.values():
    register_simulator(_simulator.id, _simulator, f"gymnax's {_simulator.id}")

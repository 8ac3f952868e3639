"""Acrobot, MountainCar and Pendulum, stepped by gymnax under the names gymnax gives their physics.

Importing gymnax takes seconds and starts a JAX backend, so their default physics are written here, and a test holds
them against gymnax's. None of the three keeps a derived quantity among its fields, so none can go stale.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import config
from jaxrl_ft.core.jax_settings import foreign
from jaxrl_ft.core.types import EnvParams, EnvState, Key, Leaf, PyTree
from jaxrl_ft.envs import reaching
from jaxrl_ft.envs.gymnax_worlds import library
from jaxrl_ft.envs.quantities import Quantity, check_order
from jaxrl_ft.envs.simulator import ActionSpace, Box, Discrete, PlainPhysics, register_simulator


@config
class AcrobotParams:
    """Acrobot: lengths in m, masses in kg, `link_moi` in kg m2, `max_vel_*` in rad/s, torque in N m, `dt` in s.

    The torque of an action is 1 N m and gravity 9.8 m/s2, always. gymnax's `link_length_2` is left out, since nothing
    depends on it: the second link counts by its mass and its centre of mass.
    """

    dt: Leaf
    link_length_1: Leaf
    link_mass_1: Leaf
    link_mass_2: Leaf
    link_com_pos_1: Leaf
    link_com_pos_2: Leaf
    link_moi: Leaf
    max_vel_1: Leaf
    max_vel_2: Leaf
    torque_noise_max: Leaf
    episode_limit: Leaf


@config
class MountainCarParams:
    """MountainCar in its own units: positions, and speeds, force and gravity per step.

    An episode starts at rest between -0.6 and -0.4, and ends at or beyond `goal_position` with `goal_velocity` or more.
    """

    min_position: Leaf
    max_position: Leaf
    max_speed: Leaf
    goal_position: Leaf
    goal_velocity: Leaf
    force: Leaf
    gravity: Leaf
    episode_limit: Leaf


@config
class PendulumParams:
    """Pendulum: speed in rad/s, torque in N m, `dt` in s, gravity `g` in m/s2, mass `m` in kg, length `l` in m."""

    max_speed: Leaf
    max_torque: Leaf
    dt: Leaf
    g: Leaf
    m: Leaf
    l: Leaf  # noqa: E741 (gymnax's name)
    episode_limit: Leaf


ACROBOT_QUANTITIES: Mapping[str, Quantity] = {
    "dt": Quantity(0.2, 0.001, 0.5, "s"),
    "link_length_1": Quantity(1.0, 0.01, 10.0, "m"),
    "link_mass_1": Quantity(1.0, 0.01, 100.0, "kg"),
    "link_mass_2": Quantity(1.0, 0.01, 10.0, "kg"),
    "link_com_pos_1": Quantity(0.5, 0.01, 10.0, "m"),
    "link_com_pos_2": Quantity(0.5, 0.01, 10.0, "m"),
    "link_moi": Quantity(1.0, 0.1, 100.0, "kg m2"),
    "max_vel_1": Quantity(4 * math.pi, 0.1, 100.0, "rad/s"),
    "max_vel_2": Quantity(9 * math.pi, 0.1, 100.0, "rad/s"),
    "torque_noise_max": Quantity(0.0, 0.0, 10.0, "N m"),
    "episode_limit": Quantity(500, 1, 10_000, "steps", whole=True),
}
MOUNTAIN_CAR_QUANTITIES: Mapping[str, Quantity] = {
    "min_position": Quantity(-1.2, -10.0, -0.6),
    "max_position": Quantity(0.6, -0.39, 10.0),
    "max_speed": Quantity(0.07, 0.001, 1.0),
    "goal_position": Quantity(0.5, -0.39, 10.0),
    "goal_velocity": Quantity(0.0, 0.0, 1.0),
    "force": Quantity(0.001, 1e-5, 0.1),
    "gravity": Quantity(0.0025, 1e-5, 0.1),
    "episode_limit": Quantity(200, 1, 10_000, "steps", whole=True),
}
PENDULUM_QUANTITIES: Mapping[str, Quantity] = {
    "max_speed": Quantity(8.0, 0.1, 100.0, "rad/s"),
    "max_torque": Quantity(2.0, 0.01, 100.0, "N m"),
    "dt": Quantity(0.05, 0.001, 0.2, "s"),
    "g": Quantity(10.0, 0.01, 1000.0, "m/s2"),
    "m": Quantity(1.0, 0.01, 100.0, "kg"),
    "l": Quantity(1.0, 0.01, 10.0, "m"),
    "episode_limit": Quantity(200, 1, 10_000, "steps", whole=True),
}


def check_acrobot(physics: Mapping[str, float], steps: int) -> None:
    """Refuse a link whose mass lies beyond it, and an arm that its torque cannot swing up.

    Args:
        physics: quantities by name.
        steps: how long there is for it.

    Raises:
        ValueError: the task is impossible.
    """
    otherwise = "the first link's centre of mass would lie beyond its end"
    check_order(physics, "link_com_pos_1", "link_length_1", otherwise, equal=True)
    names = [name for name in physics if name not in ("torque_noise_max", "episode_limit")]
    if not reaching.acrobot_swings_up(**{name: physics[name] for name in names}, steps=steps):
        why = f"a torque that always acts the way the second link turns does not swing it up in {steps} steps"
        raise _impossible(ACROBOT_QUANTITIES, physics, why)


def check_mountain_car(physics: Mapping[str, float], steps: int) -> None:
    """Refuse a goal beyond the end of the road, and one that the car is too weak or too slow for.

    Args:
        physics: quantities by name.
        steps: how long there is for it.

    Raises:
        ValueError: the task is impossible.
    """
    check_order(physics, "goal_position", "max_position", "the road would end before the goal", equal=True)
    check_order(physics, "goal_velocity", "max_speed", "the car could never be that fast", equal=True)
    if not reaching.car_reaches_goal(**{n: v for n, v in physics.items() if n != "episode_limit"}, steps=steps):
        why = f"a car that always pushes the way it moves does not get to the goal in {steps} steps"
        raise _impossible(MOUNTAIN_CAR_QUANTITIES, physics, why)


def check_pendulum(physics: Mapping[str, float], steps: int) -> None:
    """Refuse steps so long that the integration of the hanging pendulum is unstable.

    gymnax integrates by the semi-implicit Euler method, which is stable for an oscillation of angular frequency w as
    long as w dt < 2 (Hairer, Lubich and Wanner 2006, Geometric Numerical Integration, I.5); here w^2 = 3 g / 2 l.

    Args:
        physics: quantities by name.
        steps: not looked at, since every swing is rewarded.

    Raises:
        ValueError: the task is impossible.
    """
    longest = 2 / math.sqrt(1.5 * physics["g"] / physics["l"])
    if physics["dt"] >= longest:
        why = f"it must be below {longest:.3g} s, or errors of integration would swing the pendulum up"
        raise ValueError(f"dt: {physics['dt']:g} is not allowed with g={physics['g']:g} and l={physics['l']:g}; {why}")


def _impossible(quantities: Mapping[str, Quantity], physics: Mapping[str, float], why: str) -> ValueError:
    return ValueError(f"physics: {', '.join(_changed(quantities, physics))} is not allowed; {why}")


def _changed(quantities: Mapping[str, Quantity], physics: Mapping[str, float]) -> list[str]:
    """Return what differs from the defaults, such as `g=15`."""
    usual = {name: np.float32(one.default) for name, one in quantities.items()}
    return [f"{name}={float(value):g}" for name, value in physics.items() if np.float32(value) != usual[name]]


@dataclasses.dataclass(frozen=True)
class GymnaxSimulator(PlainPhysics):
    """A gymnax environment whose action is what gymnax takes; see `Simulator`.

    Attributes:
        id: gymnax's name of the environment.
        obs_size: entries of an observation.
        num_actions: number of actions; 0 when the action is one number within plus or minus `max_torque`.
        params_type: the config of its physics.
        table: the default, the range and the unit of each of them; the defaults are gymnax's.
        check: refuses physics, with floats by name and a number of steps, in which the task is impossible.
    """

    id: str
    obs_size: int
    num_actions: int
    params_type: type[EnvParams]
    table: Mapping[str, Quantity]
    check: Callable[[Mapping[str, float], int], None]

    def params(self, **physics: object) -> EnvParams:
        """The physics with NumPy leaves: the given quantities, and gymnax's defaults for the rest.

        Raises:
            ValueError: an unknown quantity, a value that is not finite or out of its range, or an impossible task.
        """
        for name in physics:
            if name not in self.table:
                raise checks.unknown(f"{self.id} quantity", name, self.table)
        leaves = {name: one.leaf(name, physics.get(name, one.default)) for name, one in self.table.items()}
        steps = max(int(leaves["episode_limit"]), int(self.table["episode_limit"].default))
        self.check({name: float(leaf) for name, leaf in leaves.items()}, steps)
        return self.params_type(**leaves)

    def action_space(self, env_params: EnvParams) -> ActionSpace:
        """The discrete actions, or one torque within the physics' bounds."""
        if self.num_actions:
            return Discrete(num_actions=self.num_actions)
        torque = env_params.max_torque[..., None]
        return Box(size=1, low=-torque, high=torque)

    def draw(self, key: Key, shape: tuple[int, ...]) -> jax.Array:
        """Keys [*shape, 2]: one for the step and one for the reset, split as gymnax splits them."""
        return jax.random.split(key, (*shape, 2))

    def initial(self, draws: jax.Array, env_params: EnvParams) -> EnvState:
        """The initial state of gymnax, its weak types made strong."""
        environment, _ = _gymnax(self.id)
        _, env_state = foreign(environment.reset_env)(draws[1], self._gymnax_params(env_params))
        return jax.tree.map(_strong, env_state)

    def advance(
        self, draws: jax.Array, env_state: EnvState, action: jax.Array, env_params: EnvParams
    ) -> tuple[EnvState, jax.Array, jax.Array]:
        """The next state, reward and natural ending, by gymnax."""
        environment, _ = _gymnax(self.id)
        params = self._gymnax_params(env_params)
        _, env_state, reward, terminated, _ = foreign(environment.step_env)(draws[0], env_state, action, params)
        return jax.tree.map(_strong, env_state), jnp.asarray(reward, jnp.float32), terminated

    def truncated(self, env_state: EnvState, env_params: EnvParams) -> jax.Array:
        """Whether the episode limit was reached."""
        over: jax.Array = env_state.time >= env_params.episode_limit
        return over

    def observe(self, draws: jax.Array, env_state: EnvState, env_params: EnvParams, at_reset: bool) -> jax.Array:
        """The observation [obs_size] by gymnax; it draws nothing."""
        environment, _ = _gymnax(self.id)
        obs: jax.Array = foreign(environment.get_obs)(env_state)
        return obs

    def episode_limit(self, env_params: EnvParams) -> Leaf:
        """The most steps an episode has."""
        limit: Leaf = env_params.episode_limit
        return limit

    def return_range(self, env_params: EnvParams) -> tuple[Leaf, Leaf]:
        """From the worst reward of a step, times the limit, to zero."""
        worst = 1.0
        if not self.num_actions:
            worst = math.pi**2 + 0.1 * env_params.max_speed**2 + 0.001 * env_params.max_torque**2
        return -worst * env_params.episode_limit, 0.0 * env_params.episode_limit

    def checked(self, env_params: EnvParams) -> EnvParams:
        """The same physics, checked anew and with NumPy leaves.

        Raises:
            ValueError: a value out of its range.
        """
        return self.params(**vars(env_params))

    def describe(self, env_params: EnvParams) -> str:
        """Return a text such as `Pendulum-v1 g=15`."""
        return " ".join([self.id, *_changed(self.table, vars(env_params))])

    @foreign
    def _gymnax_params(self, env_params: EnvParams) -> PyTree:
        _, defaults = _gymnax(self.id)
        quantities = dict(vars(env_params))
        limit = quantities.pop("episode_limit")
        return jax.tree.map(jnp.asarray, defaults.replace(**quantities, max_steps_in_episode=limit))


@functools.cache
@foreign
def _gymnax(name: str) -> tuple[PyTree, PyTree]:
    """The gymnax environment and its default parameters, as NumPy arrays so that no tracer outlives its trace."""
    with jax.ensure_compile_time_eval():
        environment, defaults = library.imported().make(name)
        return environment, jax.tree.map(np.asarray, defaults)


@foreign
def _strong(leaf: Leaf) -> jax.Array:
    leaf = jnp.asarray(leaf)
    return jax.lax.convert_element_type(leaf, leaf.dtype)


ACROBOT = GymnaxSimulator("Acrobot-v1", 6, 3, AcrobotParams, ACROBOT_QUANTITIES, check_acrobot)
MOUNTAIN_CAR = GymnaxSimulator("MountainCar-v0", 2, 3, MountainCarParams, MOUNTAIN_CAR_QUANTITIES, check_mountain_car)
PENDULUM = GymnaxSimulator("Pendulum-v1", 3, 0, PendulumParams, PENDULUM_QUANTITIES, check_pendulum)
SISTERS = {simulator.id: simulator for simulator in (ACROBOT, MOUNTAIN_CAR, PENDULUM)}
for _simulator in SISTERS.values():
    register_simulator(_simulator.id, _simulator, f"gymnax's {_simulator.id}")

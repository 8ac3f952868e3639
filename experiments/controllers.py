"""Controllers of classic control that read the true state, to show that a task can be solved, and how well at least.

The cars and Acrobot push the way they move, which does positive work in every step (Sutton and Barto 2018, chapters on
control). Pendulum is swung up by its energy and caught by a proportional-derivative controller (Åström and Furuta 2000,
doi:10.1016/S0005-1098(99)00140-5). They know what actions stand for, and nothing of delays and sticking.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrl_ft as ft
from jaxrl_ft.envs.simulator import Box

State = Any
"""gymnax's state of an environment"""
Controller = Callable[[ft.Task, State, jax.Array], jax.Array]
"""What is wanted, from -1 to 1, in a task and a state; the last argument is a key"""


def car(task: ft.Task, state: State, _: jax.Array) -> jax.Array:
    """1 where it moves to the right or stands at the wall on the left, else -1."""
    at_wall = state.position <= task.quantities["min_position"]
    return jnp.where(at_wall | (state.velocity > 0), 1.0, -1.0)


def acrobot(task: ft.Task, state: State, _: jax.Array) -> jax.Array:
    """1 where the second link turns forward, else -1."""
    return jnp.where(state.velocity_2 >= 0, 1.0, -1.0)


def pendulum(task: ft.Task, state: State, _: jax.Array) -> jax.Array:
    """The torque as a share of the highest."""
    quantities = task.quantities
    mass, length, gravity, most = (quantities[name] for name in ("m", "l", "g", "max_torque"))
    theta = jnp.mod(state.theta + jnp.pi, 2 * jnp.pi) - jnp.pi
    inertia, weight = mass * length**2 / 3, mass * gravity * length / 2
    lacking = weight * (1 - jnp.cos(theta)) - 0.5 * inertia * state.theta_dot**2
    swing = most * jnp.sign(lacking * jnp.where(state.theta_dot == 0, 1.0, state.theta_dot))
    caught = -3 * weight * theta - 2 * jnp.sqrt(3 * weight * inertia) * state.theta_dot
    near = jnp.abs(caught + weight * theta) < 1.5 * most
    return jnp.clip(jnp.where(near & (jnp.abs(theta) < 1), caught, swing) / most, -1.0, 1.0)


def at_random(task: ft.Task, state: State, key: jax.Array) -> jax.Array:
    """Uniform over all that is allowed."""
    space = task.action_space
    if isinstance(space, Box):
        return jax.random.uniform(key, (), minval=-1.0, maxval=1.0)
    return 2 * jax.random.randint(key, (), 0, space.num_actions) / (space.num_actions - 1) - 1


CONTROLLERS: dict[str, Controller] = {
    "Acrobot-v1": acrobot,
    "MountainCar-v0": car,
    "MountainCarContinuous-v0": car,
    "Pendulum-v1": pendulum,
}


def _action(task: ft.Task, wanted: jax.Array) -> jax.Array:
    """The task's action that does what is wanted, from -1 to 1: changes of the actions are undone."""
    quantities, space = task.quantities, task.action_space
    flip = quantities["flip_actions"]
    if isinstance(space, Box):
        signed = jnp.where(flip > 0, -wanted, wanted)
        return 0.5 * (space.high + space.low) + 0.5 * (space.high - space.low) * signed[None]
    meant = jnp.rint(0.5 * (wanted + 1) * (space.num_actions - 1)).astype(jnp.int32)
    chosen = jnp.argsort(jnp.asarray(quantities["action_permutation"]))[meant]
    return jnp.where(flip > 0, space.num_actions - 1 - chosen, chosen)


def controlled_returns(task: ft.Task, episodes: int, seed: int, controller: Controller | None = None) -> np.ndarray:
    """The undiscounted returns [episodes] of a controller; of the environment's own without one."""
    chosen = CONTROLLERS[task.id] if controller is None else controller
    keys = jax.random.split(jax.random.key(seed), episodes)
    return np.asarray(_returns(task.widened(), keys, chosen, int(task.episode_limit)))


@partial(jax.jit, static_argnums=(2, 3))
def _returns(task: ft.Task, keys: jax.Array, controller: Controller, limit: int) -> jax.Array:
    def episode(key: jax.Array) -> jax.Array:
        start, keys = jax.random.split(key)

        def step(state: tuple, key: jax.Array) -> tuple[tuple, None]:
            env_state, total, over = state
            act_key, key = jax.random.split(key)
            inner = env_state.world
            action = _action(task, controller(task, getattr(inner, "inner", inner), act_key))
            _, after, reward, terminated, truncated, _ = task.step(key, env_state, action)
            return (after, total + jnp.where(over, 0.0, reward), over | terminated | truncated), None

        first = task.reset(start)[1], jnp.float32(0), jnp.asarray(False)
        (_, total, _), _ = jax.lax.scan(step, first, jax.random.split(keys, limit))
        return total

    return jax.vmap(episode)(keys)

"""Environments of gymnax 1.0.1 that do not step as gymnasium's do, put right. Importing this imports gymnax."""

import jax
import jax.numpy as jnp
from gymnax.environments.classic_control.continuous_mountain_car import ContinuousMountainCar, EnvParams, EnvState

from jaxrl_ft.core.types import Key, PyTree


class MountainCarContinuous(ContinuousMountainCar):
    """gymnax stops a car that moves back at its goal, where gymnasium stops one that hits the wall on the left."""

    def step_env(
        self, key: Key, state: EnvState, action: int | float | jax.Array, params: EnvParams
    ) -> tuple[jax.Array, EnvState, jax.Array, jax.Array, dict[str, PyTree]]:
        """One step, as in gymnasium 1.3's `Continuous_MountainCarEnv`."""
        action = jnp.asarray(action)
        force = jnp.clip(action, params.min_action, params.max_action).squeeze()
        speed = state.velocity + force * params.power - jnp.cos(3 * state.position) * params.gravity
        speed = jnp.clip(speed, -params.max_speed, params.max_speed)
        position = jnp.clip(state.position + speed, params.min_position, params.max_position)
        speed = jnp.where((position <= params.min_position) & (speed < 0), 0.0, speed)
        arrived = (position >= params.goal_position) & (speed >= params.goal_velocity)
        reward = 100.0 * arrived - 0.1 * action.squeeze() ** 2
        state = EnvState(position=position, velocity=speed, time=state.time + 1)
        return jnp.stack([position, speed]), state, reward, arrived, {}

"""A tiny world of images, and networks of every kind for it."""

from functools import cache

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import spaces

import jaxrl_ft as ft

IMAGE = (4, 4, 2)
OBS_SIZE = 32


@struct.dataclass
class DotParams:
    speed: float = 1.0
    max_steps_in_episode: int = 8


class Dot:
    """A dot falls in one of four columns of an image [4, 4, 2]; being in its column at the bottom is worth 1."""

    default_params = DotParams()

    def obs(self, state):
        dot, place, time = state
        column = jnp.arange(4)
        return jnp.stack(
            [(time % 4 == column)[:, None] & (dot == column), (column == 3)[:, None] & (place == column)], -1
        )

    def reset(self, key, params):
        state = (jax.random.randint(key, (), 0, 4), jnp.int32(1), jnp.int32(0))
        return self.obs(state), state

    def step(self, key, state, action, params):
        dot, place, time = state
        place = jnp.clip(place + action - 1, 0, 3)
        lands = (time + 1) % 4 == 0
        reward = params.speed * (lands & (dot == place)).astype(jnp.float32)
        dot = jnp.where(lands, jax.random.randint(key, (), 0, 4), dot)
        state = (dot, place, time + 1)
        return self.obs(state), state, reward, jnp.asarray(False), {}

    def action_space(self, params):
        return spaces.Discrete(3)


@cache
def task(speed=1.0):
    """The task, whose first step is checked by a program when it is made."""
    return ft.make_task(Dot(), env_params=DotParams(speed=speed))


NETWORKS = {
    "mlp": ft.MLP(width=6, layer_norm=True),
    "mlp_shared": ft.MLP(width=6, layer_norm=True, shared_trunk=True),
    "cnn": ft.CNN(channels=(3, 5), kernels=(2,), dense=(6, 6), layer_norm=True, image=IMAGE),
    "cnn_shared": ft.CNN(channels=(3, 5), kernels=(2,), dense=(6, 6), layer_norm=True, shared_trunk=True, image=IMAGE),
}
"""Every kind, with layer norms."""
NEW = [name for name in NETWORKS if name != "mlp"]
"""Those that other tests do not have."""

"""Small environments as a user would write them, with gymnax's reset and step and nothing of this package."""

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces


@struct.dataclass
class Motor:
    gain: float = 1.0


@struct.dataclass
class PointParams:
    """Of a point that is pushed: a number inside another, a whole number, a switch, an array, a limit."""

    drag: float = 0.1
    motor: Motor = Motor()
    strides: int = 1
    walls: bool = False
    goal: jax.Array = struct.field(default_factory=lambda: jnp.zeros(2))
    max_steps_in_episode: int = 5


class Point:
    """Observations are a dict of a vector and an image of whole numbers; actions have shape [1, 2]."""

    default_params = PointParams()

    def __init__(self, edge=100.0):
        self.edge = edge

    def obs(self, place):
        return {"place": place, "image": jnp.arange(6, dtype=jnp.int32).reshape(2, 3)}

    def reset(self, key, params):
        place = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        return self.obs(place), (place, jnp.zeros(2), 0)

    def step(self, key, state, action, params):
        place, speed, time = state
        speed = speed * (1 - params.drag) + 0.1 * params.motor.gain * action[0]
        place = place + speed * params.strides
        reward = -jnp.sum((place - params.goal) ** 2, keepdims=True)
        gone = jnp.any(jnp.abs(place) > self.edge) & ~params.walls
        return self.obs(place), (place, speed, time + 1), reward, gone, {"a text": "which no program returns"}

    def action_space(self, params):
        return spaces.Box(-params.motor.gain, params.motor.gain, (1, 2))


class Parted(Point):
    """Several discrete actions at once, and an observation that is one of five."""

    def action_space(self, params):
        return spaces.Tuple([spaces.Discrete(2), spaces.Discrete(3)])

    def observation_space(self, params):
        return spaces.Discrete(5)

    def reset(self, key, params):
        return jnp.int32(3), 0

    def step(self, key, state, action, params):
        return jnp.int32(1), state + 1, 10 * action[0] + action[1], False


@struct.dataclass
class CountState:
    time: int


@struct.dataclass
class CountParams:
    last: int = 3
    max_steps_in_episode: int = 4


class Count(environment.Environment):
    """gymnax 1.x's own base class; an episode ends when its time is `last`."""

    name = "Count"
    num_actions = 2
    default_params = CountParams()

    def reset_env(self, key, params):
        return jnp.zeros(1), CountState(time=0)

    def step_env(self, key, state, action, params):
        state = state.replace(time=state.time + 1)
        return jnp.ones(1) * state.time, state, 1, state.time >= params.last, {}

    def action_space(self, params):
        return spaces.Discrete(2)


class Mixed:
    """gymnax 0.x: one flag for both endings."""

    default_params = CountParams()
    num_actions = 2

    def reset_env(self, key, params):
        return jnp.zeros(1), CountState(time=0)

    reset = reset_env

    def step_env(self, key, state, action, params):
        state = state.replace(time=state.time + 1)
        done = (state.time >= params.last) | (state.time >= params.max_steps_in_episode)
        return jnp.ones(1) * state.time, state, 1.0, done, {}

    step = step_env


class Six(Count):
    """Steps with six values and resets by itself."""

    name = "Six"
    reset_env = step_env = None

    def reset(self, key, params):
        return jnp.zeros(1), CountState(time=0)

    def step(self, key, state, action, params):
        time = state.time + 1
        ended, cut = time >= params.last, time >= params.max_steps_in_episode
        info = {"final_observation": jnp.ones(1) * time}
        time = jnp.where(ended | cut, 0, time)
        return jnp.ones(1) * time, CountState(time=time), 1.0, ended, cut, info

"""One simulator whose physics select a probe environment, so that all probes share their compiled programs.

The probes are those of Andy Jones, "Debugging RL, without the agonizing pain" (2021), and an endless reward under a
time limit. An observation is (signal, time / length), where the signal is a fair coin of plus and minus 1, or 0.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.envs.simulator import Discrete, register_simulator
from jaxrl_ft.envs.task import Task


@config
class ProbeParams:
    each: float = 0.0
    last: float = 0.0
    by_signal: float = 0.0
    by_action: float = 0.0
    by_both: float = 0.0
    random_signal: float = 0.0
    natural: float = 1.0
    length: Any = 1
    broken_obs: float = -1.0
    """time at which the observation is NaN in every second episode; never where it is negative"""
    broken_reward: float = -1.0
    """likewise the reward of the step from that time"""


@dataclasses.dataclass(frozen=True)
class ProbeSimulator:
    obs_size: int = 2

    @property
    def obs_shapes(self):
        return {"obs": (2,)}

    def action_space(self, env_params):
        return Discrete(num_actions=2)

    def draw(self, key, shape):
        return jax.random.bernoulli(key, 0.5, shape)

    def initial(self, draws, env_params):
        return env_params.random_signal * jnp.where(draws, 1.0, -1.0), jnp.zeros((), jnp.int32)

    def advance(self, draws, env_state, action, env_params):
        signal, time = env_state
        sign = 2.0 * action - 1.0
        ends = time + 1 >= env_params.length
        reward = (
            env_params.each
            + env_params.last * ends
            + env_params.by_signal * signal
            + env_params.by_action * sign
            + env_params.by_both * sign * signal
        )
        reward = jnp.where((time == env_params.broken_reward) & (signal < 0), jnp.nan, reward)
        return (signal, time + 1), jnp.asarray(reward, jnp.float32), ends & (env_params.natural > 0)

    def truncated(self, env_state, env_params):
        return (env_state[1] >= env_params.length) & (env_params.natural == 0)

    def observe(self, draws, env_state, env_params, at_reset):
        obs = jnp.stack([env_state[0], env_state[1] / env_params.length])
        return jnp.where((env_state[1] == env_params.broken_obs) & (env_state[0] < 0), jnp.nan, obs)

    def episode_limit(self, env_params):
        return env_params.length

    def return_range(self, env_params):
        return -10.0 * env_params.length, 10.0 * env_params.length

    def checked(self, env_params):
        return env_params

    def describe(self, env_params):
        return "rl-probe"


register_simulator("rl-probe", ProbeSimulator())


def probe(length: int = 1, **physics: float) -> Task:
    floats = {name: np.float32(value) for name, value in {**vars(ProbeParams()), **physics, "length": 0}.items()}
    return Task(simulator="rl-probe", env_params=ProbeParams(**{**floats, "length": np.int32(length)}))

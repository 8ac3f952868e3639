"""A learned dynamics model as an environment: an affine model for each action, whose steps cost no target steps."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.core.types import Key, Leaf
from jaxrl_ft.envs.simulator import SIMULATORS, ActionSpace, Box, Discrete, PlainPhysics, register_simulator


@config
class ImaginedParams:
    """The parameters of the learned model.

    Attributes:
        weights: [A, I, O], the change of the observation under each discrete action, from inputs (observation, 1);
            continuous actions are among the inputs, between the two, and A is 1.
        reward: [A, I], the reward, likewise.
        error: [O], standard deviation of what the model did not explain.
        low: [O], lowest observations from which an episode went on.
        high: [O], highest.
        ends: [O], 1 where an episode ends beyond these, 0 where the observation is held between them.
        start_mean: [O], mean of the first observations.
        start_spread: [O], half-width of a uniform distribution with their standard deviation.
        episode_limit: steps (int32).
        lowest_return: of an episode.
        highest_return: of an episode.
        action_low: [A], lowest continuous actions; a scalar where actions are discrete.
        action_high: highest.
    """

    weights: Leaf
    reward: Leaf
    error: Leaf
    low: Leaf
    high: Leaf
    ends: Leaf
    start_mean: Leaf
    start_spread: Leaf
    episode_limit: Leaf
    lowest_return: Leaf
    highest_return: Leaf
    action_low: Leaf
    action_high: Leaf


@config
class ImaginedState:
    """One imagined episode.

    Attributes:
        obs: [O].
        time: steps since the reset (int32).
    """

    obs: jax.Array
    time: jax.Array


class ImaginedDraws(NamedTuple):
    """Random numbers of one step or reset, [..., O] each: uniform in (-1, 1) for the start, else standard normal."""

    start: jax.Array
    error: jax.Array


class ImaginedSimulator(PlainPhysics):
    """The learned model for one size of observation and one of actions; see `Simulator`.

    Args:
        obs_size: O.
        num_actions: number of discrete actions, or size of continuous ones.
        continuous: whether actions are continuous.
    """

    def __init__(self, obs_size: int, num_actions: int, continuous: bool) -> None:
        self.obs_size = obs_size
        self._num_actions = num_actions
        self._continuous = continuous

    def action_space(self, env_params: ImaginedParams) -> ActionSpace:
        """Return the actions of the real task."""
        if self._continuous:
            return Box(size=self._num_actions, low=env_params.action_low, high=env_params.action_high)
        return Discrete(num_actions=self._num_actions)

    def draw(self, key: Key, shape: tuple[int, ...]) -> ImaginedDraws:
        """Draw the random numbers of steps or resets in one call."""
        above = float(np.nextafter(np.float32(-1), np.float32(0)))
        uniform = jax.random.uniform(key, (*shape, 2 * self.obs_size), jnp.float32, minval=above, maxval=1.0)
        normal = np.float32(np.sqrt(2)) * jax.lax.erf_inv(uniform[..., self.obs_size :])
        return ImaginedDraws(uniform[..., : self.obs_size], normal)

    def initial(self, draws: ImaginedDraws, env_params: ImaginedParams) -> ImaginedState:
        """Draw a first observation with the mean and spread of those that were seen."""
        obs = env_params.start_mean + env_params.start_spread * draws.start
        return ImaginedState(obs=jnp.asarray(obs, jnp.float32), time=jnp.int32(0))

    def advance(
        self, draws: ImaginedDraws, env_state: ImaginedState, action: jax.Array, env_params: ImaginedParams
    ) -> tuple[ImaginedState, jax.Array, jax.Array]:
        """Take one step of the model; beyond the observed range an episode ends, or is held inside."""
        if self._continuous:
            bounded = jnp.clip(action, env_params.action_low, env_params.action_high)
            chosen, inputs = (
                jnp.ones(1, jnp.float32),
                jnp.concatenate([env_state.obs, bounded, jnp.ones(1, jnp.float32)]),
            )
        else:
            chosen = (action == jnp.arange(self._num_actions, dtype=jnp.int32)).astype(jnp.float32)
            inputs = jnp.concatenate([env_state.obs, jnp.ones(1, jnp.float32)])
        change = jnp.einsum("a,i,aio->o", chosen, inputs, env_params.weights)
        reward = jnp.einsum("a,i,ai->", chosen, inputs, env_params.reward)
        obs = env_state.obs + change + env_params.error * draws.error
        ended = jnp.any((env_params.ends > 0) & ((obs < env_params.low) | (obs > env_params.high)))
        # Far outside, an unstable model would overflow before the reset.
        room = 10 * env_params.ends * (env_params.high - env_params.low)
        obs = jnp.clip(obs, env_params.low - room, env_params.high + room)
        return ImaginedState(obs=obs, time=env_state.time + 1), jnp.asarray(reward, jnp.float32), ended

    def truncated(self, env_state: ImaginedState, env_params: ImaginedParams) -> jax.Array:
        """Whether the episode limit was reached."""
        return env_state.time >= env_params.episode_limit

    def observe(
        self, draws: ImaginedDraws, env_state: ImaginedState, env_params: ImaginedParams, at_reset: bool
    ) -> jax.Array:
        """Return the observation, which is the whole state."""
        return env_state.obs

    def episode_limit(self, env_params: ImaginedParams) -> Leaf:
        """Return the limit of the real task."""
        return env_params.episode_limit

    def return_range(self, env_params: ImaginedParams) -> tuple[Leaf, Leaf]:
        """Return the range of the real task."""
        return env_params.lowest_return, env_params.highest_return

    def checked(self, env_params: ImaginedParams) -> ImaginedParams:
        """The same model with NumPy leaves."""
        leaves = {name: np.asarray(leaf, np.float32) for name, leaf in vars(env_params).items()}
        return ImaginedParams(**{**leaves, "episode_limit": np.asarray(env_params.episode_limit, np.int32)})

    def describe(self, env_params: ImaginedParams) -> str:
        """Name the sizes of the model."""
        return f"a learned model of {self.obs_size} observations and {self._num_actions} actions"


@functools.cache
def imagined_simulator(obs_size: int, space: ActionSpace) -> str:
    """Return the name of the learned model of these sizes; the first call registers it."""
    continuous = isinstance(space, Box)
    size = space.size if isinstance(space, Box) else space.num_actions
    name = f"Imagined-{obs_size}-{size}{'-continuous' if continuous else ''}"
    if name not in SIMULATORS:
        register_simulator(name, ImaginedSimulator(obs_size, size, continuous), "a model learned from experience")
    return name

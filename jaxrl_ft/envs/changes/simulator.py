"""Any simulator with changed sensors, actions, rewards and steps around it."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import map_leaves
from jaxrl_ft.core.types import Draws, EnvState, Key, Leaf, PyTree
from jaxrl_ft.envs.changes.numbers import MOST_DELAY, NAMES, ChangedParams, changes_of
from jaxrl_ft.envs.changes.sensing import delayed, pick, shown
from jaxrl_ft.envs.quantities import text
from jaxrl_ft.envs.simulator import SIMULATORS, ActionSpace, Box, Simulator


@config
class ChangedState:
    """One environment in motion, and the actions under way.

    Attributes:
        world: the environment's own state.
        queue: [8] or [8, A], the actions chosen 1 to 8 steps ago.
        last: the action that acted last.
    """

    world: EnvState
    queue: jax.Array
    last: jax.Array


class ChangedDraws(NamedTuple):
    """Random numbers of one step or reset, with K steps of the environment in one."""

    world: Draws
    """those of the environment, leaves [..., K, ...]"""
    normal: jax.Array
    """[..., 2, O], noise of a reset and of a step"""
    uniform: jax.Array
    """[..., K], for sticky actions"""


class _Frame(NamedTuple):
    """What the steps of the environment in one of the task have come to so far."""

    world: EnvState
    last: jax.Array
    reward: jax.Array
    terminated: jax.Array
    over: jax.Array


class ChangedSimulator:
    """A simulator with changes around it; see `Simulator`.

    Args:
        inside: name of the simulator inside.
        frame_skip: K, steps of the environment in one of the task; an episode ends within one too.
    """

    def __init__(self, inside: str, frame_skip: int) -> None:
        self.inside, self.frame_skip = inside, frame_skip

    @property
    def world(self) -> Simulator:
        """The simulator inside."""
        return SIMULATORS[self.inside]

    @property
    def obs_size(self) -> int:
        """The number of entries of an observation."""
        return self.world.obs_size

    @property
    def obs_shapes(self) -> dict[str, tuple[int, ...]]:
        """The parts of an observation, as without the changes."""
        return self.world.obs_shapes

    def flatten(self, obs: PyTree) -> Leaf:
        """The environment's own observation as a vector [obs_size], before any change of sensors."""
        return self.world.flatten(obs)

    def action_space(self, env_params: ChangedParams) -> ActionSpace:
        """The actions of the environment."""
        return self.world.action_space(env_params.world)

    def draw(self, key: Key, shape: tuple[int, ...]) -> ChangedDraws:
        """Draw the random numbers of steps or resets in three calls."""
        world_key, normal_key, uniform_key = jax.random.split(key, 3)
        return ChangedDraws(
            self.world.draw(world_key, (*shape, self.frame_skip)),
            jax.random.normal(normal_key, (*shape, 2, self.obs_size), jnp.float32),
            jax.random.uniform(uniform_key, (*shape, self.frame_skip), jnp.float32),
        )

    def initial(self, draws: ChangedDraws, env_params: ChangedParams) -> ChangedState:
        """The environment's own start, with no action under way."""
        idle = jnp.asarray(env_params.changes.idle_action)
        queue = jnp.broadcast_to(idle, (MOST_DELAY, *idle.shape))
        world = self.world.initial(_at(draws.world, 0), env_params.world)
        return ChangedState(world=world, queue=queue, last=idle)

    def advance(
        self, draws: ChangedDraws, env_state: ChangedState, action: jax.Array, env_params: ChangedParams
    ) -> tuple[ChangedState, jax.Array, jax.Array]:
        """K steps of the environment under the action chosen `action_delay` steps ago, or fewer where one ends it."""
        changes, world = env_params.changes, self.world
        meant = self._meant(action, env_params)
        applied, queue = delayed(meant, env_state.queue, changes.action_delay)
        applied = applied.astype(env_state.last.dtype)
        nothing = jnp.float32(0), jnp.asarray(False), jnp.asarray(False)
        now = _Frame(env_state.world, env_state.last, *nothing)
        for step in range(self.frame_skip):
            acts = jnp.where(draws.uniform[step] < changes.sticky_actions, now.last, applied)
            after, reward, terminated = world.advance(_at(draws.world, step), now.world, acts, env_params.world)
            over = terminated | world.truncated(after, env_params.world)
            later = _Frame(after, acts, now.reward + reward, terminated, over)
            now = later if step == 0 else map_leaves(lambda a, b, o=now.over: jnp.where(o, a, b), now, later)
        after_all = ChangedState(world=now.world, queue=queue, last=now.last)
        return after_all, now.reward * jnp.asarray(changes.reward_scale), now.terminated

    def _meant(self, action: jax.Array, env_params: ChangedParams) -> jax.Array:
        """What a policy's action stands for here: flipped, then permuted and scaled."""
        changes, space = env_params.changes, self.action_space(env_params)
        flips = changes.flip_actions > 0
        if isinstance(space, Box):
            bounded = jnp.clip(jnp.asarray(action, jnp.float32), space.low, space.high)
            mirrored = jnp.where(flips, space.low + space.high - bounded, bounded)
            ordered = pick(jnp.asarray(changes.action_permutation), mirrored)
            return ordered if changes.action_scale is None else ordered * jnp.asarray(changes.action_scale)
        chosen = jnp.asarray(action, jnp.int32)
        chosen = jnp.where(flips, space.num_actions - 1 - chosen, chosen)
        return pick(chosen, jnp.asarray(changes.action_permutation))

    def truncated(self, env_state: ChangedState, env_params: ChangedParams) -> jax.Array:
        """Whether the environment's time limit was reached."""
        return self.world.truncated(env_state.world, env_params.world)

    def observe(
        self, draws: ChangedDraws, env_state: ChangedState, env_params: ChangedParams, at_reset: bool
    ) -> jax.Array:
        """`(obs_scale * obs + obs_offset)[obs_permutation] + obs_noise * normal`, [O]."""
        own = _at(draws.world, 0 if at_reset else self.frame_skip - 1)
        values = self.world.observe(own, env_state.world, env_params.world, at_reset)
        changes, normal = env_params.changes, draws.normal[0 if at_reset else 1]
        return shown(values, changes.obs_scale, changes.obs_offset, changes.obs_permutation, changes.obs_noise, normal)

    def episode_limit(self, env_params: ChangedParams) -> Leaf:
        """The most steps of the task that an episode has; the environment's own limit counts its own steps."""
        return -(-self.world.episode_limit(env_params.world) // self.frame_skip)

    def return_range(self, env_params: ChangedParams) -> tuple[Leaf, Leaf]:
        """The environment's own, times the scale of rewards."""
        scale = env_params.changes.reward_scale
        low, high = (scale * end for end in self.world.return_range(env_params.world))
        positive = scale > 0
        pick_end = jnp.where if isinstance(positive, jax.Array) else np.where
        return pick_end(positive, low, high), pick_end(positive, high, low)

    def quantities(self, env_params: ChangedParams) -> dict[str, Leaf]:
        """The environment's own, and the changes."""
        around = {**vars(env_params.changes), "frame_skip": np.asarray(self.frame_skip, np.int32)}
        inside = self.world.quantities(env_params.world)
        return inside | {name: leaf for name, leaf in around.items() if leaf is not None and name not in inside}

    def changed(self, env_params: ChangedParams, changes: Mapping[str, object]) -> ChangedParams:
        """The physics with some quantities changed, of either kind.

        Raises:
            ValueError: an unknown quantity, or a value that is not allowed.
        """
        of_world = self.world.quantities(env_params.world)
        around = {name: value for name, value in changes.items() if name in NAMES and name not in of_world}
        inside = {name: value for name, value in changes.items() if name not in around and name != "frame_skip"}
        world = self.world.changed(env_params.world, inside)
        given = {**vars(env_params.changes), **around}
        found = changes_of(self.inside, self.obs_size, self.world.action_space(world), given)
        return ChangedParams(world=world, changes=found)

    def checked(self, env_params: ChangedParams) -> ChangedParams:
        """The same physics and changes, checked anew and with NumPy leaves.

        Raises:
            ValueError: a value out of its range.
        """
        world = self.world.checked(env_params.world)
        return self.changed(ChangedParams(world=world, changes=env_params.changes), {})

    def describe(self, env_params: ChangedParams) -> str:
        """Return a text such as `Acrobot-v1 link_mass_1=1.5 obs_noise=0.1`."""
        space = self.world.action_space(env_params.world)
        usual = {**vars(changes_of(self.inside, self.obs_size, space, {})), "frame_skip": 1}
        own = {**vars(env_params.changes), "frame_skip": self.frame_skip}
        differing = [name for name, leaf in own.items() if leaf is not None and np.any(leaf != usual[name])]
        return " ".join([self.world.describe(env_params.world), *(f"{name}={text(own[name])}" for name in differing)])


def _at(draws: Draws, step: int) -> Draws:
    return jax.tree.map(lambda leaf: leaf[step], draws)

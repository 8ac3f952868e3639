"""Any environment with gymnax's reset and step as a simulator."""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.jax_settings import foreign
from jaxrl_ft.core.types import Draws, EnvParams, Key, Leaf, PyTree
from jaxrl_ft.envs.gymnax_worlds import numbers, observations, outline
from jaxrl_ft.envs.gymnax_worlds.actions import space_of
from jaxrl_ft.envs.gymnax_worlds.numbers import WorldParams
from jaxrl_ft.envs.gymnax_worlds.outline import Outline
from jaxrl_ft.envs.simulator import ActionSpace, Box


@config
class WorldState:
    """One environment in motion.

    Attributes:
        inner: the environment's own state.
        obs: [O], what it shows.
        time: steps since the reset (int32).
        cut: whether a limit of the environment's own was reached (bool).
    """

    inner: PyTree
    obs: jax.Array
    time: jax.Array
    cut: jax.Array


class GymnaxWorld:
    """An environment with gymnax's reset and step; see `Simulator`.

    It is made and traced when it is first asked for anything, since that takes seconds of some.

    Args:
        id: its name, without spaces.
        make: gives the environment and its usual params.
    """

    def __init__(self, id: str, make: Callable[[], tuple[PyTree, EnvParams]]) -> None:
        self.id = id
        self._make = make

    @functools.cached_property
    @foreign
    def made(self) -> tuple[PyTree, EnvParams]:
        """The environment and its usual params."""
        with jax.ensure_compile_time_eval():
            return self._make()

    @functools.cached_property
    def usual(self) -> dict[str, Leaf]:
        """The leaves of its usual params by name, as NumPy arrays so that no tracer outlives its trace."""
        with jax.ensure_compile_time_eval():
            return numbers.template(self.id, self.made[1])

    @functools.cached_property
    def limit_name(self) -> str | None:
        """What its params call the time limit; None where they have none."""
        return next((name for name in numbers.LIMITS if name in self.usual), None)

    @functools.cached_property
    def outline(self) -> Outline:
        """What its reset and step return."""
        return outline.outline(self.id, self.made[0], self._own_params(self.usual))

    @property
    def obs_shapes(self) -> dict[str, tuple[int, ...]]:
        """The parts of an observation by name, in their order, with their shapes."""
        return {part.name: part.shown for part in self.outline.parts}

    @foreign
    def flatten(self, obs: PyTree) -> Leaf:
        """The environment's own observation as a vector [obs_size]."""
        return observations.flat(obs, self.outline.parts)

    @functools.cached_property
    def obs_size(self) -> int:
        """The number of entries of an observation."""
        return sum(int(np.prod(shape)) for shape in self.obs_shapes.values())

    def params(self, env_params: EnvParams = None, return_range: object = None, **changes: object) -> WorldParams:
        """The numbers: the given params, its usual ones without them, and changes by name on top.

        Raises:
            ValueError: an unknown name, a value of another type or shape or one that is not finite, params of another
                structure, no time limit, or bounds of actions that are not finite.
        """
        own = self.usual if env_params is None else self._checked_own(env_params)
        values = {name: value for name, value in own.items() if name != self.limit_name}
        limit = changes.pop("episode_limit", own.get(self.limit_name) if self.limit_name else None)
        for name, value in changes.items():
            if name not in values:
                raise checks.unknown(f"{self.id} quantity", name, [*values, "episode_limit"])
            values[name] = numbers.leaf(name, value, self.usual[name])
        if limit is None:
            raise ValueError(
                f"episode_limit: {self.id} has no time limit, as its params have no {numbers.LIMITS[0]}; give one, "
                "such as episode_limit=500"
            )
        ends = numbers.range_leaves(return_range)
        found = WorldParams(values=values, episode_limit=numbers.limit_leaf(limit), return_range=ends)
        self.action_space(found)
        return found

    def _checked_own(self, env_params: EnvParams) -> dict[str, Leaf]:
        leaves = numbers.template(self.id, env_params)
        if not tree.same_structure(env_params, self.made[1]):
            raise ValueError(
                f"env_params: {checks.shown(env_params)} is not allowed; their structure is not that of {self.id}'s"
            )
        return {name: numbers.leaf(name, leaf, self.usual[name]) for name, leaf in leaves.items()}

    def action_space(self, env_params: WorldParams) -> ActionSpace:
        """One of n actions, or a vector within bounds [size] each.

        Raises:
            ValueError: a bound is not finite.
        """
        stacked = np.ndim(env_params.episode_limit)
        if any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(env_params)):
            space = self._space
            for _ in range(stacked):
                space = jax.vmap(space)
            return space(env_params)
        bits = tree.bits(env_params)
        if bits not in self._spaces:
            self._spaces[bits] = self._numpy_space(env_params, stacked)
        return self._spaces[bits]

    @functools.cached_property
    def _spaces(self) -> dict[PyTree, ActionSpace]:
        return {}

    def _numpy_space(self, env_params: WorldParams, stacked: int) -> ActionSpace:
        space = self._space
        for _ in range(stacked):
            space = jax.vmap(space)
        with jax.ensure_compile_time_eval():
            found: ActionSpace = jax.tree.map(np.asarray, space(env_params))
        if isinstance(found, Box) and not (np.isfinite(found.low).all() and np.all(found.low < found.high)):
            raise ValueError(
                f"action_space: the bounds of {self.id} are {found.low} and {found.high}; they must be finite, and "
                "each lower one below the upper one"
            )
        return found

    @foreign
    def _space(self, env_params: WorldParams) -> ActionSpace:
        return self.outline.actions.space(space_of(self.made[0], self._native(env_params)))

    def draw(self, key: Key, shape: tuple[int, ...]) -> Draws:
        """Keys [*shape, 2]: one for the step and one for the reset, split as gymnax splits them."""
        return jax.random.split(key, (*shape, 2))

    def initial(self, draws: Draws, env_params: WorldParams) -> WorldState:
        """The first state and what it shows."""
        obs, inner = self.outline.first(draws[1], self._native(env_params))
        return WorldState(inner=inner, obs=obs, time=jnp.int32(0), cut=jnp.asarray(False))

    def advance(
        self, draws: Draws, env_state: WorldState, action: jax.Array, env_params: WorldParams
    ) -> tuple[WorldState, jax.Array, jax.Array]:
        """The next state, reward and natural ending.

        Of an environment that has one flag for both endings, one at or beyond the time limit is not natural.
        """
        native = self.outline.actions.native(action, self._space(env_params))
        found = self.outline.next(draws[0], env_state.inner, native, self._native(env_params))
        after = WorldState(inner=found.env_state, obs=found.obs, time=env_state.time + 1, cut=found.cut)
        ended = found.ended & ~self.truncated(after, env_params) if self.outline.mixes else found.ended
        return after, found.reward, ended

    def truncated(self, env_state: WorldState, env_params: WorldParams) -> jax.Array:
        """Whether the episode limit was reached, or one that the environment keeps itself."""
        over: jax.Array = (env_state.time >= env_params.episode_limit) | env_state.cut
        return over

    def observe(self, draws: Draws, env_state: WorldState, env_params: WorldParams, at_reset: bool) -> jax.Array:
        """The observation [obs_size] that came with the state."""
        return env_state.obs

    @property
    def renders(self) -> bool:
        """Whether the environment has a `render` of its own."""
        return callable(getattr(self.made[0], "render", None))

    @foreign
    def render(self, env_state: WorldState, env_params: WorldParams) -> PyTree:
        """What the environment's own `render(state, params)` returns."""
        return self.made[0].render(env_state.inner, self._native(env_params))

    def episode_limit(self, env_params: WorldParams) -> Leaf:
        """The most steps an episode has."""
        return env_params.episode_limit

    def return_range(self, env_params: WorldParams) -> tuple[Leaf, Leaf]:
        """The range that was given with the params; all numbers where none was."""
        nothing = 0.0 * env_params.episode_limit
        return env_params.return_range or (nothing - np.float32(np.inf), nothing + np.float32(np.inf))

    def quantities(self, env_params: WorldParams) -> dict[str, Leaf]:
        """Every number by name, and the episode limit."""
        return {**env_params.values, "episode_limit": env_params.episode_limit}

    def changed(self, env_params: WorldParams, changes: Mapping[str, object]) -> WorldParams:
        """The numbers with some of them changed, and checked anew.

        Raises:
            ValueError: an unknown name, or a value that is not allowed.
        """
        return self.params(None, env_params.return_range, **{**self.quantities(env_params), **changes})

    def checked(self, env_params: WorldParams) -> WorldParams:
        """The same numbers, checked anew and with NumPy leaves.

        Raises:
            ValueError: one is missing, not known, or not allowed.
        """
        missing = [name for name in self.usual if name not in (*env_params.values, self.limit_name)]
        if missing:
            raise ValueError(f"{missing[0]}: is missing among the numbers of {self.id}")
        return self.changed(env_params, {})

    def describe(self, env_params: WorldParams) -> str:
        """Return a text such as `Breakout-MinAtar episode_limit=500`."""
        ours = {name: env_params.values[name] for name in self.usual if name in env_params.values}
        if self.limit_name:
            ours["episode_limit"] = env_params.episode_limit
        usual = {**self.usual, "episode_limit": self.usual.get(self.limit_name or "", np.zeros(()))}
        return " ".join([self.id, *(f"{n}={numbers.text(ours[n])}" for n in numbers.changed_names(ours, usual))])

    def _native(self, env_params: WorldParams) -> EnvParams:
        limit = {self.limit_name: env_params.episode_limit} if self.limit_name else {}
        return self._own_params({**env_params.values, **limit})

    @foreign
    def _own_params(self, leaves: Mapping[str, Leaf]) -> EnvParams:
        """The environment's own params with these leaves."""
        ours = [jnp.asarray(leaves[name], usual.dtype) for name, usual in self.usual.items()]
        return jax.tree.unflatten(jax.tree.structure(self.made[1]), ours)

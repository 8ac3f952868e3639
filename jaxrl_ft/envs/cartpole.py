"""CartPole: the physics by plain names, and the simulator that steps it through gymnax.

The dynamics are those of Barto, Sutton and Anderson (1983, doi:10.1109/TSMC.1983.6313077), as gymnax integrates them.
gymnax keeps the total mass and the product of pole mass and half-length as fields of their own, which go stale when
a mass or a length is replaced. `CartPoleParams` therefore holds primary quantities alone, and the derived ones are
computed inside the step: an inconsistent cart-pole cannot be written down.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.config import config
from jaxrl_ft.core.jax_settings import foreign
from jaxrl_ft.core.types import EnvParams, Key, Leaf, PyTree
from jaxrl_ft.envs.changes.sensing import delayed, shown
from jaxrl_ft.envs.gymnax_worlds import library
from jaxrl_ft.envs.quantities import Quantity, check_order, permutation, switch, text
from jaxrl_ft.envs.simulator import Discrete, PlainPhysics, register_simulator

MAX_DELAY = 3
NO_FORCE = 0.5
"""The action between left (0) and right (1), at which gymnax applies no force."""
STATE_NAMES = ("x", "x_dot", "theta", "theta_dot")


@config
class CartPoleParams:
    """One cart-pole in SI units: NumPy leaves of fixed type and shape, so that tasks stack.

    Attributes:
        gravity: m/s2.
        cart_mass: kg.
        pole_mass: kg.
        half_length: half of the pole's length, m.
        force: of either action, N.
        tau: time between two actions, s.
        x_threshold: distance from the middle at which an episode ends, m.
        theta_threshold: angle from upright at which an episode ends, rad.
        reset_range: half-width of the uniform start of each of x (m), x_dot (m/s), theta (rad), theta_dot (rad/s).
        episode_limit: steps (int32).
        obs_scale: [4], factor of each sensor, in the order x, x_dot, theta, theta_dot.
        obs_offset: [4], added to each scaled sensor, in its unit.
        obs_permutation: [4] int32, which sensor each entry of the observation shows.
        obs_noise: standard deviation of the normal noise on each entry of an observation.
        flip_actions: 1 when left pushes right and right pushes left, else 0.
        action_delay: steps before an action takes effect (int32); no force acts until the first one does.
    """

    gravity: Leaf
    cart_mass: Leaf
    pole_mass: Leaf
    half_length: Leaf
    force: Leaf
    tau: Leaf
    x_threshold: Leaf
    theta_threshold: Leaf
    reset_range: Leaf
    episode_limit: Leaf
    obs_scale: Leaf
    obs_offset: Leaf
    obs_permutation: Leaf
    obs_noise: Leaf
    flip_actions: Leaf
    action_delay: Leaf


QUANTITIES: Mapping[str, Quantity] = {
    "gravity": Quantity(9.8, 0.1, 200.0, "m/s2"),
    "cart_mass": Quantity(1.0, 0.01, 100.0, "kg"),
    "pole_mass": Quantity(0.1, 0.01, 100.0, "kg"),
    "half_length": Quantity(0.5, 0.01, 10.0, "m"),
    "force": Quantity(10.0, 0.1, 1000.0, "N"),
    "tau": Quantity(0.02, 1e-4, 0.2, "s"),
    "x_threshold": Quantity(2.4, 0.1, 100.0, "m"),
    "theta_threshold": Quantity(12 * 2 * math.pi / 360, 0.01, math.pi, "rad"),
    "reset_range": Quantity(0.05, 0.0, 1.0, "m, m/s, rad, rad/s"),
    "episode_limit": Quantity(500, 1, 10_000, "steps", whole=True),
    "obs_scale": Quantity(1.0, -100.0, 100.0, size=4),
    "obs_offset": Quantity(0.0, -100.0, 100.0, "m, m/s, rad, rad/s", size=4),
    "obs_noise": Quantity(0.0, 0.0, 100.0),
    "action_delay": Quantity(0, 0, MAX_DELAY, "steps", whole=True),
}
"""Arguments of `cartpole_params` beside `obs_permutation` and `flip_actions`."""
NAMES = tuple(field.name for field in dataclasses.fields(CartPoleParams))


def cartpole_params(**physics: object) -> CartPoleParams:
    """The physics of a cart-pole: the given quantities, and the defaults of CartPole-v1 for the rest.

    Raises:
        ValueError: an unknown quantity, a value out of its range, an episode that could start ended, actions
            that never take effect, or sensors that show nothing.
    """
    for name in physics:
        if name not in NAMES:
            raise checks.unknown("CartPole quantity", name, NAMES)
    leaves = {name: q.leaf(name, physics.get(name, q.default)) for name, q in QUANTITIES.items()}
    leaves["obs_permutation"] = permutation("obs_permutation", physics.get("obs_permutation", range(4)), 4)
    leaves["flip_actions"] = switch("flip_actions", physics.get("flip_actions", False))
    for threshold in ("x_threshold", "theta_threshold"):
        check_order(leaves, "reset_range", threshold, "an episode could start ended")
    check_order(leaves, "action_delay", "episode_limit", "no action would ever take effect")
    if not np.any(leaves["obs_scale"]):
        raise ValueError("obs_scale: 0 is not allowed for every sensor; one at least must show something")
    return CartPoleParams(**leaves)


@config
class CartPoleState:
    """One cart-pole in motion.

    Attributes:
        motion: [4], x (m), x_dot (m/s), theta (rad), theta_dot (rad/s).
        time: steps since the reset (int32).
        queue: [3], the actions chosen 1, 2 and 3 steps ago.
    """

    motion: jax.Array
    time: jax.Array
    queue: jax.Array


@functools.cache
@foreign
def _gymnax() -> tuple[ModuleType, PyTree]:
    """The gymnax module and its environment; imported at the first step, as it takes seconds and starts a backend."""
    # The first step is often traced, and gymnax's modules hold arrays.
    with jax.ensure_compile_time_eval():
        cartpole = library.imported("gymnax.environments.classic_control.cartpole")

    return cartpole, cartpole.CartPole()


def gymnax_params(params: CartPoleParams) -> EnvParams:
    """Return gymnax's EnvParams with all derived fields; no other code builds them."""
    module, _ = _gymnax()
    return module.EnvParams(
        gravity=params.gravity,
        masscart=params.cart_mass,
        masspole=params.pole_mass,
        total_mass=params.cart_mass + params.pole_mass,
        length=params.half_length,
        polemass_length=params.pole_mass * params.half_length,
        force_mag=params.force,
        tau=params.tau,
        theta_threshold_radians=params.theta_threshold,
        x_threshold=params.x_threshold,
        max_steps_in_episode=params.episode_limit,
    )


class CartPoleDraws(NamedTuple):
    """Random numbers of one step or reset, [..., 4] each: uniform in (-1, 1) for the start, else standard normal."""

    start: jax.Array
    reset_noise: jax.Array
    step_noise: jax.Array


class CartPoleSimulator(PlainPhysics):
    """CartPole with sensors, action flip and action delay around gymnax's dynamics; see `Simulator`."""

    obs_size = 4

    def action_space(self, env_params: CartPoleParams) -> Discrete:
        """Left (0) or right (1)."""
        return Discrete(num_actions=2)

    def draw(self, key: Key, shape: tuple[int, ...]) -> CartPoleDraws:
        """Draw the random numbers of steps or resets in one call, outside of the rollout's loop."""
        above = float(np.nextafter(np.float32(-1), np.float32(0)))
        uniform = jax.random.uniform(key, (*shape, 12), jnp.float32, minval=above, maxval=1.0)
        normal = math.sqrt(2) * jax.lax.erf_inv(uniform[..., 4:])
        return CartPoleDraws(uniform[..., :4], normal[..., :4], normal[..., 4:])

    def initial(self, draws: CartPoleDraws, env_params: CartPoleParams) -> CartPoleState:
        """Every part of the motion uniform within the reset range; no force is under way."""
        motion = draws.start * env_params.reset_range
        return CartPoleState(motion=motion, time=jnp.int32(0), queue=jnp.full(MAX_DELAY, NO_FORCE, jnp.float32))

    def advance(
        self, draws: CartPoleDraws, env_state: CartPoleState, action: jax.Array, env_params: CartPoleParams
    ) -> tuple[CartPoleState, jax.Array, jax.Array]:
        """One Euler step under the action chosen `action_delay` steps ago; the reward is 1."""
        module, cartpole = _gymnax()
        action = jnp.asarray(action, jnp.float32)
        chosen = jnp.where(env_params.flip_actions > 0, 1 - action, action)
        applied, queue = delayed(chosen, env_state.queue, env_params.action_delay)
        parts = {name: env_state.motion[i] for i, name in enumerate(STATE_NAMES)}
        before = module.EnvState(**parts, time=env_state.time)
        # the dynamics are deterministic: gymnax takes a key and does not use it
        motion, after, reward, terminated, _ = foreign(cartpole.step_env)(
            None, before, applied, gymnax_params(env_params)
        )
        env_state = CartPoleState(motion=motion, time=after.time, queue=queue)
        return env_state, jnp.asarray(reward, jnp.float32), terminated

    def truncated(self, env_state: CartPoleState, env_params: CartPoleParams) -> jax.Array:
        """Whether the episode limit was reached."""
        return env_state.time >= env_params.episode_limit

    def observe(
        self, draws: CartPoleDraws, env_state: CartPoleState, env_params: CartPoleParams, at_reset: bool
    ) -> jax.Array:
        """`(obs_scale * state + obs_offset)[obs_permutation] + obs_noise * normal`, [4]."""
        sensors = env_params.obs_scale, env_params.obs_offset, env_params.obs_permutation, env_params.obs_noise
        return shown(env_state.motion, *sensors, draws.reset_noise if at_reset else draws.step_noise)

    def episode_limit(self, env_params: CartPoleParams) -> Leaf:
        """The most steps an episode has."""
        return env_params.episode_limit

    def return_range(self, env_params: CartPoleParams) -> tuple[Leaf, Leaf]:
        """Zero to one per step of the limit."""
        return 0.0 * env_params.episode_limit, 1.0 * env_params.episode_limit

    def checked(self, env_params: CartPoleParams) -> CartPoleParams:
        """The same physics, checked anew and with NumPy leaves.

        Raises:
            ValueError: a value out of its range.
        """
        return cartpole_params(**{name: getattr(env_params, name) for name in NAMES})

    def describe(self, env_params: CartPoleParams) -> str:
        """Return a text such as `CartPole-v1 half_length=1.5`."""
        default = cartpole_params()
        changed = [name for name in NAMES if np.any(getattr(env_params, name) != getattr(default, name))]
        return " ".join(["CartPole-v1", *(f"{name}={text(getattr(env_params, name))}" for name in changed)])


register_simulator("CartPole", CartPoleSimulator(), "a pole balanced on a cart that is pushed left or right")

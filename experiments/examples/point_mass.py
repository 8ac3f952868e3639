"""An environment of one's own, in one file: a point that is pushed to the origin, with discrete or continuous actions.

python experiments/examples/point_mass.py [continuous]

Agents learn it, and are fine-tuned to a world with another drag by five methods. The environment knows nothing of
jaxrl_ft: it has gymnax's `reset(key, params)` and `step(key, state, action, params)`.
"""

import sys

import jax
import jax.numpy as jnp
from flax import struct
from gymnasium import spaces

import jaxrl_ft as ft

METHODS = ["full", "lora", "l2sp", "soften", "critic_reset"]
WAYS = ((0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))


@struct.dataclass
class PointMassParams:
    """What can be changed: drag and mass are plain numbers, and `max_steps_in_episode` is the time limit."""

    drag: float = 0.1
    mass: float = 1.0
    max_steps_in_episode: int = 50


class PointMass:
    """Position and speed in the plane; the reward is less by the distance to the origin, and ends beyond 3."""

    default_params = PointMassParams()

    def __init__(self, continuous: bool) -> None:
        self.name = "PointMass-continuous" if continuous else "PointMass"
        self.continuous = continuous

    def action_space(self, params):
        """A push in either direction, or one of five."""
        return spaces.Box(-1.0, 1.0, (2,)) if self.continuous else spaces.Discrete(len(WAYS))

    def reset(self, key, params):
        """Anywhere in a square, at rest."""
        place = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        state = jnp.concatenate([place, jnp.zeros(2)])
        return state, state

    def step(self, key, state, action, params):
        """`(obs, state, reward, done, info)`; jaxrl_ft counts the steps and resets."""
        push = action if self.continuous else jnp.array(WAYS)[action]
        place, speed = state[:2], state[2:]
        speed = (1 - params.drag) * speed + 0.1 * push / params.mass
        place = place + speed
        state = jnp.concatenate([place, speed])
        distance = jnp.linalg.norm(place)
        return state, state, -distance, distance > 3.0, {}


def main(continuous: bool, out: str) -> None:
    """Pretrain, compare five methods on a world with hardly any drag, and write the report."""
    environment = PointMass(continuous)
    source = ft.make_task(environment, return_range=(-150.0, 0.0))
    target = ft.make_task(environment, env_params=PointMassParams(drag=0.005), return_range=(-150.0, 0.0))
    agents = ft.pretrain(source, seeds=4, steps=40_960, seed=0)
    result = ft.compare(agents, {"no drag": target}, METHODS, seeds=4, steps=10_240, seed=1, num_evals=6)
    print(result.summary())
    result.report(out)


if __name__ == "__main__":
    main(continuous="continuous" in sys.argv, out="point_mass")
    print("Open point_mass/report.html.")

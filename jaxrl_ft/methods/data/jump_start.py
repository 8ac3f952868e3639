"""A rollout whose first steps the pretrained policy takes."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Key
from jaxrl_ft.methods.data.base import Data
from jaxrl_ft.methods.penalties import Source


@config
class JumpStart(Data):
    """The base acts during the first steps of every episode, the policy afterwards (JSRL, arXiv:2204.02372).

    Uchendu et al. 2023 start the policy from nothing and let the horizon h fall in stages k = 0, 1, ..., K, by one
    whenever the moving average of the return reaches its best so far less a tolerance. Here the return is that of
    training rollouts, guide and policy together, where they evaluate. The other schedule is a line:

        h = guide_steps ((1 - c) max(0, 1 - p / stop) + c (1 - k / K)),   c = curriculum

    `kl`, as optimizers see it, takes in the guided rows, where it is from the base: a small target would stop a fresh
    policy at once.
    """

    guide_steps: float = 20.0
    """steps that the pretrained policy acts at first; a step is guided while the steps since the reset are fewer"""
    curriculum: float = 0.0
    """0 for a linear descent over the budget, 1 for stages that the return earns"""
    stop: float = 0.5
    """share of the budget after which the linear descent has reached zero"""
    stages: float = 10.0
    """stages K until the horizon is zero"""
    tolerance: float = 0.05
    """share of the best average by which a later one may fall short and still earn the next stage"""
    smoothing: float = 0.2
    """weight of the newest update in the moving average, which is exponential"""

    guided: ClassVar[bool] = True
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "guide_steps": (0.0, 1e6),
        "curriculum": (0.0, 1.0),
        "stop": (0.0, 1.0),
        "stages": (1.0, 1e4),
        "tolerance": (0.0, 1.0),
        "smoothing": (1e-3, 1.0),
    }

    def init(self, key: Key, source: Source) -> Tree:
        """Scalars: the stage, the moving average, its best, and whether any episode has ended (0 or 1)."""
        return {name: jnp.zeros((), jnp.float32) for name in ("stage", "average", "best", "begun")}

    def horizon(self, memory: Tree, progress: jax.Array) -> jax.Array:
        """h at `progress` and the memory's stage, a scalar."""
        line = jnp.where(progress < self.stop, 1.0 - progress / jnp.maximum(self.stop, 1e-9), 0.0)
        stairs = jnp.maximum(1.0 - memory["stage"] / self.stages, 0.0)
        return self.guide_steps * ((1.0 - self.curriculum) * line + self.curriculum * stairs)

    def after_update(self, memory: Tree, metrics: dict[str, jax.Array]) -> Tree:
        """The memory after a rollout; one in which no episode ended changes nothing.

        The first average is the first best and earns nothing, as there is nothing to compare it with.

        Args:
            memory: as `init` makes it.
            metrics: `rollout/num` and `rollout/episode_return`, the number of episodes that ended and the sum of
                their returns.
        """
        num, begun, best = metrics["rollout/num"], memory["begun"] > 0, memory["best"]
        mean = metrics["rollout/episode_return"] / jnp.maximum(num, 1.0)
        average = jnp.where(begun, memory["average"] + self.smoothing * (mean - memory["average"]), mean)
        earned = begun & (average >= best - self.tolerance * jnp.abs(best))
        after = {
            "stage": memory["stage"] + earned.astype(jnp.float32),
            "average": average,
            "best": jnp.where(begun, jnp.maximum(best, average), average),
            "begun": jnp.ones((), jnp.float32),
        }
        return jax.tree.map(lambda new, old: jnp.where(num > 0, new, old), after, memory)

"""The interface of the data axis: tasks to collect on, a guide, and stored rows."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.penalties import Source


@config
class Data:
    """The interface; this member collects on the target alone."""

    source_steps = 0
    """environment steps of source experience by the pretrained agent that it needs, collected before training"""
    guided: ClassVar[bool] = False
    """whether the base acts at the start of episodes"""
    replays: ClassVar[bool] = False
    """whether it adds rows to those of the rollout"""

    @property
    def uses_source(self) -> bool:
        """Whether it combines the source with the target; only the plain `Data` does not."""
        return type(self) is not Data

    def check_tasks(self, source: Task, target: Task) -> None:
        """Refuse tasks that cannot be combined.

        Raises:
            ValueError: they cannot.
        """

    def init(self, key: jax.Array, source: Source) -> Tree:
        """The memory, a pytree of arrays."""
        return {}

    def tasks(self, key: jax.Array, source: Task, target: Task, progress: jax.Array, num_envs: int) -> Task:
        """The physics of each of N environments in an update, a task with leaves [N, ...]; episodes go on in it."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_envs, *jnp.shape(leaf))), target)

    def horizon(self, memory: Tree, progress: jax.Array) -> jax.Array:
        """Return how many first steps of every episode the base acts in, a scalar; called only if `guided`."""
        return jnp.zeros((), jnp.float32)

    def mix(self, key: jax.Array, memory: Tree, data: Any, indices: jax.Array) -> tuple[Any, jax.Array]:
        """Return rows [M + K, ...] and indices [G, B] for the rollout's [M, ...], [G, B]; called only if `replays`."""
        return data, indices

    def after_update(self, memory: Tree, metrics: dict[str, jax.Array]) -> Tree:
        """Return the memory after an update with these metrics of its rollout."""
        return memory

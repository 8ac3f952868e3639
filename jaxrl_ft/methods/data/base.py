"""The interface of the data axis: tasks to collect on, a guide, and stored rows."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree, map_leaves
from jaxrl_ft.core.types import Key, PyTree
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

    def init(self, key: Key, source: Source) -> Tree:
        """The memory, a pytree of arrays."""
        return {}

    def tasks(self, key: Key, source: Task, target: Task, progress: jax.Array, num_envs: int) -> Task:
        """The physics of each of N environments in an update, a task with leaves [N, ...]; episodes go on in it."""
        return map_leaves(lambda leaf: jnp.broadcast_to(leaf, (num_envs, *jnp.shape(leaf))), target)

    def horizon(self, memory: Tree, progress: jax.Array) -> jax.Array:
        """Return how many first steps of every episode the base acts in, a scalar; called only if `guided`."""
        return jnp.zeros((), jnp.float32)

    def mix(self, key: Key, memory: Tree, data: PyTree, indices: jax.Array) -> tuple[PyTree, jax.Array]:
        """Return rows [M + K, ...] and indices [G, B] for the rollout's [M, ...], [G, B]; called only if `replays`."""
        return data, indices

    def after_update(self, memory: Tree, metrics: dict[str, jax.Array]) -> Tree:
        """Return the memory after an update with these metrics of its rollout."""
        return memory

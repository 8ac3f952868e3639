"""Stored experience of the source in every minibatch."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Key, PyTree
from jaxrl_ft.methods.data.base import Data
from jaxrl_ft.methods.penalties import Source


@config
class Replay(Data):
    """A share of every minibatch are rows that the base collected on the source before training.

    Experience replay against forgetting (CLEAR, Rolnick et al. 2019, arXiv:1811.11682, half old and half new; episodic
    memory in Wołczyk et al. 2024, arXiv:2402.02868). Those replay off-policy; here the algorithm takes the rows as its
    own. For PPO their log-probabilities, advantages and target values are the base's and are never renewed: the
    ratio is to the base, which is 1 as long as the policy is the base, and the surrogate improves on the base on the
    source while its clip stops gains outside 1 ± clip_eps of it. What holds the policy is that clip, no cloning. The
    critic is held to the base's returns on the source, which contradicts the target's wherever the two tasks look
    alike. `kl`, as optimizers see it, and the advantages' mean and variance are those of the mixed minibatch.
    """

    source_steps: int = 4096
    """environment steps that the pretrained agent takes on the source; counted beside the budget"""
    share: float = 0.25
    """share of each minibatch"""

    replays: ClassVar[bool] = True
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"share": (0.0, 1.0), "source_steps": (1, 2**24)}

    def init(self, key: Key, source: Source) -> Tree:
        """The source rows [K, ...]."""
        return source.data

    def mix(self, key: Key, memory: Tree, data: PyTree, indices: jax.Array) -> tuple[PyTree, jax.Array]:
        """The source rows behind the rollout's, and round(share B) random places of each minibatch pointing there.

        Args:
            key: PRNG key.
            memory: source rows, leaves [K, ...].
            data: the rollout's rows, leaves [M, ...].
            indices: [G, B] into the rollout's rows.

        Returns:
            data: leaves [M + K, ...].
            indices: [G, B]; drawn uniformly and independently where they point to source rows.
        """
        place_key, row_key = jax.random.split(key)
        num, size = len(jax.tree.leaves(data)[0]), len(jax.tree.leaves(memory)[0])
        rank = jnp.argsort(jnp.argsort(jax.random.bits(place_key, indices.shape, jnp.uint32), axis=-1), axis=-1)
        rows = num + jax.random.randint(row_key, indices.shape, 0, size, indices.dtype)
        mixed = jnp.where(rank.astype(jnp.float32) + 0.5 < self.share * indices.shape[-1], rows, indices)
        return jax.tree.map(lambda new, old: jnp.concatenate([new, old]), data, memory), mixed

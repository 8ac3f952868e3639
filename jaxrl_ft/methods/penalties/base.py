"""The interface of penalties: a term added to the loss, with a traced coefficient and a memory."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree


class Source(NamedTuple):
    """The parts of a pretrained agent that a penalty or a data member may store."""

    policy: Policy
    """the base policy"""
    init_params: Tree
    """the parameters before any training"""
    data: Any = None
    """the algorithm's flat data of the base's own rollouts on the source task, shuffled rows [M, ...]; or none"""


@config
class Penalty:
    """The interface; this member penalises nothing.

    A penalty makes its memory once, before training, with whatever it costs; what the training program runs is
    `term()`, so that penalties which differ in their memory alone share one program.
    """

    anchored: ClassVar[bool] = False
    """whether it compares parameters or activations entry by entry with those of another network, which must then have
    the same shapes: a network that grew cannot be held by it"""
    needs_init_params: ClassVar[bool] = False
    """whether `init` reads `source.init_params`, which must then have the shapes of the agents' present parameters"""
    other_batch: ClassVar[bool] = False
    """whether `batch` in `loss` is another minibatch of the same rollout than the one of the algorithm's loss"""
    # Bare, so that it is no field here and may be one in a subclass.
    source_steps = 0
    """env steps of source experience that `init` needs in `source.data`"""

    def init(self, key: jax.Array, algo: Any, policy: Policy, source: Source) -> Tree:
        """The memory, a pytree of arrays; `policy` is where training starts, after the warm start."""
        return {}

    def loss(self, memory: Tree, algo: Any, policy: Policy, batch: Any, moment: Moment) -> jax.Array:
        """The term added to the loss, a scalar; no gradient flows into the memory."""
        return jnp.zeros((), jnp.float32)

    def after_step(self, memory: Tree, algo: Any, policy: Policy) -> Tree:
        """The memory after a gradient step; `policy` is the one before it."""
        return memory

    def after_update(self, memory: Tree, algo: Any, policy: Policy, data: Any) -> Tree:
        """The memory after an update, whose flat rollout was `data` [M, ...]."""
        return memory

    def term(self) -> "Penalty":
        """Return a penalty with the same loss on the memory of this one, for the training program."""
        return self

"""The interface of penalties: a term added to the loss, with a traced coefficient and a memory."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Behaviour, Experience, Policy
from jaxrl_ft.core.types import Key, Memory, Params


class Source(NamedTuple):
    """The parts of a pretrained agent that a penalty or a data member may store."""

    policy: Policy
    """the base policy"""
    init_params: Params
    """the parameters before any training"""
    data: Experience | None = None
    """the algorithm's flat data of the base's own rollouts on the source task, shuffled rows [M, ...]; or none"""

    @property
    def obs(self) -> Float[Array, "M O"]:
        """The observations of `data`, which a penalty with `source_steps` is given."""
        assert self.data is not None
        return self.data.obs


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

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The memory, a pytree of arrays; `policy` is where training starts, after the warm start."""
        return {}

    def loss(
        self, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Float[Array, ""]:
        """The term added to the loss, a scalar; no gradient flows into the memory."""
        return jnp.zeros((), jnp.float32)

    def after_step(self, memory: Memory, algo: Behaviour, policy: Policy) -> Memory:
        """The memory after a gradient step; `policy` is the one before it."""
        return memory

    def after_update(self, memory: Memory, algo: Behaviour, policy: Policy, data: Experience) -> Memory:
        """The memory after an update, whose flat rollout was `data` [M, ...]."""
        return memory

    def term(self) -> "Penalty":
        """Return a penalty with the same loss on the memory of this one, for the training program."""
        return self

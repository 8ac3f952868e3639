"""The interface of interventions, which change parameters between gradient steps."""

from typing import ClassVar

from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Behaviour, Experience, Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Key, Memory

Outcome = tuple[Tree, Tree, Tree | None]
"""The memory, all parameters, and bools like them: the entries whose moments and step counts start over."""


@config
class Intervention:
    """The interface; this member does nothing."""

    resets: ClassVar[bool] = False
    """whether it voids moments, so that the optimizer must count steps by entry"""
    renews_units: ClassVar[bool] = False
    """whether it acts on hidden units, of which a critic may have none of its own"""
    hooks: ClassVar[tuple[str, ...]] = ()
    """which of `after_step` and `after_update` it has"""

    @property
    def needs(self) -> tuple[str, ...]:
        """What it asks for, as `rl.Algorithm.lacks` and `Network.lacks` name it: a critic, if it acts on that alone."""
        alone = getattr(self, "groups", "both") == "value"
        return ("value", *(("critic_layers",) if self.renews_units else ())) if alone else ()

    def init(self, key: Key, algo: Behaviour, policy: Policy) -> Memory:
        """The memory, a pytree of arrays; `policy` is where training starts, after the warm start."""
        return {}

    def after_step(
        self, key: Key, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Outcome:
        """Return the outcome of a gradient step on `batch` [B, ...] that led to `policy`."""
        return memory, policy.params, None

    def after_update(
        self, key: Key, memory: Memory, algo: Behaviour, policy: Policy, data: Experience, moment: Moment
    ) -> Outcome:
        """Return the outcome of all gradient steps of an update on the rollout `data` [M, ...]."""
        return memory, policy.params, None

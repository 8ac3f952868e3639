"""What holds a policy: terms added to the loss, each with a traced coefficient and a memory made before training."""

from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.tree import Tree


class Source(NamedTuple):
    """What a penalty may remember: the policy that fine-tuning starts from and the network's first parameters."""

    policy: Policy
    """the base policy"""
    init_params: Tree
    """the parameters before any training"""


@config
class Penalty:
    """The interface; this member holds nothing."""

    def init(self, key: jax.Array, algo: Any, policy: Policy, source: Source) -> Tree:
        """The memory, a pytree of arrays; `policy` is where training starts, after the warm start."""
        return {}

    def loss(self, memory: Tree, algo: Any, policy: Policy, batch: Any, progress: jax.Array) -> jax.Array:
        """The term added to the loss, a scalar."""
        return jnp.zeros(())

    def after_update(self, memory: Tree, policy: Policy, batch: Any) -> Tree:
        """The memory after an update; most never change."""
        return memory


def _squares(params: Tree) -> jax.Array:
    return sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)), jnp.zeros(()))


def _difference(params: Tree, anchor: Tree) -> Tree:
    """Leaf by leaf, params - anchor over the anchor's paths; what an adapter added has no anchor and is free."""
    if not isinstance(anchor, dict):
        return params - anchor
    return {name: _difference(params[name], anchor[name]) for name in anchor}


@config
class L1(Penalty):
    """c Σ |θᵢ| over all parameters."""

    coef: float = 1e-5
    """coefficient c"""

    def loss(self, memory: Tree, algo: Any, policy: Policy, batch: Any, progress: jax.Array) -> jax.Array:
        """c Σ |θᵢ|."""
        return self.coef * sum((jnp.sum(jnp.abs(leaf)) for leaf in jax.tree.leaves(policy.params)), jnp.zeros(()))


@config
class L2(Penalty):
    """(c/2) Σ θᵢ² over all parameters."""

    coef: float = 1e-4
    """coefficient c"""

    def loss(self, memory: Tree, algo: Any, policy: Policy, batch: Any, progress: jax.Array) -> jax.Array:
        """(c/2) Σ θᵢ²."""
        return 0.5 * self.coef * _squares(policy.params)


@config
class L2SP(Penalty):
    """(c/2) Σ (θᵢ - θ₀ᵢ)² towards the base (Li, Grandvalet & Davoine 2018, arXiv:1802.01483)."""

    coef: float = 1e-3
    """coefficient c"""

    def init(self, key: jax.Array, algo: Any, policy: Policy, source: Source) -> Tree:
        """The base's parameters θ₀."""
        return source.policy.params

    def loss(self, memory: Tree, algo: Any, policy: Policy, batch: Any, progress: jax.Array) -> jax.Array:
        """(c/2) Σ (θᵢ - θ₀ᵢ)²."""
        return 0.5 * self.coef * _squares(_difference(policy.params, memory))


@config
class L2Init(L2SP):
    """(c/2) Σ (θᵢ - θᵢⁱⁿⁱᵗ)² towards the network's first parameters (Kumar et al. 2023, arXiv:2308.11958)."""

    def init(self, key: jax.Array, algo: Any, policy: Policy, source: Source) -> Tree:
        """The parameters before any training."""
        return source.init_params


@config
class KL(Penalty):
    """c (1 - p)^decay E KL between the policy and the base on target states (kickstarting, arXiv:1803.03835)."""

    coef: float = 0.1
    """coefficient c at the start"""
    decay: float = 0.0
    """power of the remaining share of the budget; 0 keeps the coefficient, 1 lets it fall to zero linearly"""
    direction: Literal["forward", "reverse"] = "forward"
    """forward: KL(base ‖ policy), as in distillation; reverse: KL(policy ‖ base), as in RLHF"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"decay": (0.0, 100.0)}

    def init(self, key: jax.Array, algo: Any, policy: Policy, source: Source) -> Tree:
        """The base's parameters and statistics."""
        return {"params": source.policy.params, "statistics": source.policy.statistics}

    def loss(self, memory: Tree, algo: Any, policy: Policy, batch: Any, progress: jax.Array) -> jax.Array:
        """The mean divergence over the batch's observations, times the coefficient at `progress`."""
        base = Policy(memory["params"], memory["statistics"], policy.network)
        first, second = algo.distribution(base, batch.obs), algo.distribution(policy, batch.obs)
        divergence = first.kl(second) if self.direction == "forward" else second.kl(first)
        # 0 ** 0 has the value 1 but an undefined gradient; progress stays below 1 while training.
        return self.coef * (1.0 - progress) ** self.decay * divergence.mean()


PENALTIES: Table[Penalty] = Table("penalty")
PENALTIES.add("none", Penalty(), "nothing holds the policy")
PENALTIES.add("l1", L1(), "the size of the parameters")
PENALTIES.add("l2", L2(), "the squared size of the parameters")
PENALTIES.add("l2sp", L2SP(), "squared distance from the base (arXiv:1802.01483)")
PENALTIES.add("l2init", L2Init(), "squared distance from the first parameters (arXiv:2308.11958)")
PENALTIES.add("kl", KL(), "divergence from the base on target states (arXiv:1803.03835)")

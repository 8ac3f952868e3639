"""Where a fine-tune starts: pure functions of the base, a fresh network and what a probe of the target measured."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.tree import Tree


class Probe(NamedTuple):
    """What the base policy's paid experience on the target says; all scalars."""

    share: Any
    """estimated zero-shot return as a share of the task's return range, 0 to 1; 1 when nothing was probed"""


@config
class WarmStart:
    """The interface; this member keeps the base as it is."""

    probe_episodes: int = 0
    """episodes of the base policy on the target, paid from the budget, before training"""
    probe_steps: int = 64
    """steps after which an episode of the probe is cut"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"probe_episodes": (0, 16), "probe_steps": (1, 10_000)}

    def apply(self, key: jax.Array, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The parameters that training starts from.

        Args:
            key: PRNG key.
            base: parameters of the agent.
            fresh: parameters of a network just initialised.
            probe: what the paid probe measured.
        """
        return base

    def statistics(self, base: Tree, fresh: Tree) -> Tree:
        """The normaliser's statistics that training starts from."""
        return base


@config
class Scratch(WarmStart):
    """Start over: a fresh network and fresh statistics."""

    def apply(self, key: jax.Array, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The fresh parameters."""
        return fresh

    def statistics(self, base: Tree, fresh: Tree) -> Tree:
        """The fresh statistics."""
        return fresh


@config
class Soften(WarmStart):
    """Scale the policy's last layer, so that the greedy action stays and exploration returns.

    Scaled by max(scale, share^power), where share is the probed zero-shot return as a share of what is possible: a
    policy that still works keeps its confidence. Without a probe, or with power 0, scaled by `scale` itself.
    """

    scale: float = 0.1
    """factor of the last layer's kernel and bias; with a probe, the smallest factor"""
    power: float = 1.0
    """power of the probed share"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {**WarmStart.BOUNDS, "scale": (0.0, 1.0), "power": (0.0, 100.0)}

    def apply(self, key: jax.Array, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The base with its policy head scaled; a Gaussian policy's log_std rises by as much."""
        scale = jnp.asarray(self.scale)
        if self.probe_episodes:
            scale = jnp.maximum(scale, probe.share**self.power)
        policy = dict(base["policy"])
        if "log_std" in policy:
            # The mean must stay a good action; only the spread is exploration.
            policy["log_std"] = policy["log_std"] - jnp.log(jnp.maximum(scale, 1e-6))
        else:
            policy["head"] = jax.tree.map(lambda leaf: leaf * scale, policy["head"])
        return {**base, "policy": policy}


@config
class CriticReset(WarmStart):
    """A fresh critic beside the base's policy (Nikishin et al. 2022, arXiv:2205.07802)."""

    def apply(self, key: jax.Array, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The base with every group but the policy replaced by fresh parameters."""
        return {**fresh, "policy": base["policy"]}


@config
class ShrinkPerturb(WarmStart):
    """θ ← λ θ + σ θ', with θ' a fresh network (Ash & Adams 2020, arXiv:1910.08475)."""

    shrink: float = 0.4
    """factor λ of the base"""
    perturb: float = 0.1
    """factor σ of a fresh network"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        **WarmStart.BOUNDS,
        "shrink": (0.0, 1.0),
        "perturb": (0.0, 10.0),
    }

    def apply(self, key: jax.Array, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """λ base + σ fresh, over the fresh network's leaves; what only the base has is shrunk towards nothing added."""
        return _blend(base, fresh, self.shrink, self.perturb)


def _blend(base: Tree, fresh: Tree, shrink: jax.Array | float, perturb: jax.Array | float) -> Tree:
    if not isinstance(base, dict):
        return shrink * base + perturb * fresh
    return {name: _blend(base[name], fresh[name], shrink, perturb) if name in fresh else base[name] for name in base}


WARM_STARTS: Table[WarmStart] = Table("warm start")
WARM_STARTS.add("keep", WarmStart(), "the base as it is")
WARM_STARTS.add("scratch", Scratch(), "a fresh network")
WARM_STARTS.add("soften", Soften(), "the policy's last layer scaled down, so that exploration returns")
WARM_STARTS.add("probe_soften", Soften(probe_episodes=8), "softened by the return that a paid probe measures")
WARM_STARTS.add("critic_reset", CriticReset(), "a fresh critic beside the base's policy (arXiv:2205.07802)")
WARM_STARTS.add("shrink_perturb", ShrinkPerturb(), "the base shrunk and mixed with a fresh network (arXiv:1910.08475)")

"""Warm starts that keep the shapes: pure functions of the base, a fresh network and a probe of the target."""

import re
from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Key
from jaxrl_ft.methods.warm_starts.base import Probe, WarmStart, refuse_other_shapes
from jaxrl_ft.nets import forward, parts


@config
class Scratch(WarmStart):
    """Start over: a fresh network and fresh statistics."""

    from_scratch: ClassVar[bool] = True

    def apply(self, key: Key, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The fresh parameters."""
        return fresh

    def statistics(self, base: Tree, fresh: Tree) -> Tree:
        """The fresh statistics."""
        return fresh


@config
class Soften(WarmStart):
    """Scale the policy's last layer, so that the greedy action stays and exploration returns.

    Scaled by max(scale, share^power), where share is the probed zero-shot return as a share of what is possible: a
    policy that still works keeps its confidence. Without a probe the share counts as 0.
    """

    scale: float = 0.1
    """smallest factor of the last layer's kernel and bias"""
    power: float = 1.0
    """power of the probed share"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"scale": (0.0, 1.0), "power": (1e-3, 100.0)}

    def apply(self, key: Key, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The base with its policy head scaled; a Gaussian policy's log_std rises by as much.

        It rises no further than the spread of actions that are uniform within their bounds: beyond it most samples
        are clipped to the bounds.
        """
        scale = jnp.maximum(jnp.asarray(self.scale), probe.share**self.power)
        policy = dict(base["policy"])
        if "log_std" in policy:
            # The mean must stay a good action; only the spread is exploration.
            softened = policy["log_std"] - jnp.log(jnp.maximum(scale, 1e-6))
            policy["log_std"] = jnp.maximum(policy["log_std"], jnp.minimum(softened, jnp.log(probe.widest)))
        else:
            for path in parts.roles(policy).output:
                policy = _scaled(policy, path.split("/"), scale)
        return {**base, "policy": policy}


def _scaled(node: Tree, path: list[str], scale: jax.Array) -> Tree:
    """The tree with every leaf under a path scaled."""
    if not path:
        return jax.tree.map(lambda leaf: leaf * scale, node)
    return {**node, path[0]: _scaled(node[path[0]], path[1:], scale)}


@config
class CriticReset(WarmStart):
    """A fresh critic beside the base's policy (Nikishin et al. 2022, arXiv:2205.07802)."""

    @property
    def needs(self) -> tuple[str, ...]:
        """A critic."""
        return ("value",)

    def apply(self, key: Key, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The base with every group but the policy replaced by fresh parameters."""
        return {**fresh, "policy": base["policy"]}


@config
class HeadReset(WarmStart):
    """Fresh last layers of policy and critic (Nikishin et al. 2022, arXiv:2205.07802, reset an agent's last layers).

    What belongs to a layer goes with it: a norm, a part that an adapter added, and `log_std` with the output layer.
    With k beyond all layers the group is a fresh network.
    """

    k: int = 1
    """number of layers that are fresh, the output layer counted"""
    policy: bool = True
    """whether the policy's are"""
    critic: bool = True
    """whether the critic's are"""

    @property
    def needs(self) -> tuple[str, ...]:
        """A critic, where only the critic's layers are reset."""
        return () if self.policy else ("value",)

    def apply(self, key: Key, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """The base with the last k layers of the chosen groups replaced by fresh ones.

        Raises:
            ValueError: the fresh layers do not fit those that stay.
        """
        return {
            group: self._reset(group, layers, fresh[group])
            if (self.policy if group == "policy" else self.critic)
            else layers
            for group, layers in base.items()
        }

    def _reset(self, group: str, base: Tree, fresh: Tree) -> Tree:
        kept = {name: layer for name, layer in base.items() if _height(name, base) >= self.k}
        taken = {name: layer for name, layer in fresh.items() if _height(name, fresh) < self.k}
        if kept:
            refuse_other_shapes({group: base}, {group: fresh})
        return kept | taken

    def check(self) -> None:
        """Refuse a reset of neither network.

        Raises:
            ValueError: neither policy nor critic is chosen.
        """
        if not (self.policy or self.critic):
            raise ValueError("policy: False is not allowed where critic is False too; one of them must be reset")


def _height(name: str, layers: Tree) -> int:
    """The number of layers between a part and the output; parts without a number of their own are at the output."""
    numbered = re.fullmatch(r".*_(\d+)", name)
    return forward.depth(layers) - int(numbered[1]) if numbered else 0


@config
class ShrinkPerturb(WarmStart):
    """θ ← λ θ + σ θ', with θ' a fresh network (Ash & Adams 2020, arXiv:1910.08475)."""

    shrink: float = 0.4
    """factor λ of the pretrained parameters"""
    perturb: float = 0.1
    """factor σ of a fresh network"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "shrink": (0.0, 1.0),
        "perturb": (0.0, 10.0),
    }

    def apply(self, key: Key, base: Tree, fresh: Tree, probe: Probe) -> Tree:
        """λ base + σ fresh; what only the base has, as an adapter adds it, stays as it is.

        Raises:
            ValueError: the fresh network has other shapes.
        """
        refuse_other_shapes(base, fresh)
        return _blend(base, fresh, self.shrink, self.perturb)


def _blend(base: Tree, fresh: Tree, shrink: jax.Array | float, perturb: jax.Array | float) -> Tree:
    if not isinstance(base, dict):
        return shrink * base + perturb * fresh
    return {name: _blend(base[name], fresh[name], shrink, perturb) if name in fresh else base[name] for name in base}

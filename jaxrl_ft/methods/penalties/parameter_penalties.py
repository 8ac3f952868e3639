"""Penalties on parameters: weighted distances to an anchor, all of one quadratic and one absolute form."""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Behaviour, Experience, Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Key, Memory
from jaxrl_ft.methods.penalties import importance
from jaxrl_ft.methods.penalties.base import Penalty, Source


def elastic(params: Tree, anchor: Tree, weights: Tree) -> Tree:
    """The memory of an anchored penalty: `anchor` and `importance`, each with the paths of `params`.

    What the anchor lacks (an adapter added it) has importance 0 and is free; so is what `weights` lacks.

    Args:
        params: where training starts, merged.
        anchor: parameters to stay near.
        weights: importance of each parameter.

    Raises:
        ValueError: a parameter has another shape than its anchor, as in a network that grew.
    """
    flat, near, weight = tree.flatten(params), tree.flatten(anchor), tree.flatten(weights)
    for path in (path for path in flat if path in near):
        if jnp.shape(flat[path]) != jnp.shape(near[path]):
            raise ValueError(
                f"penalty: {path} has shape {jnp.shape(flat[path])}, its anchor {jnp.shape(near[path])}; a network "
                "that grew cannot be held to parameters from before"
            )
    free = {path: jnp.zeros_like(leaf) for path, leaf in flat.items()}
    held = [path for path in flat if path in near and path in weight]
    return {
        "anchor": tree.unflatten(free | {path: near[path] for path in held}),
        "importance": tree.unflatten(free | {path: weight[path] for path in held}),
    }


def _ones(params: Tree) -> Tree:
    return jax.tree.map(jnp.ones_like, params)


def _weighted(memory: Memory, params: Tree, size: Callable[[Array], Array]) -> Float[Array, ""]:
    memory = jax.lax.stop_gradient(memory)
    flat, anchor, weights = (tree.flatten(part) for part in (params, memory["anchor"], memory["importance"]))
    return sum(
        (jnp.sum(weights[path] * size(flat[path] - anchor[path])) for path in anchor), jnp.zeros((), jnp.float32)
    )


@config
class Quadratic(Penalty):
    """(c/2) Σ Fᵢ (θᵢ - aᵢ)², with anchor a and importance F from the memory; here the base and 1."""

    coef: float = 1e-3
    """coefficient c"""

    anchored: ClassVar[bool] = True

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The base's parameters, all equally important."""
        return elastic(policy.params, source.policy.params, _ones(source.policy.params))

    def loss(
        self, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Float[Array, ""]:
        """(c/2) Σ Fᵢ (θᵢ - aᵢ)²."""
        return 0.5 * self.coef * _weighted(memory, policy.params, jnp.square)

    def term(self) -> Penalty:
        """Return the plain form, so that all penalties of this form share one program."""
        return Quadratic(coef=self.coef)


@config
class L2(Quadratic):
    """(c/2) Σ θᵢ² over all parameters."""

    coef: float = 1e-4
    """coefficient c"""

    anchored: ClassVar[bool] = False

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """Return zero as the anchor of every parameter, all equally important."""
        return elastic(policy.params, jax.tree.map(jnp.zeros_like, policy.params), _ones(policy.params))


@config
class L2SP(Quadratic):
    """(c/2) Σ (θᵢ - θ₀ᵢ)² towards the base (Li, Grandvalet & Davoine 2018, arXiv:1802.01483)."""


@config
class L2Init(Quadratic):
    """(c/2) Σ (θᵢ - θᵢⁱⁿⁱᵗ)² towards the network's first parameters (Kumar et al. 2023, arXiv:2308.11958)."""

    needs_init_params: ClassVar[bool] = True

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The parameters before any training."""
        return elastic(policy.params, source.init_params, _ones(source.init_params))


@config
class EWC(Quadratic):
    """(c/2) Σ Fᵢ (θᵢ - θ₀ᵢ)² with the diagonal Fisher information F of the base policy on source states.

    The actor alone is held; the critic is free, as in Wołczyk et al. 2024, arXiv:2402.02868.

    Reference: Kirkpatrick et al. 2017, arXiv:1612.00796, eq. 3.
    """

    coef: float = 1e-2
    """coefficient c"""
    normalize: bool = True
    """scale F to a mean of 1 over the policy's parameters, so that one coefficient serves many policies"""
    source_steps: int = 2048
    """env steps of source experience on which F is measured"""

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The base's parameters, and F for the policy's."""
        return _held(policy, source, importance.fisher(algo, source.policy, source.obs), self.normalize)


@config
class MAS(Quadratic):
    """(c/2) Σ Ωᵢ (θᵢ - θ₀ᵢ)² with Ωᵢ how far parameter i moves the base policy's squared outputs on source states.

    The actor alone is held; the critic is free.

    Reference: Aljundi et al. 2018, arXiv:1711.09601.
    """

    coef: float = 1e-2
    """coefficient c, twice the λ of the paper"""
    normalize: bool = True
    """scale Ω to a mean of 1 over the policy's parameters, so that one coefficient serves many policies"""
    source_steps: int = 2048
    """env steps of source experience on which Ω is measured"""

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The base's parameters, and Ω for the policy's."""
        return _held(policy, source, importance.sensitivity(algo, source.policy, source.obs), self.normalize)


def _held(policy: Policy, source: Source, weights: Tree, normalize: bool) -> Tree:
    weights = importance.normalized(weights) if normalize else weights
    return elastic(policy.params, source.policy.params, {"policy": weights})


@config
class Absolute(Penalty):
    """c Σ Fᵢ |θᵢ - aᵢ|, with anchor a and importance F from the memory; here the base and 1."""

    coef: float = 1e-5
    """coefficient c"""

    anchored: ClassVar[bool] = True

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The base's parameters, all equally important."""
        return elastic(policy.params, source.policy.params, _ones(source.policy.params))

    def loss(
        self, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Float[Array, ""]:
        """c Σ Fᵢ |θᵢ - aᵢ|."""
        return self.coef * _weighted(memory, policy.params, _size)

    def term(self) -> Penalty:
        """Return the plain form, so that all penalties of this form share one program."""
        return Absolute(coef=self.coef)


def _size(x: jax.Array) -> jax.Array:
    # The gradient of `jnp.abs` at 0 is 1, which would push everything off its anchor; this one's is 0.
    return x * jax.lax.stop_gradient(jnp.sign(x))


@config
class L1(Absolute):
    """c Σ |θᵢ| over all parameters."""

    anchored: ClassVar[bool] = False

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """Return zero as the anchor of every parameter, all equally important."""
        return elastic(policy.params, jax.tree.map(jnp.zeros_like, policy.params), _ones(policy.params))


@config
class L1SP(Absolute):
    """c Σ |θᵢ - θ₀ᵢ| towards the base: the L1 sibling of L2-SP (Li, Grandvalet & Davoine 2018, arXiv:1802.01483)."""

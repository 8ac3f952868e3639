"""Adam and what differs from it by a number, a mask or a decay."""

import dataclasses
from typing import ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.methods.optimizers.base import Optimizer, Pace, stepped

# Smallest share of agreeing entries that a cautious step divides by (Liang et al. 2024).
_MIN_SHARE = 1e-3
# Weight of the newest ratio in the running mean of adaptive weight decay (Ghiasi et al. 2022).
_NEWEST = 0.9
_TINY = 1e-8


@config
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980); NAdam with `nesterov`; AdamW with `weight_decay`."""

    beta1: float = 0.9
    """decay of the first moment"""
    beta2: float = 0.999
    """decay of the second moment"""
    eps: float = 1e-5
    """added to the denominator"""
    nesterov: bool = False
    """look ahead along the momentum (Dozat 2016)"""
    local_time: float = 0.0
    """1 sets the step counts to 0 at the start of every update and keeps the moments (Adam-Rel, arXiv:2412.17113)"""
    cautious: bool = False
    """drop the entries of a step that point against the gradient (Liang et al. 2024, arXiv:2411.16085)"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Optimizer.BOUNDS | {"local_time": (0.0, 1.0)}

    def direction(self) -> optax.GradientTransformation:
        """Bias-corrected first moment over the root of the second."""
        if self.per_entry:
            return _counted(self.beta1, self.beta2, self.eps, self.nesterov)
        return optax.scale_by_adam(self.beta1, self.beta2, self.eps, nesterov=self.nesterov)

    def _group(self, like: Tree) -> optax.GradientTransformation:
        direction = _cautious(self.direction(), like) if self.cautious else self.direction()
        return optax.chain(
            direction, optax.add_decayed_weights(self.weight_decay), optax.scale(-1.0 * self.learning_rate)
        )

    def _step(self, grads: jax.Array, state: PyTree, group: Tree, pace: Pace) -> tuple[jax.Array, PyTree]:
        moments, *rest = state
        anew = pace.begins & (jnp.asarray(self.local_time) > 0.5)
        moments = moments._replace(count=jnp.where(anew, 0, moments.count))
        return super()._step(grads, (moments, *rest), group, pace)


def _counted(beta1: float, beta2: float, eps: float, nesterov: bool) -> optax.GradientTransformation:
    """Adam with a step count for every entry; 1 - β^t by expm1, which is a third of a power's cost and more exact."""

    def update(grads: jax.Array, state: PyTree, params: PyTree = None) -> tuple[jax.Array, PyTree]:
        mu = optax.tree.update_moment(grads, state.mu, beta1, 1)
        nu = optax.tree.update_moment(grads, state.nu, beta2, 2)
        count = cast(jax.Array, optax.safe_increment(state.count))
        mean = mu / _weight(beta1, count)
        if nesterov:
            mean = beta1 * mu / _weight(beta1, count + 1) + (1 - beta1) * grads / _weight(beta1, count)
        step = mean / (jnp.sqrt(nu / _weight(beta2, count)) + eps)
        return step, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(optax.scale_by_adam().init, cast(optax.TransformUpdateFn, update))


def _weight(beta: float, count: jax.Array) -> jax.Array:
    return -jnp.expm1(count * jnp.log(jnp.asarray(beta)))


def _cautious(direction: optax.GradientTransformation, like: Tree) -> optax.GradientTransformation:
    """The direction u with the entries where u g > 0 alone, over their share of each tensor (arXiv:2411.16085)."""

    def update(grads: jax.Array, state: PyTree, params: PyTree = None) -> tuple[jax.Array, PyTree]:
        step, after = stepped(direction, grads, state, params)
        agrees = tree.unravel((step * grads > 0).astype(step.dtype), like)
        scaled = jax.tree.map(lambda mask: mask / jnp.maximum(jnp.mean(mask), _MIN_SHARE), agrees)
        return step * tree.ravel(scaled), after

    return optax.GradientTransformation(direction.init, cast(optax.TransformUpdateFn, update))


class DecayState(NamedTuple):
    """The state of adaptive weight decay."""

    inner: PyTree
    """state of Adam"""
    average: jax.Array
    """running mean of the decay's coefficient"""


@config
class AdaptiveDecay(Adam):
    """Adam with a decay that follows the gradient (AWD, Ghiasi et al. 2022, arXiv:2210.00094).

    λ_t = decay_ratio |g| / |θ|,   λ̄_t = 0.1 λ̄_{t-1} + 0.9 λ_t, with the norms of the whole group and the clipped
    gradient. The paper adds λ̄ θ to the gradient of SGD, where that equals a decay; Adam would rescale such a term, so
    here it is decoupled: parameters shrink by learning_rate x λ̄ each step, beside `weight_decay`.
    """

    decay_ratio: float = 0.02
    """size of the decay beside a gradient of norm |g|, as a share of it"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Adam.BOUNDS | {"decay_ratio": (0.0, 100.0)}

    def _start(self, group: Tree) -> DecayState:
        return DecayState(super()._start(group), jnp.zeros((), jnp.float32))

    def _step(self, grads: jax.Array, state: DecayState, group: Tree, pace: Pace) -> tuple[jax.Array, DecayState]:
        ratio = optax.tree.norm(grads) / (optax.tree.norm(tree.ravel(group)) + _TINY)
        average = (1.0 - _NEWEST) * state.average + _NEWEST * self.decay_ratio * ratio
        adam = dataclasses.replace(self, weight_decay=cast(float, self.weight_decay + average))
        step, inner = super(AdaptiveDecay, adam)._step(grads, state.inner, group, pace)
        return step, DecayState(inner, average)

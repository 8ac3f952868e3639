"""How a fine-tune steps: optimizers as configs whose every number is traced. The one door to optax.

A step masks the groups that rest, skips non-finite gradients, clips by the global norm, runs the optax transformation
of each group with the group's own state, and stops when the policy has moved too far.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.methods.rates import Rates, Schedule

# A target-KL stop triggers above this multiple of the target, as in Stable-Baselines3.
_KL_SLACK = 1.5


class OptState(NamedTuple):
    """The state of a chain."""

    inner: dict[str, Any]
    """optax state of each group, over the group's parameters as one vector: moments and step counts"""
    skipped: jax.Array
    """updates skipped for a non-finite gradient, int32"""
    stopped: jax.Array
    """whether the target KL has ended the current update, bool"""
    progress: jax.Array
    """progress at the last step, by which a new update is noticed"""


@config
class Optimizer:
    """What every optimizer has: rate, decay, clip, schedule, group factors. Subclasses give the direction."""

    learning_rate: float = 3e-3
    """step size at the start"""
    weight_decay: float = 0.0
    """decoupled decay: parameters shrink by learning_rate x weight_decay each step (arXiv:1711.05101)"""
    max_grad_norm: float = 0.5
    """clip of the gradient's global norm"""
    target_kl: float | None = None
    """end an update's gradient steps when the estimated KL exceeds 1.5 times this; none by default"""
    schedule: Schedule = Schedule()
    """shape of the learning rate over the budget"""
    rates: Rates = Rates()
    """learning-rate factors and active spans of parameter groups and layers"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "learning_rate": (0.0, 100.0),
        "weight_decay": (0.0, 100.0),
        "max_grad_norm": (1e-6, 1e9),
        "target_kl": (0.0, 1e9),
        "beta1": (0.0, 0.999999),
        "beta2": (0.0, 0.999999),
        "momentum": (0.0, 1.0),
        "decay": (0.0, 1.0),
        "eps": (1e-12, 1.0),
    }

    def direction(self) -> optax.GradientTransformation:
        """The optax transformation from gradients to an unscaled step."""
        raise NotImplementedError

    def build(self) -> optax.GradientTransformationExtraArgs:
        """The chain as an optax pair; its update takes `progress` in [0, 1) and `kl` besides.

        The gradients' top-level keys are the groups.
        """
        return optax.GradientTransformationExtraArgs(self._init, self._update)

    def evaluation(self, opt_state: OptState, delta: Tree) -> Tree:
        """The parameters to evaluate; the same as those that are trained unless an optimizer averages."""
        return delta

    def _group(self) -> optax.GradientTransformation:
        return optax.chain(
            self.direction(), optax.add_decayed_weights(self.weight_decay), optax.scale(-1.0 * self.learning_rate)
        )

    def _init(self, params: Tree) -> OptState:
        inner = {name: self._group().init(tree.ravel(group)) for name, group in params.items()}
        return OptState(inner, jnp.zeros((), jnp.int32), jnp.zeros((), bool), -jnp.ones(()))

    def _update(
        self, grads: Tree, state: OptState, params: Tree, *, progress: jax.Array, kl: jax.Array, **extra: Any
    ) -> tuple[Tree, OptState]:
        active = {name: self.rates.active(name, progress) for name in params}
        flat = {name: jnp.where(active[name], tree.ravel(group), 0.0) for name, group in grads.items()}
        finite = jnp.isfinite(optax.tree.norm(flat))
        stopped = self._stopped(state, progress, kl)
        clipped, _ = optax.clip_by_global_norm(self.max_grad_norm).update(flat, optax.EmptyState())
        factors, shape = self.rates.factors(params), self.schedule.shape(progress)
        updates, inner = {}, {}
        for name, group in params.items():
            step, after = self._group().update(clipped[name], state.inner[name], tree.ravel(group))
            moves = active[name] & finite & ~stopped
            factor = tree.ravel(jax.tree.map(lambda f, p: jnp.full(p.shape, f), factors[name], group))
            updates[name] = tree.unravel(jnp.where(moves, step * (shape * factor), 0.0), group)
            inner[name] = tree.where(moves, after, state.inner[name])
        skipped = state.skipped + jnp.where(finite, 0, 1)
        return updates, OptState(inner, skipped, stopped, jnp.asarray(progress, jnp.float32))

    def _stopped(self, state: OptState, progress: jax.Array, kl: jax.Array) -> jax.Array:
        if self.target_kl is None:
            return state.stopped
        same_update = state.progress == progress
        return (state.stopped & same_update) | (kl > _KL_SLACK * self.target_kl)


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

    def direction(self) -> optax.GradientTransformation:
        """Bias-corrected first moment over the root of the second."""
        return optax.scale_by_adam(self.beta1, self.beta2, self.eps, nesterov=self.nesterov)


@config
class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    momentum: float = 0.0
    """decay of the accumulated gradient"""
    nesterov: bool = False
    """Nesterov's momentum"""

    def direction(self) -> optax.GradientTransformation:
        """The accumulated gradient."""
        return optax.trace(self.momentum, nesterov=self.nesterov)


@config
class RMSProp(Optimizer):
    """RMSProp (Hinton 2012, lecture 6 of "Neural networks for machine learning")."""

    decay: float = 0.9
    """decay of the second moment"""
    eps: float = 1e-5
    """added to the second moment before the root"""

    def direction(self) -> optax.GradientTransformation:
        """The gradient over the root of its running mean square."""
        return optax.scale_by_rms(self.decay, self.eps)


OPTIMIZERS: Table[Optimizer] = Table("optimizer")
OPTIMIZERS.add("adam", Adam(), "Adam (arXiv:1412.6980)")
OPTIMIZERS.add("nadam", Adam(nesterov=True), "Adam with Nesterov momentum (Dozat 2016)")
OPTIMIZERS.add("adamw", Adam(weight_decay=1e-2), "Adam with decoupled weight decay (arXiv:1711.05101)")
OPTIMIZERS.add("nadamw", Adam(nesterov=True, weight_decay=1e-2), "NAdam with decoupled weight decay")
OPTIMIZERS.add("sgd", SGD(learning_rate=0.1), "gradient descent with momentum")
OPTIMIZERS.add("rmsprop", RMSProp(), "gradient over its root mean square (Hinton 2012)")

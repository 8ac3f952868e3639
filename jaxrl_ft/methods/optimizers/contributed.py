"""Optimizers of optax.contrib by name, each with the numbers that it takes as traced floats."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.methods.optimizers import keeping
from jaxrl_ft.methods.optimizers.adam import Adam
from jaxrl_ft.methods.optimizers.chain import Optimizer, OptState, Pace
from jaxrl_ft.methods.optimizers.rates import Schedule

# Newton-Schulz coefficients and steps of Keller Jordan's Muon (2024), as in optax.
_COEFFICIENTS, _STEPS = (3.4445, -4.7750, 2.0315), 5


def _guarded(step: jax.Array, after: Any, before: Any) -> tuple[jax.Array, Any]:
    """The step and the state, or none and the state before, where an estimate is 0 / 0 for want of any gradient."""
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves((step, after))]
    fine = jnp.all(jnp.stack(leaves))
    return jnp.where(fine, step, 0.0), tree.where(fine, after, before)


@config
class AdEMAMix(Optimizer):
    """Adam with a second, slower first moment (Pagliardini et al. 2024, arXiv:2409.03137); no warm-up of either."""

    beta1: float = 0.9
    """decay of the fast first moment"""
    beta2: float = 0.999
    """decay of the second moment"""
    beta3: float = 0.9999
    """decay of the slow first moment"""
    alpha: float = 5.0
    """weight of the slow first moment"""
    eps: float = 1e-5
    """added to the denominator"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Optimizer.BOUNDS | {
        "beta3": (0.0, 0.999999),
        "alpha": (0.0, 1e3),
    }

    def direction(self) -> optax.GradientTransformation:
        """Both first moments over the root of the second."""
        return contrib.scale_by_ademamix(self.beta1, self.beta2, self.beta3, self.alpha, self.eps)


@config
class ADOPT(Optimizer):
    """Adam that normalises by the second moment before the step (Taniguchi et al. 2024, arXiv:2411.02853)."""

    beta1: float = 0.9
    """decay of the first moment"""
    beta2: float = 0.9999
    """decay of the second moment"""
    eps: float = 1e-6
    """smallest denominator"""

    def direction(self) -> optax.GradientTransformation:
        """First moment of the normalised and clipped gradient; the first step is none."""
        return contrib.scale_by_adopt(self.beta1, self.beta2, self.eps)


@config
class Muon(Optimizer):
    """Muon (Jordan et al. 2024): orthogonalised momentum for matrices, NAdam for everything else.

    A matrix steps by √max(rows, columns) x consistent_rms times its orthogonalised momentum, the size of Adam's steps
    (Liu et al. 2025, arXiv:2502.16982), so that one learning rate serves both. Orthogonalisation is by Newton-Schulz.
    """

    momentum: float = 0.95
    """decay of the first moment of matrices"""
    beta1: float = 0.9
    """decay of the first moment of the rest"""
    beta2: float = 0.999
    """decay of the second moment of the rest"""
    eps: float = 1e-8
    """added to denominators"""
    consistent_rms: float = 0.2
    """root mean square of a matrix's step before the learning rate"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Optimizer.BOUNDS | {
        "momentum": (0.0, 0.999999),
        "consistent_rms": (0.0, 100.0),
    }

    def direction(self) -> optax.GradientTransformation:
        """NAdam with the moments of all entries, which `_step` orthogonalises for matrices."""
        return optax.scale_by_adam(self.beta1, self.beta2, self.eps, nesterov=True)

    def _step(self, grads: jax.Array, state: Any, group: Tree, pace: Pace) -> tuple[jax.Array, Any]:
        moments, *rest = state
        matrix = tree.ravel(jax.tree.map(lambda leaf: jnp.full(leaf.shape, leaf.ndim == 2), group))
        beta = jnp.where(matrix, self.momentum, self.beta1)
        mu = optax.tree.update_moment(grads, moments.mu, beta, 1)
        nu = optax.tree.update_moment(grads, moments.nu, self.beta2, 2)
        count = optax.safe_increment(moments.count)
        ahead, now = (
            jnp.where(matrix, 1 - self.momentum**steps, 1 - self.beta1**steps)
            for steps in (optax.safe_increment(count), count)
        )
        mean = beta * (mu / ahead) + (1 - beta) * (grads / now)
        adam = mean / (jnp.sqrt(optax.tree.bias_correction(nu, self.beta2, count)) + self.eps)
        straight = jax.tree.map(self._orthogonal, tree.unravel(mean, group))
        unscaled = jnp.where(matrix, tree.ravel(straight), adam) + self.weight_decay * tree.ravel(group)
        step = -self.learning_rate * unscaled * (pace.shape * pace.factor)
        return step, (moments._replace(count=count, mu=mu, nu=nu), *rest)

    def _orthogonal(self, leaf: jax.Array) -> jax.Array:
        if leaf.ndim != 2:
            return leaf
        wide = leaf if leaf.shape[0] <= leaf.shape[1] else leaf.T
        x = wide / (jnp.sqrt(jnp.sum(jnp.square(wide))) + self.eps)
        a, b, c = _COEFFICIENTS
        for _ in range(_STEPS):
            square = x @ x.T
            x = a * x + (b * square + c * square @ square) @ x
        x = x if wide is leaf else x.T
        return x * (max(leaf.shape) ** 0.5 * self.consistent_rms)


@config
class ScheduleFree(Optimizer):
    """Schedule-free AdamW (Defazio et al. 2024, arXiv:2405.15682): averages in the place of momentum and schedule.

    What trains is y between the fast iterate z and the average x; x is evaluated. The schedule and the group factors
    act on the steps of z, and the schedule on the weights of the average.
    """

    schedule: Schedule = Schedule(final=1.0)
    """shape of the learning rate; constant, as the method means it"""
    beta1: float = 0.9
    """share of the average in what trains"""
    beta2: float = 0.999
    """decay of the second moment"""
    eps: float = 1e-5
    """added to the denominator"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Optimizer.BOUNDS | {"beta1": (0.01, 0.999999)}
    ANCHORED: ClassVar[bool] = True

    def direction(self) -> optax.GradientTransformation:
        """The gradient over the bias-corrected root of its mean square."""
        return optax.scale_by_rms(self.beta2, self.eps, eps_in_sqrt=False, bias_correction=True)

    def evaluation(self, opt_state: OptState, delta: Tree) -> Tree:
        """The average x = y + (1 - β₁) (y - z) / β₁ of every group."""
        averages = {}
        for name, group in delta.items():
            vector, state = tree.ravel(group), opt_state.inner[name]
            if name in opt_state.fresh:
                state = keeping.anchored(state, opt_state.fresh[name], vector)
            averages[name] = tree.unravel(vector + (1 - self.beta1) / self.beta1 * (vector - state.z), group)
        return averages

    def _free(self, like: Tree, shape: Any, factor: Any) -> optax.GradientTransformation:
        fast = optax.chain(self._group(like), optax.scale(shape * factor))
        return contrib.schedule_free(fast, self.learning_rate * shape, self.beta1)

    def _start(self, group: Tree) -> Any:
        return self._free(group, 1.0, 1.0).init(tree.ravel(group))

    def _step(self, grads: jax.Array, state: Any, group: Tree, pace: Pace) -> tuple[jax.Array, Any]:
        step, after = self._free(group, pace.shape, pace.factor).update(grads, state, tree.ravel(group))
        # y is found again from x and z, so that a rate of 0 would move it by a rounding
        return jnp.where(self.learning_rate * pace.shape > 0, step, 0.0), after


@config
class Mechanize(Adam):
    """Adam whose scale is learned (Mechanic, Cutkosky, Defazio & Mehta 2023, arXiv:2306.00144).

    The schedule and the group factors act on Adam's steps. Decoupled decay of Adam's steps is `weight_decay`;
    Mechanic's own is `mechanic_decay`.
    """

    learning_rate: float = 1.0
    """step size at the start, which Mechanic scales"""
    mechanic_decay: float = 1e-2
    """Mechanic's decay, in units of gradient norm over parameter norm"""
    initial_scale: float = 1e-6
    """each of the six scales at first"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Adam.BOUNDS | {
        "mechanic_decay": (0.0, 100.0),
        "initial_scale": (1e-9, 1.0),
    }
    ANCHORED: ClassVar[bool] = True

    def _scaled(self, like: Tree, pace: Any) -> optax.GradientTransformation:
        inner = optax.chain(self._group(like), optax.scale(pace))
        return contrib.mechanize(inner, self.mechanic_decay, s_init=self.initial_scale)

    def _start(self, group: Tree) -> Any:
        return self._scaled(group, 1.0).init(tree.ravel(group))

    def _spread(self, state: Any, size: int) -> Any:
        return state._replace(base_optimizer_state=keeping.spread(state.base_optimizer_state, size))

    def _step(self, grads: jax.Array, state: Any, group: Tree, pace: Pace) -> tuple[jax.Array, Any]:
        (moments, *rest), scale = state.base_optimizer_state
        anew = pace.begins & (jnp.asarray(self.local_time) > 0.5)
        moments = moments._replace(count=jnp.where(anew, 0, moments.count))
        before = state._replace(base_optimizer_state=((moments, *rest), scale))
        return self._scaled(group, pace.shape * pace.factor).update(grads, before, tree.ravel(group))


@config
class Prodigy(Optimizer):
    """AdamW that estimates its learning rate from the distance covered (Mishchenko & Defazio 2023, arXiv:2306.06101).

    The schedule is part of the estimate; the group factors act on the step.
    """

    learning_rate: float = 1.0
    """factor on the estimated rate"""
    beta1: float = 0.9
    """decay of the first moment"""
    beta2: float = 0.999
    """decay of the second moment"""
    eps: float = 1e-8
    """added to the denominator"""
    initial_rate: float = 1e-6
    """the estimate at first"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Optimizer.BOUNDS | {"initial_rate": (1e-12, 1.0)}
    ANCHORED: ClassVar[bool] = True
    INHERITS: ClassVar[bool] = False

    def _whole(self, rate: Any) -> optax.GradientTransformation:
        return contrib.prodigy(
            rate, (self.beta1, self.beta2), eps=self.eps, estim_lr0=self.initial_rate, weight_decay=self.weight_decay
        )

    def _start(self, group: Tree) -> Any:
        return self._whole(1.0).init(tree.ravel(group))

    def _spread(self, state: Any, size: int) -> Any:
        return state

    def _step(self, grads: jax.Array, state: Any, group: Tree, pace: Pace) -> tuple[jax.Array, Any]:
        step, after = self._whole(self.learning_rate * pace.shape).update(grads, state, tree.ravel(group))
        return _guarded(step * pace.factor, after, state)


@config
class DoG(Optimizer):
    """Gradient steps of the largest distance covered over the root of all squared gradients.

    Ivgi, Hinder & Carmon 2023, arXiv:2302.12022. `weight_decay` is a squared norm in the loss.
    """

    learning_rate: float = 1.0
    """factor on the step"""
    eps: float = 1e-8
    """added to the sum of squared gradients"""
    initial_distance: float = 1e-4
    """the distance at first, as a share of 1 + the norm of the parameters"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Optimizer.BOUNDS | {"initial_distance": (1e-9, 1.0)}
    ANCHORED: ClassVar[bool] = True
    INHERITS: ClassVar[bool] = False

    def _group(self, like: Tree) -> optax.GradientTransformation:
        start = ("heuristic", self.initial_distance)
        return contrib.dog(self.learning_rate, start, self.eps, self.weight_decay)


@config
class DoWG(Optimizer):
    """DoG with gradients weighted by the distance (Khaled, Mishchenko & Jin 2023, arXiv:2305.16284)."""

    learning_rate: float = 1.0
    """factor on the step"""
    eps: float = 1e-4
    """the squared distance at first, also added to the denominator"""

    ANCHORED: ClassVar[bool] = True
    INHERITS: ClassVar[bool] = False

    def _group(self, like: Tree) -> optax.GradientTransformation:
        return contrib.dowg(self.learning_rate, eps=self.eps, weight_decay=self.weight_decay)

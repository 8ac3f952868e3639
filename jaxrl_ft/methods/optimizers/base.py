"""The interface of optimizers: a chain that masks, skips, clips, steps and stops.

A step masks the groups that do not train, skips non-finite gradients, clips by the global norm, runs the optax
transformation of each group, and stops when the policy has moved too far. Every group has a state of its own, over its
parameters as one vector: an optimizer that estimates a distance, a scale or a ratio of norms does so for the policy and
for the critic apart.
"""

import dataclasses
from typing import ClassVar, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.jax_settings import foreign
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.methods.optimizers import keeping
from jaxrl_ft.methods.optimizers.keeping import Keep
from jaxrl_ft.methods.optimizers.rates import Rates, Schedule

O = TypeVar("O", bound="Optimizer")  # noqa: E741

# A target-KL stop triggers above this multiple of the target, as in Stable-Baselines3.
_KL_SLACK = 1.5
# A KL-adaptive rate moves by the second factor when the KL is off by more than the first, as in rsl_rl and rl_games.
_KL_BAND, _KL_FACTOR = 2.0, 1.5


class OptState(NamedTuple):
    """The state of a chain."""

    inner: dict[str, PyTree]
    """optax state of each group, over the group's parameters as one vector: moments and step counts"""
    skipped: jax.Array
    """updates skipped for a non-finite gradient, int32"""
    stopped: jax.Array
    """whether the target KL has ended the current update, bool"""
    progress: jax.Array
    """progress at the last step, by which a new update is noticed"""
    multiplier: jax.Array
    """factor on the learning rate that `desired_kl` moves; 1 without"""
    fresh: dict[str, jax.Array]
    """entries [P] of each group that were forgotten since the last step; only where a start is remembered"""


class Pace(NamedTuple):
    """Factors of the learning rate in a step of one group."""

    shape: jax.Array
    """share of the learning rate, a scalar: schedule times multiplier"""
    factor: jax.Array
    """factor of every entry [P]"""
    begins: jax.Array
    """whether this is the first step of an update, bool"""


@config
class Optimizer:
    """The interface: rate, decay, clip, schedule and group factors. Subclasses give the direction."""

    learning_rate: float = 3e-3
    """step size at the start"""
    weight_decay: float = 0.0
    """decoupled decay: parameters shrink by learning_rate x weight_decay each step (arXiv:1711.05101)"""
    max_grad_norm: float = 0.5
    """clip of the gradient's global norm"""
    target_kl: float | None = None
    """end an update's gradient steps when the estimated KL exceeds 1.5 times this; none by default"""
    desired_kl: float | None = None
    """divide the learning rate by 1.5 when the estimated KL exceeds twice this, multiply when it is below half; none"""
    min_multiplier: float = 0.01
    """smallest factor that `desired_kl` puts on the learning rate"""
    max_multiplier: float = 10.0
    """largest factor that `desired_kl` puts on the learning rate"""
    schedule: Schedule = Schedule()
    """shape of the learning rate over the budget"""
    rates: Rates = Rates()
    """learning-rate factors and active spans of parameter groups and layers"""
    per_entry: bool = False
    """count steps for every entry, which resets of units and late layers need; it costs a power for each"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "learning_rate": (0.0, 100.0),
        "weight_decay": (0.0, 100.0),
        "max_grad_norm": (1e-6, 1e9),
        "target_kl": (0.0, 1e9),
        "desired_kl": (1e-9, 1e9),
        "min_multiplier": (1e-9, 1.0),
        "max_multiplier": (1.0, 1e9),
        "beta1": (0.0, 0.999999),
        "beta2": (0.0, 0.999999),
        "momentum": (0.0, 1.0),
        "decay": (0.0, 1.0),
        "eps": (1e-12, 1.0),
    }
    ANCHORED: ClassVar[bool] = False
    """whether the state remembers the parameters that training started from"""
    INHERITS: ClassVar[bool] = True
    """whether any part of the state means something in another training"""

    @property
    def needs(self) -> tuple[str, ...]:
        """What it asks for of an algorithm, as `rl.Algorithm.lacks` names it: a measured KL, or a critic to warm up."""
        kl = ("kl",) if (self.target_kl, self.desired_kl) != (None, None) else ()
        return (*kl, "value") if self.rates.policy_start > 0 else kl

    def direction(self) -> optax.GradientTransformation:
        """The optax transformation from gradients to an unscaled step."""
        raise NotImplementedError

    def reduced(self: O) -> O:
        """The optimizer of the training program: every None a float that switches it off, and late layers counted.

        Optimizers with and without `target_kl` and `desired_kl` so share one program. Its floats must be concrete.
        """
        late = bool(np.any(self.rates.layer_start) or np.any(self.rates.body_start))
        return dataclasses.replace(
            self,
            target_kl=np.inf if self.target_kl is None else self.target_kl,
            desired_kl=np.inf if self.desired_kl is None else self.desired_kl,
            per_entry=self.per_entry or late,
        )

    def build(self) -> optax.GradientTransformationExtraArgs:
        """The chain as an optax pair; its update takes `progress` in [0, 1) and `kl` besides.

        The gradients' top-level keys are the groups.
        """
        update = cast(optax.TransformUpdateExtraArgsFn, foreign(self._update))
        return optax.GradientTransformationExtraArgs(foreign(self._init), update)

    def evaluation(self, opt_state: OptState, delta: Tree) -> Tree:
        """The parameters to evaluate; the same as those that are trained unless an optimizer averages."""
        return delta

    def forget(self, opt_state: OptState, touched: Tree) -> OptState:
        """The state in which moments and step counts of the touched entries start over.

        Args:
            opt_state: of this optimizer with `per_entry`.
            touched: tree of bools like the parameters.

        Raises:
            ValueError: steps are not counted by entry.
        """
        if not self.per_entry:
            raise ValueError("per_entry: False is not allowed where entries are forgotten; it must be True")
        masks = {name: tree.ravel(touched[name]) for name in opt_state.inner}
        inner = {name: keeping.forgotten(group, masks[name]) for name, group in opt_state.inner.items()}
        fresh = {name: entries | masks[name] for name, entries in opt_state.fresh.items()}
        return opt_state._replace(inner=inner, fresh=fresh)

    def continues(self, other: "Optimizer") -> bool:
        """Return whether this optimizer can go on from a state of the other."""
        return type(self) is type(other)

    def inherit(self, opt_state: OptState, old: OptState, keep: Keep) -> OptState:
        """The fresh state with what is kept of an old one; leaves with or without an axis of runs.

        Raises:
            ValueError: the old state is of another optimizer or of other parameters, or nothing of it can be kept.
        """
        if not self.INHERITS:
            raise ValueError(f"optimizer: {type(self).__name__} measures from where it starts; it can keep nothing")
        kept = jnp.asarray(keep.rate_factor) > 0.5
        return opt_state._replace(
            inner=keeping.inherited(opt_state.inner, old.inner, keep),
            multiplier=jnp.where(kept, old.multiplier, opt_state.multiplier),
        )

    def _group(self, like: Tree) -> optax.GradientTransformation:
        return optax.chain(
            self.direction(), optax.add_decayed_weights(self.weight_decay), optax.scale(-1.0 * self.learning_rate)
        )

    def _start(self, group: Tree) -> PyTree:
        return self._group(group).init(tree.ravel(group))

    def _spread(self, state: PyTree, size: int) -> PyTree:
        return keeping.spread(state, size)

    def _step(self, grads: jax.Array, state: PyTree, group: Tree, pace: Pace) -> tuple[jax.Array, PyTree]:
        step, after = stepped(self._group(group), grads, state, tree.ravel(group))
        return step * (pace.shape * pace.factor), after

    def _init(self, params: Tree) -> OptState:
        inner = {name: self._start(group) for name, group in params.items()}
        fresh = {}
        if self.per_entry:
            inner = {name: self._spread(state, tree.size(params[name])) for name, state in inner.items()}
        if self.per_entry and self.ANCHORED:
            fresh = {name: jnp.zeros(tree.size(group), bool) for name, group in params.items()}
        return OptState(
            inner,
            jnp.zeros((), jnp.int32),
            jnp.zeros((), bool),
            -jnp.ones((), jnp.float32),
            jnp.ones((), jnp.float32),
            fresh,
        )

    def _update(
        self, grads: Tree, state: OptState, params: Tree, *, progress: jax.Array, kl: jax.Array, **extra: object
    ) -> tuple[Tree, OptState]:
        active = {name: self._active(name, params, progress) for name in params}
        flat = {name: jnp.where(active[name], tree.ravel(group), 0.0) for name, group in grads.items()}
        finite = jnp.isfinite(optax.tree.norm(flat))
        stopped = self._stopped(state, progress, kl)
        multiplier = self._multiplier(state, progress, kl)
        clip = optax.clip_by_global_norm(self.max_grad_norm)
        clipped: dict[str, jax.Array] = cast(PyTree, clip.update(flat, optax.EmptyState())[0])
        factors, shape = self.rates.factors(params), self.schedule.shape(progress)
        if self.desired_kl is not None:
            shape = shape * multiplier
        updates, inner = {}, {}
        for name, group in params.items():
            before = state.inner[name]
            if name in state.fresh:
                before = keeping.anchored(before, state.fresh[name], tree.ravel(group))
            factor = tree.ravel(jax.tree.map(lambda f, p: jnp.full(p.shape, f), factors[name], group))
            factor = self.rates.tuned(factor, flat[name], group)
            step, after = self._step(clipped[name], before, group, Pace(shape, factor, state.progress != progress))
            moves = active[name] & finite & ~stopped
            updates[name] = tree.unravel(jnp.where(moves, step, 0.0), group)
            inner[name] = (keeping.choose if self.per_entry else tree.where)(moves, after, before)
        skipped = state.skipped + jnp.where(finite, 0, 1)
        fresh = {name: jnp.zeros_like(entries) for name, entries in state.fresh.items()}
        return updates, OptState(inner, skipped, stopped, jnp.asarray(progress, jnp.float32), multiplier, fresh)

    def _active(self, name: str, params: Tree, progress: jax.Array) -> jax.Array:
        group = self.rates.active(name, progress)
        if not self.per_entry:
            return group
        awake = self.rates.awake(params, progress)[name]
        return group & tree.ravel(jax.tree.map(lambda on, leaf: jnp.full(leaf.shape, on), awake, params[name]))

    def _stopped(self, state: OptState, progress: jax.Array, kl: jax.Array) -> jax.Array:
        if self.target_kl is None:
            return state.stopped
        same_update = state.progress == progress
        return (state.stopped & same_update) | (kl > _KL_SLACK * self.target_kl)

    def _multiplier(self, state: OptState, progress: jax.Array, kl: jax.Array) -> jax.Array:
        if self.desired_kl is None:
            return state.multiplier
        # After a stop the policy stands still, and its KL does not change.
        rests = (state.stopped & (state.progress == progress)) | ~jnp.isfinite(self.desired_kl)
        down = kl > _KL_BAND * self.desired_kl
        up = (kl < self.desired_kl / _KL_BAND) & (kl > 0.0)
        moved = jnp.where(down, state.multiplier / _KL_FACTOR, state.multiplier)
        moved = jnp.where(up, state.multiplier * _KL_FACTOR, moved)
        return jnp.where(rests, state.multiplier, jnp.clip(moved, self.min_multiplier, self.max_multiplier))


def stepped(
    transformation: optax.GradientTransformation, grads: jax.Array, state: PyTree, vector: jax.Array
) -> tuple[jax.Array, PyTree]:
    """The step [P] and the state after one update of an optax transformation of a vector of parameters [P]."""
    return cast(tuple[jax.Array, PyTree], transformation.update(grads, state, vector))

"""TRAC, a parameter-free tuner of how far an optimizer may drift from where it started."""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.methods.optimizers.adam import Adam
from jaxrl_ft.methods.optimizers.base import Pace

_DISCOUNTS = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
_EPS = 1e-8
# erfi(1 / √2)
UNIT = 0.95343827
# Spacing and number of the nodes of `erfi`, and the argument beyond which it is cut: erfi(9) is 9e33.
_SPACING, _NODES, _LIMIT = 0.35, 20, 9.0


def erfi(x: jax.Array) -> jax.Array:
    """The imaginary error function -i erf(i x) of x for |x| <= 9, beyond which it stays constant.

    Rybicki's exponentially convergent sum for Dawson's integral D (1989, Computers in Physics 3:85), with
    erfi(x) = 2 exp(x²) D(x) / √π:

    erfi(x) ≈ (4/π) Σ_n exp(-n²h²) sinh(2 n h x) / n   over odd n > 0

    Args:
        x: any shape.
    """
    nodes = np.arange(1, 2 * _NODES, 2)
    size = jnp.minimum(jnp.abs(x), _LIMIT)[..., None]
    steps = nodes * _SPACING
    # exp(a - b) (1 - exp(-2a)) in the place of exp(-b) 2 sinh(a), which overflows
    terms = jnp.exp(2 * steps * size - steps**2) * -jnp.expm1(-4 * steps * size) / nodes
    return jnp.sign(x) * (2 / np.pi) * jnp.sum(terms, axis=-1)


class TracState(NamedTuple):
    """The state of TRAC."""

    base: PyTree
    """state of Adam"""
    drift: jax.Array
    """sum of Adam's steps [P], the base iterate minus the reference"""
    scale: jax.Array
    """S, the share of the drift that the parameters are away from the reference"""
    sigma: jax.Array
    """discounted sums of -h, one for each discount"""
    variance: jax.Array
    """discounted sums of h², one for each discount"""


@config
class TRAC(Adam):
    """TRAC over Adam (Muppidi, Zhang & Yang 2024, arXiv:2405.16642), with the parameters at the start as reference.

    θ_t = θ_ref + S_t Δ_t, where Δ_t is the sum of Adam's steps and S_t = max(0, Σ_j s_j) over six discounts β_j:

    h = <g, Δ>,   v_j ← β_j² v_j + h²,   σ_j ← β_j σ_j - h,   s_j = s₀ erfi(σ_j / (√2 √v_j + ε)) / erfi(1/√2)

    σ starts at ε = 1e-8 and s at 0, as in the authors' torch code. That code finds Δ by dividing θ - θ_ref by S + ε,
    which in float32 loses a drift scaled by 1e-8 and forgets it where S is 0; here Δ is kept, as in the paper, and a
    step is the difference of two S Δ, so that an intervention's new parameters are a new reference. The schedule and
    the group factors act on Adam's steps.
    """

    initial_scale: float = 1e-8
    """s₀, the share of the drift at first"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = Adam.BOUNDS | {"initial_scale": (1e-12, 1.0)}

    def _start(self, group: Tree) -> TracState:
        num = len(_DISCOUNTS)
        drift = jnp.zeros(tree.size(group), jnp.float32)
        return TracState(
            super()._start(group),
            drift,
            jnp.zeros((), jnp.float32),
            jnp.full(num, _EPS, jnp.float32),
            jnp.zeros(num, jnp.float32),
        )

    def _step(self, grads: jax.Array, state: TracState, group: Tree, pace: Pace) -> tuple[jax.Array, TracState]:
        move, base = super()._step(grads, state.base, group, pace)
        discounts = jnp.asarray(_DISCOUNTS)
        slope = jnp.sum(grads * state.drift)
        variance = discounts**2 * state.variance + slope**2
        sigma = discounts * state.sigma - slope
        shares = self.initial_scale / UNIT * erfi(sigma / (np.sqrt(2) * jnp.sqrt(variance) + _EPS))
        scale = jnp.maximum(jnp.sum(shares), 0.0)
        drift = state.drift + move
        return scale * drift - state.scale * state.drift, TracState(base, drift, scale, sigma, variance)

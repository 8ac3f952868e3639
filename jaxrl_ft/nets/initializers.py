"""Initialisers that stay clear of LAPACK, whose batched QR deadlocks under vmap on machines with two cores."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import chex
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxrl_ft.core.types import Key

# Newton-Schulz multiplies a small singular value by 1.5 a step. A 64 x 64 Gaussian has one below 1e-9 of the largest
# about once in ten million draws; 60 steps lift even that to 1.
_NUM_STEPS = 60

Initializer: TypeAlias = Callable[..., Float[Array, "*n m"]]
"""A function of a key, a shape [n, m] or [..., m] and a dtype that draws a matrix."""


def orthogonalize(matrix: Float[Array, "n m"]) -> Float[Array, "n m"]:
    """The orthogonal polar factor U Vᵀ of `matrix` = U Σ Vᵀ, shape [n, m].

        X₀ = A / ‖A‖_F,   Xₖ₊₁ = Xₖ (3/2 I - 1/2 XₖᵀXₖ)

    Columns are orthonormal when n >= m, rows when n < m. The factor of a Gaussian matrix is Haar-distributed, like the
    sign-corrected QR factor, since both commute with rotations of A.

    Args:
        matrix: full-rank matrix, [n, m].

    Reference: Björck & Bowie 1971, "An iterative algorithm for computing the best estimate of an orthogonal matrix".
    """
    chex.assert_rank(matrix, 2)
    wide = matrix.shape[0] < matrix.shape[1]
    start = matrix.T if wide else matrix
    start = start / jnp.linalg.norm(start)

    def step(_: Array | int, x: Array) -> Array:
        gram = jnp.matmul(x.T, x, precision="highest")
        return 1.5 * x - 0.5 * jnp.matmul(x, gram, precision="highest")

    result: Array = jax.lax.fori_loop(0, _NUM_STEPS, step, start)
    return result.T if wide else result


def orthogonal(gain: float = 1.0) -> Initializer:
    """An initialiser that draws `gain` times a Haar-distributed orthogonal matrix of shape [n, m].

    Of a shape with more axes, as kernels of convolutions have, it is the matrix [product of all but the last, last].

    Reference: Saxe, McClelland & Ganguli 2014, arXiv:1312.6120.
    """

    def init(key: Key, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Float[Array, "*n m"]:
        rows = math.prod(shape[:-1])
        matrix = gain * orthogonalize(jax.random.normal(key, (rows, shape[-1]), jnp.float32)).astype(dtype)
        return matrix.reshape(tuple(shape))

    return init

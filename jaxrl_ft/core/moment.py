"""The position of a gradient step in training."""

from typing import NamedTuple

import jax


class Moment(NamedTuple):
    """The position of a gradient step in its run; both fields are scalars."""

    progress: jax.Array
    """share of the budget used, in [0, 1)"""
    step: jax.Array
    """number of the gradient step from 0, int32"""

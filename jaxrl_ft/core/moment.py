"""When something happens in training."""

from typing import NamedTuple

import jax


class Moment(NamedTuple):
    """A gradient step's place in its run; both scalars."""

    progress: jax.Array
    """share of the budget used, in [0, 1)"""
    step: jax.Array
    """number of the gradient step from 0, int32"""

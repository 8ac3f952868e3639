"""What a worker of a cluster is like, asked of it by a test."""

import jax

from jaxrl_ft.training import devices


def seen() -> tuple[str, int, bool]:
    """The rank promotion, the number of devices, and whether the layout is exact."""
    return jax.config.jax_numpy_rank_promotion, devices.mesh().size, devices.layout().exact

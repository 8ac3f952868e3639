"""Names for the values that pass between modules: keys, numbers, and trees of arrays."""

from typing import Any, TypeAlias

import jax
from jaxtyping import Float
from jaxtyping import Key as KeyOf
from numpy.typing import NDArray

Key: TypeAlias = KeyOf[jax.Array, ""]
"""A typed PRNG key."""
Leaf: TypeAlias = jax.Array | NDArray[Any]
"""An array: of NumPy on the host, of JAX or a tracer inside a program."""
Scalar: TypeAlias = float | Float[jax.Array, ""]
"""A number of a config: a Python float at the public door, an array inside a program."""
PyTree: TypeAlias = Any
"""Any pytree with array leaves."""
Params: TypeAlias = PyTree
"""Parameters of networks: nested dicts with the groups `policy` and `value` at the top."""
Delta: TypeAlias = PyTree
"""The numbers that an optimizer changes; an adapter merges them with the base into parameters."""
Statistics: TypeAlias = PyTree
"""Running statistics of a normaliser: a dict of moments, empty where nothing is normalised."""
OptState: TypeAlias = PyTree
"""State of an optimizer."""
Memory: TypeAlias = PyTree
"""State that a penalty, an intervention or the data axis keeps between updates."""
EnvParams: TypeAlias = PyTree
"""The physics of an environment, a config of the simulator's own."""
EnvState: TypeAlias = PyTree
"""The state of an environment, a pytree of the simulator's own."""
Draws: TypeAlias = PyTree
"""Random numbers for steps or resets of an environment, leaves [*shape, ...]."""
Metrics: TypeAlias = dict[str, jax.Array]
"""Scalars by name, such as `loss/policy`."""

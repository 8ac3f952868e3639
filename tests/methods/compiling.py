"""How the tests of this folder compile what runs for a moment."""

import jax


def quick(function):
    """The function compiled fast rather than well."""
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=options)

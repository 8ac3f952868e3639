"""Programs of tests, which run once."""

import jax


def quick(function, **options):
    """The function under `jax.jit` with these options, compiled fast rather than well."""
    level = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=level, **options)

"""How tests compile programs that run a few times, on tiny shapes."""

import jax


def quick(function, **options):
    """The function compiled fast rather than well; `options` are those of `jax.jit`."""
    level = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=level, **options)

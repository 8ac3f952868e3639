"""What makes the programs that tests compile cheap: they run once, or a few times, on tiny shapes."""

import jax


def quick(function, **options):
    """The function compiled fast rather than well; `options` are those of `jax.jit`."""
    level = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=level, **options)


def fast_key(seed):
    """A key whose draws compile in a fraction of the time."""
    return jax.random.key(seed, impl="unsafe_rbg")

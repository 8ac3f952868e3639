"""Compiled programs: a function of one run, called with many runs that lie side by side on all devices.

    @per_run(static=("num_rollouts",), shared=("index",))
    def gather(num_rollouts, policy, task, seeds, index): ...

    data = gather(4, policies, tasks, seeds, index)          # NumPy in and out, any number of runs
    data = gather.placed(4, policies, tasks, seeds, index)   # runs that lie on the devices, as do the results
    data = gather.one(4, policy, task, seed, index)          # the function itself, to be traced or tested

A second call with the same structure, shapes and static arguments never retraces, whatever the seeds, physics and
floats.
"""

import functools
import inspect
from collections.abc import Callable, Sequence

import jax

from jaxrl_ft.core.types import PyTree
from jaxrl_ft.training import devices

PROGRAMS: dict[str, "Program"] = {}
"""Every compiled program by name."""


def per_run(
    static: Sequence[str] = (), shared: Sequence[str] = (), donate: Sequence[str] = ()
) -> Callable[[Callable[..., PyTree]], "Program"]:
    """Make a program of a function of one run.

    Args:
        static: names of the arguments that are compiled in.
        shared: names of the arguments that all runs share; every other one has a leading axis of runs on each leaf.
        donate: names of the arguments whose memory the results may take; they cannot be used afterwards.
    """
    return lambda function: Program(function, tuple(static), tuple(shared), tuple(donate))


class Program:
    """A function of one run as a jitted function of many, split over the devices; called by position.

    On CPUs LLVM's first level of optimisation compiles these programs three times faster than its third, and they run
    no slower: their time goes to matrix products in libraries.
    """

    def __init__(
        self, one: Callable[..., PyTree], static: tuple[str, ...], shared: tuple[str, ...], donate: tuple[str, ...]
    ) -> None:
        self.one = one
        """the function of one run"""
        self.__doc__, self.__name__ = one.__doc__, one.__name__
        self._names = tuple(inspect.signature(one).parameters)
        self._static, self._shared, self._donate = static, shared, donate
        if self.__name__ in PROGRAMS:
            raise ValueError(f"{self.__name__}: is not allowed; another program has this name")
        PROGRAMS[self.__name__] = self

    def __call__(self, *args: PyTree) -> PyTree:
        """Return the results of any number of runs as NumPy arrays: pad, place, compute, trim.

        Args:
            args: as those of the function, each that is neither static nor shared with a leading axis [R].
        """
        runs = [arg for name, arg in zip(self._names, args) if self._by_run(name)]
        num = int(jax.tree.leaves(runs)[0].shape[0])
        placed = iter(devices.put(runs, num))
        results = self.placed(*(next(placed) if self._by_run(name) else arg for name, arg in zip(self._names, args)))
        return devices.trim(results, num)

    def placed(self, *args: PyTree) -> PyTree:
        """Return the results on the devices, of runs that lie there, as many as `Layout.width` says."""
        return self._jitted(devices.layout(), *args)

    def lower(self, *args: PyTree) -> PyTree:
        """Return the program lowered for arguments as `placed` takes them, to be compiled and asked what it needs."""
        return self._jitted.lower(devices.layout(), *args)

    def trace(self, *args: PyTree) -> PyTree:
        """Return the program traced for arguments as `placed` takes them."""
        return self._jitted.trace(devices.layout(), *args)

    def _by_run(self, name: str) -> bool:
        return name not in self._static and name not in self._shared

    @functools.cached_property
    def _jitted(self) -> PyTree:
        """The jitted function; made at the first call, which is when the backend is known."""
        options = {"xla_backend_optimization_level": 1} if devices.on_cpu() else None
        # Layouts are static too, so that every one has programs of its own.
        static, donated = ([self._names.index(name) + 1 for name in names] for names in (self._static, self._donate))
        return jax.jit(self._many, static_argnums=(0, *static), donate_argnums=tuple(donated), compiler_options=options)

    @functools.cached_property
    def _many(self) -> Callable[..., PyTree]:
        """The function of many runs, under the name of that of one."""

        def many(layout: devices.Layout, *args: PyTree) -> PyTree:
            by_name = dict(zip(self._names, args))
            static = {name: by_name[name] for name in self._static}
            runs, shared = (
                {name: arg for name, arg in by_name.items() if chosen(name)}
                for chosen in (self._by_run, self._shared.__contains__)
            )
            names = (*runs, *shared)
            one = functools.partial(_by_name, self.one, static, names)
            return layout.over_runs(one, num_shared=len(shared))(*runs.values(), *shared.values())

        many.__name__ = self.__name__
        return many


def _by_name(
    function: Callable[..., PyTree], static: dict[str, PyTree], names: tuple[str, ...], *args: PyTree
) -> PyTree:
    return function(**static, **dict(zip(names, args)))

"""Compiled programs: a function of one run, called with many runs that lie side by side on all devices.

    @per_run(static=("num_rollouts",), shared=("index",))
    def gather(num_rollouts, policy, task, seeds, index): ...

    data = gather(4, policies, tasks, seeds, index)          # NumPy in and out, any number of runs
    data = gather.placed(4, policies, tasks, seeds, index)   # runs that lie on the devices, as do the results
    data = gather.one(4, policy, task, seed, index)          # the function itself, to be traced or tested

A second call with the same structure, shapes and static arguments never retraces, whatever the seeds, physics and
floats, and where programs are stored (`training/programs`) neither does a later process.
"""

import functools
import gc
import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import jax
import numpy as np

from jaxrl_ft.core.types import PyTree
from jaxrl_ft.training import devices
from jaxrl_ft.training.programs import code, store
from jaxrl_ft.training.programs.structure import leaf_types

PROGRAMS: dict[str, "Program"] = {}
"""Every compiled program by name."""

QUICK: dict[str, int] = {"xla_backend_optimization_level": 1}
"""How XLA compiles on CPUs: LLVM's first level of optimisation takes a third of the time of its third, and what it
makes runs no slower, since the time goes to matrix products in libraries."""

QUICKEST: dict[str, int] = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""Half of that time, where XLA knows both; what it makes runs several times slower."""


@functools.cache
def is_compile_option(name: str, value: int) -> bool:
    """Return whether the installed XLA knows an option, by compiling an empty program: its versions differ in them."""
    try:
        jax.jit(lambda: None, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" in str(error):
            return False
        raise
    return True


def per_run(
    static: Sequence[str] = (),
    shared: Sequence[str] = (),
    donate: Sequence[str] = (),
    brief: bool = False,
    few_at_once: bool = False,
    any_of: Sequence[str] = (),
) -> Callable[[Callable[..., PyTree]], "Program"]:
    """Make a program of a function of one run.

    Args:
        static: names of the arguments that are compiled in, the first ones.
        shared: names of the arguments that all runs share, the last ones; every argument between static and shared ones
            has a leading axis of runs on each leaf.
        donate: names of the arguments whose memory the results may take; they cannot be used afterwards.
        brief: whether it runs for milliseconds where it compiles for a second, as what happens once in a training does;
            it is then compiled in half the time, to slower code.
        few_at_once: whether a CPU core computes as few runs side by side as fill it, since gradient steps are faster
            where their numbers stay in its cache; all else has less to compile and runs faster with more.
        any_of: names of arguments, bool, of which the function gets whether any of the runs that lie side by side has
            it, so that what hangs on it is a branch and no choice between results.
    """
    return lambda function: Program(
        function, tuple(static), tuple(shared), tuple(donate), brief, few_at_once, tuple(any_of)
    )


class Program:
    """A function of one run as a jitted function of many, split over the devices; called by position."""

    def __init__(
        self,
        one: Callable[..., PyTree],
        static: tuple[str, ...],
        shared: tuple[str, ...],
        donate: tuple[str, ...],
        brief: bool = False,
        few_at_once: bool = False,
        any_of: tuple[str, ...] = (),
    ) -> None:
        self.one = self.__wrapped__ = one
        """the function of one run"""
        self.__doc__, self.__name__ = one.__doc__, one.__name__
        names = tuple(inspect.signature(one).parameters)
        self._first, self._last = len(static), len(names) - len(shared)
        if (names[: self._first], names[self._last :]) != (static, shared):
            raise ValueError(f"{self.__name__}: static arguments must come first and shared ones last, as named")
        self._donate = tuple(names.index(name) + 1 for name in donate)
        self._any_of = tuple(names.index(name) - self._first for name in any_of)
        self._own, self._brief, self._few_at_once = code.own(one), brief, few_at_once
        self._ready: dict[tuple[Path, devices.Layout, store.Form], store.Ready | None] = {}
        if self.__name__ in PROGRAMS:
            raise ValueError(f"{self.__name__}: is not allowed; another program has this name")
        PROGRAMS[self.__name__] = self

    def __call__(self, *args: PyTree) -> PyTree:
        """Return the results of any number of runs as NumPy arrays: pad, place, compute, trim.

        Args:
            args: as those of the function, each that is neither static nor shared with a leading axis [R].
        """
        static, runs, shared = args[: self._first], args[self._first : self._last], args[self._last :]
        num = int(jax.tree.leaves(runs)[0].shape[0])
        return devices.trim(self.placed(*static, *devices.put(runs, num), *shared), num)

    def placed(self, *args: PyTree) -> PyTree:
        """Return the results on the devices, of runs that lie there, as many as `Layout.width` says."""
        with self._types():
            function, taken = self._chosen(args)
            return function(*taken)

    def lower(self, *args: PyTree) -> PyTree:
        """Return the program lowered for arguments as `placed` takes them, to be compiled and asked what it needs.

        It is the program that `placed` runs, which is then not compiled again; the arguments may be shapes.
        """
        with self._types():
            function, taken = self._chosen(args)
            return function.lower(*taken)

    def trace(self, *args: PyTree) -> PyTree:
        """Return the program traced for arguments as `placed` takes them."""
        with self._types():
            return self._jitted.trace(devices.layout(), *args)

    def _chosen(self, args: Sequence[PyTree]) -> tuple[PyTree, Sequence[PyTree]]:
        """The jitted function to call for these arguments, stored or not, and what it takes."""
        layout = devices.layout()
        folder = store.directory() if self._own else None
        if folder is None:
            return self._jitted, (layout, *args)
        leaves, structure = jax.tree.flatten(args[self._first :])
        types, settings = leaf_types(leaves), code.settings()
        form = store.Form(self.__name__, layout.exact, tuple(args[: self._first]), structure, types, settings)
        place = (folder, layout, form)
        if place not in self._ready:
            many = functools.partial(self._many, layout, *args[: self._first])
            self._ready[place] = store.obtain(folder, form, many, leaves, **self._options(layout, args))
        ready = self._ready[place]
        return (self._jitted, (layout, *args)) if ready is None else (ready, leaves)

    @staticmethod
    def _types() -> AbstractContextManager[None]:
        """Have indices of 32 bits, whatever the user asks: XLA fuses by their type, and so rounds by it."""
        off: AbstractContextManager[None] = jax.enable_x64(False)
        return off

    @functools.cached_property
    def _jitted(self) -> PyTree:
        """The jitted function of many runs; made at the first call, which is when the backend is known."""

        def many(layout: devices.Layout, *args: PyTree) -> PyTree:
            return self._many(layout, *args)

        many.__name__ = self.__name__
        # The layout is static too, so that every one has programs of its own.
        static = tuple(range(self._first + 1))
        return jax.jit(many, static_argnums=static, donate_argnums=self._donate, compiler_options=self._compiler())

    def _many(self, layout: devices.Layout, *args: PyTree) -> PyTree:
        one = functools.partial(self.one, *args[: self._first])
        many = layout.over_runs(one, len(args) - self._last, self._few_at_once, self._any_of)
        return many(*args[self._first :])

    def _compiler(self) -> dict[str, int] | None:
        if not devices.on_cpu():
            return None
        options = QUICKEST if self._brief else QUICK
        return {name: value for name, value in options.items() if is_compile_option(name, value)}

    def _options(self, layout: devices.Layout, args: Sequence[PyTree]) -> dict[str, PyTree]:
        """The options of `jax.jit` for a function of the leaves of the arguments that are not static."""
        ends = np.cumsum([len(jax.tree.leaves(arg)) for arg in args[self._first :]]).tolist()
        spans = [range(start, end) for start, end in zip([0, *ends], ends)]
        donated = [number for place in self._donate for number in spans[place - 1 - self._first]]
        # Results that lie as arguments do can be arguments again without another compilation.
        return {
            "donate_argnums": donated,
            "compiler_options": self._compiler(),
            "out_shardings": layout.sharding,
        }


MAPS, ALLOWED = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")


def forget_when_many(share: float = 0.5) -> bool:
    """Forget all compiled programs once this process has a large share of the memory maps that Linux allows it.

    Every program on a CPU keeps several hundred of the 65,530 maps that are usual, and a process that needs more ends
    with a segmentation fault. What is needed again comes from the compilation cache.

    Args:
        share: of those allowed, above which it is time.

    Returns:
        forgotten: whether it was time to.
    """
    if not (MAPS.exists() and ALLOWED.exists()):
        return False
    many = MAPS.read_bytes().count(b"\n") > share * int(ALLOWED.read_text())
    if many:
        jax.clear_caches()
        gc.collect()
    return many

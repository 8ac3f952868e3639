"""Devices: CPU cores become devices of their own, and runs are sharded over whatever there is."""

import functools
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import psutil
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxrl_ft.core import checks
from jaxrl_ft.core.types import PyTree

LAYOUTS = {
    "fast": "runs side by side in each operation; bits depend on the number of runs of the program",
    "exact": "one run after another on each device; a run has the bits that it has alone, and takes longer",
}
_AXIS = "runs"
_TOGETHER = (4, 8)
"""Runs, least and most, that a CPU core computes side by side where it has more: their numbers stay in its cache."""
_layout: ContextVar[str] = ContextVar("layout", default="fast")
_THREADS_FLAG = "--xla_cpu_multi_thread_eigen"


def backend_started() -> bool:
    """Whether JAX computes already: it then refuses another number of CPU devices."""
    chosen = jax.config.values["jax_num_cpu_devices"]
    try:
        jax.config.update("jax_num_cpu_devices", 1 if chosen < 1 else chosen + 1)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", chosen)
    return False


def cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def prepare() -> None:
    """Sets CPU devices, the thread-pool flag and the compilation cache, once, before the first computation.

    Respects `XLA_FLAGS`, `jax_num_cpu_devices` and `jax_compilation_cache_dir` when the user has set them, in the
    environment or in `jax.config`. When a backend runs already its devices are used as they are, with one warning if a
    CPU of several cores is one device that nobody chose.
    """
    _prepare_cache()
    flags = os.environ.get("XLA_FLAGS", "")
    chosen = jax.config.values["jax_num_cpu_devices"] > 0 or "host_platform_device_count" in flags
    if backend_started():
        if jax.default_backend() == "cpu" and jax.device_count() == 1 and cores() > 1 and not chosen:
            warnings.warn(
                f"JAX was started before jaxrl_ft was first used, with one CPU device for {cores()} cores; to use all "
                "of them use jaxrl_ft first, such as by ft.make_task, or set jax_num_cpu_devices",
                stacklevel=3,
            )
        return
    if _THREADS_FLAG not in flags:
        # One device a core runs seeds in parallel; a pool inside each of them would only contend.
        os.environ["XLA_FLAGS"] = f"{flags} {_THREADS_FLAG}=false".strip()
    if not chosen:
        jax.config.update("jax_num_cpu_devices", cores())


def _prepare_cache() -> None:
    if jax.config.values["jax_compilation_cache_dir"] is None:
        root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        directory = Path(root) / "jaxrl_ft" / "xla"
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        jax.config.update("jax_compilation_cache_dir", str(directory))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # JAX leaves out what compiled within a second, which is half of our programs.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@functools.cache
def mesh() -> Mesh:
    """A one-dimensional mesh over every device of the default backend."""
    prepare()
    return Mesh(np.array(jax.devices()), (_AXIS,))


def on_cpu() -> bool:
    """Whether the runs lie on CPUs; asked of the mesh, so that the devices are set before a backend starts."""
    return _of_cpus(mesh())


def _of_cpus(mesh: Mesh) -> bool:
    return bool(mesh.devices.flat[0].platform == "cpu")


class Layout(NamedTuple):
    """How the runs of a program lie on the devices; static, so that every layout has programs of its own."""

    mesh: Mesh
    exact: bool = False
    """one run after another on each device, instead of side by side"""

    def over_runs(
        self,
        one: Callable[..., PyTree],
        num_shared: int = 0,
        few_at_once: bool = False,
        any_of: tuple[int, ...] = (),
    ) -> Callable[..., PyTree]:
        """The function of one run as one of many, split over the devices: a leading axis of runs on every leaf.

        Args:
            one: takes and returns trees.
            num_shared: how many of its last arguments are shared by all runs and have no such axis.
            few_at_once: as in `turns`.
            any_of: places of arguments, bool [R], that are one number for all runs of a turn: whether any run has it.
        """

        def sharded(*args: PyTree) -> PyTree:
            num = len(args) - num_shared
            specs = (PartitionSpec(_AXIS),) * num + (PartitionSpec(),) * num_shared
            shard_map: PyTree = jax.shard_map
            mapped = shard_map(
                lambda *args: self._mapped(one, args[:num], args[num:], few_at_once, any_of),
                mesh=self.mesh,
                in_specs=specs,
                out_specs=PartitionSpec(_AXIS),
                check_vma=False,
            )
            return mapped(*args)

        return sharded

    def _mapped(
        self,
        one: Callable[..., PyTree],
        runs: tuple[PyTree, ...],
        shared: tuple[PyTree, ...],
        few_at_once: bool,
        any_of: tuple[int, ...],
    ) -> PyTree:
        def turn(runs: tuple[PyTree, ...]) -> PyTree:
            axes = tuple(None if place in any_of else 0 for place in range(len(runs)))
            given = [jnp.any(arg) if axis is None else arg for arg, axis in zip(runs, axes)]
            return jax.vmap(lambda *run: one(*run, *shared), in_axes=axes)(*given)

        if self.exact:
            return jax.lax.map(lambda run: one(*run, *shared), runs)
        each = len(jax.tree.leaves(runs)[0])
        turns = self.turns(each, few_at_once)
        if turns == 1:
            return turn(runs)
        parts = jax.tree.map(lambda leaf: leaf.reshape(turns, each // turns, *leaf.shape[1:]), runs)
        return jax.tree.map(lambda leaf: leaf.reshape(each, *leaf.shape[2:]), jax.lax.map(turn, parts))

    def turns(self, each: int, few_at_once: bool = False) -> int:
        """In how many turns a device computes so many runs with the least padding, one on all but CPUs.

        In an exact layout they are as many as its runs.

        Args:
            each: number of runs.
            few_at_once: whether to choose the most turns of those with the least padding, and not the fewest.
        """
        if self.exact:
            return each
        least, most = _TOGETHER
        if each < 2 * least or not _of_cpus(self.mesh):
            return 1
        possible = range(-(-each // most), each // least + 1)
        return min(reversed(possible) if few_at_once else possible, key=lambda turns: -(-each // turns) * turns)

    @property
    def sharding(self) -> NamedSharding:
        """How the leaves of runs, [R, ...], are split over the devices."""
        return NamedSharding(self.mesh, PartitionSpec(_AXIS))

    def width(self, num_runs: int) -> int:
        """The number of runs with the padding that makes the devices divide it."""
        each = -(-num_runs // self.mesh.size)
        if self.exact:
            # XLA dissolves a loop of one turn and may then fuse across its border, which would change bits.
            return max(each, 2) * self.mesh.size
        turns = self.turns(each)
        return -(-each // turns) * turns * self.mesh.size


def layout() -> Layout:
    """The layout that programs are called with now."""
    return Layout(mesh(), _layout.get() == "exact")


@contextmanager
def laid_out(name: str) -> Iterator[None]:
    """Programs have this layout, one of `LAYOUTS`, for as long as the context lasts.

    Raises:
        ValueError: there is no such layout.
    """
    token = _layout.set(checks.choice("layout", name, LAYOUTS))
    try:
        yield
    finally:
        _layout.reset(token)


def batch(num_runs: int) -> int:
    """How many runs to train at a time where only some may need it, a number known beforehand.

    Time on a CPU grows with the number of runs, from four a core; on a GPU it hardly does.
    """
    return min(num_runs, _TOGETHER[0] * mesh().size) if on_cpu() else num_runs


def comfortable() -> int:
    """How many runs to train side by side where there are many.

    Time on a CPU grows with the number of runs from eight a core; a GPU is filled by thousands of these networks.
    """
    return (8 if on_cpu() else 2048) * mesh().size


def free_memory(processes: int = 1) -> int:
    """Bytes that are free: on the devices together, or for one of so many processes where the CPU computes."""
    stats = [device.memory_stats() for device in mesh().devices.flat]
    if all(stats):
        return sum(int(one["bytes_limit"]) - int(one["bytes_in_use"]) for one in stats if one)
    return int(psutil.virtual_memory().available) // processes


def check_memory(num: int, each: int, processes: int = 1) -> None:
    """Refuse runs whose stored experience does not fit into the memory that is free.

    Args:
        num: runs side by side.
        each: bytes that one of them stores; 0 for none, and then nothing is asked.
        processes: as in `free_memory`.

    Raises:
        ValueError: it does not fit.
    """
    # A program's first state is a copy of what it was made of.
    if each and 2 * num * each > free_memory(processes):
        runs, do = ("a run that stores", "does") if num == 1 else (f"{num} runs that store", "do")
        raise ValueError(
            f"algo: {runs} {each / 1e6:,.1f} MB of experience{' each' if num > 1 else ''} {do} not fit into the "
            f"{free_memory(processes) / 1e6:,.0f} MB that are free, twice while they start; give "
            f"{'fewer seeds, or ' if num > 1 else ''}a smaller replay"
        )


def pad(runs: PyTree, num: int) -> PyTree:
    """The runs with their first ones repeated until the leading axis is `num`."""

    def repeat(leaf: PyTree) -> PyTree:
        return leaf if leaf.shape[0] == num else np.asarray(leaf)[np.arange(num) % leaf.shape[0]]

    return jax.tree.map(repeat, runs)


def put(runs: PyTree, num: int) -> PyTree:
    """The runs on the devices, padded to a width that they divide, always with the same sharding.

    A program is compiled anew for every sharding of its arguments, so host and device arrays go through here alike.
    """
    return jax.device_put(pad(runs, layout().width(num)), layout().sharding)


def shapes(one: PyTree, num: int) -> PyTree:
    """The shapes of `num` runs as they lie on the devices, from those of one run."""
    sharding = NamedSharding(mesh(), PartitionSpec(_AXIS))
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((num, *leaf.shape), leaf.dtype, sharding=sharding, weak_type=leaf.weak_type),
        one,
    )


def trim(runs: PyTree, num: int) -> PyTree:
    """The first `num` runs as NumPy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:num], jax.device_get(runs))

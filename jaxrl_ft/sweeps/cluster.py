"""Many fine-tunes on many machines: Ray starts workers, gives them devices, and retries what they lose."""

import copy
import logging
import os
import re
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from jaxrl_ft.core import checks, machine
from jaxrl_ft.sweeps import worker
from jaxrl_ft.sweeps.dealing import Dealer, Share
from jaxrl_ft.sweeps.worker import Refusal, Setup
from jaxrl_ft.training import devices

T = TypeVar("T")
ATTEMPTS = 3
"""How often a batch is tried that raises an error."""
DEATHS = 3
"""How often Ray starts a batch again whose worker or node died."""
SECONDS = 10
"""How long to wait for an address, and between two looks at how many workers there are."""
LOCAL, VARIABLE = "local", "RAY_ADDRESS"


class BatchError(ChildProcessError):
    """Batches failed, however often they were tried, and all others are finished."""


@contextmanager
def joined(
    address: bool | str | None,
    *,
    cpus: int = 1,
    layout: str = "fast",
    modules: Sequence[str] = (),
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator["Cluster | None"]:
    """A cluster for as long as the context lasts; None where none is asked for.

    A cluster that Python has joined by `ray.init` is used, and goes on afterwards.

    Args:
        address: `HOST:PORT` of a cluster's head; True or `local` for the one that RAY_ADDRESS names, or else one on
            this machine alone; False or None for none.
        cpus: CPUs of each worker, which are its devices where the driver computes on CPUs.
        layout: one of `LAYOUTS`.
        modules: names of modules that workers import first.
        tell: called with a line when a batch has failed for good.

    Raises:
        ValueError: Ray is not installed, or there is no such cluster.
    """
    if not address:
        yield None
        return
    checks.count("cpus_per_worker", cpus)
    checks.package("ray", "ray", "cluster")
    where = _reachable(address)
    # Workers and driver may share a GPU, of which JAX would else take three quarters at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with _connected(where):
        cluster = Cluster(cpus, layout, tuple(modules), tell)
        try:
            yield cluster
        finally:
            cluster.cancel()


def _reachable(address: bool | str) -> str:
    """`local`, or the address of a head that answers.

    Raises:
        ValueError: it is no address, or nothing answers there.
    """
    given = address if isinstance(address, str) and address != LOCAL else os.environ.get(VARIABLE) or LOCAL
    if given == LOCAL:
        return given
    name = "ray" if given == address else VARIABLE
    port = re.fullmatch(r"[^:/]+:(\d{1,5})", given)
    if not port or not 0 < int(port[1]) < 2**16:
        raise ValueError(f"{name}: {given!r} is not allowed; it must be HOST:PORT of a cluster's head")
    host = given.partition(":")[0]
    try:
        # Ray itself would try for minutes.
        socket.create_connection((host, int(port[1])), SECONDS).close()
    except OSError as error:
        raise ValueError(f"{name}: no cluster answers at {given}: {error}") from None
    return given


@contextmanager
def _connected(address: str) -> Iterator[None]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with _own_signals():
        import ray
    if ray.is_initialized():
        yield
        return
    try:
        with _own_signals(), warnings.catch_warnings():
            # JAX warns of forks, and the processes that Ray forks become other programs at once.
            warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
            warnings.filterwarnings("ignore", category=FutureWarning)
            _start(address)
        yield
    finally:
        ray.shutdown()


def _start(address: str) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address == LOCAL:
            ray.init(LOCAL, num_cpus=devices.cores(), include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        # Ray shows a token to an address only where it is told to.
        hint = "" if "RAY_AUTH_MODE" in os.environ else "; where the cluster asks for a token, set RAY_AUTH_MODE=token"
        raise ValueError(f"ray: cannot join {address}: {reason}{hint}") from None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Handlers of signals stay those of the command, which Ray would replace."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Cluster:
    """Workers, each a process with devices of its own.

    Args:
        cpus: of each worker.
        layout: one of `LAYOUTS`.
        modules: names of modules that workers import first.
        tell: called with a line when a batch has failed for good.
    """

    def __init__(self, cpus: int, layout: str, modules: tuple[str, ...], tell: Callable[[str], None]) -> None:
        import ray

        on_cpus = devices.mesh().devices.flat[0].platform == "cpu"
        self._cpus, self._gpus = cpus, 0 if on_cpus else 1
        setup = worker.setup(cpus if on_cpus else 1, layout, modules, machine.versions())
        options = {"num_cpus": cpus, "num_gpus": self._gpus, "max_retries": DEATHS, "retry_exceptions": False}
        variables = worker.variables(setup, "cpu" if on_cpus else "")
        self._task: Any = ray.remote(_work).options(**options, runtime_env={"env_vars": variables})
        self.setup, self._tell = setup, tell
        self._running: dict[Any, tuple[int, Share, int]] = {}
        if not self.workers:
            wanted = f"{cpus} CPUs" + " and a GPU" * self._gpus
            raise ValueError(f"cpus_per_worker: {cpus!r} is not allowed; no node of the cluster has {wanted}")

    @property
    def nodes(self) -> list[int]:
        """How many workers each node of the cluster has room for."""
        import ray

        resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus = (int(one.get("CPU", 0) // self._cpus) for one in resources)
        gpus = (int(one.get("GPU", 0)) if self._gpus else 2**31 for one in resources)
        return [room for room in map(min, cpus, gpus) if room]

    @property
    def workers(self) -> int:
        """How many workers there is room for now."""
        return sum(self.nodes)

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """What a function returns on a worker.

        Raises:
            ValueError: the worker differs from this process.
            BatchError: the function failed.
        """
        return cast(T, next(self.run(_called, (function, args), [()], lambda share: "a call")))

    def run(
        self,
        function: Callable[[Any, Share], T],
        work: Any,
        shares: list[Share],
        named: Callable[[Share], str],
    ) -> Iterator[T]:
        """What a function returns for each share, as they are finished.

        Args:
            function: called with the work and a share on a worker; pure, since it may be called again.
            work: what every worker needs; sent to each node once.
            shares: in the order of the plan.
            named: what a share is, for messages.

        Raises:
            ValueError: a worker differs from this process.
            BatchError: shares failed; all others were finished before.
        """
        import ray

        held = [ray.put((function, work))]
        dealer = Dealer(shares, max(self.workers, 1))
        failed: list[str] = []
        while True:
            self._deal(dealer, held)
            if not self._running:
                break
            done, _ = ray.wait(list(self._running), timeout=SECONDS)
            for reference in done:
                lane, share, attempt = self._running[reference]
                outcome, reason = self._ended(reference)
                if not reason:
                    self._deal(dealer, held)
                    yield outcome
                elif attempt < ATTEMPTS and not reason.startswith(_LOST):
                    self._submit(held, lane, share, attempt + 1)
                else:
                    failed.append(f"{named(share)} ({reason})")
                    self._tell(f"failed for good: {failed[-1]}")
        if failed:
            raise BatchError(f"{len(failed)} of {len(shares)} batches failed: {'; '.join(failed)}")

    def _deal(self, dealer: Dealer, held: list[Any]) -> None:
        """Give work to every worker that has none."""
        busy = {lane for lane, _, _ in self._running.values()}
        free = [lane for lane in range(self.workers + len(busy)) if lane not in busy]
        for lane in free[: max(self.workers - len(busy), 0)]:
            share = dealer.deal(lane)
            if share is None:
                return
            self._submit(held, lane, share, 1)

    def _submit(self, held: list[Any], lane: int, share: Share, attempt: int) -> None:
        self._running[self._task.remote(self.setup, held, share)] = (lane, share, attempt)

    def _ended(self, reference: Any) -> tuple[Any, str]:
        """What a task returned, or why it failed.

        Raises:
            ValueError: its worker differs from this process.
        """
        import ray

        try:
            outcome = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, BaseException) else error
            return None, " ".join(f"{type(cause).__name__}: {cause}".split())
        except ray.exceptions.RayError as error:
            return None, f"{_LOST}{' '.join(str(error).split())[:200]}"
        finally:
            self._running.pop(reference)
        if isinstance(outcome, Refusal):
            raise ValueError(f"ray: {outcome.text}")
        # Arrays lie in Ray's memory, which ends with it.
        return copy.deepcopy(outcome), ""

    def cancel(self) -> None:
        """End what still runs."""
        import ray

        for reference in self._running:
            ray.cancel(reference, force=True)
        self._running.clear()


_LOST = "its worker died: "


def _work(setup: Setup, held: list[Any], *args: Any) -> Any:
    """What a function returns on a worker, or why the worker is not used."""
    import ray

    refusal = worker.prepare(setup)
    if refusal is not None:
        return refusal
    function, work = worker.remembered(held[0], ray.get)
    with devices.laid_out(setup.layout):
        return function(work, *args)


def _called(work: tuple[Callable[..., T], tuple[Any, ...]], share: Share) -> T:
    function, args = work
    return function(*args)

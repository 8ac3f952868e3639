"""Where the processes of a job meet: a program of its own, which calls `jax.distributed.initialize` and ends.

JAX ends a process from C++, past every `except`, when its coordinator does not answer, when a process stays away, and
when one that is connected dies; and of processes that stay connected only the first has a compilation cache, since a
CPU program's key holds the numbers of its devices, which are then counted over all of them. So each process lets this
program meet the others in its place, learns from it who it is and where process 0 listens, and connects by itself.

Standard input holds one line of JSON with the arguments of `meet`, and stays open for as long as the answer, one line
of JSON on standard output, is wanted.
"""

import importlib.util
import json
import os
import sys
import threading
from typing import Any

import jax
import numpy as np

SIZE = 512
"""Bytes of what every process tells the others."""
KNOWN_TO_JAX = ("OMPI_MCA_orte_hnp_uri", "SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST")
LAUNCHED_BY_MPI = ("PMI_RANK", "PMIX_RANK")
VISIBLE = ("jax_cuda_visible_devices", "jax_rocm_visible_devices")


def meet(coordinator: str | None, count: int | None, number: int | None, seconds: int, words: Any) -> dict[str, Any]:
    """Number and count of the processes, what each of them told, the coordinator's address, and the devices to use.

    Args:
        coordinator: `HOST:PORT` of process 0; without it, and without the next two, what JAX finds.
        count: processes.
        number: of this process.
        seconds: to wait for the others.
        words: JSON of at most `SIZE` bytes for all others.
    """
    from jax.experimental import multihost_utils

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        coordinator,
        count,
        number,
        cluster_detection_method=_method(),
        initialization_timeout=seconds,
        shutdown_timeout_seconds=seconds,
    )
    told = np.frombuffer(json.dumps(words).encode().ljust(SIZE), np.uint8)
    heard = multihost_utils.process_allgather(told).reshape(-1, SIZE)
    found = {
        "number": jax.process_index(),
        "count": jax.process_count(),
        "words": [json.loads(row.tobytes()) for row in heard],
        "coordinator": jax._src.distributed.global_state.coordinator_address,
        "visible": {name: jax.config.values[name] for name in VISIBLE},
    }
    jax.distributed.shutdown()
    return found


def _method() -> str | None:
    """mpi4py where MPI started this process, but not in one of the ways that JAX sees by itself."""
    if any(name in os.environ for name in KNOWN_TO_JAX) or not any(name in os.environ for name in LAUNCHED_BY_MPI):
        return None
    return "mpi4py" if importlib.util.find_spec("mpi4py") else None


def _leave_with_the_asker() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    arguments = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_the_asker, daemon=True).start()
    print(f"\n{json.dumps(meet(**arguments))}", flush=True)

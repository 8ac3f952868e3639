"""The machine that computes: versions of packages, and the hardware."""

import os
import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import jax
import psutil

from jaxrl_ft.core.bundle import version

LIBRARIES = ("jaxrl-ft", "jax", "jaxlib", "flax", "optax", "gymnax", "numpy")
CPU_INFO = Path("/proc/cpuinfo")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{name: found for name in LIBRARIES if (found := version(name))}}


def differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """The name, their value and our value of all facts that both have and that differ."""
    return [(name, theirs[name], ours[name]) for name in ours if name in theirs and theirs[name] != ours[name]]


def hardware() -> dict[str, str]:
    """Describe processor, cores, memory, JAX's devices and the operating system."""
    kinds = Counter((device.platform, device.device_kind) for device in jax.devices())
    devices = [f"{count} x {kind if kind != name else name}" for (name, kind), count in kinds.items()]
    cores = f"{psutil.cpu_count(logical=False) or os.cpu_count()} cores, {os.cpu_count()} threads"
    return {
        "processor": f"{_processor()} ({cores})",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "devices": ", ".join(devices),
        "system": platform.platform(),
    }


def _processor() -> str:
    """Return the name of the processor, or of its kind if the system gives no name."""
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()

"""What a worker of a cluster does before it trains: take over JAX's settings, import modules, and compare versions."""

import hashlib
import importlib
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from jaxrl_ft.core import machine
from jaxrl_ft.core.files import Json
from jaxrl_ft.training import devices

VARIABLES = ("JAX_", "XLA_")
"""How environment variables begin that workers take over."""
OWN = re.compile("device|platform|cache|log|backend|profil|mock|address|timeout|distributed|process")
"""Settings of JAX that are a machine's own."""


class Setup(NamedTuple):
    """What a worker must be like."""

    settings: dict[str, Json]
    """of JAX, by name"""
    devices: int
    layout: str
    modules: tuple[str, ...]
    paths: tuple[str, ...]
    """where modules are looked for, beside the worker's own"""
    facts: dict[str, str]
    """versions, and the kind of device, by name"""


class Refusal(NamedTuple):
    """Why a worker is not used."""

    text: str


def setup(num_devices: int, layout: str, modules: tuple[str, ...], versions: Mapping[str, str]) -> Setup:
    """What workers must be like to have the numbers of this process.

    Args:
        num_devices: of each worker.
        layout: one of `LAYOUTS`.
        modules: names of those to import first.
        versions: of this process.
    """
    settings = {
        name: getattr(jax.config, name, value)
        for name, value in jax.config.values.items()
        if isinstance(value, (bool, int, float, str)) and not OWN.search(name)
    }
    facts = {**versions, "device": devices.mesh().devices.flat[0].device_kind}
    return Setup(settings, num_devices, layout, modules, tuple(path for path in sys.path if path), facts)


def variables(setup: Setup, backend: str) -> dict[str, str]:
    """Environment variables of a worker's process. Workers of another setup are other processes.

    Args:
        setup: what it must be like.
        backend: `cpu`, or empty for what JAX finds.
    """
    found = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", found.get("XLA_FLAGS", ""))
    digest = hashlib.sha256(repr(setup).encode()).hexdigest()[:12]
    found |= {"XLA_FLAGS": flags.strip(), "JAX_NUM_CPU_DEVICES": str(setup.devices), "JAXRL_FT_SETUP": digest}
    # XLA reads NPROC; without it each worker has a thread for every core, and workers wait for each other.
    return found | ({"JAX_PLATFORMS": backend, "NPROC": str(setup.devices)} if backend == "cpu" else {})


def prepare(setup: Setup) -> Refusal | None:
    """Make this process what the setup says; returns why it cannot be, if so."""
    node = platform.node()
    differ = _differ(setup.facts, machine.versions())
    if differ:
        return Refusal(f"node {node} differs from this one in {differ}")
    for name, value in setup.settings.items():
        if jax.config.values.get(name) != value:
            jax.config.update(name, value)
    devices.prepare()
    sys.path += [path for path in setup.paths if path not in sys.path]
    for name in setup.modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            return Refusal(f"node {node} cannot import {name}: {error}")
    found = devices.mesh().devices
    differ = _differ(setup.facts, machine.versions() | {"device": found.flat[0].device_kind})
    if not differ and found.size != setup.devices:
        differ = f"devices of a worker: {found.size} against {setup.devices}"
    return Refusal(f"node {node} differs from this one in {differ}") if differ else None


def _differ(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """What differs, in words; empty when nothing does."""
    found = machine.differences(theirs, ours)
    return ", ".join(f"{name}: {there} there, {here} here" for name, there, here in found)


_held: dict[Any, Any] = {}


def remembered(reference: Any, get: Callable[[Any], Any]) -> Any:
    """What a reference stands for, the same object as long as the reference is the same.

    Args:
        reference: of the object.
        get: fetches it.
    """
    if reference not in _held:
        _held.clear()
        _held[reference] = get(reference)
    return _held[reference]

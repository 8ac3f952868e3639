"""The command `python -m jaxrl_ft.doctor`: versions, devices, cache and extras, what is known to be bad, what to do.

It imports nothing that may be broken before it has looked at it, and trains nothing.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "jaxrl-ft"
SHOWN = ("jaxrl-ft", "jax", "jaxlib", "flax", "optax", "gymnax", "chex", "numpy", "safetensors", "matplotlib")
EXTRAS = {
    "cuda": "jax-cuda12-plugin",
    "hpo": "optuna",
    "cluster": "ray",
    "tensorboard": "tensorboardX",
    "wandb": "wandb",
    "mlflow": "mlflow-skinny",
    "DataFrames": "pandas",
    "Parquet": "pyarrow",
    "notebooks": "ipywidgets",
}
"""What each optional package is for, or the extra that installs it."""
PROBLEM, NOTE = "problem", "note"
SMALL = 2 * 2**30
"""Bytes of memory or disk below which there is a note."""
SET_BY_USERS = ("JAX_", "XLA_", "JAXRL_FT_", "CUDA_VISIBLE_DEVICES")


@dataclass(frozen=True)
class Machine:
    """What was found; everything that the findings follow from."""

    python: tuple[int, int]
    versions: Mapping[str, str]
    """of the packages that are installed, by name"""
    requirements: Sequence[str] = ()
    """sentences on requirements of installed packages that are not met"""
    errors: Mapping[str, str] = field(default_factory=dict)
    """why an import failed, by module"""
    environment: Mapping[str, str] = field(default_factory=dict)
    """variables that change what JAX does"""
    platforms: Sequence[str] = ()
    """of JAX's devices"""
    driver: bool = False
    """whether the machine has NVIDIA's driver"""
    cache: str = ""
    """the folder of compiled programs; empty where there is none"""
    writable: bool = True
    """whether the cache can be written"""
    memory: int = SMALL
    """bytes that are free"""
    disk: int = SMALL
    """bytes that are free in the current directory"""


@dataclass(frozen=True)
class Finding:
    """Something to know or to mend."""

    kind: str
    """`problem` or `note`"""
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}; {self.remedy}"


def findings(found: Machine) -> Iterator[Finding]:
    """What is known of such a machine, problems first."""
    yield from _imports(found)
    for sentence in found.requirements:
        yield Finding(PROBLEM, sentence, f'python -m pip install --upgrade "{PACKAGE.replace("-", "_")}"')
    if not (3, 11) <= found.python <= (3, 13):
        yield Finding(PROBLEM, f"Python {'.'.join(map(str, found.python))} is not supported", "use 3.11 to 3.13")
    yield from _devices(found)
    yield from _variables(found)
    yield from _resources(found)
    if found.versions.get("jaxlib") == "0.10.2":
        yield Finding(
            NOTE,
            "jaxlib 0.10.2 hangs in batched LAPACK calls such as QR under vmap on several CPU devices",
            "training here calls none; do not call any in a method or an environment of your own",
        )


def _imports(found: Machine) -> Iterator[Finding]:
    for module, error in found.errors.items():
        if "six" in error:
            yield Finding(PROBLEM, f"{module} needs six and does not declare it ({error})", "python -m pip install six")
        else:
            yield Finding(PROBLEM, f"{module} cannot be imported: {error}", f"python -m pip install --upgrade {module}")
    jax, jaxlib = found.versions.get("jax"), found.versions.get("jaxlib")
    if jax and jaxlib and jax != jaxlib:
        yield Finding(
            NOTE, f"jax is {jax} and jaxlib is {jaxlib}", f'python -m pip install "jax=={jax}" "jaxlib=={jax}"'
        )


def _devices(found: Machine) -> Iterator[Finding]:
    cuda = any(name.startswith("jax-cuda") for name in found.versions)
    on_gpu = bool({"gpu", "cuda", "rocm", "tpu"} & set(found.platforms))
    hidden = found.environment.get("JAX_PLATFORMS", "") == "cpu" or found.environment.get("CUDA_VISIBLE_DEVICES") == ""
    if cuda and not on_gpu and not hidden:
        missing = "JAX sees no GPU" if found.driver else "the machine has no NVIDIA driver"
        yield Finding(
            PROBLEM,
            f"the CUDA plugin of JAX is installed, and {missing}",
            "install a driver that `nvidia-smi` confirms, or set JAX_PLATFORMS=cpu",
        )
    if found.driver and not cuda:
        yield Finding(
            NOTE,
            "the machine has an NVIDIA driver, and JAX computes on CPUs alone",
            'python -m pip install "jaxrl_ft[cuda]"',
        )
    if on_gpu and "xla_gpu_deterministic_ops=true" not in found.environment.get("XLA_FLAGS", ""):
        yield Finding(
            NOTE, "sums on a GPU may differ between equal runs", "set XLA_FLAGS=--xla_gpu_deterministic_ops=true"
        )


def _variables(found: Machine) -> Iterator[Finding]:
    flags = found.environment.get("XLA_FLAGS", "")
    if flags:
        yield Finding(NOTE, f"XLA_FLAGS is set: {flags}", "results may differ from those without it")
    if "xla_force_host_platform_device_count" in flags or found.environment.get("JAX_NUM_CPU_DEVICES"):
        yield Finding(NOTE, "the number of CPU devices is set", "leave it to jaxrl_ft, which makes every core a device")
    if found.environment.get("JAX_DISABLE_JIT", "").lower() in ("1", "true"):
        yield Finding(PROBLEM, "JAX_DISABLE_JIT is set", "unset it; training would take hours")
    if found.environment.get("JAX_DEBUG_NANS", "").lower() in ("1", "true"):
        yield Finding(NOTE, "JAX_DEBUG_NANS is set", "one run with a NaN ends all of them; unset it to go on")


def _resources(found: Machine) -> Iterator[Finding]:
    if not found.cache:
        yield Finding(NOTE, "there is no cache of compiled programs", "set JAX_COMPILATION_CACHE_DIR to a folder")
    elif not found.writable:
        yield Finding(NOTE, f"the cache {found.cache} cannot be written", "set JAX_COMPILATION_CACHE_DIR to another")
    if found.memory < SMALL:
        yield Finding(NOTE, f"{found.memory / 2**30:.1f} GiB of memory are free", "use --memory-limit or fewer --seeds")
    if found.disk < SMALL:
        yield Finding(NOTE, f"{found.disk / 2**30:.1f} GiB of disk are free here", "write elsewhere with --out")


def look() -> Machine:
    """Look at this machine; starts JAX, and compiles nothing."""
    environment = {name: os.environ[name] for name in sorted(os.environ) if name.startswith(SET_BY_USERS)}
    errors = {name: error for name in ("numpy", "jax") if (error := _broken(name))}
    # gymnax computes while it is imported, and JAX keeps the devices that it starts with.
    platforms, cache = ([], "") if errors else _started()
    errors |= {name: error for name in ("flax", "optax", "gymnax") if not errors and (error := _broken(name))}
    versions = {name: version for name in (*SHOWN, *EXTRAS.values()) if (version := _version(name))}
    return Machine(
        python=sys.version_info[:2],
        versions=versions,
        requirements=unmet(),
        errors=errors,
        environment=environment,
        platforms=platforms,
        driver=shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists(),
        cache=cache,
        writable=os.access(cache, os.W_OK | os.X_OK) if cache else True,
        memory=_free_memory(),
        disk=shutil.disk_usage(Path.cwd()).free,
    )


def _broken(module: str) -> str:
    """Why a module cannot be imported; empty where it can."""
    try:
        importlib.import_module(module)
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _started() -> tuple[list[str], str]:
    """The platforms of the devices that JAX starts with, and the folder of its cache."""
    import jax

    from jaxrl_ft.training import devices

    devices.prepare()
    try:
        platforms = [device.platform for device in jax.devices()]
    except RuntimeError:
        platforms = []
    return platforms, str(jax.config.values["jax_compilation_cache_dir"] or "")


def unmet() -> list[str]:
    """Requirements of this package and of those that it builds on, that what is installed does not meet."""
    if importlib.util.find_spec("packaging") is None:
        return []
    from packaging.requirements import Requirement

    found = []
    for name in SHOWN:
        if not _version(name):
            continue
        for line in importlib.metadata.requires(name) or []:
            need = Requirement(line)
            if need.marker is not None and not need.marker.evaluate({"extra": ""}):
                continue
            have = _version(need.name)
            if not have:
                found.append(f"{name} needs {need.name}{need.specifier}, which is not installed")
            elif not need.specifier.contains(have, prereleases=True):
                found.append(f"{name} {_version(name)} needs {need.name}{need.specifier}, and {have} is installed")
    return found


def _free_memory() -> int:
    try:
        import psutil
    except ImportError:
        return SMALL
    return int(psutil.virtual_memory().available)


def lines(found: Machine) -> Iterator[str]:
    """What is printed of a machine."""
    yield f"python      {'.'.join(map(str, sys.version_info[:3]))} ({sys.executable})"
    yield from (f"{name:<11} {found.versions.get(name, 'not installed')}" for name in SHOWN)
    yield f"devices     {_devices_in_words(found)}"
    yield f"cache       {found.cache or 'none'}{_size(Path(found.cache)) if found.cache else ''}"
    have = [name for name, package in EXTRAS.items() if package in found.versions]
    shown = ", ".join(f"{name} ({EXTRAS[name]} {found.versions[EXTRAS[name]]})" for name in have)
    yield f"extras      {shown or 'none'}"
    yield f"without     {', '.join(name for name in EXTRAS if name not in have) or 'none'}"
    yield f"variables   {' '.join(f'{name}={value}' for name, value in found.environment.items()) or 'none'}"


def _devices_in_words(found: Machine) -> str:
    kinds = dict.fromkeys(found.platforms)
    return ", ".join(f"{list(found.platforms).count(kind)} x {kind}" for kind in kinds) or "none"


def _size(folder: Path) -> str:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return f" ({len(sizes):,} files, {sum(sizes) / 2**20:,.0f} MiB)"


def main(argv: Sequence[str] | None = None, see: Callable[[], Machine] = look) -> int:
    """Print what was found; returns 0, or 1 where there is a problem.

    Args:
        argv: the words after the program's name; there are no flags but `--help`.
        see: looks at the machine.
    """
    description = "Prints versions, devices, the cache and extras, what is known to be bad, and what to do about it."
    argparse.ArgumentParser("python -m jaxrl_ft.doctor", description=description).parse_args(argv)
    found = see()
    known = sorted(findings(found), key=lambda finding: finding.kind != PROBLEM)
    print("\n".join([*lines(found), "", *map(str, known)]))
    problems = sum(finding.kind == PROBLEM for finding in known)
    print(f"{problems} problem{'s' * (problems != 1)}" if problems else "no problem found")
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main())

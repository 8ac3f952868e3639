"""Compressed policies from their files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.bundle import read_bundle
from jaxrl_ft.core.files import Json
from jaxrl_ft.deploy.compression import packing
from jaxrl_ft.deploy.compression.base import POLICY, policy_of
from jaxrl_ft.deploy.compression.packing import Packed
from jaxrl_ft.deploy.compression.record import KIND, STATISTICS, VERSION
from jaxrl_ft.envs.task import Task, check_is_task
from jaxrl_ft.store.checkpoints import restored
from jaxrl_ft.training.agents import Agents, check_is_agents
from jaxrl_ft.training.initial_state import fresh_policy
from jaxrl_ft.training.keys import seeds_of

_AGENTS = {"kind": "agents", "has_opt_state": False, "trainable": 0, "source_steps": 0}


def load_compressed(path: str | Path, base: Agents | None = None, task: Task | None = None) -> Agents:
    """The agents whose policies `Compressed.save` wrote; they act, and are evaluated, exported and fine-tuned as any.

    Their critics are fresh, as a file holds none.

    Args:
        path: the directory.
        base: the agents that the file holds changes of, where it names some.
        task: as in `ft.load`, for an environment of the user's own.

    Raises:
        ValueError: the directory is missing or damaged, or holds something else; or the base is missing or another one.
    """
    checks.path("path", path)
    if task is not None:
        check_is_task("task", task)
    arrays, metadata = read_bundle(path)
    if metadata.get("kind") != KIND:
        raise ValueError(f"{path}: holds {metadata.get('kind')!r}, not compressed policies; ft.load reads agents")
    if metadata.get("version") != VERSION:
        raise ValueError(f"{path}: version {metadata.get('version')!r} cannot be read; known is {VERSION}")
    known = _checked_base(path, metadata.get("base_sha256"), base)
    policy = {name: _unpacked(path, name, part, known) for name, part in _parts(path, arrays, metadata, POLICY)}
    other = {name: _unpacked(path, name, part, {}) for name, part in _parts(path, arrays, metadata, STATISTICS)}
    agents = restored(_as_agents(path, policy, other, metadata), {**metadata, **_AGENTS}, path, task)
    fresh = fresh_policy(agents.algo, agents.network, agents.task, seeds_of(0, agents.num_seeds)).params
    return replace(agents, params={**fresh, **agents.params}, init_params={**fresh, **agents.params})


def _as_agents(
    path: str | Path, policy: Mapping[str, np.ndarray], statistics: Mapping[str, np.ndarray], metadata: dict[str, Json]
) -> dict[str, np.ndarray]:
    """The arrays that agents with these policies, and without critics and curves, would have saved."""
    steps = metadata.get("env_steps")
    if not isinstance(steps, list) or any(type(one) is not int for one in steps):
        raise ValueError(f"{path}: metadata.json lacks or misstates env_steps")
    num = len(steps)
    arrays = {f"{group}/{name}": leaf for group in ("params", "init_params") for name, leaf in policy.items()}
    arrays |= {f"{STATISTICS}/{name}": leaf for name, leaf in statistics.items()}
    curves: dict[str, np.ndarray] = {
        "curve": np.zeros((num, 0), np.float32),
        "curve_steps": np.zeros((num, 0), np.int64),
    }
    return {**arrays, **curves, "env_steps": np.asarray(steps, np.int64), "kept_steps": np.zeros(num, np.int64)}


def _checked_base(path: str | Path, digest: Json, base: Agents | None) -> Mapping[str, np.ndarray]:
    """The policies of the base by path; none where the file needs no base."""
    if base is not None:
        check_is_agents(base)
    if digest is None:
        return {}
    if base is None:
        raise ValueError(f"base: is missing; {path} holds what differs from the agents with SHA-256 {digest}")
    if base.digest != digest:
        raise ValueError(f"base: has SHA-256 {base.digest}, and {path} holds what differs from {digest}")
    return policy_of(base)


def _parts(
    path: str | Path, arrays: Mapping[str, np.ndarray], metadata: dict[str, Json], group: str
) -> list[tuple[str, Packed]]:
    """What is stored of a group, by name.

    Raises:
        ValueError: the metadata misstates it, or an array is missing or damaged.
    """
    found = []
    try:
        for name, entry in metadata[group].items():
            shape, bits = tuple(int(size) for size in entry["shape"]), int(entry["bits"])
            parts = {}
            for key, form in entry["deflated"].items():
                array = arrays[f"{group}:{name}:{key}"]
                sizes = () if form is None else tuple(int(size) for size in form["shape"])
                parts[key] = array if form is None else packing.inflated(array, str(form["dtype"]), sizes)
            found.append((str(name), Packed(str(entry["codec"]), shape, parts, bits)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: metadata.json lacks or misstates {error} of {group}") from None
    except ValueError as error:
        raise ValueError(f"{path}: an array of {group} {error}") from None
    if group == POLICY and not found:
        raise ValueError(f"{path}: holds no policy")
    return found


def _unpacked(path: str | Path, name: str, part: Packed, base: Mapping[str, np.ndarray]) -> np.ndarray:
    try:
        return packing.unpack(part, base.get(name))
    except ValueError as error:
        raise ValueError(f"{path}: {name}: {error}") from None

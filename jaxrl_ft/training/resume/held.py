"""What a checkpoint holds: trees as arrays by name, and what decides the numbers of a training as JSON."""

import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import machine
from jaxrl_ft.core.bundle import Arrays
from jaxrl_ft.core.config import to_json
from jaxrl_ft.core.files import Json
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.training import devices
from jaxrl_ft.training.spec import Spec
from jaxrl_ft.training.update import State


class Held(NamedTuple):
    """All that the rest of a training reads and that does not follow from its arguments."""

    state: State
    """on the devices"""
    numbers: PyTree
    """optimizer and penalty of every run, which a control may change, on the devices"""
    controller: PyTree
    curves: PyTree
    sums: PyTree
    """of the metrics since the last evaluation"""


def arrays_of(held: Held) -> Arrays:
    """The leaves by name, on the host; typed keys as their numbers."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(held)
    found = {jax.tree_util.keystr(path): _plain(leaf) for path, leaf in leaves}
    return {name: np.asarray(leaf) for name, leaf in jax.device_get(found).items()}


def names_under(arrays: Arrays, field: str) -> list[str]:
    """The names that arrays have in a field of `Held` that is a dict."""
    found = (re.match(rf"\.{field}\['([^']+)'\]", name) for name in arrays)
    return list(dict.fromkeys(match[1] for match in found if match))


def restored(arrays: Arrays, like: Held) -> Held:
    """The trees that `arrays_of` took apart.

    Args:
        arrays: by name.
        like: trees of the same structure; leaves on the devices come back there, with the same sharding.

    Raises:
        ValueError: a leaf is missing, or one is not in these trees.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    names = [jax.tree_util.keystr(path) for path, _ in leaves]
    odd = sorted(set(names) ^ set(arrays))
    if odd:
        raise ValueError(f"checkpoint: does not fit this training; {odd[0]} is only in one of them")
    found: Held = jax.tree.unflatten(structure, [_like(arrays[name], leaf) for name, (_, leaf) in zip(names, leaves)])
    return found


def identity(spec: Spec) -> dict[str, Json]:
    """All that decides the numbers of a training, as JSON."""
    names = ("algo", "network", "method", "source", "task")
    numbers = ("seed", "first", "num_runs", "num_updates", "num_evals", "eval_episodes", "stop_at", "keep", "patience")
    layout = devices.layout()
    return {
        **{name: to_json(getattr(spec, name)) for name in names},
        **{name: getattr(spec, name) for name in numbers},
        "agents": None if spec.agents is None else spec.agents.digest,
        "layout": "exact" if layout.exact else "fast",
        "devices": f"{layout.mesh.size} x {layout.mesh.devices.flat[0].device_kind}",
        "versions": machine.versions(),
    }


def _plain(leaf: PyTree) -> PyTree:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: PyTree) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _like(array: np.ndarray, leaf: PyTree) -> PyTree:
    if not isinstance(leaf, jax.Array):
        return array
    if _is_key(leaf):
        return jax.device_put(
            jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(leaf)), leaf.sharding
        )
    return jax.device_put(array, leaf.sharding)

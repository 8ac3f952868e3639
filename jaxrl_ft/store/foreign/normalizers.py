"""Statistics of observations beside a policy: a VecNormalize file of Stable-Baselines3, arrays, npz, or JSON.

A VecNormalize file is a pickle. It is read as data: its numbers are taken, everything else in it is a name, and nothing
is run. The fields go by the names that Stable-Baselines3 and Gymnasium give them, and by those of `ft.wrap`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.store.foreign import containers, pickles
from jaxrl_ft.store.foreign.found import listed
from jaxrl_ft.store.foreign.pickled_arrays import array, as_mapping, is_array, objects
from jaxrl_ft.store.foreign.pickles import Inert, Made

Given: TypeAlias = str | Path | Mapping[str, PyTree]
"""What `normalizer=` takes."""
_NAMES = {
    "mean": ("mean", "obs_mean"),
    "variance": ("variance", "var", "obs_variance", "obs_var"),
    "count": ("count", "obs_count"),
    "epsilon": ("epsilon", "obs_epsilon", "eps"),
    "clip": ("clip", "clip_obs", "obs_clip"),
}
_VEC_NORMALIZE = "stable_baselines3.common.vec_env.vec_normalize.VecNormalize"
# What VecNormalize and Gymnasium's NormalizeObservation both add to the variance where nothing else is told.
_EPSILON = 1e-8
_NAMED = r"vec_?normalize.*\.pkl$"


class Normalizer(NamedTuple):
    """How observations were normalised: clip((x - mean) / √(variance + epsilon), -clip, clip)."""

    mean: np.ndarray
    variance: np.ndarray
    num: float | None
    """how many observations they rest on"""
    epsilon: float
    clip: float
    notes: tuple[str, ...] = ()


def read(given: Given) -> Normalizer | None:
    """The statistics that are given; None where a VecNormalize says that it leaves observations as they are.

    Raises:
        ValueError: they cannot be read, or lack a mean or a variance.
    """
    if isinstance(given, Mapping):
        return _of_fields("normalizer", given)
    checks.kind("normalizer", given, (str, Path), "a path, or a dict of mean, variance, count, epsilon and clip")
    checks.path("normalizer", given)
    path = Path(given)
    data = containers.read_file(path)
    what = f"normalizer: {path}"
    if data[:1] == b"\x80":
        return _of_pickle(what, data)
    if data.lstrip()[:1] == b"{":
        found = containers.plain_json(what, data)
        return _of_fields(what, {name: np.asarray(x) if isinstance(x, list) else x for name, x in found.items()})
    content = containers.parsed(what, data)
    if not isinstance(content.tree, dict) or content.kind not in ("npz", "safetensors", "torch file"):
        raise ValueError(f"{what}: is a {content.kind}; give a VecNormalize file, npz, safetensors, JSON or a dict")
    return _of_fields(what, content.tree)


def beside(policy: PyTree) -> list[str]:
    """A line about files beside that of a policy which are named like those of VecNormalize."""
    folder = Path(policy).parent if isinstance(policy, (str, Path)) else None
    names = [] if folder is None else sorted(p.name for p in folder.iterdir() if re.search(_NAMED, p.name.lower()))
    return [f"normaliser: {listed(names)} beside the file is not read; give it as normalizer="] if names else []


def _of_fields(what: str, fields: Mapping[str, PyTree]) -> Normalizer:
    inner = {**fields, **fields["obs_rms"]} if isinstance(fields.get("obs_rms"), Mapping) else dict(fields)
    known = {name: next((inner[word] for word in words if word in inner), None) for name, words in _NAMES.items()}
    words = {word for names in _NAMES.values() for word in names} | {"obs_rms"}
    unknown = [str(name) for name in fields if name not in words]
    if unknown:
        raise checks.unknown(what, unknown[0], sorted(words))
    for name in ("mean", "variance"):
        if known[name] is None:
            raise ValueError(f"{what}: holds no {name}; found are {listed(fields)}")
    mean, variance = (np.asarray(_numbers(what, name, known[name]), np.float32) for name in ("mean", "variance"))
    count, epsilon, clip = (
        None if known[name] is None else float(np.reshape(_numbers(what, name, known[name]), -1)[0])
        for name in ("count", "epsilon", "clip")
    )
    notes = [f"normaliser: epsilon {_EPSILON:g}, assumed"] if epsilon is None else []
    notes += ["normaliser: no clip told, so nothing is clipped"] if clip is None else []
    return Normalizer(
        mean.reshape(-1),
        variance.reshape(-1),
        count,
        _EPSILON if epsilon is None else epsilon,
        1e30 if clip is None else min(clip, 1e30),
        tuple(notes),
    )


def _numbers(what: str, name: str, value: PyTree) -> np.ndarray:
    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if not found.size or np.isnan(found).any():
        raise ValueError(f"{what}: {name} is not allowed; it must hold numbers, none of them NaN")
    return found


def _of_pickle(what: str, data: bytes) -> Normalizer | None:
    root = pickles.read(data, what)
    found = next((made for made in objects(root) if made.name == _VEC_NORMALIZE), None)
    if found is None:
        names = [made.name for made in objects(root) if made.name]
        raise ValueError(f"{what}: is a pickle of {names[0] if names else 'plain values'}, and not of a VecNormalize")
    state = as_mapping(found.state) or {}
    if state.get("norm_obs") is False:
        return None
    moments = state.get("obs_rms")
    if not isinstance(moments, Made):
        raise ValueError(f"{what}: normalises a dict of observations, or none; one vector of observations is read")
    fields = {**(as_mapping(moments.state) or {})}
    # That of the running moments keeps their first count above 0; the other one is added to the variance.
    fields.pop("epsilon", None)
    fields |= {name: state[name] for name in ("epsilon", "clip_obs") if name in state}
    taken = {str(name): _number(what, str(name), value) for name, value in fields.items()}
    reward = state.get("norm_reward") is True
    note = "rewards: were normalised; the critic's values are in that scale, and here rewards are as the task has them"
    result = _of_fields(what, taken)
    return result._replace(notes=(*result.notes, note)) if reward else result


def _number(what: str, name: str, value: Inert) -> np.ndarray:
    if not is_array(value) and not isinstance(value, (int, float)):
        raise ValueError(f"{what}: {name} is no number or array")
    return array(f"{what}: {name}", value)

"""Observations and actions of Gymnasium as policies know them: a vector, and one of n actions or a vector."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.gymnax_worlds.actions import Actions, OneOf, actions_of
from jaxrl_ft.envs.simulator import ActionSpace, Box, Discrete


@dataclass(frozen=True)
class Spaces:
    """How a policy reads observations of an environment and acts in it."""

    observation: PyTree
    """the environment's own description of an observation"""
    action: PyTree
    """that of an action"""
    obs_size: int
    """the number of entries O of an observation as a vector"""
    actions: Actions
    """which actions it takes"""

    def flat(self, obs: PyTree, batch: tuple[int, ...]) -> np.ndarray:
        """Observations [*batch, ...] as vectors [*batch, O] of float32."""
        return _flat(self.observation, obs, batch)

    def native(self, action: np.ndarray) -> np.ndarray:
        """The environment's own actions [N, ...] of a policy's actions [N] or [N, A]."""
        if isinstance(self.actions, OneOf):
            parts = np.unravel_index(action, self.actions.counts)
            joint = np.stack(parts, axis=-1) + np.asarray(self.actions.starts)
            return np.asarray(joint if self.actions.joint else joint[..., 0], self.action.dtype or np.int64)
        shaped = action.reshape((len(action), *self.actions.shape))
        return np.asarray(np.clip(shaped, self.action.low, self.action.high), self.action.dtype)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parts of an observation by name, in the order in which they lie in a vector, with their shapes."""
        return _shapes("obs", self.observation)

    def space(self) -> ActionSpace:
        """The actions as policies know them."""
        if isinstance(self.actions, OneOf):
            return Discrete(num_actions=math.prod(self.actions.counts))
        low, high = (np.asarray(bound, np.float32).reshape(-1) for bound in (self.action.low, self.action.high))
        return Box(size=math.prod(self.actions.shape), low=low, high=high)

    def sizes(self) -> str:
        """Sizes of observations and actions in words, as `jaxrl_ft.training.compatibility.sizes` has them."""
        if isinstance(self.actions, OneOf):
            acted = f"{math.prod(self.actions.counts)} discrete"
        else:
            acted = f"{math.prod(self.actions.shape)} continuous"
        return f"{self.obs_size} observations, {acted} actions"


def read(name: str, observation: PyTree, action: PyTree) -> Spaces:
    """The spaces of an environment.

    Raises:
        ValueError: of a kind that policies cannot read or act in; names the environment.
    """
    return Spaces(observation, action, _size(name, observation), actions_of(name, action))


def _size(name: str, space: PyTree) -> int:
    if (inner := _inner(space)) is not None:
        return sum(_size(name, part) for part in inner.values())
    if hasattr(space, "n") and not getattr(space, "shape", ()):
        return 1 if int(getattr(space, "start", 0)) else int(space.n)
    shape = getattr(space, "shape", None)
    if shape is None or np.dtype(space.dtype).kind not in "biuf":
        raise ValueError(
            f"env: {name} has observations of {type(space).__name__}, which is not allowed; they must be Box, "
            "Discrete, MultiDiscrete, MultiBinary, or Dict or Tuple of these"
        )
    return math.prod(shape)


def _shapes(name: str, space: PyTree) -> dict[str, tuple[int, ...]]:
    if (inner := _inner(space)) is None:
        return {name: tuple(getattr(space, "shape", ())) or (_size(name, space),)}
    parts = ((str(key) if name == "obs" else f"{name}.{key}", part) for key, part in inner.items())
    return {path: shape for key, part in parts for path, shape in _shapes(key, part).items()}


def _inner(space: PyTree) -> Mapping[str | int, PyTree] | None:
    """The parts of a space, those of a dict in the order of their names."""
    parts = getattr(space, "spaces", None)
    if isinstance(parts, Mapping):
        return {key: parts[key] for key in sorted(parts)}
    return dict(enumerate(parts)) if isinstance(parts, Sequence) else None


def _flat(space: PyTree, obs: PyTree, batch: tuple[int, ...]) -> np.ndarray:
    if (inner := _inner(space)) is not None:
        return np.concatenate([_flat(part, obs[key], batch) for key, part in inner.items()], axis=-1)
    if hasattr(space, "n") and not getattr(space, "shape", ()) and not int(getattr(space, "start", 0)):
        return np.asarray(np.eye(int(space.n))[np.asarray(obs)], np.float32)
    return np.asarray(obs, np.float32).reshape((*batch, -1))

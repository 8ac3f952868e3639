"""The interface of adapters, and the adapters that train parameters as they are.

An adapter splits the parameters into what stays fixed and a trained delta, such that `merge(frozen, init(key, frozen))`
acts like the base; what is absent from the delta cannot move.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Delta, Key, Params

Critic = Literal["same", "full"]
"""Whether the critic is adapted like the policy or trains in full."""

RESTS = "rests (unchanged in all runs)"


@config
class Adapter:
    """The interface: which parameters train, and in which form."""

    plain: ClassVar[bool] = False
    """whether the delta holds parameters of the base themselves, under the paths that they have in it"""
    trains_all: ClassVar[bool] = False
    """whether the delta is all parameters of the base"""

    def freeze(self, key: Key, base: Params) -> Tree:
        """Return what stays fixed during a run: the base, and what the adapter draws once."""
        return base

    def init(self, key: Key, frozen: Tree) -> Delta:
        """The delta before training; its top-level keys are the parameter groups."""
        raise NotImplementedError

    def merge(self, frozen: Tree, delta: Delta) -> Params:
        """The parameters that frozen and delta make together: a tree of networks, all that an agent keeps."""
        return tree.overlay(frozen, delta)

    def describe(self, path: str, shape: tuple[int, ...], moved: Mapping[str, bool], changed: bool) -> str:
        """Say in words how a parameter trained, for the transfer report.

        Args:
            path: of the parameter among those that an agent keeps, such as `policy/dense_0/kernel`.
            shape: of the parameter.
            moved: whether training moved each leaf of the delta, by its path.
            changed: whether the parameter differs from what training started from.
        """
        if path in moved:
            return "trains" if moved[path] else RESTS
        return f"through {type(self).__name__}" if changed and not self.plain else "frozen"

    def check(self) -> None:
        """Refuse fields that make no sense together.

        Raises:
            ValueError: they do not.
        """


@config
class Full(Adapter):
    """Every parameter trains."""

    plain: ClassVar[bool] = True
    trains_all: ClassVar[bool] = True

    def init(self, key: Key, frozen: Tree) -> Delta:
        """A copy of the base."""
        return copy(frozen)


@config
class Partial(Adapter):
    """The parameters whose path matches a regular expression train, the others are frozen."""

    pattern: str = ".*"
    """regular expression searched for in paths such as `policy/dense_0/kernel`"""
    critic: Critic = "same"
    """`full` trains all of the critic, also where the pattern does not match"""

    plain: ClassVar[bool] = True

    def init(self, key: Key, frozen: Tree) -> Delta:
        """The matching leaves of the base.

        Raises:
            ValueError: the pattern matches no path.
        """
        delta = tree.select(
            frozen, lambda path: re.search(self.pattern, path) is not None or not adapts(self.critic, path)
        )
        if not delta:
            paths = ", ".join(tree.flatten(frozen))
            raise ValueError(f"pattern: {self.pattern!r} matches no parameter (paths: {paths})")
        return delta

    def check(self) -> None:
        """Refuse a pattern that is no regular expression.

        Raises:
            ValueError: it is none; the message names the place of the error.
        """
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern: {self.pattern!r} is not a regular expression: {error}") from None


@config
class LastK(Adapter):
    """The last k layers of each network train, the output layer counted; parts count as the layer they follow."""

    k: int = 2
    """number of layers that train"""
    critic: Critic = "same"
    """`full` trains all of the critic"""

    plain: ClassVar[bool] = True

    def init(self, key: Key, frozen: Tree) -> Delta:
        """The leaves of the last k layers."""
        paths = tree.flatten(frozen)
        return tree.select(frozen, lambda path: self._trains(path, paths) or not adapts(self.critic, path))

    def _trains(self, path: str, paths: Collection[str]) -> bool:
        numbered = re.match(r"(.*/)(?:conv|dense|norm|bottleneck|lateral)_(\d+)/", path)
        if numbered is None:
            return True
        # Layers are counted in the network, or the sub-network, that holds them.
        layers = {re.match(re.escape(numbered[1]) + r"(?:conv|dense)_\d+/", other) for other in paths}
        depth = len({match[0] for match in layers if match})
        return depth - int(numbered[2]) < self.k


def adapts(critic: Critic, path: str) -> bool:
    """Return whether a path, or a group, is adapted; what is not trains in full."""
    return critic == "same" or path.split("/")[0] != "value"


def copy(params: Tree) -> Tree:
    """The tree with leaves of its own, which an optimizer may overwrite."""
    return jax.tree.map(jnp.array, params)


def by_group(key: Key, base: Params, critic: Critic, make: Callable[[Key, str, Params], Tree]) -> Tree:
    """`make(key, group, layers)` for each adapted group, and a copy of the critic where it trains in full.

    Groups for which nothing is made are left out, as a head on a shared trunk may be.
    """
    keys = jax.random.split(key, len(base))
    made = {
        group: make(subkey, group, base[group]) if adapts(critic, group) else copy(base[group])
        for group, subkey in zip(base, keys)
    }
    return {group: entries for group, entries in made.items() if entries}

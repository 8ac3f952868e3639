"""What trains: adapters split the parameters into a frozen base and a trained delta.

`merge(base, init(key, base))` acts like the base; what is absent from the delta cannot move.
"""

import re
from collections.abc import Callable
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.tree import Tree

Critic = Literal["same", "full"]
"""Whether the critic is adapted like the policy or trains in full."""


@config
class Adapter:
    """The interface: full fine-tuning is the simplest member."""

    def init(self, key: jax.Array, base: Tree) -> Tree:
        """The delta before training; its top-level keys are the parameter groups."""
        raise NotImplementedError

    def merge(self, base: Tree, delta: Tree) -> Tree:
        """The parameters that base and delta make together."""
        return tree.overlay(base, delta)

    def check(self) -> None:
        """Refuses fields that make no sense together.

        Raises:
            ValueError: they do not.
        """


@config
class Full(Adapter):
    """Every parameter trains."""

    def init(self, key: jax.Array, base: Tree) -> Tree:
        """A copy of the base."""
        return jax.tree.map(jnp.array, base)


@config
class Partial(Adapter):
    """The parameters whose path matches a regular expression train, the others are frozen."""

    pattern: str = ".*"
    """regular expression searched for in paths such as `policy/dense_0/kernel`"""
    critic: Critic = "same"
    """`full` trains all of the critic whatever the pattern says"""

    def init(self, key: jax.Array, base: Tree) -> Tree:
        """The matching leaves of the base.

        Raises:
            ValueError: the pattern matches no path.
        """
        delta = tree.select(base, _either(lambda path: re.search(self.pattern, path) is not None, self.critic))
        if not delta:
            paths = ", ".join(tree.flatten(base))
            raise ValueError(f"pattern: {self.pattern!r} matches no parameter (paths: {paths})")
        return delta

    def check(self) -> None:
        """Refuses a pattern that is no regular expression.

        Raises:
            ValueError: it is none; the message says where it breaks.
        """
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern: {self.pattern!r} is not a regular expression: {error}") from None


@config
class LastK(Adapter):
    """The last k layers of each network train, the output layer counted."""

    k: int = 2
    """number of layers that train"""
    critic: Critic = "same"
    """`full` trains all of the critic"""

    def init(self, key: jax.Array, base: Tree) -> Tree:
        """The leaves of the last k layers."""
        return tree.select(base, _either(lambda path: self._trains(path, base), self.critic))

    def _trains(self, path: str, base: Tree) -> bool:
        group = base[path.split("/")[0]]
        depth = sum(name.startswith("dense_") for name in group)
        if "/input/" in path:
            return self.k > depth + 1
        numbered = re.search(r"/(?:dense|norm)_(\d+)/", path)
        return numbered is None or depth - int(numbered[1]) < self.k


@config
class LoRA(Adapter):
    """Low-rank adaptation: W = W₀ + (α/r) A B with A Kaiming-uniform and B zero (Hu et al. 2021, arXiv:2106.09685).

    Kernels are stored [in, out], so A is [in, r] and B is [r, out]. Biases and norms are frozen.
    """

    rank: int = 4
    """rank r; capped at the smaller side of each kernel"""
    alpha: float = 4.0
    """scale α; the product is multiplied by α / r"""
    critic: Critic = "same"
    """`full` trains all of the critic without low rank"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"rank": (1, 4096), "alpha": (0.0, 1e6)}

    def init(self, key: jax.Array, base: Tree) -> Tree:
        """Factors `lora_a` [in, r] and `lora_b` [r, out] for every kernel."""
        flat = tree.flatten(base)
        kernels = [path for path in flat if path.endswith("/kernel") and self._adapts(path)]
        delta = {path: jnp.array(flat[path]) for path in flat if not self._adapts(path)}
        for path, subkey in zip(kernels, jax.random.split(key, max(len(kernels), 1))):
            rows, columns = flat[path].shape
            rank = min(self.rank, rows, columns)
            # Kaiming-uniform with a = sqrt(5) is uniform on ±1/sqrt(fan_in), as in the reference implementation.
            bound = rows**-0.5
            parent = path.removesuffix("/kernel")
            delta[f"{parent}/lora_a"] = jax.random.uniform(subkey, (rows, rank), minval=-bound, maxval=bound)
            delta[f"{parent}/lora_b"] = jnp.zeros((rank, columns))
        return tree.unflatten(delta)

    def merge(self, base: Tree, delta: Tree) -> Tree:
        """The base with W₀ + (α/r) A B for every factored kernel."""
        flat, changes = tree.flatten(base), tree.flatten(delta)
        merged = dict(flat)
        for path, leaf in changes.items():
            if path.endswith("/lora_a"):
                parent = path.removesuffix("/lora_a")
                product = jnp.matmul(leaf, changes[f"{parent}/lora_b"], precision="highest")
                merged[f"{parent}/kernel"] = flat[f"{parent}/kernel"] + self.alpha / leaf.shape[-1] * product
            elif not path.endswith("/lora_b"):
                merged[path] = leaf
        return tree.unflatten(merged)

    def _adapts(self, path: str) -> bool:
        return self.critic == "same" or not path.startswith("value/")


@config
class InputAffine(Adapter):
    """A trained affine map of the observation before the frozen networks: obs' = obs A + b, A = I and b = 0 at first.

    It can undo any affine fault of the sensors. Policy and critic have a map each.
    """

    critic: Critic = "same"
    """`full` trains all of the critic and gives it no map"""

    def init(self, key: jax.Array, base: Tree) -> Tree:
        """`input/kernel` [O, O] and `input/bias` [O] of each network: the base's own, or the identity."""
        delta: Tree = {}
        for group, layers in base.items():
            if group == "value" and self.critic == "full":
                delta[group] = jax.tree.map(jnp.array, layers)
                continue
            size = layers["dense_0"]["kernel"].shape[0]
            identity = {"kernel": jnp.eye(size), "bias": jnp.zeros((size,))}
            delta[group] = {"input": jax.tree.map(jnp.array, layers.get("input", identity))}
        return delta


def _either(keep: Callable[[str], bool], critic: Critic) -> Callable[[str], bool]:
    return lambda path: keep(path) or (critic == "full" and path.startswith("value/"))


ADAPTERS: Table[Adapter] = Table("adapter")
ADAPTERS.add("full", Full(), "every parameter trains")
ADAPTERS.add("partial", Partial(pattern=".*"), "the parameters whose path matches a regular expression train")
ADAPTERS.add("head", Partial(pattern="/head/"), "the output layers train")
ADAPTERS.add("bias", Partial(pattern="/bias$"), "the biases train (BitFit, arXiv:2106.10199)")
ADAPTERS.add("last_k", LastK(), "the last k layers train")
ADAPTERS.add("lora", LoRA(), "low-rank updates of every kernel (arXiv:2106.09685)")
ADAPTERS.add("input_affine", InputAffine(), "an affine map of the observation trains, the networks are frozen")

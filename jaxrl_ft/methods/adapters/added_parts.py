"""Adapters that add trained parts to frozen networks; the parts stay in the merged tree, and change no output at first.

A network that a second fine-tune adds stands beside those of the first, which are frozen with the rest. A bottleneck
that is there already trains on.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Delta, Key, Params
from jaxrl_ft.methods.adapters.base import Adapter, Critic, adapts, by_group, copy
from jaxrl_ft.nets import actor_critic, parts


@config
class Bottleneck(Adapter):
    """A small two-layer network after every hidden layer, added to what the layer passes on.

        h ← h + up(act(down(h))),   up = 0 at first

    Behind a convolution it acts on the channels of each pixel. All else is frozen, a Gaussian policy's `log_std`
    included.

    Reference: Houlsby et al. 2019, arXiv:1902.00751.
    """

    width: int = 8
    """inner units of each bottleneck; a wider one that is there already keeps its width"""
    critic: Critic = "same"
    """`full` trains all of the critic and gives it no bottlenecks"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"width": (1, 8192)}

    def init(self, key: Key, frozen: Tree) -> Delta:
        """`bottleneck_i` of every hidden layer: the one that is there, made as wide, or a fresh one."""
        return by_group(key, frozen, self.critic, self._bottlenecks)

    def _bottlenecks(self, key: Key, group: str, layers: Tree) -> Tree:
        found = {}
        for prefix, node in parts.networks(layers):
            for i, size in enumerate(parts.widths(node)):
                key, subkey = jax.random.split(key)
                old = node.get(f"bottleneck_{i}")
                missing = self.width - (0 if old is None else old["down"]["bias"].shape[0])
                new = parts.bottleneck(subkey, size, missing) if missing > 0 else None
                found[f"{prefix}bottleneck_{i}"] = _joined(old, new)
        return tree.unflatten(found)


def _joined(old: Tree | None, new: Tree | None) -> Tree:
    if old is None or new is None:
        return copy(new if old is None else old)
    down = {name: jnp.concatenate([old["down"][name], new["down"][name]], axis=-1) for name in ("kernel", "bias")}
    rows = jnp.concatenate([old["up"]["kernel"], new["up"]["kernel"]], axis=0)
    return {"down": down, "up": {"kernel": rows, "bias": jnp.array(old["up"]["bias"])}}


@config
class ResidualPolicy(Adapter):
    """The frozen networks plus trained ones whose last layer is zero at first: outputs = outputs₀(s) + f(s).

    f has the depth, and the convolutions, of the network that it is added to. It corrects logits or means, and values;
    a Gaussian policy's `log_std` trains, since the sum is a policy of its own.

    Reference: Silver et al. 2018, arXiv:1812.06298; Johannink et al. 2018, arXiv:1812.03201.
    """

    width: int = 64
    """units in each dense hidden layer of f"""
    critic: Critic = "same"
    """`full` trains all of the critic and adds nothing to it"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"width": (1, 8192)}

    def init(self, key: Key, frozen: Tree) -> Delta:
        """`residual` of each network, inside the last one where there are some already."""
        return by_group(key, frozen, self.critic, self._residual)

    def _residual(self, key: Key, group: str, layers: Tree) -> Tree:
        prefix, _ = parts.innermost(layers, "residual")
        fresh = parts.silenced(parts.network(key, layers, self.width))
        return {**tree.unflatten({f"{prefix}residual": fresh}), **_spread(layers)}


@config
class PlasticityInjection(Adapter):
    """The frozen networks plus a fresh trained one less its frozen copy: outputs = h_θ(s) + h_θ'(s) - h_θ''(s).

    θ' = θ'' at first. The paper injects into the head after an encoder that goes on training; our networks have no
    separate encoder, so the whole network is injected. A Gaussian policy's `log_std` trains.

    Reference: Nikishin et al. 2023, arXiv:2305.15555, expression 1.
    """

    critic: Critic = "same"
    """`full` trains all of the critic as it is"""

    def freeze(self, key: Key, base: Params) -> Tree:
        """The base with a fresh network, of the shapes of its own, as `offset` inside its last residual."""
        injected = dict(base)
        for (group, layers), subkey in zip(base.items(), jax.random.split(key, len(base))):
            if adapts(self.critic, group):
                prefix, _ = parts.innermost(layers, "residual")
                fresh = parts.network(subkey, layers, head_gain=actor_critic.head_gain(group))
                injected[group] = tree.overlay(layers, tree.unflatten({f"{prefix}offset": fresh}))
        return injected

    def init(self, key: Key, frozen: Tree) -> Delta:
        """`residual` of each network: a copy of its `offset`."""
        return by_group(key, frozen, self.critic, self._residual)

    def _residual(self, key: Key, group: str, layers: Tree) -> Tree:
        prefix, node = parts.innermost(layers, "residual")
        return {**tree.unflatten({f"{prefix}residual": copy(node["offset"])}), **_spread(layers)}


@config
class ProgressiveColumn(Adapter):
    """A fresh trained network beside the frozen ones that also reads their hidden activations, and acts alone.

    Its head starts at zero beside a copy of the last one, so that the outputs are the base's at first: the paper starts
    from random outputs instead. A Gaussian policy's `log_std` trains.

    Reference: Rusu et al. 2016, arXiv:1606.04671.
    """

    width: int = 64
    """units in each dense hidden layer of the new column"""
    critic: Critic = "same"
    """`full` trains all of the critic and gives it no column"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"width": (1, 8192)}

    def init(self, key: Key, frozen: Tree) -> Delta:
        """`column` of each network, inside the last one where there are some already.

        Raises:
            ValueError: the critic is a head on a shared trunk.
        """
        return by_group(key, frozen, self.critic, self._column)

    def _column(self, key: Key, group: str, layers: Tree) -> Tree:
        if not parts.widths(layers):
            raise ValueError(
                f"critic: 'same' is not allowed; the {group} is a head on a shared trunk, and has no hidden layers "
                "for a column to read (allowed: 'full')"
            )
        prefix, _ = parts.innermost(layers, "column")
        return {**tree.unflatten({f"{prefix}column": parts.column(key, layers, self.width)}), **_spread(layers)}


def _spread(layers: Tree) -> Tree:
    return {"log_std": jnp.array(layers["log_std"])} if "log_std" in layers else {}

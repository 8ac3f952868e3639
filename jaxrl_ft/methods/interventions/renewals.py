"""Interventions that make units and layers new: their weights, moments and step counts start over."""

from functools import reduce
from typing import ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Behaviour, Experience, Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Key, Memory
from jaxrl_ft.methods.interventions import neurons
from jaxrl_ft.methods.interventions.base import Intervention, Outcome
from jaxrl_ft.methods.interventions.neurons import Groups
from jaxrl_ft.nets import initializers, parts


@config
class ReDo(Intervention):
    """Recycles dormant units every `period` updates (Sokar et al. 2023, arXiv:2302.12902).

    A unit is dormant when E|hᵢ| over the rollout is at most τ times the layer's mean. It gets fresh incoming weights,
    outgoing weights of 0, and fresh moments and step counts on both sides. A tanh network has few such units.
    """

    tau: float = 0.025
    """threshold τ; below 0 no unit is dormant"""
    period: float = 10.0
    """updates from one recycling to the next"""
    groups: Groups = "both"
    """whose units"""

    resets: ClassVar[bool] = True
    renews_units: ClassVar[bool] = True
    hooks: ClassVar[tuple[str, ...]] = ("after_update",)
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"tau": (-1.0, 1e6), "period": (1.0, 1e9)}

    def init(self, key: Key, algo: Behaviour, policy: Policy) -> Memory:
        """The number of updates so far."""
        return {"updates": jnp.zeros((), jnp.int32)}

    def after_update(
        self, key: Key, memory: Memory, algo: Behaviour, policy: Policy, data: Experience, moment: Moment
    ) -> Outcome:
        """When due, the policy with its dormant units exchanged."""
        updates = memory["updates"] + 1
        due = neurons.due(updates, self.period)
        layers = neurons.hidden(policy.params, self.groups)
        features = algo.features(policy, data.obs)
        masks = {layer: due & (neurons.dormancy(features[layer.path]) <= self.tau) for layer in layers}
        fresh = neurons.fresh_units(key, policy.params, layers)
        return {"updates": updates}, *neurons.exchange(policy.params, masks, fresh, {})


@config
class ContinualBackprop(Intervention):
    """Renews the least useful units of each layer, slowly, after gradient steps (Dohare et al. 2024, Nature 632).

    The contribution utility of unit i, over the minibatch B, with each outgoing weight as it is after the step:

        uᵢ ← η uᵢ + (1 - η) E_B|hᵢ - c fᵢ| Σₖ|wᵢₖ|,     fᵢ ← η fᵢ + (1 - η) E_B hᵢ

    Both are corrected by 1 - η^age. Each layer owes ρ units for each mature one a step; once it owes a whole unit, the
    mature one of least utility gets fresh incoming weights, outgoing weights and age of 0, and the next bias takes over
    wᵢₖ fᵢ, at most one unit a layer and step. A convolution's units are its channels, with means over all pixels too.
    Source: arXiv:2306.13812 with algorithm 1 of the Nature article. The authors' gnt.py sets fᵢ to 0
    before it corrects the bias, so that its correction is void; this one is not.
    """

    replacement_rate: float = 1e-4
    """share ρ of the mature units that a step owes; 0 renews none"""
    maturity: float = 100.0
    """gradient steps that a unit is safe for"""
    decay: float = 0.99
    """decay η of utility and mean activation"""
    centered: float = 0.0
    """share c of the mean activation that is taken off: 0 in the Nature article, 1 the mean-corrected contribution"""
    groups: Groups = "both"
    """whose units"""

    resets: ClassVar[bool] = True
    renews_units: ClassVar[bool] = True
    hooks: ClassVar[tuple[str, ...]] = ("after_step",)
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "replacement_rate": (0.0, 1.0),
        "maturity": (0.0, 1e9),
        "decay": (0.0, 0.999999),
        "centered": (0.0, 1.0),
    }

    def init(self, key: Key, algo: Behaviour, policy: Policy) -> Memory:
        """Of each layer `utility`, `activation` and `age` [width], and the number of units `owed`."""
        memory = {}
        for layer in neurons.hidden(policy.params, self.groups):
            width = tree.flatten(policy.params)[f"{layer.path}/kernel"].shape[-1]
            for name in ("utility", "activation"):
                memory[f"{layer.path}/{name}"] = jnp.zeros((width,), jnp.float32)
            memory[f"{layer.path}/age"] = jnp.zeros((width,), jnp.int32)
            memory[f"{layer.path}/owed"] = jnp.zeros((), jnp.float32)
        return tree.unflatten(memory)

    def after_step(
        self, key: Key, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Outcome:
        """The policy with at most one unit of each layer exchanged."""
        layers = neurons.hidden(policy.params, self.groups)
        features, flat = algo.features(policy, batch.obs), tree.flatten(policy.params)
        masks, means = {}, {}
        memories: dict[str, jax.Array] = {}
        for layer in layers:
            group, name = layer.path.split("/")
            hidden = features[layer.path]
            width = hidden.shape[-1]
            reading = (neurons.by_unit(flat[f"{after}/kernel"], width) for after in layer.after)
            outgoing = reduce(jnp.add, [jnp.abs(kernel).sum(axis=(0, 2)) for kernel in reading])
            units, masks[layer], means[layer] = self._test(memory[group][name], hidden.reshape((-1, width)), outgoing)
            memories |= {f"{layer.path}/{field}": leaf for field, leaf in units.items()}
        fresh = neurons.fresh_units(key, policy.params, layers, 1)
        return tree.unflatten(memories), *neurons.exchange(policy.params, masks, fresh, means)

    def _test(self, units: Tree, hidden: jax.Array, outgoing: jax.Array) -> tuple[Tree, jax.Array, jax.Array]:
        """A layer's memory after this step, which unit goes [width], and the mean activations [width]."""
        age = units["age"] + 1
        steps = age.astype(jnp.float32)
        seen = 1.0 - self.decay**steps
        activation = self.decay * units["activation"] + (1.0 - self.decay) * hidden.mean(axis=0)
        mean = activation / seen
        contribution = jnp.abs(hidden - self.centered * mean[None]).mean(axis=0) * outgoing
        utility = self.decay * units["utility"] + (1.0 - self.decay) * contribution
        mature = steps > self.maturity
        owed = units["owed"] + self.replacement_rate * mature.sum(dtype=jnp.float32)
        renews = (owed >= 1.0) & mature.any()
        least = jnp.argmin(jnp.where(mature, utility / seen, jnp.inf))
        mask = renews & (jnp.arange(age.size, dtype=least.dtype) == least)
        after = {"utility": utility, "activation": activation, "age": age}
        after = {name: jnp.where(mask, 0, leaf) for name, leaf in after.items()}
        return after | {"owed": owed - renews.astype(jnp.float32)}, mask, mean


@config
class PeriodicResets(Intervention):
    """Redraws the last layers as the initialiser does, at equal spans of the budget (Nikishin et al. 2022).

    Kernels are drawn anew, biases 0, moments and step counts start over; arXiv:2205.07802. The paper resets every
    fixed number of steps and keeps a replay buffer; a method without one has only the rollouts to come to recover
    from, so nothing is reset after `stop`.
    """

    period: float = 0.25
    """share of the budget from one reset to the next"""
    stop: float = 0.75
    """share of the budget from which nothing is reset"""
    layers: int = 1
    """number of layers from the output down; as many as there are at most"""
    groups: Groups = "both"
    """whose layers"""

    resets: ClassVar[bool] = True
    hooks: ClassVar[tuple[str, ...]] = ("after_update",)
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "period": (1e-6, 1e9),
        "stop": (0.0, 1.0),
        "layers": (1, 65),
    }

    def init(self, key: Key, algo: Behaviour, policy: Policy) -> Memory:
        """A fresh matrix for each layer that is reset, from which later ones are turned, and the resets so far."""
        flat, paths = tree.flatten(policy.params), self._paths(policy.params)
        kernels = {}
        for path, subkey in zip(paths, jax.random.split(key, max(len(paths), 1))):
            draw = initializers.orthogonal(neurons.gain(path))
            kernels[path] = draw(subkey, parts.matrix_shape(flat[f"{path}/kernel"].shape))
        return {"kernels": tree.unflatten(kernels), "spans": jnp.zeros((), jnp.float32)}

    def after_update(
        self, key: Key, memory: Memory, algo: Behaviour, policy: Policy, data: Experience, moment: Moment
    ) -> Outcome:
        """When a span of the budget has passed, the policy with fresh layers."""
        spans = jnp.floor(moment.progress / self.period)
        due = (spans > memory["spans"]) & (moment.progress < self.stop)
        flat, kernels = tree.flatten(policy.params), tree.flatten(memory["kernels"])
        void = {path: jnp.zeros(jnp.shape(leaf), bool) for path, leaf in flat.items()}
        for path, fresh in neurons.turned(key, kernels).items():
            kernel, bias = f"{path}/kernel", f"{path}/bias"
            flat[kernel] = jnp.where(due, fresh.reshape(flat[kernel].shape), flat[kernel])
            flat[bias] = jnp.where(due, 0.0, flat[bias])
            void |= {leaf: jnp.broadcast_to(due, flat[leaf].shape) for leaf in (kernel, bias)}
        return {**memory, "spans": spans}, tree.unflatten(flat), tree.unflatten(void)

    def _paths(self, params: Tree) -> list[str]:
        return [path for chain in neurons.chains(params, self.groups) for path in chain[-self.layers :]]

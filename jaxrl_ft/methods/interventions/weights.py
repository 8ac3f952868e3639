"""Weights shrunk, bounded and projected between gradient steps.

Interventions treat the kernels and biases of `conv_i`, `dense_i` and `head`; every number is traced, and each has a
value that switches it off bit for bit.
"""

from typing import ClassVar

import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Behaviour, Experience, Policy
from jaxrl_ft.core.types import Key, Memory
from jaxrl_ft.methods.interventions import neurons
from jaxrl_ft.methods.interventions.base import Intervention, Outcome
from jaxrl_ft.methods.interventions.neurons import Groups
from jaxrl_ft.nets import parts


@config
class SoftShrinkPerturb(Intervention):
    """θ ← (1 - λ) θ + σ ξ after every gradient step: shrink and perturb in small portions.

    ξ is uniform, as large in root mean square as each kernel's initialiser, and 0 for biases. Moments stay.
    Reference: Ash & Adams 2020, arXiv:1910.08475 (once); Dohare et al. 2024, arXiv:2306.13812 (every step).
    """

    shrink: float = 1e-4
    """share λ that is lost each step"""
    perturb: float = 1e-3
    """size σ of the noise against a fresh network"""
    groups: Groups = "both"
    """whose layers"""

    hooks: ClassVar[tuple[str, ...]] = ("after_step",)
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"shrink": (0.0, 1.0), "perturb": (0.0, 10.0)}

    def after_step(
        self, key: Key, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Outcome:
        """Every kernel and bias shrunk, and the kernels perturbed."""
        flat = tree.flatten(policy.params)
        layers = neurons.kernels(policy.params, self.groups)
        kernels = {path: flat[f"{path}/kernel"] for path in layers}
        noise = tree.unravel(neurons.rough_noise(key, tree.size(kernels)), kernels)
        # Adding a zero would turn -0 to 0.
        moves = (jnp.asarray(self.shrink) != 0) | (jnp.asarray(self.perturb) != 0)
        for path in layers:
            kernel, bias = kernels[path], flat[f"{path}/bias"]
            scale = self.perturb * neurons.scale(path, kernel.shape)
            flat[f"{path}/kernel"] = jnp.where(moves, (1.0 - self.shrink) * kernel + scale * noise[path], kernel)
            flat[f"{path}/bias"] = (1.0 - self.shrink) * bias
        return memory, tree.unflatten(flat), None


@config
class WeightClipping(Intervention):
    """θᵢ ← clip(θᵢ, ±κ s) after every gradient step (Elsayed et al. 2024, arXiv:2407.01704).

    The paper's s is the bound of a uniform initialiser, 1/√fan_in for kernel and bias alike. An orthogonal kernel
    has no such bound and a pretrained one exceeds it, so that s is raised to the largest entry of each kernel and bias
    where training starts: with κ >= 1 nothing is clipped at first.

        s = max(1/√fan_in, start · max |θ₀|)
    """

    kappa: float = 1.0
    """multiple κ of the bound"""
    start: float = 1.0
    """share of the largest entry at the start below which the bound does not fall; 0 is the paper's bound"""
    groups: Groups = "both"
    """whose layers"""

    hooks: ClassVar[tuple[str, ...]] = ("after_step",)
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"kappa": (0.0, 1e9), "start": (0.0, 1e9)}

    def init(self, key: Key, algo: Behaviour, policy: Policy) -> Memory:
        """The bound s of each kernel and bias, scalars."""
        flat, bounds = tree.flatten(policy.params), {}
        for path in neurons.kernels(policy.params, self.groups):
            paper = parts.matrix_shape(flat[f"{path}/kernel"].shape)[0] ** -0.5
            for leaf in (f"{path}/kernel", f"{path}/bias"):
                bounds[leaf] = jnp.maximum(paper, self.start * jnp.abs(flat[leaf]).max())
        return tree.unflatten(bounds)

    def after_step(
        self, key: Key, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Outcome:
        """Every kernel and bias within its bound."""
        flat = tree.flatten(policy.params)
        for path, bound in tree.flatten(memory).items():
            flat[path] = jnp.clip(flat[path], -self.kappa * bound, self.kappa * bound)
        return memory, tree.unflatten(flat), None


@config
class NormalizeProject(Intervention):
    """W ← W ‖W₀‖ / ‖W‖ for each kernel after every gradient step, in the Frobenius norm (Lyle et al. 2024).

    The projection of Normalize-and-Project, arXiv:2407.01800. Its other half, layer norm before each non-linearity, is
    the network's affair (`layer_norm`): without it the networks are not invariant to the scale of their kernels, and
    the projection limits what they can express. W₀ is where training starts; biases and norms are left alone.
    """

    strength: float = 1.0
    """power of the ratio of norms; 1 projects, 0 does nothing"""
    head: float = 1.0
    """factor of the strength for output layers; 0 leaves them free"""
    groups: Groups = "both"
    """whose layers"""

    hooks: ClassVar[tuple[str, ...]] = ("after_step",)
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"strength": (0.0, 1.0), "head": (0.0, 1.0)}

    def init(self, key: Key, algo: Behaviour, policy: Policy) -> Memory:
        """The norm of each kernel, scalars."""
        flat = tree.flatten(policy.params)
        layers = neurons.kernels(policy.params, self.groups)
        return tree.unflatten({f"{path}/kernel": jnp.linalg.norm(flat[f"{path}/kernel"]) for path in layers})

    def after_step(
        self, key: Key, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Outcome:
        """Every dense kernel with its first norm; one of zeros stays."""
        flat = tree.flatten(policy.params)
        for path, first in tree.flatten(memory).items():
            now = jnp.linalg.norm(flat[path])
            power = jnp.asarray(self.strength) * (self.head if "/head/" in path else 1.0)
            factor = jnp.maximum(first, 1e-30) / jnp.where(now > 0, now, 1.0)
            flat[path] = flat[path] * factor**power
        return memory, tree.unflatten(flat), None

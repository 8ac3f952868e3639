"""Penalties on behaviour: divergences between action distributions, and distances between hidden activations."""

from typing import ClassVar, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Behaviour, Experience, Policy
from jaxrl_ft.core.types import Key, Memory, Params, Scalar, Statistics
from jaxrl_ft.methods.penalties.base import Penalty, Source
from jaxrl_ft.nets import forward


def _remembered(params: Params, statistics: Statistics) -> Memory:
    return {"params": params, "statistics": statistics}


def _recalled(memory: Memory, policy: Policy) -> Policy:
    memory = jax.lax.stop_gradient(memory)
    return Policy(memory["params"], memory["statistics"], policy.network)


def _decayed(coef: Scalar, decay: Scalar, moment: Moment) -> Scalar:
    # 0 ** 0 has the value 1 but an undefined gradient; progress stays below 1 while training.
    return coef * (1.0 - moment.progress) ** decay


@config
class Divergence(Penalty):
    """c (1 - p)^decay E [(1 - r) KL(base ‖ policy) + r KL(policy ‖ base)] on target states."""

    coef: float = 0.1
    """coefficient c at the start"""
    decay: float = 0.0
    """power of the remaining share of the budget"""
    reverse: float = 0.0
    """share r of the reverse divergence: 0 is forward, 1 is reverse"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"decay": (0.0, 100.0), "reverse": (0.0, 1.0)}

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The base's parameters and statistics."""
        return _remembered(source.policy.params, source.policy.statistics)

    def loss(
        self, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Float[Array, ""]:
        """The mean divergence over the batch's observations, times the coefficient at `moment`."""
        base = algo.distribution(_recalled(memory, policy), batch.obs)
        now = algo.distribution(policy, batch.obs)
        divergence = (1.0 - self.reverse) * base.kl(now) + self.reverse * now.kl(base)
        return _decayed(self.coef, self.decay, moment) * jnp.mean(divergence)


@config
class KL(Penalty):
    """c (1 - p)^decay E KL between the policy and the base on target states (kickstarting, arXiv:1803.03835)."""

    coef: float = 0.1
    """coefficient c at the start"""
    decay: float = 0.0
    """power of the remaining share of the budget; 0 keeps the coefficient, 1 lets it fall to zero linearly"""
    direction: Literal["forward", "reverse"] = "forward"
    """forward: KL(pretrained ‖ policy), as in distillation; reverse: KL(policy ‖ pretrained), as in RLHF"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"decay": (0.0, 100.0)}

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The base's parameters and statistics."""
        return self.term().init(key, algo, policy, source)

    def loss(
        self, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Float[Array, ""]:
        """The mean divergence over the batch's observations, times the coefficient at `moment`."""
        return self.term().loss(memory, algo, policy, batch, moment)

    def term(self) -> Penalty:
        """The divergence whose direction is a number, so that both directions share one program."""
        # One number for each run where the config holds many runs.
        reverse = np.full(np.shape(self.coef), self.direction == "reverse", np.float32)
        return Divergence(coef=self.coef, decay=self.decay, reverse=cast(float, reverse))


@config
class Cloning(Penalty):
    """c (1 - p)^decay E KL(base ‖ policy) on the base's own source states: behaviour cloning against forgetting.

    Reference: Wołczyk et al. 2024, arXiv:2402.02868, section 2.
    """

    coef: float = 1.0
    """coefficient c at the start"""
    decay: float = 0.0
    """power of the remaining share of the budget; 0 keeps the coefficient"""
    batch_size: int = 64
    """source states per gradient step"""
    source_steps: int = 2048
    """env steps of source experience whose states are remembered"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"decay": (0.0, 100.0)}

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The source states `obs` [M, O] and the base's action distribution `base` in each, leaves [M, ...]."""
        obs = source.obs
        return {"obs": obs, "base": jax.vmap(lambda state: algo.distribution(source.policy, state))(obs)}

    def loss(
        self, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Float[Array, ""]:
        """The mean divergence over a window of `batch_size` states that moves on by its length every step."""
        num = len(memory["obs"])
        rows = (moment.step % num * self.batch_size + jnp.arange(self.batch_size, dtype=jnp.int32)) % num
        window = jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf[rows]), memory)
        divergence = window["base"].kl(algo.distribution(policy, window["obs"]))
        return _decayed(self.coef, self.decay, moment) * jnp.mean(divergence)


def _policy_features(algo: Behaviour, policy: Policy, obs: Float[Array, "*B O"]) -> list[Float[Array, "..."]]:
    return [layer for path, layer in algo.features(policy, obs).items() if path.startswith("policy/")]


@config
class Features(Penalty):
    """c E mean (φ - φ₀)² over the policy's hidden layers φ, against the base's φ₀ on target states.

    The mean is over layers and units. It is DELTA (Li et al. 2019, arXiv:1901.09229) without its attention weights;
    hints in the manner of FitNets (Romero et al. 2015, arXiv:1412.6550) from a teacher of the student's own shape.
    """

    coef: float = 1.0
    """coefficient c"""

    anchored: ClassVar[bool] = True

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The base's parameters and statistics."""
        return _remembered(source.policy.params, source.policy.statistics)

    def loss(
        self, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Float[Array, ""]:
        """c times the mean over layers, states and units of (φ - φ₀)²."""
        layers = _policy_features(algo, policy, batch.obs)
        anchors = _policy_features(algo, _recalled(memory, policy), batch.obs)
        distances = [jnp.mean((layer - anchor) ** 2) for layer, anchor in zip(layers, anchors, strict=True)]
        return self.coef * sum(distances, jnp.zeros((), jnp.float32)) / len(distances)


@config
class InFeR(Penalty):
    """c E ‖(φ - φᵢₙᵢₜ) W‖² with k fixed random heads W on each network's last hidden layer φ, on target states.

    A shared trunk is one network.

    Initial feature regularisation keeps a random subspace of the features of the network as it was before any training.
    Here the heads are fixed and the targets unscaled; in the paper the heads train too, towards outputs scaled by 100.

    Reference: Lyle, Rowland & Dabney 2022, arXiv:2204.09560.
    """

    coef: float = 0.1
    """coefficient c"""
    num_heads: int = 10
    """random linear heads k on each network"""

    anchored: ClassVar[bool] = True
    needs_init_params: ClassVar[bool] = True
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"num_heads": (1, 4096)}

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The first parameters, the base's statistics, and heads [width, k] with entries of variance 1 / width."""
        networks = {group: layers for group, layers in source.init_params.items() if forward.depth(layers)}
        widths = {group: layers["head"]["kernel"].shape[0] for group, layers in networks.items()}
        heads = {
            group: jax.random.normal(subkey, (width, self.num_heads), jnp.float32) * width**-0.5
            for (group, width), subkey in zip(widths.items(), jax.random.split(key, len(widths)))
        }
        return {**_remembered(source.init_params, source.policy.statistics), "heads": heads}

    def loss(
        self, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Float[Array, ""]:
        """c times the mean over states of the squared change of the heads' outputs, summed over heads and networks."""
        now = _last_layers(algo, policy, batch.obs)
        first = _last_layers(algo, _recalled(memory, policy), batch.obs)
        heads = jax.lax.stop_gradient(memory["heads"])
        distances = [jnp.sum(((now[group] - first[group]) @ heads[group]) ** 2, axis=-1).mean() for group in heads]
        return self.coef * sum(distances, jnp.zeros((), jnp.float32))


def _last_layers(algo: Behaviour, policy: Policy, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "..."]]:
    # Layers come from the input up, so that the last one of each group stays.
    return {path.split("/")[0]: layer for path, layer in algo.features(policy, obs).items()}


@config
class Churn(Penalty):
    """c E KL(π_before ‖ π) on another minibatch, π_before being the policy before the last gradient step.

    What a step does to the states it did not train on is taken back by the next one. The paper adapts c so that this
    term and the policy loss keep a given ratio; here c is a constant, and as in the paper's PPO the critic is free.

    Reference: Tang et al. 2025 (C-CHAIN), arXiv:2506.00592; Tang & Berseth 2024 (CHAIN), arXiv:2409.04792.
    """

    coef: float = 10.0
    """coefficient c"""

    other_batch: ClassVar[bool] = True

    def init(self, key: Key, algo: Behaviour, policy: Policy, source: Source) -> Memory:
        """The parameters where training starts."""
        return policy.params

    def loss(
        self, memory: Memory, algo: Behaviour, policy: Policy, batch: Experience, moment: Moment
    ) -> Float[Array, ""]:
        """c times the mean divergence over the batch's observations; zero at step 0, which has no step before it."""
        # Both see through the present statistics: churn is what the parameters' step did.
        before = policy._replace(params=jax.lax.stop_gradient(memory))
        divergence = algo.distribution(before, batch.obs).kl(algo.distribution(policy, batch.obs))
        return jnp.where(moment.step > 0, self.coef, 0.0) * divergence.mean()

    def after_step(self, memory: Memory, algo: Behaviour, policy: Policy) -> Memory:
        """The parameters before the step just taken."""
        return policy.params

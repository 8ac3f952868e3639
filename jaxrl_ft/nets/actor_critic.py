"""The parameter tree of an actor-critic: groups `policy` and `value`, each one network."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.types import Key, Params
from jaxrl_ft.nets import mlp

# A nearly uniform first policy, and a value head of unit scale (Andrychowicz et al. 2021, arXiv:2006.05990).
_POLICY_GAIN = 0.01
_VALUE_GAIN = 1.0


def init(key: Key, network: Network, obs_size: int, outputs: int, gaussian: bool) -> Params:
    """Fresh parameters `{"policy": ..., "value": ...}`; a Gaussian policy also has `log_std` [outputs], at zero."""
    keys, sizes = jax.random.split(key), {"policy": outputs, "value": 1}
    params = {
        group: mlp.fresh(subkey, network.widths(group), obs_size, size, head_gain(group), network.layer_norm)
        for subkey, (group, size) in zip(keys, sizes.items())
    }
    if gaussian:
        params["policy"] = {**params["policy"], "log_std": jnp.zeros((outputs,), jnp.float32)}
    return params


def policy_outputs(params: Params, network: Network, obs: Float[Array, "*B O"]) -> Float[Array, "*B A"]:
    """Logits or means, [..., A], of the policy network at obs [..., O]."""
    return mlp.apply(params["policy"], network, obs)[0]


def values(params: Params, network: Network, obs: Float[Array, "*B O"]) -> Float[Array, "*B"]:
    """Values [...] of the value network at obs [..., O]."""
    return mlp.apply(params["value"], network, obs)[0][..., 0]


def head_gain(group: str) -> float:
    """The gain of a group's last layer in a fresh network."""
    return _POLICY_GAIN if group == "policy" else _VALUE_GAIN


def features(params: Params, network: Network, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "*B _"]]:
    """Return the activations of every hidden layer at obs [..., O], by path such as `policy/dense_0`.

    These are each network's own layers, without those of sub-networks, so that adapted networks compare to plain ones.
    """
    present = [group for group in ("policy", "value") if group in params]
    groups = {group: mlp.apply(params[group], network, obs)[1] for group in present}
    return {f"{group}/dense_{i}": layer for group, layers in groups.items() for i, layer in enumerate(layers)}

"""The parameter tree of an actor-critic: groups `policy` and `value`, each one network or the value a head on it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.types import Key, Params
from jaxrl_ft.nets import forward

# A nearly uniform first policy, and a value head of unit scale (Andrychowicz et al. 2021, arXiv:2006.05990).
_POLICY_GAIN = 0.01
_VALUE_GAIN = 1.0


def init(key: Key, network: Network, obs_size: int, outputs: int, gaussian: bool) -> Params:
    """Fresh parameters `{"policy": ..., "value": ...}`; a Gaussian policy also has `log_std` [outputs], at zero."""
    keys, sizes = jax.random.split(key), {"policy": outputs, "value": 1}
    params = {
        group: fresh(subkey, network, group, obs_size, size) for subkey, (group, size) in zip(keys, sizes.items())
    }
    if gaussian:
        params["policy"] = {**params["policy"], "log_std": jnp.zeros((outputs,), jnp.float32)}
    return params


def fresh(key: Key, network: Network, group: str, inputs: int, outputs: int) -> Params:
    """Fresh parameters of one group for inputs and outputs of these sizes."""
    shapes = network.kernel_shapes(group, inputs, outputs)
    return forward.fresh(key, shapes, head_gain(group), network.layer_norm)


def policy_outputs(params: Params, network: Network, obs: Float[Array, "*B O"]) -> Float[Array, "*B A"]:
    """Logits or means, [..., A], of the policy network at obs [..., O]."""
    return forward.apply(params["policy"], network, obs)[0]


def values(params: Params, network: Network, obs: Float[Array, "*B O"]) -> Float[Array, "*B"]:
    """Values [...] of the value network, or of the head on the policy's last hidden layer, at obs [..., O]."""
    trunk = "value" in forward.trunk_readers(params)
    inputs = forward.apply(params["policy"], network, obs)[1][-1] if trunk else obs
    return forward.apply(params["value"], network, inputs)[0][..., 0]


def head_gain(group: str) -> float:
    """The gain of a group's last layer in a fresh network."""
    return _POLICY_GAIN if group == "policy" else _VALUE_GAIN


def features(params: Params, network: Network, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "..."]]:
    """Return the activations of every hidden layer at obs [..., O], by path such as `policy/dense_0`.

    They are [..., width], or [..., H, W, channels] of convolutions. These are each network's own layers, without those
    of sub-networks, so that adapted networks compare to plain ones.
    """
    present = [group for group in ("policy", "value") if group in params and forward.depth(params[group])]
    return {path: layer for group in present for path, layer in layers_of(group, params[group], network, obs).items()}


def layers_of(
    group: str, params: Params, network: Network, inputs: Float[Array, "*B O"]
) -> dict[str, Float[Array, "..."]]:
    """The activations of the hidden layers of one group at its inputs, by path."""
    paths = (f"{group}/{name}" for name in forward.hidden_layers(params))
    return dict(zip(paths, forward.apply(params, network, inputs)[1], strict=True))

"""A world of two small networks with entries that no intervention may touch, and features by hand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from helpers.compiling import quick
from jaxrl_ft.core import tree
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy

ROWS = 24
BATCH = SimpleNamespace(obs=jnp.asarray(np.random.default_rng(5).normal(size=(ROWS, 4)).astype(np.float32)))


class Algo:
    """Tanh networks of two hidden layers, read straight from the kernels."""

    @staticmethod
    def features(policy, obs):
        return {f"{g}/dense_{i}": h for g in ("policy", "value") for i, h in enumerate(hidden(policy.params[g], obs))}


def hidden(layers, obs, tanh=jnp.tanh):
    activations = []
    for i in range(2):
        obs = tanh(obs @ layers[f"dense_{i}"]["kernel"] + layers[f"dense_{i}"]["bias"])
        activations.append(obs)
    return activations


def outputs(params, group="policy", obs=BATCH.obs):
    layers = params[group]
    return hidden(layers, obs, np.tanh)[-1] @ layers["head"]["kernel"] + layers["head"]["bias"]


def world(seed=0, widths=(6, 5), extras=True):
    """Parameters of a policy and a critic, of normal entries."""
    rng = np.random.default_rng(seed)

    def layer(rows, columns):
        kernel, bias = rng.normal(size=(rows, columns)), rng.normal(size=columns)
        return {"kernel": (0.5 * kernel).astype(np.float32), "bias": (0.5 * bias).astype(np.float32)}

    def network(size):
        layers = {"dense_0": layer(4, widths[0]), "dense_1": layer(*widths), "head": layer(widths[1], size)}
        added = {
            "input": layer(4, 4),
            "norm_0": {"scale": np.ones(widths[0], np.float32), "bias": np.ones(widths[0], np.float32)},
            "bottleneck_0": {"down": layer(widths[0], 2)},
            "residual": {"dense_0": layer(4, 3), "head": layer(3, size)},
        }
        return layers | (added if extras else {})

    params = {"policy": network(2), "value": network(1)}
    if extras:
        params["policy"]["log_std"] = np.zeros(2, np.float32)
    return params


def moment(progress=0.5, step=0):
    return Moment(jnp.float32(progress), jnp.int32(step))


def first_memory(intervention, params, seed=0):
    return intervention.init(jax.random.key(seed), Algo, Policy(params, {}, None))


def outcome(intervention, memory, params, seed, at, obs=BATCH.obs):
    """Memory, parameters and touched entries after the hook that the intervention has."""
    hook = getattr(intervention, intervention.hooks[0] if intervention.hooks else "after_step")
    return hook(jax.random.key(seed), memory, Algo, Policy(params, {}, None), SimpleNamespace(obs=obs), at)


_begun, _acted = quick(first_memory), quick(outcome)


def begin(intervention, params):
    """The first memory, as NumPy arrays; one program a structure."""
    return jax.device_get(_begun(intervention, params))


def act(intervention, memory, params, seed=1, at=None, obs=BATCH.obs):
    """The outcome, as NumPy arrays; one program a structure."""
    return jax.device_get(_acted(intervention, memory, params, seed, at or moment(), obs))


def changed(before, after):
    """Path by path, which entries differ."""
    old, new = tree.flatten(before), tree.flatten(after)
    return {path: old[path] != new[path] for path in old}

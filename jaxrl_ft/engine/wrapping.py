"""Weights from elsewhere as agents."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.engine import training
from jaxrl_ft.engine.agents import Agents
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.method import Method
from jaxrl_ft.nets.mlp import MLP
from jaxrl_ft.rl.normalizer import Moments
from jaxrl_ft.rl.ppo import PPO

# Given statistics weigh as much as this many observations, so that fine-tuning moves them slowly.
_COUNT = 1e6

Layers = Sequence[tuple[Any, Any]] | Mapping[str, Any]


def wrap(
    params: Mapping[str, Layers],
    source: Task,
    *,
    network: MLP | None = None,
    algo: Any = PPO(),
    obs_mean: Any = None,
    obs_variance: Any = None,
    seed: int = 0,
) -> Agents:
    """Agents made of weights that were trained elsewhere.

    Args:
        params: `{"policy": layers}` or `{"policy": layers, "value": layers}`. Layers are a sequence of (kernel
            [in, out], bias [out]) pairs, or a dict of such `{"kernel": ..., "bias": ...}` in the order of the numbers
            in their names, the output layer last. A leading axis [S] on every array makes S agents. A value network
            that is missing is freshly initialised, and the report says so.
        source: the task that the weights were trained on.
        network: activation of the hidden layers; tanh without it. Width and depth are read from the weights.
        algo: the algorithm to fine-tune with.
        obs_mean: mean [O] that the weights' observations were normalised with, if they were.
        obs_variance: variance [O], likewise.
        seed: of the fresh parts.

    Raises:
        ValueError: a layer is missing, not finite, or of a size that does not fit its neighbours or the task.
    """
    if not isinstance(source, Task):
        raise ValueError(f"source: {source!r} is not allowed; it must be a Task, as ft.make_task returns")
    checks.seed(seed)
    for group in params:
        checks.choice("params", group, ("policy", "value"))
    if "policy" not in params:
        raise ValueError("params: 'policy' is missing; its layers are needed, those of 'value' are optional")
    space = source.action_space
    outputs = {"policy": space.size if isinstance(space, Box) else space.num_actions, "value": 1}
    given = {name: _layers(name, layers, source.obs_size, outputs[name]) for name, layers in params.items()}
    num = next(iter(tree.flatten(given).values())).shape[0]
    if any(leaf.shape[0] != num for leaf in tree.flatten(given).values()):
        raise ValueError("params: the arrays disagree in their leading axis, the number of agents")
    network = _network(given["policy"], network or MLP())
    for name, config in (("algo", algo), ("network", network)):
        check_config(config, name)
    algo, statistics = _normalizer(algo, source, num, obs_mean, obs_variance)
    fresh, empty = training.fresh_params(algo, network, source, training.seeds_of(seed, num))
    merged = {**fresh, **given}
    if "log_std" in fresh["policy"]:
        merged["policy"] = {**merged["policy"], "log_std": fresh["policy"]["log_std"]}
    critic = "given" if "value" in given else "missing, freshly initialised"
    return Agents(
        params=merged,
        statistics={**empty, **statistics},
        init_params=fresh,
        opt_state=None,
        algo=algo,
        network=network,
        method=Method(trains=False),
        source=source,
        task=source,
        env_steps=np.zeros(num, np.int64),
        curve=np.zeros((num, 0), np.float32),
        curve_steps=np.zeros((num, 0), np.int64),
        trainable=0,
        status=("ok",) * num,
        report=("policy: given", f"critic: {critic}", f"normaliser: {'given' if statistics else 'none'}"),
    )


def _layers(group: str, layers: Layers, obs_size: int, outputs: int) -> Tree:
    pairs = _pairs(group, layers)
    if not pairs:
        raise ValueError(f"params.{group}: no layers given")
    named, size = {}, obs_size
    for i, (kernel, bias) in enumerate(pairs):
        name = "head" if i == len(pairs) - 1 else f"dense_{i}"
        kernel, bias = np.asarray(kernel, np.float32), np.asarray(bias, np.float32)
        if kernel.ndim == 2:
            kernel, bias = kernel[None], bias[None]
        expected = outputs if name == "head" else kernel.shape[-1]
        if kernel.ndim != 3 or kernel.shape[1:] != (size, expected) or bias.shape != (kernel.shape[0], expected):
            raise ValueError(
                f"params.{group}: layer {i} has kernel {kernel.shape[1:]} and bias {bias.shape[1:]}; "
                f"it must have kernel {(size, expected)} and bias {(expected,)}"
            )
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise ValueError(f"params.{group}: layer {i} holds NaN or infinite numbers")
        named[name], size = {"kernel": kernel, "bias": bias}, expected
    return named


def _pairs(group: str, layers: Layers) -> list[tuple[Any, Any]]:
    if not isinstance(layers, Mapping):
        return [(kernel, bias) for kernel, bias in layers]
    inner = layers.get("params", layers)
    for name, layer in inner.items():
        if not isinstance(layer, Mapping) or set(layer) != {"kernel", "bias"}:
            raise ValueError(f"params.{group}: {name!r} must hold exactly a kernel and a bias")
    return [(inner[name]["kernel"], inner[name]["bias"]) for name in sorted(inner, key=_order)]


def _order(name: str) -> tuple[float, str]:
    number = re.search(r"(\d+)$", name)
    return (float(number[1]) if number else float("inf"), name)


def _network(policy: Tree, network: MLP) -> MLP:
    depth = len(policy) - 1
    width = policy["dense_0"]["kernel"].shape[-1] if depth else network.width
    if depth == 0:
        raise ValueError("params.policy: one layer is not allowed; at least one hidden layer and an output are needed")
    return MLP(width=width, depth=depth, activation=network.activation)


def _normalizer(algo: Any, source: Task, num: int, mean: Any, variance: Any) -> tuple[Any, Tree]:
    if (mean is None) != (variance is None):
        raise ValueError("obs_mean, obs_variance: give both or neither")
    if mean is None:
        return algo, {}
    mean, variance = np.asarray(mean, np.float32), np.asarray(variance, np.float32)
    size = source.obs_size
    if mean.shape != (size,) or variance.shape != (size,) or not (np.isfinite(mean).all() and (variance > 0).all()):
        raise ValueError(f"obs_mean, obs_variance: each must be {size} finite numbers, variances above 0")
    moments = Moments(mean, variance, np.float32(_COUNT))
    return replace(algo, normalize_obs=True), {"obs": tree.repeat(moments, num)}

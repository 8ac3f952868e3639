"""A policy as a zip that Stable-Baselines3 loads: layers alone, with the normaliser folded into the first one."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxrl_ft.core.types import Params, PyTree
from jaxrl_ft.deploy import parity
from jaxrl_ft.deploy.chains import Steps, network
from jaxrl_ft.deploy.describe import host
from jaxrl_ft.deploy.description import Activate, Dense, Description, Dueling, Floats, Normalize, Part, Squash, Step
from jaxrl_ft.deploy.formats.base import Exporting
from jaxrl_ft.rl.a2c import A2C

ACTIVATIONS = {"tanh": "Tanh", "relu": "ReLU", "swish": "SiLU"}
"""The names of their classes in torch."""
BEHIND = (Part, Dueling, Squash)
"""Steps that make actions of the outputs of a network."""
Layers = list[tuple[Floats, Floats]]
"""Kernels [n, m] and biases [m]."""


def files(exporting: Exporting) -> dict[str, bytes]:
    """The zip, whose `predict` was compared with the policy.

    Raises:
        ValueError: the network has parts beside its layers, actions are squashed into other bounds than those of the
            task, or folding the normaliser into the first layer changes the policy.
    """
    chain = read(exporting.plain)
    model = _model(exporting, chain)
    stream = io.BytesIO()
    model.save(stream)
    stream.seek(0)
    _check(exporting.plain, type(model).load(stream, device="cpu"), chain)
    return {f"{exporting.name}.zip": stream.getvalue()}


@dataclass(frozen=True, eq=False)
class Chain:
    """A policy that is layers alone."""

    layers: Layers
    """with the normaliser folded into the first one"""
    activation: str
    """between the layers"""
    normalizer: Normalize | None
    """the normaliser, whose clip is lost"""
    behind: tuple[Step, ...]
    """what makes actions of the outputs"""


def read(description: Description) -> Chain:
    """The policy as layers.

    Raises:
        ValueError: it has parts beside its layers, or squashes actions into other bounds than those of the task.
    """
    first, steps = None, description.steps
    if steps and isinstance(steps[0], Normalize):
        first, steps = steps[0], steps[1:]
    inside = [step for step in steps if not isinstance(step, BEHIND)]
    odd = next((step.op for step in inside if not isinstance(step, (Dense, Activate))), None)
    if odd is not None:
        raise ValueError(f"to: sb3 takes networks of dense layers alone, and this one has `{odd}`")
    behind = tuple(step for step in steps if isinstance(step, BEHIND))
    bounds, squash = description.bounds, behind[-1] if behind else None
    if isinstance(squash, Squash) and bounds is not None:
        ends = [(squash.low, bounds.low), (squash.high, bounds.high)]
        if not all(np.array_equal(one, other) for one, other in ends):
            raise ValueError(
                f"to: sb3 squashes actions into the bounds of the task, which are {bounds.low.tolist()} and "
                f"{bounds.high.tolist()}, and this policy into {squash.low.tolist()} and {squash.high.tolist()}"
            )
    layers = [(step.kernel, step.bias) for step in inside if isinstance(step, Dense)]
    names = [step.name for step in inside if isinstance(step, Activate)]
    if isinstance(squash, Dueling):
        layers = [*layers[:-1], _joined(*layers[-1])]
    return Chain(_folded(first, layers), names[0] if names else "tanh", first, behind)


def _folded(first: Normalize | None, layers: Layers) -> Layers:
    """The layers with (x - mean) scale before them taken into the first one; its clip is lost."""
    if first is None:
        return layers
    (kernel, bias), size = layers[0], first.mean.size
    scaled = kernel[:size].astype(float) * first.scale[:, None].astype(float)
    moved = bias.astype(float) - first.mean.astype(float) @ scaled
    # A critic also reads actions, which are not normalised.
    whole = np.concatenate([scaled, kernel[size:]])
    return [(whole.astype(np.float32), moved.astype(np.float32)), *layers[1:]]


def _joined(kernel: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """The last layer of a dueling network as one that gives Q = V + A - mean A itself."""
    num = bias.size - 1
    mixing = np.concatenate([np.eye(num) - 1 / num, np.ones((1, num))])
    return (kernel @ mixing).astype(np.float32), (bias @ mixing).astype(np.float32)


def _model(exporting: Exporting, chain: Chain) -> PyTree:
    """A model of Stable-Baselines3 with these layers, and with those of the critic where it can have them."""
    import stable_baselines3 as sb3
    from stable_baselines3.common import policies

    description, agents = exporting.plain, exporting.agents
    continuous = any(isinstance(step, Squash) for step in chain.behind)
    widths = [int(bias.size) for _, bias in chain.layers[:-1]]
    critics = _critics(exporting, chain, continuous)
    others = [int(bias.size) for _, bias in critics[0][:-1]] if critics else widths
    kwargs = {"activation_fn": getattr(policies.nn, ACTIVATIONS[chain.activation])}
    numbers = {"gamma": float(agents.algo.gamma), "device": "cpu"}
    world = _spaces(description)
    if description.outputs == "q_values":
        model = sb3.DQN("MlpPolicy", world, policy_kwargs={**kwargs, "net_arch": widths}, buffer_size=1, **numbers)
        for net in (model.q_net, model.q_net_target):
            _fill(net.q_net, chain.layers)
        return model
    if continuous:
        arch = {"pi": widths, "qf": others}
        model = sb3.SAC("MlpPolicy", world, policy_kwargs={**kwargs, "net_arch": arch}, buffer_size=1, **numbers)
        _fill_soft(model, description, chain, critics)
        return model
    kind = sb3.A2C if isinstance(agents.algo, A2C) else sb3.PPO
    model = kind("MlpPolicy", world, policy_kwargs={**kwargs, "net_arch": {"pi": widths, "vf": others}}, **numbers)
    groups = [(model.policy.mlp_extractor.policy_net, model.policy.action_net, chain.layers)]
    groups += [(model.policy.mlp_extractor.value_net, model.policy.value_net, one) for one in critics[:1]]
    for hidden, head, layers in groups:
        _fill([*hidden, head], layers)
    if description.log_std is not None:
        _set(model.policy.log_std, description.log_std)
    return model


def _spaces(description: Description) -> PyTree:
    """An environment with the spaces of the policy, which a model is made for; nobody steps it."""
    import gymnasium

    world: PyTree = gymnasium.Env()
    world.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (description.obs_size,), np.float32)
    bounds = description.bounds
    world.action_space = (
        gymnasium.spaces.Discrete(description.num_outputs)
        if bounds is None
        else gymnasium.spaces.Box(bounds.low, bounds.high, dtype=np.float32)
    )
    return world


def _critics(exporting: Exporting, chain: Chain, continuous: bool) -> list[Layers]:
    """The layers of the critics of the kind that Stable-Baselines3 has; none where they are of another kind."""
    policy = host(exporting.agents, exporting.seed)
    params: Params | None = policy.params.get("value")
    if params is None:
        return []
    groups = [{name: part for name, part in params.items() if name != "twin"}]
    groups += [params["twin"]] if "twin" in params else []
    found = []
    for group in groups:
        steps = Steps()
        network(steps, group, policy.network, 0)
        if not all(isinstance(step, (Dense, Activate)) for step in steps.found):
            return []
        layers = [(step.kernel, step.bias) for step in steps.found if isinstance(step, Dense)]
        # A head on a shared trunk becomes a network of its own with the trunk's layers.
        trunk = chain.layers[:-1] if policy.network.shared_trunk else []
        found.append([*trunk, *(layers if trunk else _folded(chain.normalizer, layers))])
    size = exporting.plain.obs_size + (exporting.plain.num_outputs if continuous else 0)
    fitting = all(one[0][0].shape[0] == size and one[-1][1].size == 1 for one in found)
    return found if fitting and len(found) == (2 if continuous else 1) else []


def _fill_soft(model: PyTree, description: Description, chain: Chain, critics: Sequence[Layers]) -> None:
    num, (kernel, bias) = description.num_outputs, chain.layers[-1]
    if bias.size == num:
        # A spread that does not depend on the observation is the bias of a layer without weights.
        spread = np.zeros(num, np.float32) if description.log_std is None else description.log_std
        kernel, bias = np.concatenate([kernel, np.zeros_like(kernel)], axis=1), np.concatenate([bias, spread])
    _fill([*model.actor.latent_pi, model.actor.mu], [*chain.layers[:-1], (kernel[:, :num], bias[:num])])
    _fill([model.actor.log_std], [(kernel[:, num:], bias[num:])])
    for critic in (model.critic, model.critic_target):
        for net, layers in zip(critic.q_networks, critics):
            _fill(net, layers)


def _fill(net: PyTree, layers: Layers) -> None:
    """Set the weights of the linear layers of a sequence of modules."""
    linear = [part for part in net if hasattr(part, "weight")]
    for part, (kernel, bias) in zip(linear, layers, strict=True):
        _set(part.weight, kernel.T)
        _set(part.bias, bias)


def _set(tensor: PyTree, value: Floats) -> None:
    # The array shares the tensor's memory.
    tensor.detach().numpy()[...] = value


def _check(description: Description, model: PyTree, chain: Chain) -> None:
    """Refuse a model whose actions are not those of the policy, at observations that the normaliser does not clip."""
    obs = parity.observations(description, 2_048, seed=0)
    if chain.normalizer is not None:
        with np.errstate(over="ignore"):
            z = (obs - chain.normalizer.mean) * chain.normalizer.scale
        obs = obs[(np.abs(z) < chain.normalizer.clip).all(axis=-1)]
    policy = description.policy()
    actions = np.asarray(model.predict(obs, deterministic=True)[0])
    differing = parity.actions_apart(description, obs, policy.outputs(obs), actions, policy(obs))
    if differing.any():
        raise ValueError(
            f"to: sb3 has no normaliser, and with that of the policy in the first layer {int(differing.sum())} of "
            f"{len(obs)} actions differ"
        )

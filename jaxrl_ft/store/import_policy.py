"""Policies that other libraries trained, as agents: `ft.import_policy`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np

from jaxrl_ft.core import checks
from jaxrl_ft.core.tree import Tree, repeat
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task, check_is_task
from jaxrl_ft.nets import parts
from jaxrl_ft.nets.cnn import CNN
from jaxrl_ft.nets.mlp import MLP
from jaxrl_ft.rl.actor_critic import Bounds
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.rl.catalogue import ALGOS
from jaxrl_ft.store.foreign import convolving, maps, normalizers
from jaxrl_ft.store.foreign.found import ACTIVATIONS, Found
from jaxrl_ft.store.foreign.identify import Given, found_in
from jaxrl_ft.store.self_check import checked, compared, played
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.compatibility import check_role
from jaxrl_ft.training.gymnasium.episodes import check_env
from jaxrl_ft.training.weights import foreign_layers, networks_like, wrap


def import_policy(
    policy: Given,
    source: Task,
    *,
    algo: AnyAlgorithm | None = None,
    network: CNN | None = None,
    activation: str | None = None,
    obs_scale: float = 1.0,
    log_std: PyTree = None,
    normalizer: normalizers.Given | None = None,
    obs_map: maps.Given | None = None,
    action_map: maps.Given | None = None,
    expected: PyTree = None,
    tolerance: float = 1e-4,
    gymnasium_env: PyTree = None,
    seed: int = 0,
    verbose: bool = True,
) -> Agents:
    """Agents of a policy that another library trained; nothing in a file is run.

    Args:
        policy: a file, whose format is told from its content: a zip of Stable-Baselines3 or SBX (PPO, A2C, DQN, SAC
            with MlpPolicy), a file of CleanRL, a state dict of torch, safetensors, npz, or msgpack of flax. Or a dict
            of arrays: with the names of any of these, or as `ft.wrap` takes it.
        source: the task that the policy was trained on.
        algo: the algorithm to fine-tune with; without it that of the file.
        network: strides and padding of convolutions, such as `ft.CNN(strides=(4, 2, 1))`; without it those of NatureCNN
            where the sides of the kernels are its own, 8, 4 and 3, and else 1. All other fields are the file's.
        activation: `tanh`, `relu` or `swish`, of the hidden layers; without it the file's, or the library's default.
        obs_scale: what the file's library multiplies images by before its network reads them, such as 1/255 for bytes.
        log_std: logarithm of a Gaussian policy's standard deviations [A]; without it the file's, or 0.
        normalizer: statistics that observations were normalised with: a VecNormalize file of Stable-Baselines3, npz,
            safetensors, JSON, or a dict, of mean, variance (or var), count, epsilon and clip.
        obs_map: where the task's observations are others than the file's: names of the file's, in its order, as the
            task's parts are named; or for each of the task's the place of the file's, or None for a new one, as a list
            or as a dict by name or place. What is new has no effect at first.
        action_map: the same for actions. A new discrete action is behind the others at first, a new continuous one 0.
        expected: observations [B, O] and what the other library does in them, its greedy actions.
        tolerance: how far actions, or scores of discrete ones, may be from `expected`.
        gymnasium_env: where the library trained, as `ft.gymnasium_returns` takes it; a line of the report compares
            greedy returns there with those on the task.
        seed: of what the file does not have, such as a critic.
        verbose: print what was found and assumed; it stands in the report of the agents too.

    Raises:
        ValueError: the file cannot be read, its policy is no MLP or CNN or of other sizes than the task, or does not do
            what is expected; the message says what was found.
    """
    check_is_task("source", source)
    checks.seed(seed)
    checks.number("tolerance", tolerance, 0.0, 1e9)
    checks.kind("verbose", verbose, bool, "True or False")
    if algo is not None:
        check_role("algo", algo)
    checks.number("obs_scale", obs_scale, 1e-9, 1e9)
    networks_like.check(network)
    if gymnasium_env is not None:
        check_env(gymnasium_env, "gymnasium_env")
    pair = None if expected is None else checked(expected, source)
    what, found = found_in(policy)
    if activation is not None:
        found.activation = ACTIVATIONS[checks.choice("activation", activation, tuple(ACTIVATIONS))]
        found.told = "given"
    given, images = _networks(what, found, log_std, source, network, obs_scale)
    statistics = None if normalizer is None else normalizers.read(normalizer)
    algo = _algo(found) if algo is None else algo
    # How far a new discrete action must be behind depends on the temperature of its distribution, if it has one.
    behind = maps.BEHIND * float(getattr(getattr(algo, "actor", None), "temperature", 1.0))
    fitted = _fitted(what, found, given, source, (obs_map, action_map), behind)
    agents = _agents(what, found, fitted, source, algo, images, statistics, seed)
    if normalizer is None:
        agents = replace(agents, report=(*agents.report, *normalizers.beside(policy)))
    if pair is not None:
        agents = replace(agents, report=(*agents.report, compared(agents, pair, tolerance)))
    if gymnasium_env is not None:
        agents = replace(agents, report=(*agents.report, played(agents, gymnasium_env)))
    if verbose:
        print("\n".join(f"{what}: {line}" if i == 0 else f"  {line}" for i, line in enumerate(agents.report)))
    return agents


def _networks(
    what: str, found: Found, log_std: PyTree, source: Task, network: CNN | None, obs_scale: float
) -> tuple[Tree, CNN | None]:
    """The networks [S, ...], and their config where they hold convolutions.

    Raises:
        ValueError: they are none of a policy here, or there are no convolutions and a config or a scale is for these.
    """
    given = _trees(what, found, log_std)
    if "conv_0" in given["policy"]:
        return convolving.read(what, found, given, source, network, obs_scale)
    if obs_scale != 1.0 or network is not None:
        raise ValueError(f"{what}: holds no convolutions, and network and obs_scale are for these")
    return given, None


def _trees(what: str, found: Found, log_std: PyTree) -> Tree:
    """The networks [S, ...], with inputs and outputs as the file has them."""
    given: Tree = {}
    try:
        given["policy"], inside = foreign_layers.network("policy", found.policy, None, None)
        if found.value is not None:
            given["value"], _ = foreign_layers.network("value", found.value, None, None, found.shared_trunk)
        if found.twin is not None:
            given["value"]["twin"], _ = foreign_layers.network("value", found.twin, None, None)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    spread = next((part for part in (log_std, found.log_std, inside) if part is not None), None)
    num = len(given["policy"]["head"]["bias"])
    for name, leaf in (("log_std", spread), ("log_alpha", found.log_alpha)):
        if leaf is not None:
            array = foreign_layers.array(f"{what}: {name}", leaf, 1)
            given["policy"][name] = np.repeat(array, num, axis=0) if len(array) == 1 else array
    return given


class _Fitted(NamedTuple):
    """Networks [S, ...] of the task's sizes, and the maps that made them so."""

    params: Tree
    obs: maps.Map
    actions: maps.Map
    notes: list[str]


def _fitted(
    what: str, found: Found, given: Tree, source: Task, asked: tuple[maps.Given | None, ...], far: float
) -> _Fitted:
    """The networks with the inputs and outputs of the task.

    Args:
        what: what messages call the policy.
        found: the policy.
        given: its networks [S, ...].
        source: the task.
        asked: `obs_map` and `action_map` as they were given.
        far: how far behind the mean of the others a new discrete action is.

    Raises:
        ValueError: they have others, and no map says which is which.
    """
    space, policy = source.action_space, given["policy"]
    continuous = isinstance(space, Box)
    num_actions = space.size if isinstance(space, Box) else space.num_actions
    blocks = 2 if found.algo == "sac" and continuous else 1
    dense, outputs = policy.get("dense_0"), policy["head"]["kernel"].shape[2]
    if dense is None and asked[0] is not None:
        raise ValueError("obs_map: is not allowed with convolutions, which read all places of an image alike")
    inputs = source.obs_size if dense is None else dense["kernel"].shape[1]
    if outputs % blocks or (found.log_std is not None and not continuous):
        kind = "continuous" if continuous else "discrete"
        raise ValueError(f"{what}: its policy, of {outputs} outputs, is not one for the {kind} actions of {source.id}")
    names = maps.sensors(source), [str(i) for i in range(num_actions)]
    try:
        obs = maps.made("obs_map", asked[0], names[0], inputs, "observations")
        actions = maps.made("action_map", asked[1], names[1], outputs // blocks, "actions")
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    behind = None if continuous else far
    policy = maps.with_outputs(maps.with_inputs(policy, obs), actions, behind)
    if "log_std" in policy and policy["log_std"].shape[-1] == actions.size:
        policy["log_std"] = np.where(actions.new, 0.0, policy["log_std"][:, np.maximum(actions.places, 0)])
    params = {**given, "policy": policy}
    if "value" in given:
        critics = [given["value"], *([given["value"]["twin"]] if "twin" in given["value"] else [])]
        first, *rest = (_critic(critic, obs, actions, found, continuous, behind) for critic in critics)
        params["value"] = {**first, **({"twin": rest[0]} if rest else {})}
    effect = "0 at first" if continuous else f"{behind:g} behind the mean of the others at first"
    told = maps.told("obs_map", obs, names[0], "without an effect at first")
    return _Fitted(params, obs, actions, [*told, *maps.told("action_map", actions, names[1], effect)])


def _critic(
    critic: Tree, obs: maps.Map, actions: maps.Map, found: Found, continuous: bool, behind: float | None
) -> Tree:
    """A critic of the mapped observations, and of the mapped actions where it is one of these."""
    critic = maps.with_inputs(critic, obs)
    if found.algo == "sac" and continuous:
        return maps.with_last_inputs(critic, actions)
    return maps.with_outputs(critic, actions, behind) if found.algo == "sac" else critic


def _algo(found: Found) -> AnyAlgorithm:
    """The algorithm of the file, with what the file tells of it."""
    algo: PyTree = ALGOS[found.algo]
    actor = {name: value for name, value in found.actor.items() if hasattr(algo.actor, name)}
    return cast(AnyAlgorithm, replace(algo, actor=replace(algo.actor, **actor), **found.settings))


def _agents(
    what: str,
    found: Found,
    fitted: _Fitted,
    source: Task,
    algo: AnyAlgorithm,
    images: CNN | None,
    normalizer: normalizers.Normalizer | None,
    seed: int,
) -> Agents:
    params = fitted.params
    num = len(params["policy"]["head"]["bias"])
    moments, notes = _moments(normalizer, fitted.obs)
    try:
        algo, statistics = wrap.normalizing(algo, source, num, *moments)
        widths = {group: parts.widths(layers) for group, layers in params.items() if parts.widths(layers)}
        known: PyTree = {"activation": found.activation, "shared_trunk": found.shared_trunk}
        network = networks_like.network(params, MLP(**known)) if images is None else images
        if found.bounds is not None and isinstance(source.action_space, Box):
            bounds, told = _bounds(found.bounds, fitted.actions, source.action_space)
            statistics, notes = {**statistics, "action": repeat(bounds, num)}, [*notes, *told]
        agents = wrap.assembled(params, source, algo, network, statistics, seed)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    units = ", ".join(f"{group} {'x'.join(map(str, sizes))}" for group, sizes in widths.items())
    first = f"read: {found.made_by}, {units} units, {found.activation} ({found.told})"
    return replace(agents, report=(first, *found.notes, *fitted.notes, *notes, *agents.report))


def _moments(normalizer: normalizers.Normalizer | None, obs: maps.Map) -> tuple[tuple[PyTree, ...], Sequence[str]]:
    """Mean, variance and numbers as `ft.wrap` takes them, and what is to be said of them."""
    if normalizer is None:
        return (None, None, {}), ()
    if not len(normalizer.mean) == len(normalizer.variance) == obs.size:
        raise ValueError(
            f"normalizer: a mean of {len(normalizer.mean)} and a variance of {len(normalizer.variance)} numbers are "
            f"not allowed; the file has {obs.size} observations"
        )
    places = np.maximum(obs.places, 0)
    mean = np.where(obs.new, 0.0, normalizer.mean[places])
    variance = np.where(obs.new, 1.0, normalizer.variance[places])
    numbers = {"obs_count": normalizer.num, "obs_epsilon": normalizer.epsilon, "obs_clip": normalizer.clip}
    return (mean, variance, numbers), normalizer.notes


def _bounds(given: PyTree, actions: maps.Map, space: Box) -> tuple[Bounds, list[str]]:
    """The bounds of a squashed policy: the file's, and the task's own for new actions."""
    own: PyTree = [np.broadcast_to(np.asarray(bound, np.float32), (space.size,)) for bound in (space.low, space.high)]
    if any(len(bound) != actions.size for bound in given):
        return Bounds(*own), ["action bounds: the task's, for those of the file are not told"]
    places = np.maximum(actions.places, 0)
    found: PyTree = [
        np.where(actions.new, ours, np.asarray(bound, np.float32)[places]) for bound, ours in zip(given, own)
    ]
    same = all(np.array_equal(bound, ours) for bound, ours in zip(found, own))
    text = "as the task's" if same else f"{found[0].tolist()} to {found[1].tolist()}, and the task's are others"
    return Bounds(*found), [f"action bounds: told by the file, {text}"]

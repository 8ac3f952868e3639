"""Weights from elsewhere as agents."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task, check_is_task
from jaxrl_ft.methods.method import Method
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.rl.normalizer import Moments
from jaxrl_ft.rl.ppo import PPO
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.compatibility import check_role, check_task, fresh_shapes, reading
from jaxrl_ft.training.initial_state import fresh_policy
from jaxrl_ft.training.keys import seeds_of
from jaxrl_ft.training.weights import foreign_layers, networks_like

# Given statistics weigh as much as this many observations, so that fine-tuning moves them slowly.
_COUNT = 1e6


def wrap(
    params: Mapping[str, foreign_layers.Layers],
    source: Task,
    *,
    network: Network | None = None,
    algo: AnyAlgorithm = PPO(),
    log_std: PyTree = None,
    obs_mean: PyTree = None,
    obs_variance: PyTree = None,
    obs_count: float | None = None,
    obs_epsilon: float | None = None,
    obs_clip: float | None = None,
    seed: int = 0,
) -> Agents:
    """Agents made of weights that were trained elsewhere.

    Args:
        params: `{"policy": layers}` or `{"policy": layers, "value": layers}`. Layers are a sequence of (kernel
            [in, out], bias [out]) pairs, or a dict of such `{"kernel": ..., "bias": ...}` in the order of the numbers
            in their names, the output layer last. A dict may also hold a layer norm `{"scale": ..., "bias": ...}`
            (epsilon 1e-6) for each hidden layer, and the policy's `log_std`, as `agents.params` does. Kernels of
            convolutions, which come first, are [height, width, in, out], and the first dense layer reads their last
            image channels last. With `network.shared_trunk` the value's layers are its head alone. A leading axis
            [S] on every array makes S agents. A value network that is missing is freshly initialised, and the report
            says so.
        source: the task that the weights were trained on.
        network: activation of the hidden layers, strides and padding of convolutions, whether the trunk is shared, and
            the widths of a value network that is missing: the policy's unless `value` says others. All other fields are
            read from the weights; where one of them is not the default, it must agree with these. Without it, that is
            an `MLP`, or a `CNN` where there are convolutions.
        algo: the algorithm to fine-tune with.
        log_std: logarithm of a Gaussian policy's standard deviations, [A] or [S, A]; 0 without it.
        obs_mean: mean [O] that the weights' observations were normalised with, if they were.
        obs_variance: variance [O], likewise.
        obs_count: number of observations that mean and variance rest on when fine-tuning moves them on; 1e6 without it,
            so that they move slowly.
        obs_epsilon: added to the variance; without it the algorithm's.
        obs_clip: largest absolute value of a normalised observation; without it the algorithm's.
        seed: of the fresh parts.

    Kernels [out, in], as torch keeps them, are recognised by their sizes and refused. Where all kernels of a network
    are square, sizes cannot tell, and they are taken to be [in, out].

    Raises:
        ValueError: a layer is missing, not finite, or of a size that does not fit its neighbours, the task or the
            network; or a dict of layers has no order.
    """
    check_is_task("source", source)
    checks.seed(seed)
    check_role("algo", algo)
    networks_like.check(network)
    given = _given(params, source, log_std, network is not None and network.shared_trunk)
    num = next(iter(tree.flatten(given).values())).shape[0]
    if any(leaf.shape[0] != num for leaf in tree.flatten(given).values()):
        raise ValueError("params: the arrays disagree in their leading axis, the number of agents")
    network = reading(networks_like.network(given, network), source)
    numbers = {"obs_count": obs_count, "obs_epsilon": obs_epsilon, "obs_clip": obs_clip}
    algo, statistics = normalizing(algo, source, num, obs_mean, obs_variance, numbers)
    return assembled(given, source, algo, network, statistics, seed)


def assembled(given: Tree, source: Task, algo: AnyAlgorithm, network: Network, statistics: Tree, seed: int) -> Agents:
    """Agents of networks that are read and checked; what is missing is fresh.

    Args:
        given: group `policy`, and `value` where it is not to be fresh, leaves [S, ...].
        source: the task that they were trained on.
        algo: the algorithm to fine-tune with.
        network: the config of the networks.
        statistics: those that are given, leaves [S, ...].
        seed: of the fresh parts.

    Raises:
        ValueError: they are not the networks of the algorithm.
    """
    num = next(iter(tree.flatten(given).values())).shape[0]
    check_task(algo, source)
    _check_whole(algo, given, fresh_shapes(algo, network, source)[0])
    fresh, empty, _ = fresh_policy(algo, network, source, seeds_of(seed, num))
    return Agents(
        params={**fresh, **given, "policy": {**fresh["policy"], **given["policy"]}},
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
        kept_steps=np.zeros(num, np.int64),
        trainable=0,
        status=("ok",) * num,
        report=_report(given, fresh, statistics),
    )


def _given(params: Mapping[str, foreign_layers.Layers], source: Task, log_std: PyTree, shared: bool) -> Tree:
    """The given networks as trees with leaves [S, ...]."""
    if not isinstance(params, Mapping):
        raise ValueError(f"params: {type(params).__name__} is not allowed; it must be a dict of 'policy' and 'value'")
    for group in params:
        checks.choice("params", group, ("policy", "value"))
    if "policy" not in params:
        raise ValueError("params: 'policy' is missing; its layers are needed, those of 'value' are optional")
    space = source.action_space
    outputs = {"policy": space.size if isinstance(space, Box) else space.num_actions, "value": 1}
    given, found = {}, [] if log_std is None else [log_std]
    inputs = source.obs_size
    for group in sorted(params):
        on_trunk = shared and group == "value"
        given[group], inside = foreign_layers.network(group, params[group], inputs, outputs[group], on_trunk)
        # A head on the trunk, which comes after the policy, reads the trunk.
        inputs = given[group]["head"]["kernel"].shape[1] if shared else inputs
        found += [] if inside is None else [inside]
    if not found:
        return given
    if len(found) > 1 or not isinstance(space, Box):
        reason = "where actions are discrete" if len(found) == 1 else "twice, as an argument and within params"
        raise ValueError(f"log_std: is not allowed {reason}")
    spread = foreign_layers.array("log_std", found[0], 1)
    if spread.shape[1:] != (space.size,):
        raise ValueError(f"log_std: shape {np.shape(found[0])} is not allowed; it must be ({space.size},)")
    num = len(given["policy"]["head"]["bias"])
    # One spread for all agents is allowed, since papers state it once.
    given["policy"]["log_std"] = np.repeat(spread, num, axis=0) if len(spread) == 1 else spread
    return given


def _check_whole(algo: AnyAlgorithm, given: Tree, fresh: Tree) -> None:
    """Refuse networks that are not those of the algorithm, which may have another head, or a critic of its own kind.

    Raises:
        ValueError: names the first leaf.
    """
    ours = {path: leaf.shape[1:] for path, leaf in tree.flatten(given).items()}
    theirs = {path: leaf.shape for path, leaf in tree.flatten(fresh).items()}
    # A critic comes as a whole; what of the policy is missing, as a spread, is fresh.
    wanted = {
        path: shape for path, shape in theirs.items() if path in ours or path.split("/")[0] in set(given) - {"policy"}
    }
    path = next((path for path in sorted(ours.keys() | wanted.keys()) if ours.get(path) != wanted.get(path)), None)
    if path is not None:
        found, has = (shapes.get(path, "none") for shapes in (ours, wanted))
        raise ValueError(f"params: {path} of shape {found} makes no agent of {type(algo).__name__}, which has {has}")


def normalizing(
    algo: AnyAlgorithm, source: Task, num: int, mean: PyTree, variance: PyTree, numbers: dict[str, float | None]
) -> tuple[AnyAlgorithm, Tree]:
    """The algorithm that normalises as the statistics do, and these, [S, ...]; as it is where none are given.

    Args:
        algo: the algorithm.
        source: its task.
        num: the number S of agents.
        mean: [O], or None.
        variance: [O], or None.
        numbers: `obs_count`, `obs_epsilon` and `obs_clip`, None where they are not given.

    Raises:
        ValueError: a number is not allowed.
    """
    if (mean is None) != (variance is None):
        raise ValueError("obs_mean, obs_variance: give both or neither")
    said = {name: number for name, number in numbers.items() if number is not None}
    if mean is None:
        for name in said:
            raise ValueError(f"{name}: is not allowed without obs_mean and obs_variance")
        check_config(algo, "algo")
        return algo, {}
    count = checks.number("obs_count", said.pop("obs_count", _COUNT), 0.0, 1e30)
    given: PyTree = replace(cast(PyTree, algo), normalize_obs=True, **said)
    check_config(given, "algo")
    mean, variance = (np.asarray(part, np.float32) for part in (mean, variance))
    size = source.obs_size
    good = mean.shape == variance.shape == (size,) and np.isfinite([mean, variance]).all() and (variance > 0).all()
    if not good:
        raise ValueError(f"obs_mean, obs_variance: each must be {size} finite numbers, variances above 0")
    moments = Moments._make((mean, variance, *map(np.float32, (count, given.obs_epsilon, given.obs_clip))))
    return given, {"obs": tree.repeat(moments, num)}


def _report(given: Tree, fresh: Tree, statistics: Tree) -> tuple[str, ...]:
    critic = "given" if "value" in given else "missing, freshly initialised"
    lines = ["policy: given", f"critic: {critic}", f"normaliser: {'given' if 'obs' in statistics else 'none'}"]
    if "log_std" in fresh["policy"]:
        lines.append(f"log_std: {'given' if 'log_std' in given['policy'] else 'missing, 0'}")
    return tuple(lines)

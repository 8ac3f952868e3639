"""Agents on disk: a bundle of arrays and JSON that `load` turns back into the same agents."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.bundle import read_bundle, write_bundle
from jaxrl_ft.core.config import from_json, to_json
from jaxrl_ft.core.files import Json
from jaxrl_ft.core.policy import Network
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.envs import catalogue as _tasks  # noqa: F401 (makes every task config known)
from jaxrl_ft.envs.changes.wrapping import inside_of, with_inside
from jaxrl_ft.envs.gymnax_worlds.registry import is_known
from jaxrl_ft.envs.task import Task, check_is_task
from jaxrl_ft.methods import catalogue as _methods  # noqa: F401 (makes every method config known)
from jaxrl_ft.methods.method import Method
from jaxrl_ft.nets import catalogue as _networks  # noqa: F401 (makes every network's config known)
from jaxrl_ft.nets import parts as networks
from jaxrl_ft.rl import catalogue as _algorithms  # noqa: F401 (makes every algorithm's config known)
from jaxrl_ft.rl.algorithm import Algorithm
from jaxrl_ft.store import zoo
from jaxrl_ft.training.agents import Agents, check_is_agents

_KIND = "agents"
_CONFIGS = ("algo", "network", "method", "source", "task")
_KINDS = {"algo": Algorithm, "network": Network, "method": Method}
_ARRAYS = ("env_steps", "curve", "curve_steps", "kept_steps")


def save(agents: Agents, path: str | Path) -> None:
    """Write agents to a directory from which `load` makes the same agents.

    Args:
        agents: S agents.
        path: the directory; one that holds other saved agents is replaced as a whole, anything else is refused.

    Raises:
        ValueError: the path is taken by something else or cannot be written.
    """
    check_is_agents(agents)
    checks.path("path", path)
    write_bundle(path, *parts(agents))


def parts(agents: Agents) -> tuple[dict[str, np.ndarray], dict[str, Json]]:
    """The arrays and the JSON that `save` writes, from which `restored` makes the same agents."""
    arrays = {f"{name}": np.asarray(getattr(agents, name)) for name in _ARRAYS}
    for name in ("params", "init_params"):
        arrays |= {f"{name}/{key}": np.asarray(leaf) for key, leaf in tree.flatten(getattr(agents, name)).items()}
    for name in ("statistics", "opt_state"):
        leaves = jax.tree.leaves(getattr(agents, name))
        arrays |= {f"{name}/{i:03d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
    metadata = {
        "kind": _KIND,
        **{name: to_json(getattr(agents, name)) for name in _CONFIGS},
        "has_opt_state": agents.opt_state is not None,
        "trainable": agents.trainable,
        "source_steps": agents.source_steps,
        "status": list(agents.status),
        "report": list(agents.report),
    }
    return arrays, metadata


def load(path: str | Path, task: Task | None = None) -> Agents:
    """The agents that `save` wrote to `path`, bit for bit, or those of the zoo. No module is imported for them.

    Of a user's environment a file has the name and the numbers alone. It must be known here by that name, as after
    `make_task(MyEnv())`, or be given as `task`.

    Args:
        path: the directory; or `zoo:NAME` with a name in `ft.ZOO`, as in `zoo:cartpole-ppo`.
        task: any task of the user's environment that the agents were trained in, whatever its physics.

    Raises:
        ValueError: the directory is missing or damaged, holds something else, holds a method with a class of a module
            that is not imported, or agents of an environment that is not known here, or the zoo has no such agent; the
            message names it.
    """
    checks.path("path", path)
    path = zoo.place(path) if zoo.is_named(path) else path
    if task is not None:
        check_is_task("task", task)
    return restored(*read_bundle(path), path, task)


def restored(
    arrays: dict[str, np.ndarray], metadata: dict[str, Json], path: str | Path, task: Task | None = None
) -> Agents:
    """The agents that `parts` took apart.

    Args:
        arrays: by name.
        metadata: JSON values.
        path: where they come from, for messages.
        task: as in `load`.

    Raises:
        ValueError: they are something else.
    """
    if metadata.get("kind") != _KIND:
        raise ValueError(f"{path}: holds {metadata.get('kind')!r}, not agents")
    try:
        configs: dict[str, PyTree] = {name: from_json(metadata[name]) for name in _CONFIGS}
        fixed = {"trainable": int(metadata["trainable"]), "has_opt_state": bool(metadata["has_opt_state"])}
        # Agents saved before source experience was counted had none.
        fixed["source_steps"] = int(metadata.get("source_steps", 0))
        texts: dict[str, Json] = {name: tuple(str(line) for line in metadata[name]) for name in ("status", "report")}
        # Agents saved before there was a choice were taken at the end.
        older = {} if "kept_steps" in arrays else {"kept_steps": _at_the_end(arrays["curve_steps"])}
        values: dict[str, PyTree] = {name: (arrays | older)[name] for name in _ARRAYS}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: metadata.json lacks or misstates {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    for name in ("source", "task"):
        configs[name] = _task(path, configs[name], task)
    for name, kind in _KINDS.items():
        if not isinstance(configs[name], kind):
            raise ValueError(f"{path}: metadata.json gives {type(configs[name]).__name__} where the {name} belongs")
        check_config(configs[name], f"{path}: {name}")
    _check_seeds(path, values, texts["status"])
    num = len(values["env_steps"])
    params, init_params = (_part(path, arrays, name, num) for name in ("params", "init_params"))
    _check_network(path, configs["network"], params)
    template = jax.eval_shape(lambda: configs["algo"].init_statistics(configs["source"]))
    statistics = _leaves(path, arrays, "statistics", template, num)
    opt_state = None
    if fixed["has_opt_state"]:
        opt_state = _leaves(path, arrays, "opt_state", _opt_template(configs["method"], params), num)
    return Agents(
        params=params,
        statistics=statistics,
        init_params=init_params,
        opt_state=opt_state,
        trainable=fixed["trainable"],
        source_steps=fixed["source_steps"],
        **configs,
        **values,
        **texts,
    )


def _at_the_end(curve_steps: np.ndarray) -> np.ndarray:
    """The last step count of each curve, [S], or 0 without one."""
    last: np.ndarray = np.max(curve_steps, axis=1, initial=0)
    return last


def _task(path: str | Path, saved: Json, given: Task | None) -> Task:
    """The saved task, stepped by the environment of the given one where that has its name or it is not known here."""
    if not isinstance(saved, Task):
        raise ValueError(f"{path}: metadata.json gives no task where one belongs")
    simulator, name = saved.simulator, inside_of(saved.simulator)
    own = name if given is None else inside_of(given.simulator)
    if given is not None and is_known(name) and name.split("~")[0] != own.split("~")[0]:
        raise ValueError(f"task: {given.describe()} is not allowed; {path} holds agents of {name}")
    if given is None and not is_known(name):
        raise ValueError(
            f"{path}: holds agents of the environment {name!r}, which is not known here; call make_task with it first, "
            "or give load(path, task=...)"
        )
    try:
        return replace(saved, simulator=with_inside(simulator, own)).checked()
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{path}: metadata.json gives a task without its physics: {error}") from None


def _check_seeds(path: str | Path, values: dict[str, np.ndarray], status: tuple[str, ...]) -> None:
    """Refuse arrays that do not tell of the same seeds, one at least."""
    steps, curve, curve_steps, kept_steps = (values[name] for name in _ARRAYS)
    if steps.ndim != 1 or not len(steps) or steps.dtype.kind not in "iu":
        raise ValueError(f"{path}: env_steps {steps.dtype}{list(steps.shape)} must be whole numbers, one for each seed")
    if len(status) != len(steps):
        raise ValueError(f"{path}: status is of {len(status)} seeds, and env_steps of {len(steps)}")
    if curve.ndim != 2 or len(curve) != len(steps) or curve_steps.shape != curve.shape:
        shapes = f"curve {list(curve.shape)} and curve_steps {list(curve_steps.shape)}"
        raise ValueError(f"{path}: {shapes} must have a row for each of the {len(steps)} seeds, and equal shapes")
    if kept_steps.shape != steps.shape or kept_steps.dtype.kind not in "iu":
        told = f"{kept_steps.dtype}{list(kept_steps.shape)}"
        raise ValueError(f"{path}: kept_steps {told} must be whole numbers, one for each of the {len(steps)} seeds")


def _part(path: str | Path, arrays: dict[str, np.ndarray], name: str, num: int) -> Tree:
    found = {key.removeprefix(f"{name}/"): leaf for key, leaf in arrays.items() if key.startswith(f"{name}/")}
    if not found:
        raise ValueError(f"{path}: holds no {name}")
    _check_rows(path, name, found, num)
    return tree.unflatten(found)


def _check_rows(path: str | Path, name: str, leaves: dict[str, np.ndarray], num: int) -> None:
    for key, leaf in leaves.items():
        if leaf.shape[:1] != (num,):
            raise ValueError(f"{path}: array {key!r} of {name} is {list(leaf.shape)}, but there are {num} seeds")


def _check_network(path: str | Path, network: Network, params: Tree) -> None:
    for group, layers in params.items():
        found, given = networks.widths(layers), network.widths(group)
        if found != given:
            raise ValueError(f"{path}: the hidden layers of {group} have {found} units, but its network says {given}")


def _opt_template(method: Method, params: Tree) -> PyTree:
    def init(params: Tree) -> PyTree:
        delta = method.adapter.init(jax.random.key(0), params)
        return method.training_optimizer().build().init(delta)

    return jax.eval_shape(init, tree.take(params, 0))


def _leaves(path: str | Path, arrays: dict[str, np.ndarray], name: str, template: PyTree, num: int) -> PyTree:
    shapes, structure = jax.tree.flatten(template)
    found = {key: leaf for key, leaf in sorted(arrays.items()) if key.startswith(f"{name}/")}
    _check_rows(path, name, found, num)
    leaves = list(found.values())
    fits = len(leaves) == len(shapes) and all(
        leaf.shape[1:] == shape.shape and leaf.dtype == shape.dtype for leaf, shape in zip(leaves, shapes)
    )
    if not fits:
        raise ValueError(f"{path}: the arrays of {name} do not fit the saved method and network")
    return jax.tree.unflatten(structure, leaves)

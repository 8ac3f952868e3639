"""What fits together: the sizes of tasks, and the shapes that a method makes of an agent's parameters."""

import dataclasses
from collections.abc import Hashable

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import Memory, Params, PyTree, Statistics
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task, check_is_task
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.penalties import Penalty, Source
from jaxrl_ft.methods.warm_starts import Probe
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.training.agents import Agents, check_is_agents

# Tracing the shapes of one method takes tens of milliseconds, and a sweep asks for the same few for thousands of cells.
_FITTING: set[Hashable] = set()
_SHAPES: dict[Hashable, tuple[tree.Tree, tree.Tree]] = {}

_ROLES = {
    "algo": (("usual_network", "collect", "loss"), "an algorithm, such as ft.PPO()"),
    "network": (("reading", "kernel_shapes", "geometry"), "a network, such as ft.MLP()"),
}
"""Methods that only configs of a kind have, and the kind in words."""


def check_fits(method: Method, params: tree.Tree, fresh: tree.Tree) -> None:
    """Refuses a warm start, an adapter, a finish that do not fit these parameters; only shapes are traced, and once.

    Args:
        method: the method; its numbers change no shape.
        params: parameters of one agent, or their shapes.
        fresh: those of a network just initialised.

    Raises:
        ValueError: names the part of the method.
    """
    outlines = [(jax.tree.structure(part), *(leaf.shape for leaf in jax.tree.leaves(part))) for part in (params, fresh)]
    known = (jax.tree.structure(method), *outlines)
    if known in _FITTING:
        return
    key = jax.eval_shape(lambda: jax.random.key(0))
    scalar = jax.ShapeDtypeStruct((), "float32")
    start = _shape_of("warm_start", method.warm_start.apply, key, params, fresh, Probe(scalar, scalar))
    frozen = _shape_of("adapter", method.adapter.freeze, key, start)
    delta = _shape_of("adapter", method.adapter.init, key, frozen)
    merged = _shape_of("adapter", method.adapter.merge, frozen, delta)
    members = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((method.population, *leaf.shape), leaf.dtype), merged)
    if method.finish.population == method.population:
        _shape_of("finish", method.finish.apply, params, members)
    _FITTING.add(known)


def check_role(name: str, config: object) -> None:
    """Refuse a config that is of another kind than the argument, and fields that are not allowed.

    Args:
        name: of the argument, `algo` or `network`.
        config: what was given.

    Raises:
        ValueError: it is of another kind, or one of its fields is not allowed.
    """
    methods, what = _ROLES[name]
    if dataclasses.is_dataclass(config) and not all(hasattr(config, method) for method in methods):
        raise ValueError(f"{name}: {type(config).__name__} is not allowed; it must be {what}")
    check_config(config, name)


def check_task(algo: AnyAlgorithm, task: Task) -> None:
    """Refuse a task in which the algorithm cannot act.

    Raises:
        ValueError: it cannot.
    """
    try:
        algo.check_task(task)
    except ValueError as error:
        raise ValueError(f"algo: {error}") from None


def reading(network: Network, task: Task) -> Network:
    """The network as it reads the observations of a task.

    Raises:
        ValueError: it cannot.
    """
    try:
        return network.reading(task.obs_shapes)
    except ValueError as error:
        raise ValueError(f"network: {error}") from None


def check_needs(algo: AnyAlgorithm, network: Network, method: Method, task: Task) -> None:
    """Refuse a network and a method whose parts ask for what the algorithm or the network has not, or the task not.

    Raises:
        ValueError: names the part, and the reason.
    """
    for field in (field for field in network.needs if field in algo.lacks):
        raise ValueError(f"network.{field}: {getattr(network, field)} is not allowed; {algo.lacks[field]}")
    lacks = {**network.lacks, **algo.lacks}
    for field, needs in method.needs.items():
        for need in (need for need in needs if need in lacks):
            what = getattr(method, field)
            named = f"{what:g}" if isinstance(what, float) else type(what).__name__
            raise ValueError(f"method.{field}: {named} is not allowed; {lacks[need]}")
    if method.control.needs_return_range and not np.isfinite(task.return_range).all():
        raise ValueError(
            f"method.control: {type(method.control).__name__} compares shares of the range of returns, which "
            f"{task.id} does not state; give return_range=(low, high) to make_task"
        )


def _shape_of(part: str, function: PyTree, *args: PyTree) -> PyTree:
    return named_part(part, jax.eval_shape, function, *args)


def named_part(part: str, function: PyTree, *args: PyTree) -> PyTree:
    """Call the function; an error that it raises names the part of the method."""
    try:
        return function(*args)
    except ValueError as error:
        raise ValueError(f"method.{part}.{error}") from None


def fresh_shapes(algo: AnyAlgorithm, network: Network, task: Task) -> tuple[tree.Tree, tree.Tree]:
    """Shapes of fresh parameters and statistics, which depend on the task by its sizes alone."""
    known = (jax.tree.structure(algo), network, _sizes(task))
    if known not in _SHAPES:
        _SHAPES[known] = jax.eval_shape(
            lambda: (algo.init_params(jax.random.key(0), task, network), algo.init_statistics(task))
        )
    return _SHAPES[known]


def check_sizes(agents: Agents, task: Task) -> None:
    """Refuses a task whose observations or actions differ in size from the agents'.

    Raises:
        ValueError: they differ.
    """
    check_is_agents(agents)
    check_is_task("task", task)
    if not same_sizes(agents.task, task):
        raise ValueError(f"task: {sizes(task)} do not fit agents trained on {sizes(agents.task)}")


def same_sizes(task: Task, other: Task) -> bool:
    """Whether a policy for one task can act in the other: equal sizes of observations, and of actions of one kind.

    Bounds of continuous actions are physics, not sizes: an action means the same in both tasks, and each clips it to
    its own bounds.
    """
    return _sizes(task) == _sizes(other)


def _sizes(task: Task) -> tuple[Hashable, ...]:
    # The bounds of an action space are leaves; its kind and its size are structure.
    return (task.obs_size, jax.tree.structure(task.action_space))


def sizes(task: Task) -> str:
    """Sizes of observations and actions in words."""
    space = task.action_space
    actions = f"{space.size} continuous" if isinstance(space, Box) else f"{space.num_actions} discrete"
    return f"{task.obs_size} observations, {actions} actions"


def check_first(agents: Agents, penalty: Penalty) -> None:
    """Refuse a penalty towards the parameters before any training where those have other shapes.

    Raises:
        ValueError: they have; the first such path is named.
    """
    first, now = tree.flatten(agents.init_params), tree.flatten(agents.params)
    path = next((path for path in first if path in now and first[path].shape != now[path].shape), None)
    if path is not None and (penalty.needs_init_params or _reads_first(agents, penalty)):
        raise ValueError(
            f"method.penalty: {type(penalty).__name__} holds near the parameters before any training, in which "
            f"{path} has shape {first[path].shape[1:]}, not {now[path].shape[1:]}"
        )


def _reads_first(agents: Agents, penalty: Penalty) -> bool:
    """Whether what a penalty remembers depends on the parameters before any training, found by tracing its `init`.

    False for a penalty that asks for source experience, of which there is none yet; it must say so itself.
    """
    if penalty.source_steps:
        return False
    params, statistics = tree.take((agents.params, agents.statistics), 0)

    def remember(first: Params, params: Params, statistics: Statistics) -> Memory:
        policy = Policy(params, statistics, agents.network)
        return penalty.init(jax.random.key(0), agents.algo, policy, Source(policy, first))

    # The present parameters stand for the first ones, whose other shapes could end the trace.
    traced = jax.make_jaxpr(remember)(params, params, statistics).jaxpr
    firsts = traced.invars[: len(jax.tree.leaves(params))]
    read = [*traced.outvars, *(variable for step in traced.eqns for variable in step.invars)]
    return any(variable is one for variable in read for one in firsts)


def check_source(agents: Agents, target: Task, method: Method) -> None:
    """Refuse what needs the source where the agents' source or last task has other sizes than the target.

    Raises:
        ValueError: the method needs it.
    """
    alike = agents.network.lacks.get("obs_entries")
    if alike and method.alignment.acts and not method.imagination.acts:
        raise ValueError(f"method.alignment: {type(method.alignment).__name__} is not allowed; {alike}")
    others = [task for task in (agents.task, agents.source) if not same_sizes(task, target)]
    if not others:
        method.data.check_tasks(*agents.source.alike(target))
        return
    reason = f"the target has other observations or actions ({sizes(target)}) than the agents ({sizes(others[0])})"
    if method.source_steps:
        raise ValueError(f"method: asks for source experience, but {reason}")
    if method.alignment.acts and not method.imagination.acts:
        raise ValueError(
            f"method.alignment: {type(method.alignment).__name__} compares sensors and actions with those the agents "
            f"know, but {reason}"
        )
    if method.imagination.source_share:
        raise ValueError(f"method.imagination.source_share: imagines the source beside the target, but {reason}")
    if method.data.uses_source:
        raise ValueError(f"method.data: {type(method.data).__name__} mixes source and target, but {reason}")


def check_keep(agents: Agents, target: Task, method: Method) -> None:
    """Refuse to continue from an optimizer state that the agents do not have, or that does not fit.

    Raises:
        ValueError: the agents have none that fits.
    """
    optimizer, last = method.optimizer, agents.method
    if not method.keeps:
        return
    if agents.opt_state is None:
        how = f"training with {type(last.adapter).__name__} and {type(last.finish).__name__}, or for wrapped weights"
        raise ValueError(f"method.keep: there is no optimizer state to keep after {how}")
    if not optimizer.continues(last.optimizer):
        theirs, ours = type(last.optimizer).__name__, type(optimizer).__name__
        raise ValueError(f"method.keep: the agents were trained by {theirs}, whose state {ours} cannot go on from")
    if not same_sizes(agents.task, target):
        raise ValueError("method.keep: the target has other observations or actions, and so other parameters")
    trained = method.training_optimizer()
    try:
        fresh = jax.eval_shape(trained.build().init, tree.take(agents.params, 0))
        jax.eval_shape(trained.inherit, fresh, tree.take(agents.opt_state, 0), as_arrays(method.keep))
    except ValueError as error:
        raise ValueError(f"method.keep: {error}") from None

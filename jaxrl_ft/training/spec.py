"""Every check of a call's arguments, before anything compiles, and what the call then runs."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.validation import check_config
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.catalogue import METHODS, RECOMMENDED
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.warm_starts import Probe
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.runs import Spec

# A sweep asks for the same few of thousands of cells, and tracing one takes tens of milliseconds.
_FITTING: set[Hashable] = set()
_SHAPES: dict[Hashable, tuple[tree.Tree, tree.Tree]] = {}


def resolve_method(method: str | Method | None) -> Method:
    """The method of a name, the method itself, or the recommended one for None.

    Raises:
        ValueError: no method of this name, or a field of the method is not allowed.
    """
    if method is None:
        method = RECOMMENDED
    chosen = METHODS[method] if isinstance(method, str) else method
    check_config(chosen, "method", Method)
    return chosen


def named_methods(methods: Sequence[str] | Mapping[str, Method]) -> dict[str, Method]:
    """The methods by name: those of these names, or those that are given.

    Raises:
        ValueError: one name in the place of a sequence, a name that is not known, or a method that is not allowed.
    """
    if isinstance(methods, str):
        raise ValueError(f"methods: {methods!r} is not allowed; it must be a sequence of names")
    given = methods if isinstance(methods, Mapping) else {METHODS.name(name): METHODS[name] for name in methods}
    return {name: resolve_method(method) for name, method in given.items()}


def finetune_spec(
    agents: Agents, target: Task, method: Method, steps: int, seed: int, num_evals: int, eval_episodes: int
) -> Spec:
    """What a call of `finetune` with these arguments runs.

    Raises:
        ValueError: an argument is not allowed.
    """
    if not isinstance(target, Task):
        raise ValueError(f"target: {target!r} is not allowed; it must be a Task, as ft.make_task returns")
    configs = (agents.algo, agents.network, method)
    spec = training_spec(*configs, agents.source, target, agents.num_seeds, steps, seed, num_evals, eval_episodes)
    _check_source(agents, target, method)
    _check_first(agents, method)
    _check_keep(agents, target, method)
    spec = replace(spec, last=agents.task)
    shapes, _ = fresh_shapes(agents.algo, agents.network, target)
    check_fits(method, tree.take(agents.params, 0) if same_sizes(agents.task, target) else shapes, shapes)
    return spec


def _check_source(agents: Agents, target: Task, method: Method) -> None:
    """Refuses what needs the source where the agents' source or last task has other sizes than the target.

    Raises:
        ValueError: the method needs it.
    """
    others = [task for task in (agents.task, agents.source) if not same_sizes(task, target)]
    if not others:
        method.data.check_tasks(agents.source, target)
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


def _check_first(agents: Agents, method: Method) -> None:
    """Refuses a penalty towards the parameters before any training where those have other shapes.

    Raises:
        ValueError: they have; the first such path is named.
    """
    if not method.penalty.needs_init_params:
        return
    first, now = tree.flatten(agents.init_params), tree.flatten(agents.params)
    for path in (path for path in first if path in now and first[path].shape != now[path].shape):
        raise ValueError(
            f"method.penalty: {type(method.penalty).__name__} holds near the parameters before any training, in which "
            f"{path} has shape {first[path].shape[1:]}, not {now[path].shape[1:]}"
        )


def _check_keep(agents: Agents, target: Task, method: Method) -> None:
    """Refuses to go on from a state of the optimizer that the agents do not have, or that does not fit.

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


def training_spec(
    algo: Any,
    network: Any,
    method: Method,
    source: Task,
    task: Task,
    seeds: int,
    steps: int,
    seed: int,
    num_evals: int,
    eval_episodes: int,
) -> Spec:
    """What a call of `pretrain` or `finetune` with these configs runs, after every check of the arguments.

    Raises:
        ValueError: an argument is not allowed.
    """
    for name, config in (("algo", algo), ("network", network), ("method", method)):
        check_config(config, name)
    _named("warm_start", method.warm_start.network, network)
    for name, given in (("source", source), ("task", task)):
        if not isinstance(given, Task):
            raise ValueError(f"{name}: {given!r} is not allowed; it must be a Task, as ft.make_task returns")
    checks.count("seeds", seeds)
    check_budget(steps, seed, num_evals, eval_episodes)
    spent = method.spent()
    if spent >= steps:
        raise ValueError(f"steps: {steps} is not allowed; it must exceed the {spent} steps that the method probes")
    updates = -(-(steps - spent) // (algo.steps_per_update() * method.population))
    stretches = method.control.stretches
    if method.trains and stretches > updates:
        raise ValueError(
            f"steps: {steps} is not allowed; it makes {updates} updates of each member, and the control acts between "
            f"{stretches} stretches of them"
        )
    return Spec(algo, network, method, source, task, seed, seeds, updates, num_evals, eval_episodes)


def charged(paid: int, algo: Any, method: Method) -> int:
    """Environment steps that a budget pays for what was spent before it, in whole updates of the method.

    What is left of the budget is then whole updates too, and no method has more steps than another for having paid.
    """
    update = algo.steps_per_update() * method.population
    return -(-paid // update) * update


def check_budget(steps: int, seed: int, num_evals: int, eval_episodes: int) -> None:
    """Refuses numbers of a training that no method can be given.

    Raises:
        ValueError: one of them is out of its range.
    """
    checks.count("steps", steps)
    checks.seed(seed)
    checks.count("num_evals", num_evals, 2)
    checks.count("eval_episodes", eval_episodes)


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


def _shape_of(part: str, function: Any, *args: Any) -> Any:
    return _named(part, jax.eval_shape, function, *args)


def _named(part: str, function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    except ValueError as error:
        raise ValueError(f"method.{part}.{error}") from None


def fresh_shapes(algo: Any, network: Any, task: Task) -> tuple[tree.Tree, tree.Tree]:
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
    if not isinstance(task, Task):
        raise ValueError(f"task: {task!r} is not allowed; it must be a Task, as ft.make_task returns")
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

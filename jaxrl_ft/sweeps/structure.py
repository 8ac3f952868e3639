"""What fine-tunes hand to their programs, as shapes: what can train side by side is known before anything runs."""

from collections.abc import Hashable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.methods.warm_starts import Probe
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.collect import World, enter
from jaxrl_ft.training.compatibility import fresh_shapes, same_sizes
from jaxrl_ft.training.initial_state import Given, Start, first_state, fresh_start, given
from jaxrl_ft.training.keys import Seeds
from jaxrl_ft.training.preparation import prepare
from jaxrl_ft.training.preparation.carry import carry
from jaxrl_ft.training.preparation.experience import gather, num_rollouts
from jaxrl_ft.training.spec import Spec
from jaxrl_ft.training.update import Run, State


class Outline(NamedTuple):
    """Structure, shapes and types of what a run hands over."""

    given: Hashable
    """to the programs, before the first update"""
    untouched: Hashable
    """to the evaluation while the method pays for a look"""
    trained: Hashable
    """to the program that trains"""


# A sweep asks for the same few of thousands of cells, and tracing one takes tens of milliseconds.
_KNOWN: dict[Hashable, Outline] = {}


def outline(spec: Spec) -> Outline:
    """The outline of a fine-tune that trains; traced once for equal methods and shapes."""
    one = _one_run(spec.base_agents)
    # Numbers of a method may decide its structure: rates that start late are counted by entry.
    numbers, method = jax.tree.flatten(spec.method)
    known = (
        (method, tuple(map(float, numbers))),
        _outlined((spec.algo, spec.network, spec.source, spec.before, spec.task)),
        _outlined((one.params, one.statistics, one.init_params, one.opt_state if spec.method.keeps else None)),
        same_sizes(spec.before, spec.task),
    )
    if known not in _KNOWN:
        begun, runs = _given(spec)
        _KNOWN[known] = Outline(_outlined(runs), _outlined(_one(begun.base)), _outlined(_trained(runs)))
    return _KNOWN[known]


def trained(spec: Spec) -> tuple[World, Run, State]:
    """The shapes of what one member of a run hands to the program that trains; nothing runs."""
    runs = _given(spec)[1] if spec.agents is not None else _given_anew(spec)
    found: tuple[World, Run, State] = _trained(runs)
    return found


def _given(spec: Spec) -> tuple[Start, Given]:
    """Where one run starts, and the shapes of what it hands over."""
    begun = start(_one_run(spec.base_agents), replace(spec, num_runs=1))
    return begun, _one(given(replace(spec, num_runs=1), begun))


def _given_anew(spec: Spec) -> Given:
    """The shapes of what one run that begins with random parameters hands over."""
    one = replace(spec, num_runs=1)
    params, statistics = tree.zeros(fresh_shapes(spec.algo, spec.network, spec.task), 1)
    begun = fresh_start(one, Policy(params, statistics, spec.network))
    found: Given = _one(given(one, begun))
    return found


def structure(outline: Outline, spec: Spec) -> Hashable:
    """What fine-tunes must have in common to train side by side; None for one that trains by itself.

    A population that a control or a finish acts on trains by itself.
    """
    method = spec.method
    if method.control.acts or method.finish.acts:
        return None
    paid = spec.steps_before
    numbers = spec.num_runs, spec.num_updates, spec.num_evals, spec.eval_episodes, paid
    return outline.given, outline.untouched if paid else None, numbers


def start(one: Agents, spec: Spec) -> Start:
    """Where one run starts, of the shapes that `prepare.prepare` makes, in zeros.

    Args:
        one: agents whose arrays are shapes, without an axis of runs.
        spec: the fine-tune.
    """
    method, algo = spec.method, spec.algo
    fresh = Policy(*fresh_shapes(algo, spec.network, spec.task), spec.network)
    base = carry(one, spec.task, fresh)
    init_params = carry(replace(one, params=one.init_params), spec.task, fresh).params
    key, scalar = jax.eval_shape(lambda: jax.random.key(0)), jax.ShapeDtypeStruct((), np.float32)
    probe = Probe(scalar, scalar)
    params = jax.eval_shape(method.warm_start.apply, key, base.params, fresh.params, probe)
    statistics = method.warm_start.statistics(base.statistics, fresh.statistics)
    warm = Policy(params, statistics, method.warm_start.network(spec.network))
    data = None
    if method.source_steps:
        rows = partial(gather.one, num_rollouts(algo, method.source_steps), algo)
        data = jax.eval_shape(rows, base, spec.source, Seeds(*jax.eval_shape(lambda: (np.uint32(0), np.uint32(0)))))
    old = one.opt_state if method.keeps else None
    parts = (base, fresh, warm, Source(base, init_params, data), probe, old)
    return prepare.starting(spec, *tree.zeros(parts, 1))


def _trained(given: Given) -> PyTree:
    """What one run hands to the program that trains."""
    world, run = given.world, given.run
    begun = jax.eval_shape(enter.one, world, given.policy, given.source)
    parts = (given.penalty, given.source, given.old, given.keep)
    frozen, state, _ = jax.eval_shape(first_state.one, run, *begun, *parts)
    return world, replace(run, base=frozen), state


def _one_run(agents: Agents) -> Agents:
    """The agents with the shapes of one of them in the place of their arrays."""
    parts = {name: _one(getattr(agents, name)) for name in ("params", "statistics", "init_params", "opt_state")}
    return replace(agents, **parts)


def _one(runs: PyTree) -> PyTree:
    """The shapes of one run of many."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), runs)


def _outlined(found: PyTree) -> Hashable:
    """Structure, shapes and types of a tree."""
    leaves, structure = jax.tree.flatten(found)
    return structure, tuple((np.shape(leaf), np.result_type(leaf)) for leaf in leaves)

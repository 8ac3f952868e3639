"""One update as a pure function: experience, then gradient steps. Everything that learns goes through here."""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import Leaf, Metrics, Params, PyTree, Statistics
from jaxrl_ft.methods.adapters import Adapter
from jaxrl_ft.methods.interventions import Intervention
from jaxrl_ft.methods.optimizers import Optimizer
from jaxrl_ft.methods.penalties import Penalty
from jaxrl_ft.rl.algorithm import AnyAlgorithm, HasStatistics
from jaxrl_ft.rl.rollout import NOT_FINITE, SEEN
from jaxrl_ft.training.collect import Collected, Rows, World, collect
from jaxrl_ft.training.evaluation.faults import Fault, first
from jaxrl_ft.training.keys import STEPS, stream_key


@config
class Run:
    """What a run is given and never changes; under vmap every leaf has a leading axis of runs.

    It has no task, no warm start and of the penalty only its term: methods that differ in where they start or in what
    they remember share the program.
    """

    algo: AnyAlgorithm
    adapter: Adapter
    penalty: Penalty
    optimizer: Optimizer
    intervention: Intervention
    network: Network
    base: Params
    """what the adapter holds fixed: the parameters it adapts, and what it added to them"""
    statistics: Statistics
    """the normaliser's statistics before the first update"""
    seed: Leaf
    """seed of the call, uint32"""
    index: Leaf
    """the run's number in the call, uint32"""
    num_updates: Leaf
    """length of the budget in updates, int32"""


class Memory(NamedTuple):
    """What the parts of a method remember."""

    data: Tree
    penalty: Tree
    intervention: Tree


class State(NamedTuple):
    """What an update changes: arrays only."""

    delta: Tree
    opt_state: PyTree
    carry: HasStatistics
    memory: Memory
    fault: Fault
    """from which on all but the carry, whose statistics stay too, is what it was before"""


def run_key(run: Run, stream: int | Leaf) -> jax.Array:
    """The key of a stream of a run."""
    return stream_key(run.seed, run.index, stream)


def policy_of(run: Run, state: State) -> Policy:
    """The policy that collects: base and delta merged."""
    return Policy(run.adapter.merge(run.base, state.delta), state.carry.statistics, run.network)


def evaluated_policy(run: Run, state: State) -> Policy:
    """The policy to evaluate; an optimizer that averages parameters gives their average."""
    delta = run.optimizer.evaluation(state.opt_state, state.delta)
    return policy_of(run, state._replace(delta=delta))


def update(world: World, run: Run, state: State, index: jax.Array) -> tuple[State, Metrics]:
    """Update `index` of a run: experience, then the gradient steps on it.

    Args:
        world: what the run collects in.
        run: what the run was given.
        state: what updates change.
        index: number of the update, from 0.

    Returns:
        state: after the update.
        metrics: means over the gradient steps, and sums over the episodes that ended.
    """
    found = collect(world, policy_of(run, state), state.carry, state.memory.data, index)
    return updated(run, state, found, index)


def updated(run: Run, state: State, found: Collected, index: jax.Array) -> tuple[State, Metrics]:
    """What `update` returns, of the experience that was collected."""
    carry, data, rows, collected = found
    after = state._replace(carry=carry, memory=state.memory._replace(data=data))
    after, learned = learn(run, after, state.carry.statistics, rows, index)
    seen = collected.pop(NOT_FINITE, jnp.zeros((), jnp.int32))
    # Fused with what made them, numbers that are looked at or chosen from would be rounded in another way.
    learned_parts, whole = jax.lax.optimization_barrier((_learned(after), rows.whole))
    after = _with(after, learned_parts)
    sound = {name: seen != 1 + place for place, name in enumerate(SEEN)}
    sound["experience"] = (collected["rollout/left_out"] == 0) & tree.finite(whole)
    sound["gradient"] = after.opt_state.skipped == state.opt_state.skipped
    quantity = first({**sound, **finite_parts(after, after.delta)})
    return _kept(state, after, quantity, index), {**learned, **collected}


def finite_parts(state: State, params: Tree) -> dict[str, jax.Array]:
    """Whether each part of a state is finite, by the names of `faults.QUANTITIES`.

    Args:
        state: the state.
        params: its parameters.
    """
    parts = {
        "statistics": state.carry.statistics,
        "parameters": params,
        "optimizer state": state.opt_state,
        "memory": state.memory,
    }
    return {name: tree.finite(part) for name, part in parts.items()}


def _kept(before: State, after: State, quantity: jax.Array, index: jax.Array) -> State:
    """The state after an update, in which nothing that is learned has changed if a quantity is or was not finite."""
    known = jnp.asarray(before.fault.quantity > 0)
    kept = _with(after, tree.where(known | (quantity > 0), _learned(before), _learned(after)))
    now = Fault(quantity, jnp.where(quantity > 0, index, -1).astype(jnp.int32))
    return kept._replace(fault=tree.where(known, before.fault, now))


def _learned(state: State) -> tuple[PyTree, ...]:
    return state.delta, state.opt_state, state.memory, state.carry.statistics


def _with(state: State, learned: tuple[PyTree, ...]) -> State:
    delta, opt_state, memory, statistics = learned
    carry = cast(PyTree, state.carry)._replace(statistics=statistics)
    return state._replace(delta=delta, opt_state=opt_state, memory=memory, carry=carry)


def learn(run: Run, state: State, statistics: Statistics, rows: Rows, index: jax.Array) -> tuple[State, Metrics]:
    """The gradient steps of update `index`.

    Args:
        run: what the run was given.
        state: what updates change; its carry is the one after the rollout.
        statistics: of the normaliser, before the rollout.
        rows: what was collected.
        index: number of the update, from 0.

    Returns:
        state: after the update.
        metrics: means over the gradient steps.
    """
    progress = index / run.num_updates
    indices, whole = rows.indices, rows.whole
    first = index * indices.shape[0]

    def step(state: State, inputs: tuple[jax.Array, ...]) -> tuple[State, Metrics]:
        number, chosen, others = inputs
        batch, other = tree.take(whole, chosen), tree.take(whole, others)
        return _gradient_step(run, state, batch, other, chosen, statistics, Moment(progress, number))

    numbers = first + jnp.arange(indices.shape[0], dtype=jnp.int32)
    # A penalty that asks for another minibatch gets the next one of the same rollout.
    others = jnp.roll(indices, -1, axis=0) if run.penalty.other_batch else indices
    state, metrics = jax.lax.scan(step, state, (numbers, indices, others))
    state = _after_update(run, state, rows.data, Moment(progress, first + indices.shape[0]))
    return state, jax.tree.map(jnp.mean, metrics)


def _gradient_step(
    run: Run, state: State, batch: PyTree, other: PyTree, rows: jax.Array, statistics: Tree, moment: Moment
) -> tuple[State, Metrics]:
    before = Policy(run.adapter.merge(run.base, state.delta), statistics, run.network)

    def objective(delta: Tree) -> tuple[jax.Array, Metrics]:
        # The statistics are those of the collection, or the probability ratio would not start at 1.
        policy = Policy(run.adapter.merge(run.base, delta), statistics, run.network)
        loss, metrics = run.algo.loss(policy, state.carry, batch)
        penalty = run.penalty.loss(state.memory.penalty, run.algo, policy, other, moment)
        return loss + penalty, {**metrics, "loss/penalty": penalty}

    grads, metrics = jax.grad(objective, has_aux=True)(state.delta)
    updates, opt_state = run.optimizer.build().update(
        grads, state.opt_state, state.delta, progress=moment.progress, kl=metrics.get("kl", 0.0)
    )
    delta = jax.tree.map(jnp.add, state.delta, updates)
    memory = state.memory._replace(penalty=run.penalty.after_step(state.memory.penalty, run.algo, before))
    state = state._replace(delta=delta, opt_state=opt_state, memory=memory)
    state = _intervene(run, state, "after_step", batch, moment)
    params = run.adapter.merge(run.base, state.delta)
    carry = run.algo.after_step(params, state.carry, rows, metrics)
    return state._replace(carry=carry), metrics


def _after_update(run: Run, state: State, data: PyTree, moment: Moment) -> State:
    state = _intervene(run, state, "after_update", data, moment)
    penalty = run.penalty.after_update(state.memory.penalty, run.algo, policy_of(run, state), data)
    return state._replace(memory=state.memory._replace(penalty=penalty))


def _intervene(run: Run, state: State, hook: str, data: PyTree, moment: Moment) -> State:
    if hook not in run.intervention.hooks:
        return state
    key = jax.random.fold_in(jax.random.fold_in(run_key(run, STEPS), moment.step), hook == "after_update")
    act = getattr(run.intervention, hook)
    memory, params, touched = act(key, state.memory.intervention, run.algo, policy_of(run, state), data, moment)
    # Frozen means frozen: what does not train, or rests, is not touched either.
    rates, progress = run.optimizer.rates, moment.progress
    awake = tree.flatten(rates.awake(state.delta, progress))
    moves = tree.unflatten({path: on & rates.active(path.split("/")[0], progress) for path, on in awake.items()})
    delta = jax.tree.map(jnp.where, moves, tree.part(params, state.delta), state.delta)
    opt_state = state.opt_state
    if touched is not None:
        marks = jax.tree.map(jnp.logical_and, tree.part(touched, state.delta), moves)
        opt_state = run.optimizer.forget(opt_state, marks)
    return state._replace(delta=delta, opt_state=opt_state, memory=state.memory._replace(intervention=memory))

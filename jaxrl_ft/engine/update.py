"""One update as a pure function: collect, then gradient steps. Everything that learns goes through here."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.adapters import Adapter
from jaxrl_ft.methods.optimizers import Optimizer
from jaxrl_ft.methods.penalties import Penalty, Source
from jaxrl_ft.rl.algorithm import Metrics

# Streams of a run's key beside its updates, whose numbers stay below 2^31.
INIT, WARM_START, ADAPTER, PENALTY, CARRY, EVALUATION = range(2**31, 2**31 + 6)


@config
class Run:
    """What a run is given and never changes; under vmap every leaf has a leading axis of runs.

    It has no warm start: methods that differ in where they start share the program.
    """

    algo: Any
    adapter: Adapter
    penalty: Penalty
    optimizer: Optimizer
    network: Any
    task: Task
    base: Any
    """parameters that the adapter adapts"""
    statistics: Any
    """the normaliser's statistics to go on from"""
    seed: Any
    """seed of the call, uint32"""
    index: Any
    """the run's number in the call, uint32"""
    num_updates: Any
    """length of the budget in updates, int32"""


class State(NamedTuple):
    """What an update changes: arrays only."""

    delta: Tree
    opt_state: Any
    carry: Any
    memory: Tree


def stream_key(seed: Any, index: Any, stream: Any) -> jax.Array:
    """The key of a stream of run `index` of a call: fold_in(fold_in(key(seed), index), stream)."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), index), stream)


def run_key(run: Run, stream: Any) -> jax.Array:
    """The key of a stream of a run."""
    return stream_key(run.seed, run.index, stream)


def tasks_of(run: Run) -> Task:
    """The run's task with its physics repeated for each environment, leaves [N]."""
    num = run.algo.num_envs
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num, *jnp.shape(leaf))), run.task)


def policy_of(run: Run, state: State) -> Policy:
    """The policy that collects: base and delta merged."""
    return Policy(run.adapter.merge(run.base, state.delta), state.carry.statistics, run.network)


def evaluated_policy(run: Run, state: State) -> Policy:
    """The policy to evaluate: an optimizer that averages has its say."""
    delta = run.optimizer.evaluation(state.opt_state, state.delta)
    return policy_of(run, state._replace(delta=delta))


def update(run: Run, state: State, index: jax.Array) -> tuple[State, Metrics]:
    """The state after update `index`, and its metrics.

    Args:
        run: what the run was given.
        state: what updates change.
        index: number of the update, from 0.
    """
    progress = index / run.num_updates
    statistics = state.carry.statistics
    carry, data, indices, rollout = run.algo.collect(
        run_key(run, index), tasks_of(run), policy_of(run, state), state.carry
    )

    def step(state: State, rows: jax.Array) -> tuple[State, Metrics]:
        batch = jax.tree.map(lambda leaf: leaf[rows], data)
        return _gradient_step(run, state, batch, rows, statistics, progress)

    state, metrics = jax.lax.scan(step, state._replace(carry=carry), indices)
    memory = run.penalty.after_update(state.memory, policy_of(run, state), data)
    return state._replace(memory=memory), {**jax.tree.map(jnp.mean, metrics), **rollout}


def _gradient_step(
    run: Run, state: State, batch: Any, rows: jax.Array, statistics: Tree, progress: jax.Array
) -> tuple[State, Metrics]:
    def objective(delta: Tree) -> tuple[jax.Array, Metrics]:
        # The statistics are those of the collection, or the probability ratio would not start at 1.
        policy = Policy(run.adapter.merge(run.base, delta), statistics, run.network)
        loss, metrics = run.algo.loss(policy, state.carry, batch)
        penalty = run.penalty.loss(state.memory, run.algo, policy, batch, progress)
        return loss + penalty, {**metrics, "loss/penalty": penalty}

    grads, metrics = jax.grad(objective, has_aux=True)(state.delta)
    updates, opt_state = run.optimizer.build().update(
        grads, state.opt_state, state.delta, progress=progress, kl=metrics["kl"]
    )
    delta = jax.tree.map(jnp.add, state.delta, updates)
    params = run.adapter.merge(run.base, delta)
    carry = run.algo.after_step(params, state.carry, rows, metrics)
    return state._replace(delta=delta, opt_state=opt_state, carry=carry), metrics


def chunk(run: Run, state: State, start: jax.Array, stop: jax.Array) -> tuple[State, Policy, Metrics]:
    """The state after updates start, ..., stop - 1, the policy to evaluate, and the metrics summed over them."""
    # Jitted, so that asking for the shapes and looping share one trace.
    once = jax.jit(update, inline=True)
    shapes = jax.eval_shape(once, run, state, start)[1]
    sums = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def body(index: jax.Array, carry: tuple[State, Metrics]) -> tuple[State, Metrics]:
        state, sums = carry
        state, metrics = once(run, state, index)
        return state, jax.tree.map(jnp.add, sums, metrics)

    state, sums = jax.lax.fori_loop(start, stop, body, (state, sums))
    return state, evaluated_policy(run, state), sums


def begin(run: Run, source: Source) -> State:
    """The state before the first update.

    Args:
        run: what the run was given; its base is where training starts.
        source: what a penalty may remember of the agent that is being fine-tuned.
    """
    delta = run.adapter.init(run_key(run, ADAPTER), run.base)
    policy = Policy(run.adapter.merge(run.base, delta), run.statistics, run.network)
    carry = run.algo.init_carry(run_key(run, CARRY), tasks_of(run), policy)
    memory = run.penalty.init(run_key(run, PENALTY), run.algo, policy, source)
    return State(delta, run.optimizer.build().init(delta), carry, memory)

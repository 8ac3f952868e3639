"""The compiled programs, five in all: module-level jits over a leading axis of runs, sharded over the devices.

A second call with the same structure and width never retraces, whatever the seeds, physics and floats.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.engine import placement, update
from jaxrl_ft.engine.update import Run, State
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.methods.warm_starts import Probe, WarmStart
from jaxrl_ft.rl.algorithm import Metrics


def _key(seed: jax.Array, index: jax.Array, stream: int) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), index), stream)


@partial(jax.jit, static_argnames=("mesh",))
def fresh(mesh: Mesh, algo: Any, network: Any, tasks: Task, seeds: Any, indices: Any) -> tuple[Tree, Tree]:
    """Freshly initialised parameters and empty statistics of every run."""

    def one(algo: Any, network: Any, task: Task, seed: jax.Array, index: jax.Array) -> tuple[Tree, Tree]:
        return algo.init_params(_key(seed, index, update.INIT), task, network), algo.init_statistics(task)

    return placement.over_runs(jax.vmap(one), mesh)(algo, network, tasks, seeds, indices)


@partial(jax.jit, static_argnames=("mesh",))
def warm_start(
    mesh: Mesh, warm: WarmStart, seeds: Any, indices: Any, base: Policy, fresh: Policy, probe: Probe
) -> tuple[Tree, Tree]:
    """The parameters and statistics that training starts from, of every run."""

    def one(
        warm: WarmStart, seed: jax.Array, index: jax.Array, base: Policy, fresh: Policy, probe: Probe
    ) -> tuple[Tree, Tree]:
        params = warm.apply(_key(seed, index, update.WARM_START), base.params, fresh.params, probe)
        return params, warm.statistics(base.statistics, fresh.statistics)

    return placement.over_runs(jax.vmap(one), mesh)(warm, seeds, indices, base, fresh, probe)


@partial(jax.jit, static_argnames=("mesh",))
def begin(mesh: Mesh, run: Run, source: Source) -> State:
    """The state of every run before its first update."""
    return placement.over_runs(jax.vmap(update.begin), mesh)(run, source)


@partial(jax.jit, static_argnames=("mesh",), donate_argnames=("state",))
def chunk(mesh: Mesh, run: Run, state: State, start: Any, stop: Any) -> tuple[State, Policy, Metrics]:
    """Updates start, ..., stop - 1 of every run; none when the two are equal."""
    body = jax.vmap(update.chunk, in_axes=(0, 0, None, None))
    return placement.over_runs(body, mesh, num_shared=2)(run, state, start, stop)


@partial(jax.jit, static_argnames=("mesh", "algo", "num_episodes"))
def evaluate(
    mesh: Mesh, algo: Any, num_episodes: int, policies: Policy, tasks: Task, seeds: Any, indices: Any, options: Tree
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Undiscounted returns, lengths and natural ends, [R, E] each, of E episodes of every run's policy on its task.

    Args:
        mesh: the devices.
        algo: class of the algorithm; gives the distribution.
        num_episodes: E, fixed for all calls that are to share the program.
        policies: [R].
        tasks: [R].
        seeds: seed of each run, [R].
        indices: number of each run, [R].
        options: `greedy` (bool), `stream` (the evaluation's number), `first` (number of the first episode), `last`
            (number of the episode to stop before) and `max_steps` (the cut on top of each task's own limit).
    """
    body = partial(_episodes, algo, num_episodes)
    return placement.over_runs(body, mesh, num_shared=1)(policies, tasks, seeds, indices, options)


def _episodes(
    algo: Any, num_episodes: int, policies: Policy, tasks: Task, seeds: jax.Array, indices: jax.Array, options: Tree
) -> tuple[jax.Array, jax.Array, jax.Array]:
    numbers = options["first"] + jnp.arange(num_episodes, dtype=jnp.uint32)

    def episode_key(seed: jax.Array, index: jax.Array, number: jax.Array) -> jax.Array:
        # Equal for all methods and tasks: they meet the same starts and the same noise.
        stream = jax.random.fold_in(_key(seed, index, update.EVALUATION), options["stream"])
        return jax.random.fold_in(stream, number)

    keys = jax.vmap(lambda seed, index: jax.vmap(partial(episode_key, seed, index))(numbers))(seeds, indices)
    over_episodes = jax.vmap(jax.vmap(_step, in_axes=(None, 0, 0, 0, None)), in_axes=(0, 0, 0, 0, None))

    def start(task: Task, key: jax.Array) -> tuple[jax.Array, Any]:
        return task.initial(task.draw(jax.random.fold_in(key, 0), ()))

    obs, env_state = jax.vmap(jax.vmap(start, in_axes=(None, 0)))(tasks, keys)
    shape = (len(seeds), num_episodes)
    alive = jnp.broadcast_to(numbers < options["last"], shape)

    def going(carry: Any) -> jax.Array:
        return carry[3].any() & (carry[0] < options["max_steps"])

    def body(carry: Any) -> Any:
        time, obs, env_state, alive, totals, lengths, ended = carry
        distribution = jax.vmap(algo.distribution)(policies, obs)
        action_noise = jax.vmap(jax.vmap(partial(_noise, algo), in_axes=(None, 0, None)), in_axes=(0, 0, None))
        sampled = distribution.sample(action_noise(tasks, keys, time))
        action = jnp.where(options["greedy"], distribution.mode(), sampled)
        obs, env_state, reward, terminated, truncated = over_episodes(tasks, keys, env_state, action, time)
        totals = totals + jnp.where(alive, reward, 0.0)
        lengths = lengths + alive.astype(jnp.int32)
        ended = ended | (alive & terminated)
        return time + 1, obs, env_state, alive & ~(terminated | truncated), totals, lengths, ended

    zeros = jnp.zeros(shape)
    carry = (jnp.int32(0), obs, env_state, alive, zeros, zeros.astype(jnp.int32), jnp.zeros(shape, bool))
    return jax.lax.while_loop(going, body, carry)[4:]


def _step(task: Task, key: jax.Array, env_state: Any, action: jax.Array, time: jax.Array) -> Any:
    draws = task.draw(jax.random.fold_in(key, 2 * time + 2), ())
    return task.transition(draws, env_state, action)[:5]


def _noise(algo: Any, task: Task, key: jax.Array, time: jax.Array) -> jax.Array:
    return algo.noise(task, jax.random.fold_in(key, 2 * time + 1), ())

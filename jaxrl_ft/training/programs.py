"""The compiled programs, fifteen in all: module-level jits over a leading axis of runs, sharded over the devices.

A second call with the same structure and width never retraces, whatever the seeds, physics and floats.
"""

from functools import partial
from typing import Any

import jax

from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.optimizers.keeping import Keep
from jaxrl_ft.methods.penalties import Penalty, Source
from jaxrl_ft.methods.warm_starts import Probe, WarmStart
from jaxrl_ft.rl import rollout
from jaxrl_ft.rl.algorithm import Metrics
from jaxrl_ft.rl.rollout import Transition
from jaxrl_ft.training import collect as collecting
from jaxrl_ft.training import devices, initial_state, keys, update
from jaxrl_ft.training.collect import Rows, World
from jaxrl_ft.training.devices import Layout
from jaxrl_ft.training.evaluation.episodes import Options, Outcome, Recording, play
from jaxrl_ft.training.evaluation.episodes import record as record_episode
from jaxrl_ft.training.keys import stream_key
from jaxrl_ft.training.update import Run, State


@partial(devices.Program, static=("layout",))
def fresh(layout: Layout, algo: Any, network: Any, tasks: Task, seeds: Any, indices: Any) -> tuple[Tree, Tree]:
    """Freshly initialised parameters and empty statistics of every run."""

    def one(algo: Any, network: Any, task: Task, seed: jax.Array, index: jax.Array) -> tuple[Tree, Tree]:
        return algo.init_params(stream_key(seed, index, keys.INIT), task, network), algo.init_statistics(task)

    return layout.over_runs(one)(algo, network, tasks, seeds, indices)


@partial(devices.Program, static=("layout",))
def warm_start(
    layout: Layout, warm: WarmStart, seeds: Any, indices: Any, base: Policy, fresh: Policy, probe: Probe
) -> tuple[Tree, Tree]:
    """The parameters and statistics that training starts from, of every run."""

    def one(
        warm: WarmStart, seed: jax.Array, index: jax.Array, base: Policy, fresh: Policy, probe: Probe
    ) -> tuple[Tree, Tree]:
        params = warm.apply(stream_key(seed, index, keys.WARM_START), base.params, fresh.params, probe)
        return params, warm.statistics(base.statistics, fresh.statistics)

    return layout.over_runs(one)(warm, seeds, indices, base, fresh, probe)


@partial(devices.Program, static=("layout", "num_rollouts"))
def gather(
    layout: Layout, num_rollouts: int, algo: Any, policies: Policy, tasks: Task, seeds: Any, indices: Any
) -> Any:
    """Experience of every run's policy on its task: the algorithm's flat data, [R, M, ...]."""

    def one(algo: Any, policy: Policy, task: Task, seed: jax.Array, index: jax.Array) -> Any:
        return initial_state.gather(algo, num_rollouts, policy, task, stream_key(seed, index, keys.SOURCE))

    return layout.over_runs(one)(algo, policies, tasks, seeds, indices)


@partial(devices.Program, static=("layout", "num_envs", "num_steps"))
def transitions(
    layout: Layout,
    num_envs: int,
    num_steps: int,
    algo: Any,
    policies: Policy,
    tasks: Task,
    seeds: Any,
    indices: Any,
    numbers: Any,
) -> tuple[jax.Array, Transition]:
    """First observations [R, N, O] and transitions [R, T, N, ...] of every run's policy, sampled, on its task."""

    def one(
        algo: Any, policy: Policy, task: Task, seed: jax.Array, index: jax.Array, number: jax.Array
    ) -> tuple[jax.Array, Transition]:
        key = jax.random.fold_in(stream_key(seed, index, keys.SOURCE), number)
        return initial_state.watch(algo, num_envs, num_steps, policy, task, key)

    return layout.over_runs(one)(algo, policies, tasks, seeds, indices, numbers)


@partial(devices.Program, static=("layout", "num"))
def starts(layout: Layout, num: int, tasks: Task, seeds: Any, indices: Any, numbers: Any) -> jax.Array:
    """First observations [R, N, O] of so many episodes of every run's task."""

    def one(task: Task, seed: jax.Array, index: jax.Array, number: jax.Array) -> jax.Array:
        key = jax.random.fold_in(stream_key(seed, index, keys.SOURCE), number)
        return rollout.start(key, collecting.environments(task, num), num)[0]

    return layout.over_runs(one)(tasks, seeds, indices, numbers)


@partial(devices.Program, static=("layout",))
def signs(layout: Layout, algo: Any, policies: Policy, tasks: Task, seeds: Any, indices: Any) -> dict[str, jax.Array]:
    """What one rollout of every run's policy on its task shows of both, leaves [R, ...]."""

    def one(algo: Any, policy: Policy, task: Task, seed: jax.Array, index: jax.Array) -> dict[str, jax.Array]:
        return initial_state.signs(algo, policy, task, stream_key(seed, index, keys.SIGNS))

    return layout.over_runs(one)(algo, policies, tasks, seeds, indices)


@partial(devices.Program, static=("layout",))
def finish(layout: Layout, finish: Any, base: Tree, members: Tree) -> Tree:
    """The parameters that every run ends with, from its base and its members [R, k, ...]."""

    def one(finish: Any, base: Tree, members: Tree) -> Tree:
        return finish.apply(base, members)

    return layout.over_runs(one)(finish, base, members)


@partial(devices.Program, static=("layout",))
def enter(layout: Layout, world: World, policy: Policy, source: Source) -> tuple[Any, Tree]:
    """Fresh environments of every run, and what its data axis remembers."""
    return layout.over_runs(collecting.enter)(world, policy, source)


@partial(devices.Program, static=("layout",))
def begin(
    layout: Layout, run: Run, carry: Any, penalty: Penalty, source: Source, old: Any, keep: Keep | None
) -> tuple[Tree, State, Policy, Policy]:
    """What the adapter of every run holds fixed, its state, and its policies, before the first update."""
    return layout.over_runs(initial_state.begin)(run, carry, penalty, source, old, keep)


@partial(devices.Program, static=("layout",))
def collect(
    layout: Layout, world: World, policy: Policy, carry: Any, memory: Tree, index: Any
) -> tuple[Any, Tree, Rows, Metrics]:
    """The experience of update `index` of every run."""
    return layout.over_runs(collecting.collect, num_shared=1)(world, policy, carry, memory, index)


@partial(devices.Program, static=("layout",), donate=("state",))
def learn(
    layout: Layout, run: Run, state: State, statistics: Tree, rows: Rows, index: Any
) -> tuple[State, Policy, Policy, Metrics]:
    """The gradient steps of update `index` of every run."""
    return layout.over_runs(update.learn, num_shared=1)(run, state, statistics, rows, index)


@partial(devices.Program, static=("layout", "algo", "num_episodes"))
def evaluate(
    layout: Layout,
    algo: Any,
    num_episodes: int,
    policies: Policy,
    tasks: Task,
    seeds: Any,
    indices: Any,
    options: Options,
) -> Outcome:
    """Outcomes [R, E] of E episodes of every run's policy on its task.

    Args:
        layout: how the runs lie on the devices.
        algo: class of the algorithm; gives the distribution.
        num_episodes: E, fixed for all calls that are to share the program.
        policies: [R].
        tasks: [R].
        seeds: seed of each run, [R].
        indices: number of each run, [R].
        options: shared by all runs.
    """

    def one(policy: Policy, task: Task, seed: jax.Array, index: jax.Array, options: Options) -> Outcome:
        return play(algo, num_episodes, policy, task, stream_key(seed, index, keys.EVALUATION), options)

    return layout.over_runs(one, num_shared=1)(policies, tasks, seeds, indices, options)


@partial(devices.Program, static=("layout", "algo", "num_steps"))
def record(
    layout: Layout, algo: Any, num_steps: int, policies: Policy, tasks: Task, seeds: Any, indices: Any, options: Options
) -> Recording:
    """One episode of every run's policy on its task, step by step, leaves [R, ...]; `evaluate` gives its outcome."""

    def one(policy: Policy, task: Task, seed: jax.Array, index: jax.Array, options: Options) -> Recording:
        return record_episode(algo, num_steps, policy, task, stream_key(seed, index, keys.EVALUATION), options)

    return layout.over_runs(one, num_shared=1)(policies, tasks, seeds, indices, options)


@partial(devices.Program, static=("layout", "algo", "num_envs", "num_steps"))
def diverge(
    layout: Layout,
    algo: Any,
    num_envs: int,
    num_steps: int,
    tuned: Policy,
    bases: Policy,
    tasks: Task,
    seeds: Any,
    indices: Any,
) -> jax.Array:
    """Divergence [R] of every run's policy from its base, on the states that it visits on its task."""

    def one(tuned: Policy, base: Policy, task: Task, seed: jax.Array, index: jax.Array) -> jax.Array:
        key = stream_key(seed, index, keys.DIVERGENCE)
        return initial_state.divergence(algo, num_envs, num_steps, tuned, base, task, key)

    return layout.over_runs(one)(tuned, bases, tasks, seeds, indices)


@partial(devices.Program, static=("layout", "algo"))
def evaluate_each(
    layout: Layout, algo: Any, policies: Policy, seeds: Any, indices: Any, tasks: Task, options: Options
) -> Outcome:
    """Outcomes [R, E] of one episode of every run's policy on each of E tasks.

    Args:
        layout: how the runs lie on the devices.
        algo: class of the algorithm; gives the distribution.
        policies: [R].
        seeds: seed of each run, [R].
        indices: number of each run, [R].
        tasks: [E], shared by all runs.
        options: shared by all runs.
    """

    def one(policy: Policy, seed: jax.Array, index: jax.Array, tasks: Task, options: Options) -> Outcome:
        key = stream_key(seed, index, keys.EVALUATION)
        return play(algo, len(jax.tree.leaves(tasks)[0]), policy, tasks, key, options, axis=0)

    return layout.over_runs(one, num_shared=2)(policies, seeds, indices, tasks, options)

"""What runs start from: fresh networks, all that every run is given, and the state before the first update."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.optimizers.keeping import Keep
from jaxrl_ft.methods.penalties import Penalty, Source
from jaxrl_ft.rl.algorithm import AnyAlgorithm, HasStatistics
from jaxrl_ft.training import control, devices
from jaxrl_ft.training.collect import World, enter
from jaxrl_ft.training.evaluation.faults import Fault, first
from jaxrl_ft.training.keys import ADAPTER, FREEZE, INIT, INTERVENTION, MEMBER, PENALTY, Seeds, seeds_of, stream_key
from jaxrl_ft.training.per_run import per_run
from jaxrl_ft.training.spec import Spec
from jaxrl_ft.training.update import Memory, Run, State, evaluated_policy, finite_parts, run_key


class Start(NamedTuple):
    """What training starts from, on the host; leaves [R, ...]."""

    policy: Policy
    """where training starts, after the warm start"""
    init_params: Tree
    """parameters before any training"""
    source: Source
    """what may be remembered of the agents"""
    share: np.ndarray
    """as `Probe.share`, [R]; 0 without a probe"""
    probe_steps: int = 0
    """environment steps of each run before its first update, by look, probe and warm-up"""
    old: PyTree = None
    """state of the optimizer that trained the agents, where something of it is kept"""
    base: Policy | None = None
    """the agents' own policy, untouched; it is what acts while the probe is paid for"""
    rate: np.ndarray | None = None
    """factor of the learning rate of each run, [R]; 1 without"""
    tasks: Task | None = None
    """a task for each run, leaves [R], in the place of the one that all share"""
    sources: Task | None = None
    """likewise the source of each run"""
    numbers: np.ndarray | None = None
    """number of each run, [R], in the place of the spec's"""


class Given(NamedTuple):
    """All inputs of the programs, on the host, leaves [R, ...]: runs of one structure can share a program."""

    world: World
    run: Run
    policy: Policy
    penalty: PyTree
    source: Source
    old: PyTree
    keep: PyTree


@per_run(brief=True)
def fresh(algo: AnyAlgorithm, network: Network, task: Task, seeds: Seeds) -> tuple[Tree, Tree]:
    """Freshly initialised parameters, and statistics of a normaliser that has seen no observation."""
    return algo.init_params(seeds.key(INIT), task, network), algo.init_statistics(task)


def fresh_policy(algo: AnyAlgorithm, network: Network, task: Task, seeds: Seeds) -> Policy:
    """The policy of networks just initialised, of every run, [R, ...] on the host."""
    each = tree.repeat((as_arrays(algo), as_arrays(network), task), len(seeds.seeds))
    params, statistics = fresh(*each, seeds)
    return Policy(params, statistics, network)


def fresh_start(spec: Spec, policy: Policy) -> Start:
    """The start of runs that begin with random parameters, those of `policy`."""
    return Start(
        policy=policy,
        init_params=policy.params,
        source=Source(policy, policy.params),
        share=np.ones(spec.num_runs, np.float32),
        probe_steps=spec.steps_before,
        base=policy,
    )


def given(spec: Spec, start: Start) -> Given:
    """Return the inputs of every member of every run's population."""
    num, method = spec.num_members, spec.method
    seeds = member_seeds(spec, start)
    tasks = tasks_of(spec, start)
    sources = tree.repeat(spec.source, spec.num_runs) if start.sources is None else start.sources
    rate = np.ones(spec.num_runs, np.float32) if start.rate is None else start.rate
    policy, source, old, share, rate, tasks, sources = (
        jax.tree.map(lambda leaf: np.concatenate([np.asarray(leaf)] * method.population), part)
        for part in (start.policy, start.source, start.old, start.share, rate, tasks, sources)
    )
    each = (
        spec.training_algo,
        method.adapter,
        method.penalty,
        method.training_optimizer(),
        method.intervention,
        method.data,
    )
    algo, adapter, penalty, optimizer, intervention, data = tree.repeat(as_arrays(each), num)
    optimizer = replace(optimizer, learning_rate=optimizer.learning_rate * rate)
    if method.control.acts:
        optimizer, penalty = control.begin(method.control, optimizer, penalty, share, seeds)
    shared: dict[str, PyTree] = {
        "algo": algo,
        "network": spec.network,
        "seed": seeds.seeds,
        "index": seeds.indices,
        "num_updates": np.full(num, max(spec.num_updates, 1), np.int32),
    }
    guide = source.policy if method.data.guided else None
    world = World(**shared, data=data, source=sources, task=tasks, guide=guide)
    run = Run(
        **shared,
        adapter=adapter,
        penalty=penalty.term(),
        optimizer=optimizer,
        intervention=intervention,
        base=policy.params,
        statistics=policy.statistics,
    )
    keep = None if old is None else tree.repeat(as_arrays(method.keep), num)
    return Given(world, run, policy, penalty, source, old, keep)


def begin(runs: Given) -> tuple[World, Run, State, Policy]:
    """The runs on the devices, their state before the first update, and the policy to evaluate then."""
    world, run, policy, penalty, source, old, keep = devices.put(runs, len(runs.run.seed))
    carry, memory = enter.placed(world, policy, source)
    frozen, state, answer = first_state.placed(run, carry, memory, penalty, source, old, keep)
    return world, replace(run, base=frozen), state, answer


@per_run()
def first_state(
    run: Run, carry: HasStatistics, data: Tree, penalty: Penalty, source: Source, old: PyTree, keep: Keep | None
) -> tuple[Tree, State, Policy]:
    """The state before the first update.

    Args:
        run: what the run was given; its base is where training starts.
        carry: fresh environments.
        data: what the data axis remembers.
        penalty: the method's penalty, whose term the run has.
        source: what may be remembered of the agent that is being fine-tuned.
        old: state of the optimizer that trained the agent, or None.
        keep: which parts of it to keep; None keeps none.

    Returns:
        frozen: what the adapter holds fixed.
        state: before the first update.
        answer: the policy to evaluate.
    """
    # What an adapter draws is one draw for all members of a population, or their mean would have no meaning.
    freeze_key, adapter_key = (stream_key(run.seed, run.index % MEMBER, stream) for stream in (FREEZE, ADAPTER))
    frozen = run.adapter.freeze(freeze_key, run.base)
    delta = run.adapter.init(adapter_key, frozen)
    policy = Policy(run.adapter.merge(frozen, delta), run.statistics, run.network)
    carry = run.algo.begin(policy, carry)
    memory = Memory(
        data=data,
        penalty=penalty.init(run_key(run, PENALTY), run.algo, policy, source),
        intervention=run.intervention.init(run_key(run, INTERVENTION), run.algo, policy),
    )
    opt_state: PyTree = run.optimizer.build().init(delta)
    if keep is not None:
        opt_state = run.optimizer.inherit(opt_state, old, keep)
    sound = Fault(jnp.zeros((), jnp.int32), -jnp.ones((), jnp.int32))
    state, run = State(delta, opt_state, carry, memory, sound), replace(run, base=frozen)
    answer = evaluated_policy(run, state)
    # As in `update`, what is looked at must not be fused with what made it.
    state, params = jax.lax.optimization_barrier((state, answer.params))
    return frozen, state._replace(fault=sound._replace(quantity=first(finite_parts(state, params)))), answer


def tasks_of(spec: Spec, start: Start) -> Task:
    """The task of every run, leaves [R]."""
    return tree.repeat(spec.task, spec.num_runs) if start.tasks is None else start.tasks


def member_seeds(spec: Spec, start: Start) -> Seeds:
    """The seed and number of every member of every run's population."""
    numbers = spec.seeds.indices if start.numbers is None else start.numbers
    return seeds_of(spec.seed, spec.num_runs, spec.method.population, numbers)

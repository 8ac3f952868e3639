"""The first half of an update as a pure function: experience, which does not depend on how a run learns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.tree import Tree, map_leaves
from jaxrl_ft.core.types import Leaf, Metrics, PyTree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.data import Data
from jaxrl_ft.methods.penalties import Source
from jaxrl_ft.rl.algorithm import AnyAlgorithm, Guide, HasStatistics
from jaxrl_ft.training.keys import CARRY, DATA, MIXING, TASKS, stream_key
from jaxrl_ft.training.per_run import per_run


@config
class World:
    """What a run collects in, which never changes; under vmap every leaf has a leading axis of runs.

    It holds no adapter, penalty, optimizer or intervention, so that methods that differ in these alone share the
    program that makes their first environments.
    """

    algo: AnyAlgorithm
    network: Network
    data: Data
    source: Task
    """the task the agent was pretrained on"""
    task: Task
    """the task to train on"""
    guide: Policy | None
    """the base policy where it guides"""
    seed: Leaf
    """seed of the call, uint32"""
    index: Leaf
    """the run's number in the call, uint32"""
    num_updates: Leaf
    """length of the budget in updates, int32"""


class Rows(NamedTuple):
    """What an update learns from."""

    data: PyTree
    """flat rows, those of the rollout first, leaves [M, ...]"""
    mixed: PyTree
    """these with source rows behind them, leaves [M + K, ...]; None without replay"""
    indices: jax.Array
    """a minibatch for each gradient step, [G, B], into `whole`"""

    @property
    def whole(self) -> PyTree:
        """All rows that minibatches are drawn from."""
        return self.data if self.mixed is None else self.mixed


def environments(task: Task, num: int) -> Task:
    """The task with its physics repeated for each environment, leaves [N]."""
    return map_leaves(lambda leaf: jnp.broadcast_to(leaf, (num, *jnp.shape(leaf))), task)


def first_tasks(world: World) -> Task:
    """The tasks before the first update, leaves [N]."""
    tasks_key = stream_key(world.seed, world.index, TASKS)
    return world.data.tasks(tasks_key, world.source, world.task, jnp.zeros((), jnp.float32), world.algo.num_envs)


@per_run()
def enter(world: World, policy: Policy, source: Source) -> tuple[PyTree, Tree]:
    """Environments before the first update, and what the data axis remembers then.

    Args:
        world: what the run collects in.
        policy: where training starts.
        source: what may be remembered of the agent that is being fine-tuned.
    """
    carry_key, data_key = (stream_key(world.seed, world.index, s) for s in (CARRY, DATA))
    tasks = first_tasks(world)
    carry = world.algo.init_carry(carry_key, tasks, policy)
    if world.algo.steps_before():
        carry = world.algo.warm_up(jax.random.fold_in(carry_key, 1), tasks, policy, carry)
    return carry, world.data.init(data_key, source)


class Collected(NamedTuple):
    """The experience of an update, and what it leaves."""

    carry: PyTree
    """where the environments are now"""
    memory: Tree
    """what the data axis remembers now"""
    rows: Rows
    """what to learn from"""
    metrics: Metrics
    """sums over the episodes that ended"""


def collect(world: World, policy: Policy, carry: HasStatistics, memory: Tree, index: jax.Array) -> Collected:
    """The experience of update `index`.

    Args:
        world: what the run collects in.
        policy: the policy that acts.
        carry: where the last update left the environments.
        memory: what the data axis remembers.
        index: number of the update, from 0.
    """
    key, tasks, moment, guide = setting(world, memory, index)
    guided = {} if guide is None else {"guide": guide}
    return taken(world, memory, index, world.algo.collect(key, tasks, policy, carry, moment, **guided))


class Setting(NamedTuple):
    """What an update collects with."""

    key: jax.Array
    tasks: Task
    """leaves [N]"""
    moment: Moment
    guide: Guide | None


def setting(world: World, memory: Tree, index: jax.Array) -> Setting:
    """What update `index` collects with; the arguments are those of `collect`."""
    progress = index / world.num_updates
    tasks_key = jax.random.fold_in(stream_key(world.seed, world.index, TASKS), index)
    tasks = world.data.tasks(tasks_key, world.source, world.task, progress, world.algo.num_envs)
    guide = None if world.guide is None else Guide(world.guide, world.data.horizon(memory, progress))
    return Setting(stream_key(world.seed, world.index, index), tasks, Moment(progress, index), guide)


def taken(
    world: World, memory: Tree, index: jax.Array, collected: tuple[PyTree, PyTree, jax.Array, Metrics]
) -> Collected:
    """What `collect` returns, of what the algorithm collected in update `index`."""
    carry, data, indices, metrics = collected
    mixed = None
    if world.data.replays:
        mixing_key = jax.random.fold_in(stream_key(world.seed, world.index, MIXING), index)
        mixed, indices = world.data.mix(mixing_key, memory, data, indices)
    return Collected(carry, world.data.after_update(memory, metrics), Rows(data, mixed, indices), metrics)

"""Experience of a policy that does not learn, before training: a look at a task, or rows to remember the source by."""

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl import rollout
from jaxrl_ft.rl.algorithm import Actor, AnyAlgorithm, HasStatistics
from jaxrl_ft.rl.rollout import Transition
from jaxrl_ft.training.collect import environments
from jaxrl_ft.training.keys import SOURCE, Seeds
from jaxrl_ft.training.per_run import per_run


def num_rollouts(algo: AnyAlgorithm, steps: int) -> int:
    """Rollouts of the algorithm that take at least so many environment steps."""
    return -(-steps // int(algo.steps_per_update()))


def source_rows(algo: AnyAlgorithm, policies: Policy, task: Task, seeds: Seeds, steps: int) -> PyTree:
    """Experience of every run's policy on a task: the algorithm's flat data of at least `steps` rows, [R, M, ...]."""
    each = tree.repeat((as_arrays(algo), task), len(seeds.seeds))
    return gather(num_rollouts(algo, steps), each[0], policies, each[1], seeds)


@per_run(static=("num_rollouts",))
def gather(num_rollouts: int, algo: AnyAlgorithm, policy: Policy, task: Task, seeds: Seeds) -> PyTree:
    """The algorithm's flat rows of rollouts by a policy that does not learn, [M, ...], shuffled.

    Args:
        num_rollouts: rollouts in a row, in environments that are not reset between them.
        algo: the algorithm.
        policy: the policy that acts.
        task: where.
        seeds: of the run.
    """
    tasks = environments(task, algo.num_envs)
    carry_key, order_key, *keys = jax.random.split(seeds.key(SOURCE), num_rollouts + 2)
    carry = algo.init_carry(carry_key, tasks, policy)

    def rollout(carry: HasStatistics, inputs: tuple[jax.Array, jax.Array]) -> tuple[PyTree, PyTree]:
        # Exploration is as it is at the end of training.
        moment = Moment(jnp.ones((), jnp.float32), inputs[1])
        after, data, _, _ = algo.collect(inputs[0], tasks, policy, carry, moment)
        # The policy must not change while it is watched, and so neither may its normaliser.
        return after._replace(statistics=carry.statistics), tree.take(data, slice(algo.steps_per_update()))

    _, data = jax.lax.scan(rollout, carry, (jnp.stack(keys), jnp.arange(num_rollouts, dtype=jnp.int32)))
    rows = jax.tree.map(lambda leaf: leaf.reshape((-1, *leaf.shape[2:])), data)
    order = jax.random.permutation(order_key, jnp.arange(jax.tree.leaves(rows)[0].shape[0], dtype=jnp.int32))
    return jax.tree.map(lambda leaf: leaf[order], rows)


@per_run(static=("num_envs", "num_steps"), brief=True)
def transitions(
    num_envs: int, num_steps: int, actor: Actor, policy: Policy, task: Task, seeds: Seeds, number: jax.Array
) -> tuple[jax.Array, Transition]:
    """First observations [N, O] and transitions [T, N, ...] of a policy that does not learn.

    It acts by samples; in the first half of the environments every action is as likely as any other, since a policy
    that is sure of itself shows little of what the other actions do.

    Args:
        num_envs: N.
        num_steps: T.
        actor: the algorithm's; gives the distribution and its noise.
        policy: the policy that acts.
        task: where.
        seeds: of the run.
        number: of the look; equal numbers have equal random numbers.
    """
    key = jax.random.fold_in(seeds.key(SOURCE), number)
    at_random = jnp.arange(num_envs, dtype=jnp.int32) < num_envs // 2
    return rollout_of(actor, num_envs, num_steps, policy, task, key, at_random)


def rollout_of(
    actor: Actor, num_envs: int, num_steps: int, policy: Policy, task: Task, key: jax.Array, at_random: jax.Array
) -> tuple[jax.Array, Transition]:
    """First observations and transitions; environments `at_random` [N] see actions drawn without the policy."""
    tasks = environments(task, num_envs)
    start_key, draw_key, noise_key = jax.random.split(key, 3)
    shape = (num_steps, num_envs)
    obs, env_state = rollout.start(start_key, tasks, num_envs)

    def act(obs: jax.Array, noise: jax.Array, _: PyTree) -> jax.Array:
        own, random = actor.distribution(policy, obs).sample(noise), actor.random_action(tasks, noise)
        return jnp.where(at_random.reshape((-1,) + (1,) * (own.ndim - 1)), random, own)

    draws, noise = tasks.draw(draw_key, shape), actor.noise(tasks, noise_key, shape)
    _, _, steps = rollout.rollout(tasks, act, draws, noise, obs, env_state)
    return obs, steps


@per_run(static=("num",), brief=True)
def starts(num: int, task: Task, seeds: Seeds, number: jax.Array) -> jax.Array:
    """First observations [N, O] of episodes of a task."""
    key = jax.random.fold_in(seeds.key(SOURCE), number)
    return rollout.start(key, environments(task, num), num)[0]

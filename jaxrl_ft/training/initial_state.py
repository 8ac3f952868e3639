"""What happens before the first update: source experience, memories, the state that updates start from."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.interventions.neurons import dormancy
from jaxrl_ft.methods.optimizers.keeping import Keep
from jaxrl_ft.methods.penalties import Penalty, Source
from jaxrl_ft.rl import rollout
from jaxrl_ft.rl.rollout import Transition
from jaxrl_ft.training import collect
from jaxrl_ft.training.keys import ADAPTER, FREEZE, INTERVENTION, MEMBER, PENALTY, stream_key
from jaxrl_ft.training.update import Memory, Run, State, evaluated_policy, policy_of, run_key

DORMANT = 0.1
"""Score up to which a unit counts as dormant, a tenth of its layer's mean."""


def gather(algo: Any, num_rollouts: int, policy: Policy, task: Task, key: jax.Array) -> Any:
    """The algorithm's flat data of rollouts by a policy that does not learn, rows [M, ...], shuffled.

    Args:
        algo: the algorithm.
        num_rollouts: rollouts in a row, in environments that go on from one to the next.
        policy: who acts.
        task: where.
        key: PRNG key.
    """
    tasks = collect.environments(task, algo.num_envs)
    carry_key, order_key, *keys = jax.random.split(key, num_rollouts + 2)
    carry = algo.init_carry(carry_key, tasks, policy)

    def rollout(carry: Any, key: jax.Array) -> tuple[Any, Any]:
        after, data, _, _ = algo.collect(key, tasks, policy, carry)
        # The policy must not change while it is watched, and so neither may its normaliser.
        return after._replace(statistics=carry.statistics), data

    _, data = jax.lax.scan(rollout, carry, jnp.stack(keys))
    rows = jax.tree.map(lambda leaf: leaf.reshape((-1, *leaf.shape[2:])), data)
    order = jax.random.permutation(order_key, jnp.arange(jax.tree.leaves(rows)[0].shape[0], dtype=jnp.int32))
    return jax.tree.map(lambda leaf: leaf[order], rows)


def watch(
    algo: Any, num_envs: int, num_steps: int, policy: Policy, task: Task, key: jax.Array
) -> tuple[jax.Array, Transition]:
    """First observations [N, O] and transitions [T, N, ...] of a policy that does not learn.

    It acts by samples; in the first half of the environments every action is as likely as any other, since a policy
    that is sure of itself shows little of what the other actions do.

    Args:
        algo: gives the distribution and its noise.
        num_envs: N.
        num_steps: T.
        policy: who acts.
        task: where.
        key: PRNG key.
    """
    at_random = jnp.arange(num_envs, dtype=jnp.int32) < num_envs // 2
    return _experience(algo, num_envs, num_steps, policy, task, key, at_random)


def divergence(
    algo: Any, num_envs: int, num_steps: int, tuned: Policy, base: Policy, task: Task, key: jax.Array
) -> jax.Array:
    """Mean of KL(base ‖ tuned), in nats, over the T N states in which the tuned policy chooses its actions, a scalar.

    It acts by samples in N environments that start anew where episodes end.

    Args:
        algo: gives the distribution and its noise.
        num_envs: N.
        num_steps: T.
        tuned: who acts.
        base: what it is compared with, in the same states.
        task: where.
        key: PRNG key.
    """
    _, steps = _experience(algo, num_envs, num_steps, tuned, task, key, jnp.zeros(num_envs, bool))
    return algo.distribution(base, steps.obs).kl(algo.distribution(tuned, steps.obs)).mean()


def signs(algo: Any, policy: Policy, task: Task, key: jax.Array) -> dict[str, jax.Array]:
    """What one rollout of a policy shows before it learns: of the states it meets, and of what learning would meet.

    Args:
        algo: the algorithm.
        policy: who acts, by samples.
        task: where; in environments just begun.
        key: PRNG key.

    Returns:
        obs_mean, obs_covariance: moments of the observations [O] and [O, O].
        entropy: mean of the policy's entropy in these states, in nats.
        value_loss: the algorithm's own loss of the critic; 0 where it has none.
        gradient: norm of the loss's gradient on the whole rollout over the norm of the parameters.
        dormant: share of hidden units with a score of at most 0.1 (Sokar et al. 2023, arXiv:2302.12902).
    """
    tasks = collect.environments(task, algo.num_envs)
    carry_key, collect_key = jax.random.split(key)
    carry = algo.init_carry(carry_key, tasks, policy)
    _, data, _, _ = algo.collect(collect_key, tasks, policy, carry)

    def loss(params: Tree) -> tuple[jax.Array, Any]:
        return algo.loss(policy._replace(params=params), carry, data)

    gradient, metrics = jax.grad(loss, has_aux=True)(policy.params)
    mean = data.obs.mean(axis=0)
    centred = data.obs - mean[None]
    scores = [dormancy(layer) for layer in algo.features(policy, data.obs).values()]
    return {
        "obs_mean": mean,
        "obs_covariance": centred.T @ centred / len(centred),
        "entropy": algo.distribution(policy, data.obs).entropy().mean(),
        "value_loss": metrics.get("loss/value", jnp.zeros((), jnp.float32)),
        "gradient": jnp.linalg.norm(tree.ravel(gradient)) / jnp.linalg.norm(tree.ravel(policy.params)),
        "dormant": (jnp.concatenate(scores) <= DORMANT).mean(),
    }


def _experience(
    algo: Any, num_envs: int, num_steps: int, policy: Policy, task: Task, key: jax.Array, at_random: jax.Array
) -> tuple[jax.Array, Transition]:
    """First observations and transitions; environments `at_random` [N] see actions drawn without the policy."""
    tasks = collect.environments(task, num_envs)
    start_key, draw_key, noise_key = jax.random.split(key, 3)
    shape = (num_steps, num_envs)
    obs, env_state = rollout.start(start_key, tasks, num_envs)

    def act(obs: jax.Array, noise: jax.Array, _: Any) -> jax.Array:
        own, random = algo.distribution(policy, obs).sample(noise), algo.random_action(tasks, noise)
        return jnp.where(at_random.reshape((-1,) + (1,) * (own.ndim - 1)), random, own)

    draws, noise = tasks.draw(draw_key, shape), algo.noise(tasks, noise_key, shape)
    _, _, steps = rollout.rollout(tasks, act, draws, noise, obs, env_state)
    return obs, steps


def begin(
    run: Run, carry: Any, penalty: Penalty, source: Source, old: Any, keep: Keep | None
) -> tuple[Tree, State, Policy, Policy]:
    """What stands before the first update.

    Args:
        run: what the run was given; its base is where training starts.
        carry: fresh environments.
        penalty: the method's penalty, whose term the run has.
        source: what may be remembered of the agent that is being fine-tuned.
        old: state of the optimizer that trained the agent, or None.
        keep: what of it to keep; None for nothing.

    Returns:
        frozen: what the adapter holds fixed.
        state: before the first update.
        policy: who collects first.
        answer: the policy to evaluate.
    """
    # What an adapter draws is one draw for all members of a population, or their mean would have no meaning.
    freeze_key, adapter_key = (stream_key(run.seed, run.index % MEMBER, stream) for stream in (FREEZE, ADAPTER))
    frozen = run.adapter.freeze(freeze_key, run.base)
    delta = run.adapter.init(adapter_key, frozen)
    policy = Policy(run.adapter.merge(frozen, delta), run.statistics, run.network)
    memory = Memory(
        penalty=penalty.init(run_key(run, PENALTY), run.algo, policy, source),
        intervention=run.intervention.init(run_key(run, INTERVENTION), run.algo, policy),
    )
    opt_state = run.optimizer.build().init(delta)
    if keep is not None:
        opt_state = run.optimizer.inherit(opt_state, old, keep)
    state, run = State(delta, opt_state, carry, memory), replace(run, base=frozen)
    return frozen, state, policy_of(run, state), evaluated_policy(run, state)

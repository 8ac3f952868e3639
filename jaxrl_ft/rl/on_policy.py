"""What algorithms share that learn from each rollout once: environments, normaliser, guide, advantages."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import EnvState, Key, Metrics, PyTree, Scalar, Statistics
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl import actor_critic, normalizer, returns, rollout
from jaxrl_ft.rl.algorithm import Guide, Learner
from jaxrl_ft.rl.distributions import Distribution


class Carry(NamedTuple):
    """State that lasts from update to update; leaves [N, ...] but for the statistics."""

    obs: Float[Array, "N O"]
    env_state: EnvState
    episodes: rollout.Episodes
    discounted_return: Float[Array, " N"]
    statistics: Statistics


AnyCarry = TypeVar("AnyCarry", bound=Any)


class Collector(Learner):
    """An algorithm that steps environments side by side, rollout by rollout; a subclass has these fields."""

    num_envs: int
    """environments stepped side by side"""
    num_steps: int
    """steps of each environment in a rollout"""
    gamma: float
    """discount per step"""
    normalize_obs: bool
    """whether observations are normalised"""
    obs_epsilon: float
    """added to the variance of observations"""
    obs_clip: float
    """largest absolute value of a normalised observation"""
    normalize_reward: bool
    """whether rewards are scaled"""
    TELLS_LOG_PROB: ClassVar[bool] = False
    """whether something is learned from how probable actions were when they were taken"""

    def steps_per_update(self) -> int:
        """Environment steps in a rollout."""
        return self.num_envs * self.num_steps

    def init_statistics(self, task: Task) -> Statistics:
        """Empty moments `obs` and `reward`, each only when it is normalised, and what the actor keeps of a task."""
        statistics: Statistics = self.actor.init_statistics(task)
        if self.normalize_obs:
            statistics["obs"] = normalizer.init((task.obs_size,), self.obs_epsilon, self.obs_clip)
        if self.normalize_reward:
            statistics["reward"] = normalizer.init()
        return statistics

    def init_carry(self, key: Key, tasks: Task, policy: Policy) -> PyTree:
        """N fresh environments, and what `first_carry` adds."""
        return self.first_carry(*rollout.start(key, tasks, self.num_envs), tasks, policy)

    def first_carry(self, obs: Float[Array, "N O"], env_state: EnvState, tasks: Task, policy: Policy) -> PyTree:
        """The first carry, of environments that were just reset; see `Stepwise`."""
        return first_carry(obs, env_state, policy)

    def keys(self, key: Key) -> tuple[rollout.Keys, rollout.Keys]:
        """Those of environments and of actions, and one for what is learned; see `Stepwise`."""
        env_key, action_key, order_key = jax.random.split(key, 3)
        return (env_key, action_key), (order_key,)

    def behaviour(
        self,
        keys: rollout.Keys,
        tasks: Task,
        policy: Policy,
        moment: Moment,
        guide: Guide | None = None,
        warming: bool = False,
    ) -> rollout.Behaviour:
        """Samples of the policy, or of a guide while episodes are young, with what `TELLS_LOG_PROB` asks for."""
        env_key, action_key = keys
        noise = self.noise(tasks, action_key, (self.num_steps, self.num_envs))

        def act(obs: Array, noise: Array, age: rollout.Age) -> Array:
            return of_actor(self, lambda d: d.sample(noise), policy, guide, obs, age)

        log_prob = functools.partial(_log_prob, self, policy, guide) if self.TELLS_LOG_PROB else None
        return rollout.Behaviour(act, noise, env_key, log_prob)

    def experience(
        self,
        keys: rollout.Keys,
        tasks: Task,
        policy: Policy,
        carry: PyTree,
        steps: rollout.Transition,
        moment: Moment,
        guide: Guide | None = None,
    ) -> tuple[PyTree, PyTree, Int[Array, "G B"], Metrics]:
        """What is learned from a rollout; see `Stepwise`."""
        raise NotImplementedError

    def collect(
        self, key: Key, tasks: Task, policy: Policy, carry: PyTree, moment: Moment, guide: Guide | None = None
    ) -> tuple[PyTree, PyTree, Int[Array, "G B"], Metrics]:
        """A rollout of T x N steps as `behaviour` acts, and what `experience` makes of it."""
        acting, learning = self.keys(key)
        behaviour = self.behaviour(acting, tasks, policy, moment, guide)
        carry, steps = stepped(behaviour, tasks, carry, guide)
        return self.experience(learning, tasks, policy, carry, steps, moment, guide)


def check_minibatches(algo: Collector, num_minibatches: int) -> None:
    """Refuse a number of minibatches that does not divide the rows of a rollout.

    Raises:
        ValueError: `num_envs` x `num_steps` is not a multiple of it.
    """
    rows = algo.steps_per_update()
    if rows % num_minibatches:
        raise ValueError(
            f"num_minibatches: {num_minibatches} does not divide the batch of {algo.num_envs} environments x "
            f"{algo.num_steps} steps = {rows}"
        )


def first_carry(obs: Float[Array, "N O"], env_state: EnvState, policy: Policy) -> Carry:
    """N environments that were just reset, and the policy's statistics to go on from."""
    zeros = jnp.zeros(obs.shape[:1], jnp.float32)
    return Carry(obs, env_state, rollout.Episodes(zeros, zeros), zeros, policy.statistics)


def stepped(
    behaviour: rollout.Behaviour, tasks: Task, carry: AnyCarry, guide: Guide | None
) -> tuple[AnyCarry, rollout.Transition]:
    """A rollout of T x N steps: the carry with its environments where they are then, and the transitions.

    Args:
        behaviour: how to act.
        tasks: with a leading axis [N].
        carry: where the last rollout left the environments; a named tuple with the fields of `Carry`.
        guide: whether ages are counted; `behaviour` decides who acts.
    """
    obs, env_state, steps = rollout.rollout(
        tasks,
        behaviour.act,
        tasks.draw(behaviour.key, behaviour.noise.shape[:2]),
        behaviour.noise,
        carry.obs,
        carry.env_state,
        None if guide is None else carry.episodes.episode_length,
        behaviour.log_prob,
    )
    return carry._replace(obs=obs, env_state=env_state), steps


def taken_in(
    gamma: Scalar, carry: AnyCarry, steps: rollout.Transition
) -> tuple[AnyCarry, Float[Array, "T N"], Metrics]:
    """The carry with a rollout counted and taken into the statistics.

    Args:
        gamma: discount per step.
        carry: a named tuple with the fields of `Carry`; its environments are where the rollout left them.
        steps: the transitions.

    Returns:
        carry: episodes and statistics with the rollout taken in.
        reward: as it is learned from, scaled where rewards are, [T, N].
        metrics: sums over the episodes that ended, under `rollout/`.
    """
    episodes, sums = rollout.count_episodes(carry.episodes, steps)
    reward, discounted, statistics = _normalized(gamma, carry, steps)
    metrics = {f"rollout/{name}": value for name, value in sums.items()}
    metrics[rollout.NOT_FINITE] = rollout.first_not_finite(steps)
    carry = carry._replace(episodes=episodes, discounted_return=discounted, statistics=statistics)
    return carry, reward, metrics


def of_actor(
    algo: Learner,
    quantity: Callable[[Distribution], Shaped[Array, "..."]],
    policy: Policy,
    guide: Guide | None,
    obs: Float[Array, "*B O"],
    age: Float[Array, "*B"] | None,
) -> Shaped[Array, "..."]:
    """Return the quantity of the acting policy's distribution at obs [..., O] and age [...]."""
    own = quantity(algo.distribution(policy, obs))
    if guide is None or age is None:
        return own
    guided = quantity(algo.distribution(guide.policy, obs))
    young = (age < guide.horizon).reshape(age.shape + (1,) * (own.ndim - age.ndim))
    return jnp.where(young, guided, own)


def _log_prob(
    algo: Learner,
    policy: Policy,
    guide: Guide | None,
    obs: Float[Array, "N O"],
    action: Shaped[Array, "N ..."],
    age: rollout.Age,
) -> Float[Array, " N"]:
    return of_actor(algo, lambda d: d.log_prob(action), policy, guide, obs, age)


def advantages(
    policy: Policy, steps: rollout.Transition, reward: Float[Array, "T N"], gamma: Scalar, gae_lambda: Scalar
) -> tuple[Float[Array, "T N"], Float[Array, "T N"]]:
    """Values of a rollout by the critic, and generalised advantage estimates; [T, N] each."""
    value = actor_critic.values(policy, steps.obs)
    next_value = successor_values(lambda obs: actor_critic.values(policy, obs), value, steps)
    done = steps.terminated | steps.truncated
    return value, returns.gae(reward, value, next_value, steps.terminated, done, gamma, gae_lambda)


def successor_values(
    values: Callable[[Float[Array, "N O"]], Float[Array, " N"]], value: Float[Array, "T N"], steps: rollout.Transition
) -> Float[Array, "T N"]:
    """Values [T, N] of the successors of a rollout, before any reset; of a terminal one, which has none, any number.

    Where an episode goes on, the successor is the next row, whose value is known. Only those of the last row and of
    episodes that a time limit cut are computed, one of each environment at a time.

    Args:
        values: of observations [N, O].
        value: those of `steps.obs`, [T, N].
        steps: the transitions.
    """
    times = jnp.arange(len(value), dtype=jnp.int32)[:, None]

    def some(known: tuple[Array, Array]) -> tuple[Array, Array]:
        found, missing = known
        first = jnp.argmax(missing, axis=0).astype(jnp.int32)
        obs = jnp.take_along_axis(steps.next_obs, first[None, :, None], axis=0)[0]
        now = missing & (times == first[None])
        return jnp.where(now, values(obs)[None], found), missing & ~now

    missing = (steps.truncated | (times == len(value) - 1)) & ~steps.terminated
    found: Array = jax.lax.while_loop(lambda known: known[1].any(), some, (jnp.roll(value, -1, axis=0), missing))[0]
    return found


def _normalized(
    gamma: Scalar, carry: AnyCarry, steps: rollout.Transition
) -> tuple[Float[Array, "T N"], Float[Array, " N"], Statistics]:
    statistics = dict(carry.statistics)
    discounted, reward = carry.discounted_return, steps.reward
    if "obs" in statistics:
        flat = steps.obs.reshape((-1, steps.obs.shape[-1]))
        statistics["obs"] = normalizer.update(statistics["obs"], flat)
    if "reward" in statistics:
        done = steps.terminated | steps.truncated

        def step(total: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            total = gamma * total + inputs[0]
            # What is not finite would stay so until the episode ends.
            return jnp.where(inputs[1] | ~jnp.isfinite(total), 0.0, total), total

        discounted, totals = jax.lax.scan(step, discounted, (reward, done))
        statistics["reward"] = normalizer.update(statistics["reward"], totals.reshape(-1))
        reward = normalizer.scale(statistics["reward"], reward)
    return reward, discounted, statistics


def own_rows(guide: Guide | None, steps: rollout.Transition) -> Float[Array, "T N"]:
    """1 where the policy itself acted and 0 where a guide did, [T, N]."""
    if guide is None or steps.age is None:
        return jnp.ones_like(steps.reward)
    return (steps.age >= guide.horizon).astype(jnp.float32)


def one_batch(num: int) -> Int[Array, "1 {num}"]:
    """The indices of one gradient step on all rows."""
    return jnp.arange(num, dtype=jnp.int32)[None]

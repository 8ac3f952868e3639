"""What algorithms share that learn from a replay: rollouts into it, draws from it, target networks."""

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from jaxrl_ft.core import tree
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import EnvState, Key, Metrics, Params, Scalar, Statistics
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.nets.catalogue import suited
from jaxrl_ft.nets.mlp import MLP
from jaxrl_ft.rl import on_policy, replay, returns, rollout
from jaxrl_ft.rl.algorithm import Guide
from jaxrl_ft.rl.replay import Replay
from jaxrl_ft.rl.rollout import Act

_SMALLEST_ERROR = 1e-6
"""Added to an error, so that no row that was written is never drawn."""


class Stored(NamedTuple):
    """Transitions over up to n steps as a replay holds them, [M, ...]."""

    obs: Float[Array, "M O"]
    action: Shaped[Array, " M *A"]
    reward: Float[Array, " M"]
    """discounted sum over the steps"""
    discount: Float[Array, " M"]
    """factor of the value that follows; 0 after a natural end"""
    next_obs: Float[Array, "M O"]
    """after the last of the steps"""


class Batch(NamedTuple):
    """Transitions to learn from, [B, ...]: the fields of `Stored`, and what is drawn with them."""

    obs: Float[Array, "B O"]
    action: Shaped[Array, " B *A"]
    reward: Float[Array, " B"]
    discount: Float[Array, " B"]
    next_obs: Float[Array, "B O"]
    weight: Float[Array, " B"]
    """of the row in the loss"""
    noise: Float[Array, "B _"] | None
    """random numbers for the loss; None where it needs none"""


class Carry(NamedTuple):
    """State that lasts from update to update; leaves of the environments are [N, ...]."""

    obs: Float[Array, "N O"]
    env_state: EnvState
    episodes: rollout.Episodes
    discounted_return: Float[Array, " N"]
    statistics: Statistics
    replay: Replay
    target: Params
    """parameters of the target networks, by group"""
    drawn: Int[Array, " K"] | None
    """positions in the replay of the rows that the present update learns from; None where no priority needs them"""
    steps: Int[Array, ""]
    """gradient steps so far"""


class OffPolicy(on_policy.Collector):
    """Rollouts into a replay in the carry, and gradient steps on rows drawn from it.

    The rows of all gradient steps of an update are drawn before the first of them, in one gather. A subclass has these
    fields, says how it explores, and which groups have a target network.
    """

    TARGETS: ClassVar[tuple[str, ...]] = ()
    """groups of parameters with a target network"""
    gradient_steps: int
    batch_size: int
    replay_size: int
    learning_starts: int
    num_returns: int
    exploration_hold: int
    target_update: Literal["polyak", "periodic"]
    tau: float
    target_period: int
    prioritized: bool
    priority_exponent: float
    importance_exponent: float

    def explorer(self, tasks: Task, policy: Policy, guide: Guide | None, progress: Scalar, warming: bool) -> Act:
        """How actions are chosen while collecting.

        Args:
            tasks: with a leading axis [N].
            policy: the policy.
            guide: acts while episodes are young, or none.
            progress: share of the budget used.
            warming: whether this is before the first update.
        """
        raise NotImplementedError

    def exploration_noise(self, key: Key, tasks: Task) -> Float[Array, "T N _"]:
        """The random numbers that `explorer` needs for a rollout, [T, N, ...]."""
        raise NotImplementedError

    def held(self, draw: Callable[[int], Float[Array, "K N _"]]) -> Float[Array, "T N _"]:
        """Random numbers [T, N, ...] of a rollout, each for `exploration_hold` steps, from a draw of so many steps."""
        drawn = draw(-(-self.num_steps // self.exploration_hold))
        return jnp.repeat(drawn, self.exploration_hold, axis=0)[: self.num_steps]

    def loss_noise(self, key: Key, tasks: Task, num: int) -> Float[Array, "{num} _"] | None:
        """The random numbers that the loss needs for each row, [num, ...]; none."""
        return None

    def usual_network(self, task: Task) -> Network:
        """Two layers of 64 relu units, or convolutions for images; with layer norm."""
        return suited(MLP(activation="relu", layer_norm=True), task.obs_shapes)

    def check(self) -> None:
        """Refuse a replay that is smaller than a batch or what comes before learning, and what goes beyond a rollout.

        Raises:
            ValueError: names the field.
        """
        for name in ("batch_size", "learning_starts"):
            if getattr(self, name) > self.replay_size:
                raise ValueError(
                    f"replay_size: {self.replay_size} is not allowed; it is below {name}, {getattr(self, name)}"
                )
        if self.num_returns > self.num_steps:
            raise ValueError(
                f"num_returns: {self.num_returns} is not allowed; returns end with a rollout of num_steps, "
                f"{self.num_steps}"
            )
        if self.exploration_hold > self.num_steps:
            raise ValueError(
                f"exploration_hold: {self.exploration_hold} is not allowed; random numbers are drawn for a rollout of "
                f"num_steps, {self.num_steps}"
            )

    def gradient_steps_per_update(self) -> int:
        """`gradient_steps`."""
        return self.gradient_steps

    def steps_before(self) -> int:
        """`learning_starts` in whole rollouts."""
        return -(-self.learning_starts // self.steps_per_update()) * self.steps_per_update()

    def beginnings(self) -> tuple[str, ...]:
        """Of the replay and the target networks."""
        steps = self.steps_before()
        begins = f"begins with {steps:,} env steps of this training" if steps else "begins empty"
        return (
            f"replay of the algorithm: {begins}, holds {self._capacity():,}",
            "target networks: equal to those that training starts from",
        )

    def stored_bytes(self, task: Task) -> int:
        """Bytes of the replay, priorities included."""
        return 4 * self._capacity() * (_width(task) + self.prioritized)

    def _capacity(self) -> int:
        return -(-self.replay_size // self.steps_per_update()) * self.steps_per_update()

    def first_carry(self, obs: Float[Array, "N O"], env_state: EnvState, tasks: Task, policy: Policy) -> Carry:
        """An empty replay, and the policy's parameters as those of the target networks."""
        worlds = on_policy.first_carry(obs, env_state, policy)
        stored = replay.empty(self._capacity(), _width(tasks), self.prioritized)
        num = self.gradient_steps * self.batch_size
        drawn = jnp.zeros((num,), jnp.int32) if self.prioritized else None
        target = {group: policy.params[group] for group in self.TARGETS}
        return Carry(*worlds, stored, target, drawn, jnp.zeros((), jnp.int32))

    def warm_up(self, key: Key, tasks: Task, policy: Policy, carry: Carry) -> Carry:
        """The carry with `steps_before` environment steps in its replay, explored as at the start."""
        num = self.steps_before() // self.steps_per_update()

        def step(carry: Carry, inputs: tuple[Array, Array]) -> tuple[Carry, None]:
            moment = Moment(jnp.zeros((), jnp.float32), inputs[1])
            behaviour = self.behaviour((inputs[0],), tasks, policy, moment, warming=True)
            return self.stored(*on_policy.stepped(behaviour, tasks, carry, None), moment), None

        numbers = jnp.arange(-num, 0, dtype=jnp.int32)
        carry, _ = jax.lax.scan(step, carry, (jax.random.split(key, num), numbers))
        return carry

    def stored(self, carry: Carry, steps: rollout.Transition, moment: Moment) -> Carry:
        """The carry with a rollout of before the first update in its replay; see `Stepwise`."""
        carry, rows, _ = self._transitions(carry, steps)
        written = replay.write(carry.replay, replay.packed(rows), moment.step)
        return carry._replace(replay=written._replace(warm=written.warm + self.steps_per_update()))

    def keys(self, key: Key) -> tuple[rollout.Keys, rollout.Keys]:
        """One to explore, and those of the replay and of what it is learned with; see `Stepwise`."""
        explore_key, replay_key, noise_key = jax.random.split(key, 3)
        return (explore_key,), (replay_key, noise_key)

    def behaviour(
        self,
        keys: rollout.Keys,
        tasks: Task,
        policy: Policy,
        moment: Moment,
        guide: Guide | None = None,
        warming: bool = False,
    ) -> rollout.Behaviour:
        """As `explorer` acts."""
        draw_key, noise_key = jax.random.split(keys[0])
        act = self.explorer(tasks, policy, guide, moment.progress, warming)
        return rollout.Behaviour(act, self.exploration_noise(noise_key, tasks), draw_key)

    def begin(self, policy: Policy, carry: Carry) -> Carry:
        """The carry with target networks equal to those that train."""
        return carry._replace(target={group: policy.params[group] for group in self.TARGETS})

    def experience(
        self,
        keys: rollout.Keys,
        tasks: Task,
        policy: Policy,
        carry: Carry,
        steps: rollout.Transition,
        moment: Moment,
        guide: Guide | None = None,
    ) -> tuple[Carry, Batch, Int[Array, "G B"], Metrics]:
        """The rows of a rollout, and behind them those of the replay for every gradient step."""
        replay_key, noise_key = keys
        carry, fresh, metrics = self._transitions(carry, steps)
        num, drawn = self.steps_per_update(), self.gradient_steps * self.batch_size
        stored = replay.write(carry.replay, replay.packed(fresh), moment.step)
        size = replay.filled(stored, moment.step, num)
        weight = jnp.ones((drawn,), jnp.float32)
        if stored.priority is None:
            positions = replay.uniform(replay_key, stored, size, (drawn,))
        else:
            positions = self._by_priority(replay_key, stored.priority)
            exponent = self.importance_exponent + (1.0 - self.importance_exponent) * moment.progress
            weight = replay.importance_weights(stored.priority, positions, size, exponent)
            carry = carry._replace(drawn=positions)
        sampled = replay.unpacked(stored.rows[positions], fresh)
        rows = jax.tree.map(lambda new, old: jnp.concatenate([new, old]), fresh, sampled)
        weight = jnp.concatenate([jnp.ones((num,), jnp.float32), weight])
        data = Batch(**rows._asdict(), weight=weight, noise=self.loss_noise(noise_key, tasks, num + drawn))
        indices = num + jnp.arange(drawn, dtype=jnp.int32).reshape((self.gradient_steps, self.batch_size))
        return carry._replace(replay=stored), data, indices, metrics

    def _transitions(self, carry: Carry, steps: rollout.Transition) -> tuple[Carry, Stored, Metrics]:
        """A rollout as transitions over n steps, [T * N]."""
        carry, reward, metrics = on_policy.taken_in(self.gamma, carry, steps)
        done = steps.terminated | steps.truncated
        total, discount, last = returns.n_step(reward, steps.terminated, done, self.gamma, self.num_returns)
        next_obs = jnp.take_along_axis(steps.next_obs, last[..., None], axis=0)
        rows, left_out = rollout.flat_rows(Stored(steps.obs, steps.action, total, discount, next_obs))
        return carry, rows, {**metrics, "rollout/left_out": left_out}

    def _by_priority(self, key: Key, priority: Float[Array, " C"]) -> Int[Array, " K"]:
        """Positions by priority; the strata of each gradient step span all of the replay."""
        keys = jax.random.split(key, self.gradient_steps)
        return jax.vmap(lambda key: replay.proportional(key, priority, self.batch_size))(keys).reshape(-1)

    def after_step(self, params: Params, carry: Carry, indices: Int[Array, " B"], metrics: Metrics) -> Carry:
        """The carry with the target networks moved, and the rows of the step drawn by their errors from now on."""
        steps = carry.steps + 1
        online = {group: params[group] for group in self.TARGETS}
        if self.target_update == "polyak":
            target = jax.tree.map(lambda old, new: old + self.tau * (new - old), carry.target, online)
        else:
            target = tree.where(steps % self.target_period == 0, online, carry.target)
        carry = carry._replace(target=target, steps=steps)
        if carry.drawn is None or carry.replay.priority is None or carry.replay.highest is None:
            return carry
        # Rows of the rollout itself and source rows are none of the replay's.
        place = indices - self.steps_per_update()
        mine = (place >= 0) & (place < carry.drawn.shape[0])
        size = carry.replay.priority.shape[0]
        rows = jnp.where(mine, carry.drawn[jnp.clip(place, 0, carry.drawn.shape[0] - 1)], size)
        new = (metrics["loss/error"] + _SMALLEST_ERROR) ** self.priority_exponent
        new = jnp.where(jnp.isfinite(new), new, carry.replay.highest)
        stored = carry.replay._replace(
            priority=carry.replay.priority.at[rows].set(new, mode="drop"),
            highest=jnp.maximum(carry.replay.highest, jnp.max(jnp.where(mine, new, 0.0))),
        )
        return carry._replace(replay=stored)


def _width(task: Task) -> int:
    """Numbers of a stored row."""
    space = task.action_space
    return 2 * task.obs_size + (space.size if isinstance(space, Box) else 1) + 2

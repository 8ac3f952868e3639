"""The protocol of an algorithm, and what most algorithms share."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

from jaxtyping import Array, Float, Int, Shaped

from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Network, Policy
from jaxrl_ft.core.types import EnvState, Key, Metrics, Params, PyTree, Statistics
from jaxrl_ft.envs.task import Task
from jaxrl_ft.nets.catalogue import suited
from jaxrl_ft.nets.mlp import MLP
from jaxrl_ft.rl.distributions import Distribution
from jaxrl_ft.rl.rollout import Behaviour, Keys, Transition


@runtime_checkable
class HasStatistics(Protocol):
    """A carry, which lasts from update to update; its other fields belong to the algorithm."""

    @property
    def statistics(self) -> Statistics:
        """The running statistics of the normaliser."""
        ...


Carry = TypeVar("Carry", bound=HasStatistics)
Batch = TypeVar("Batch")
Own = TypeVar("Own")


class Guide(NamedTuple):
    """A policy that acts at the start of every episode (Uchendu et al. 2023, arXiv:2204.02372)."""

    policy: Policy
    """acts with its own statistics; its actions are those of the policy it guides"""
    horizon: Float[Array, ""]
    """acts while the steps since the reset are fewer, a scalar"""


@runtime_checkable
class Actor(Protocol):
    """How parameters become actions: a config of its own, for evaluation needs nothing else of an algorithm.

    Algorithms that differ in how they learn share the programs that evaluate.
    """

    def init_statistics(self, task: Task) -> Statistics:
        """What it keeps of a task among the statistics of the policy, such as the bounds of actions."""

    def distribution(self, policy: Policy, obs: Float[Array, "*B O"]) -> Distribution:
        """The action distribution at obs [..., O]; its mode is the greedy action."""

    def features(self, policy: Policy, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "..."]]:
        """Activations of every hidden layer at obs [..., O]."""

    def random_action(self, task: Task, noise: Float[Array, "*B A"]) -> Shaped[Array, "..."]:
        """Actions [...] uniform over all that a task allows, from `noise` [..., A]."""

    def noise(self, task: Task, key: Key, shape: tuple[int, ...]) -> Float[Array, "*B A"]:
        """Random numbers for sampling `shape` actions of a task's distribution, from one call."""


@runtime_checkable
class Algorithm(Protocol[Carry, Batch]):
    """A config with a handful of pure methods; training calls them without a case for any algorithm.

    An algorithm hands the engine flat `data` and integer `indices` [G, B]; the engine takes G gradient steps, each on
    `data[indices[g]]`. It is generic in its carry, which lasts from update to update, and in its data.
    """

    @property
    def actor(self) -> Actor:
        """How parameters become actions."""
        ...

    @property
    def lacks(self) -> Mapping[str, str]:
        """What parts of a method may ask for and this algorithm has not, each with the reason.

        Known are `value` (a critic beside the policy), `ent_coef` (an entropy bonus), `kl` (a measured divergence from
        the policy that collected) and `shared_trunk` (networks that may be heads on shared layers; where there is one
        network, sharing changes nothing).
        """
        ...

    @property
    def num_envs(self) -> int:
        """Environments stepped side by side."""
        ...

    @property
    def gamma(self) -> float:
        """The discount per step."""
        ...

    def usual_network(self, task: Task) -> Network:
        """The network that pretraining on a task has where none is chosen."""

    def init_params(self, key: Key, task: Task, network: Network) -> Params:
        """Fresh parameters of every network, in groups."""

    def init_statistics(self, task: Task) -> Statistics:
        """Statistics of an empty normaliser; an empty dict without one."""

    def init_carry(self, key: Key, tasks: Task, policy: Policy) -> Carry:
        """The first carry: simulator states, running statistics, an empty replay, target networks."""

    def warm_up(self, key: Key, tasks: Task, policy: Policy, carry: Carry) -> Carry:
        """The carry after `steps_before()` environment steps; called only where there are any."""

    def begin(self, policy: Policy, carry: Carry) -> Carry:
        """The carry with target networks equal to those that train, parts that an adapter adds included."""

    def collect(
        self, key: Key, tasks: Task, policy: Policy, carry: Carry, moment: Moment, guide: Guide | None = None
    ) -> tuple[Carry, Batch, Int[Array, "G B"], Metrics]:
        """The new carry, flat data [M, ...], indices [G, B] into it, and metrics of the rollout.

        The first `steps_per_update()` rows of the data are those of the rollout; rows of a replay may follow. `moment`
        is the position of the update: its progress, and its number in the place of a gradient step's. With a guide, the
        data tell of whoever acted. Rows that are not finite enter neither the data nor the statistics of the carry;
        `rollout/left_out` among the metrics counts them, and the engine stops a run that has any. Where
        `rollout.NOT_FINITE` is among them, as `rollout.first_not_finite` makes it, it says what was the first.
        """

    def loss(self, policy: Policy, carry: Carry, batch: Batch) -> tuple[Float[Array, ""], Metrics]:
        """The scalar loss on a batch [B, ...], and its metrics.

        `kl` among them drives KL-aware optimizers; only an algorithm that `lacks` it has none.
        """

    def after_step(self, params: Params, carry: Carry, indices: Int[Array, " B"], metrics: Metrics) -> Carry:
        """The carry after a gradient step: target networks, priorities; the identity unless needed."""

    def steps_per_update(self) -> int:
        """Environment steps that one update consumes."""

    def steps_before(self) -> int:
        """Environment steps before the first update, which the budget pays for."""

    def gradient_steps_per_update(self) -> int:
        """Gradient steps G that one update takes."""

    def distribution(self, policy: Policy, obs: Float[Array, "*B O"]) -> Distribution:
        """The action distribution at obs [..., O]."""

    def features(self, policy: Policy, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "..."]]:
        """Activations of every hidden layer at obs [..., O]."""

    def random_action(self, task: Task, noise: Float[Array, "*B A"]) -> Shaped[Array, "..."]:
        """Actions [...] uniform over all that a task allows, from `noise` [..., A]."""

    def noise(self, task: Task, key: Key, shape: tuple[int, ...]) -> Float[Array, "*B A"]:
        """Random numbers for sampling `shape` actions of a task's distribution, from one call."""

    def finetuned(self: Own) -> Own:
        """The algorithm with the numbers that it has when it fine-tunes, such as those of exploration."""

    def beginnings(self) -> tuple[str, ...]:
        """How its replay, target networks and exploration begin, a line each for the report."""

    def stored_bytes(self, task: Task) -> int:
        """Bytes that a run keeps of its experience from update to update."""

    def check_task(self, task: Task) -> None:
        """Refuse a task in which it cannot act.

        Raises:
            ValueError: it cannot; says which algorithms can.
        """


@runtime_checkable
class Stepwise(Algorithm[Carry, Batch], Protocol[Carry, Batch]):
    """An algorithm whose `init_carry`, `warm_up` and `collect` are made of these parts.

    Between them something else than a compiled task may step the environments, such as Gymnasium.
    """

    def first_carry(self, obs: Float[Array, "N O"], env_state: EnvState, tasks: Task, policy: Policy) -> Carry:
        """The first carry, of N environments that were just reset."""

    def keys(self, key: Key) -> tuple[Keys, Keys]:
        """Those of `behaviour` and those of `experience`, from the key of an update."""

    def behaviour(
        self, keys: Keys, tasks: Task, policy: Policy, moment: Moment, guide: Guide | None = None, warming: bool = False
    ) -> Behaviour:
        """How the rollout of an update acts.

        Or one of before the first update: it has one key of its own, and its number is negative.
        """

    def experience(
        self,
        keys: Keys,
        tasks: Task,
        policy: Policy,
        carry: Carry,
        steps: Transition,
        moment: Moment,
        guide: Guide | None = None,
    ) -> tuple[Carry, Batch, Int[Array, "G B"], Metrics]:
        """What `collect` returns, of a rollout [T, N, ...] that was stepped as `behaviour` acts.

        The environments of the carry are where the rollout left them, and all else is as before it.
        """

    def stored(self, carry: Carry, steps: Transition, moment: Moment) -> Carry:
        """The carry after a rollout of before the first update; `steps_before()` are made of whole rollouts."""


class Learner:
    """What most algorithms share: actions by their actor, no replay, no warm-up, and nothing that they lack."""

    actor: Actor
    """how parameters become actions"""

    @property
    def lacks(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def usual_network(self, task: Task) -> Network:
        """Two layers of 64 tanh units; convolutions for images."""
        return suited(MLP(), task.obs_shapes)

    def distribution(self, policy: Policy, obs: Float[Array, "*B O"]) -> Distribution:
        """The action distribution at obs [..., O]."""
        return self.actor.distribution(policy, obs)

    def features(self, policy: Policy, obs: Float[Array, "*B O"]) -> dict[str, Float[Array, "..."]]:
        """Activations of every hidden layer at obs [..., O], by path, [..., width] each."""
        return self.actor.features(policy, obs)

    def random_action(self, task: Task, noise: Float[Array, "*B A"]) -> Shaped[Array, "..."]:
        """Actions [...] uniform over all that a task allows, from `noise` [..., A]."""
        return self.actor.random_action(task, noise)

    def noise(self, task: Task, key: Key, shape: tuple[int, ...]) -> Float[Array, "*B A"]:
        """Random numbers for sampling `shape` actions of a task's distribution, from one call."""
        return self.actor.noise(task, key, shape)

    def after_step(self, params: Params, carry: PyTree, indices: Int[Array, " B"], metrics: Metrics) -> PyTree:
        """Return the carry unchanged."""
        return carry

    def steps_before(self) -> int:
        """None."""
        return 0

    def warm_up(self, key: Key, tasks: Task, policy: Policy, carry: PyTree) -> PyTree:
        """Return the carry unchanged."""
        return carry

    def stored(self, carry: PyTree, steps: Transition, moment: Moment) -> PyTree:
        """Return the carry unchanged, for nothing is kept."""
        return carry

    def begin(self, policy: Policy, carry: PyTree) -> PyTree:
        """Return the carry unchanged."""
        return carry

    def finetuned(self: Own) -> Own:
        """Return the algorithm itself."""
        return self

    def beginnings(self) -> tuple[str, ...]:
        """No lines."""
        return ()

    def stored_bytes(self, task: Task) -> int:
        """None."""
        return 0

    def check_task(self, task: Task) -> None:
        """Accept every task."""


AnyAlgorithm: TypeAlias = Algorithm[Any, PyTree]
"""An algorithm with a carry and data of any kind."""


def made_of_parts(algo: AnyAlgorithm) -> Stepwise[HasStatistics, PyTree]:
    """The algorithm as a `Stepwise` one.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(algo, Stepwise):
        raise ValueError(
            f"algo: {type(algo).__name__} is not allowed; its rollouts are compiled as a whole, and Gymnasium steps "
            "between its actions: see jaxrl_ft.rl.algorithm.Stepwise"
        )
    return algo

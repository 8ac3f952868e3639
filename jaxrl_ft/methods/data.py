"""Where experience comes from: the target alone, other physics beside it, stored source rows, or a guided rollout."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxrl_ft.core.config import config
from jaxrl_ft.core.table import Table
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.penalties import Source

SWITCHES = ("flip_actions",)
"""Quantities that are 0 or 1 though their type is a float: nothing lies between."""


@config
class Data:
    """The interface; this member collects on the target alone."""

    source_steps = 0
    """environment steps of source experience by the pretrained agent that it needs, collected before training"""
    guided: ClassVar[bool] = False
    """whether the base acts at the start of episodes"""
    replays: ClassVar[bool] = False
    """whether it adds rows to those of the rollout"""

    def check_tasks(self, source: Task, target: Task) -> None:
        """Refuses tasks that cannot be combined.

        Raises:
            ValueError: they cannot.
        """

    def init(self, key: jax.Array, source: Source) -> Tree:
        """The memory, a pytree of arrays."""
        return {}

    def tasks(self, key: jax.Array, source: Task, target: Task, progress: jax.Array, num_envs: int) -> Task:
        """The physics of each of N environments in an update, a task with leaves [N, ...]; episodes go on in it."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num_envs, *jnp.shape(leaf))), target)

    def horizon(self, memory: Tree, progress: jax.Array) -> jax.Array:
        """The base acts during the first so many steps of every episode, a scalar; asked only of guided members."""
        return jnp.zeros((), jnp.float32)

    def mix(self, key: jax.Array, memory: Tree, data: Any, indices: jax.Array) -> tuple[Any, jax.Array]:
        """Rows [M + K, ...] and indices [G, B] from the rollout's [M, ...] and [G, B]; asked only of what replays."""
        return data, indices

    def after_update(self, memory: Tree, metrics: dict[str, jax.Array]) -> Tree:
        """The memory after an update with these metrics of its rollout; most never change."""
        return memory


def _left(progress: jax.Array, decay: Any) -> jax.Array:
    """(1 - p)^decay: 1 throughout for decay 0, a straight line to zero for 1."""
    return (1.0 - progress) ** decay


def _check_one_simulator(source: Task, target: Task) -> None:
    if source.simulator != target.simulator:
        raise ValueError(
            f"target: {target.describe()} is not allowed; it must have the source's simulator ({source.simulator}), "
            "or their physics cannot be combined"
        )


@config
class Mixture(Data):
    """A share of the environments step the source task, the others the target.

    Environment n of N is on the source where n + 1/2 < share (1 - p)^decay N, so round(share N) of them are, a half
    rounded down. Rehearsal of the old task beside the new (Robins 1995, doi:10.1080/09540099550039318), as multi-task
    training. The source's environment steps are part of the budget, and its episodes are among the rollout's metrics.
    """

    share: float = 0.25
    """share of the environments on the source at the start"""
    decay: float = 0.0
    """power of the remaining share of the budget; 0 keeps the share, 1 lets it fall to zero linearly"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"share": (0.0, 1.0), "decay": (0.0, 100.0)}

    def check_tasks(self, source: Task, target: Task) -> None:
        """Refuses tasks of two simulators.

        Raises:
            ValueError: their simulators differ.
        """
        _check_one_simulator(source, target)

    def tasks(self, key: jax.Array, source: Task, target: Task, progress: jax.Array, num_envs: int) -> Task:
        """The source's physics for the first environments, the target's for the rest."""
        on_source = jnp.arange(num_envs, dtype=jnp.float32) + 0.5 < self.share * _left(progress, self.decay) * num_envs
        return jax.tree.map(lambda old, new: _choose(on_source, old, new), source, target)


def _choose(condition: jax.Array, on_true: Any, on_false: Any) -> jax.Array:
    """`[N, ...]`: one of two leaves [...] for each entry of the condition [N]."""
    return jnp.where(condition.reshape((-1,) + (1,) * jnp.ndim(on_true)), on_true, on_false)


@config
class Between(Data):
    """Physics drawn anew for every environment and update, uniform in the box between two tasks.

    x = target + s u (source - target) for each quantity, with s = spread (1 - p)^decay and u uniform in [0, 1), one
    for each quantity and environment. Quantities that are whole numbers or switches are not interpolated: with
    probability s / 2, and all of them together, they are the source's. Domain randomisation over dynamics (Peng et
    al. 2018, arXiv:1710.06537, who draw once an episode), with source and target as the corners of the box.
    """

    spread: float = 1.0
    """how far the box reaches from the target towards the source at the start; 0 is the target alone"""
    decay: float = 0.0
    """power of the remaining share of the budget; 0 keeps the spread, 1 lets it fall to zero linearly"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"spread": (0.0, 1.0), "decay": (0.0, 100.0)}

    def check_tasks(self, source: Task, target: Task) -> None:
        """Refuses tasks of two simulators, and boxes in which two quantities contradict each other.

        Raises:
            ValueError: their simulators differ, or one quantity of the source does not fit the target's others.
        """
        _check_one_simulator(source, target)
        ours, structure = jax.tree.flatten(target)
        for i, (path, theirs) in enumerate(jax.tree.leaves_with_path(source)):
            corner = jax.tree.unflatten(structure, [*ours[:i], theirs, *ours[i + 1 :]])
            try:
                corner.checked()
            except ValueError as error:
                raise ValueError(
                    f"target: {target.describe()} is not allowed; between it and the source lies "
                    f"{_name(path)}={theirs}, where {error}"
                ) from None

    def tasks(self, key: jax.Array, source: Task, target: Task, progress: jax.Array, num_envs: int) -> Task:
        """A point in the box for each environment."""
        spread = self.spread * _left(progress, self.decay)
        paths, structure = jax.tree.flatten_with_path(target)
        coin, *uniform = jax.random.uniform(key, (len(paths) + 1, num_envs), jnp.float32)
        drawn = []
        for (path, new), old, u in zip(paths, jax.tree.leaves(source), uniform):
            if jnp.issubdtype(jnp.result_type(new), jnp.floating) and _name(path) not in SWITCHES:
                drawn.append(_interpolate(spread * u, old, new))
            else:
                drawn.append(_choose(coin < 0.5 * spread, old, new))
        return jax.tree.unflatten(structure, drawn)


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path[-1:], simple=True)


def _interpolate(weight: jax.Array, source: Any, target: Any) -> jax.Array:
    """target + w (source - target), [N, ...], for leaves [...] and w [N]; never past either by rounding."""
    weight, source, target = weight.reshape((-1,) + (1,) * jnp.ndim(target)), source[None], target[None]
    point = jnp.clip(target + weight * (source - target), jnp.minimum(source, target), jnp.maximum(source, target))
    return jnp.where(weight > 0, point, target)


@config
class Replay(Data):
    """A share of every minibatch are rows that the base collected on the source before training.

    Experience replay against forgetting (CLEAR, Rolnick et al. 2019, arXiv:1811.11682, half old and half new; episodic
    memory in Wołczyk et al. 2024, arXiv:2402.02868). Those replay off-policy; here the algorithm takes the rows as its
    own. For PPO their log-probabilities, advantages and target values are the base's and are never renewed: the
    ratio is to the base, which is 1 as long as the policy is the base, and the surrogate improves on the base on the
    source while its clip stops gains outside 1 ± clip_eps of it. What holds the policy is that clip, no cloning. The
    critic is held to the base's returns on the source, which contradicts the target's wherever the two tasks look
    alike. `kl`, as optimizers see it, and the advantages' mean and variance are those of the mixed minibatch.
    """

    source_steps: int = 4096
    """environment steps that the pretrained agent takes on the source; counted beside the budget"""
    share: float = 0.25
    """share of each minibatch"""

    replays: ClassVar[bool] = True
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"share": (0.0, 1.0), "source_steps": (1, 2**24)}

    def init(self, key: jax.Array, source: Source) -> Tree:
        """The source rows [K, ...]."""
        return source.data

    def mix(self, key: jax.Array, memory: Tree, data: Any, indices: jax.Array) -> tuple[Any, jax.Array]:
        """The source rows behind the rollout's, and round(share B) random places of each minibatch pointing there.

        Args:
            key: PRNG key.
            memory: source rows, leaves [K, ...].
            data: the rollout's rows, leaves [M, ...].
            indices: [G, B] into the rollout's rows.

        Returns:
            data: leaves [M + K, ...].
            indices: [G, B]; drawn uniformly and independently where they point to source rows.
        """
        place_key, row_key = jax.random.split(key)
        num, size = len(jax.tree.leaves(data)[0]), len(jax.tree.leaves(memory)[0])
        rank = jnp.argsort(jnp.argsort(jax.random.bits(place_key, indices.shape, jnp.uint32), axis=-1), axis=-1)
        rows = num + jax.random.randint(row_key, indices.shape, 0, size, indices.dtype)
        mixed = jnp.where(rank.astype(jnp.float32) + 0.5 < self.share * indices.shape[-1], rows, indices)
        return jax.tree.map(lambda new, old: jnp.concatenate([new, old]), data, memory), mixed


@config
class JumpStart(Data):
    """The base acts during the first steps of every episode, the policy afterwards (JSRL, arXiv:2204.02372).

    Uchendu et al. 2023 start the policy from nothing and let the horizon h fall in stages k = 0, 1, ..., K, by one
    whenever the moving average of the return reaches its best so far less a tolerance. Here the return is that of
    training rollouts, guide and policy together, where they evaluate. The other schedule is a line:

        h = guide_steps ((1 - c) max(0, 1 - p / stop) + c (1 - k / K)),   c = curriculum

    `kl`, as optimizers see it, takes in the guided rows, where it is from the base: a small target would stop a fresh
    policy at once.
    """

    guide_steps: float = 20.0
    """steps that the pretrained policy acts at first; a step is guided while the steps since the reset are fewer"""
    curriculum: float = 0.0
    """0 for a linear descent over the budget, 1 for stages that the return earns"""
    stop: float = 0.5
    """share of the budget after which the linear descent has reached zero"""
    stages: float = 10.0
    """stages K until the horizon is zero"""
    tolerance: float = 0.05
    """share of the best average by which a later one may fall short and still earn the next stage"""
    smoothing: float = 0.2
    """weight of the newest update in the moving average, which is exponential"""

    guided: ClassVar[bool] = True
    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {
        "guide_steps": (0.0, 1e6),
        "curriculum": (0.0, 1.0),
        "stop": (0.0, 1.0),
        "stages": (1.0, 1e4),
        "tolerance": (0.0, 1.0),
        "smoothing": (1e-3, 1.0),
    }

    def init(self, key: jax.Array, source: Source) -> Tree:
        """Scalars: the stage, the moving average, its best, and whether any episode has ended (0 or 1)."""
        return {name: jnp.zeros((), jnp.float32) for name in ("stage", "average", "best", "begun")}

    def horizon(self, memory: Tree, progress: jax.Array) -> jax.Array:
        """h at `progress` and the memory's stage, a scalar."""
        line = jnp.where(progress < self.stop, 1.0 - progress / jnp.maximum(self.stop, 1e-9), 0.0)
        stairs = jnp.maximum(1.0 - memory["stage"] / self.stages, 0.0)
        return self.guide_steps * ((1.0 - self.curriculum) * line + self.curriculum * stairs)

    def after_update(self, memory: Tree, metrics: dict[str, jax.Array]) -> Tree:
        """The memory after a rollout; one in which no episode ended changes nothing.

        The first average is the first best and earns nothing, as there is nothing to compare it with.

        Args:
            memory: as `init` makes it.
            metrics: `rollout/num` and `rollout/episode_return`, the number of episodes that ended and the sum of
                their returns.
        """
        num, begun, best = metrics["rollout/num"], memory["begun"] > 0, memory["best"]
        mean = metrics["rollout/episode_return"] / jnp.maximum(num, 1.0)
        average = jnp.where(begun, memory["average"] + self.smoothing * (mean - memory["average"]), mean)
        earned = begun & (average >= best - self.tolerance * jnp.abs(best))
        after = {
            "stage": memory["stage"] + earned.astype(jnp.float32),
            "average": average,
            "best": jnp.where(begun, jnp.maximum(best, average), average),
            "begun": jnp.ones((), jnp.float32),
        }
        return jax.tree.map(lambda new, old: jnp.where(num > 0, new, old), after, memory)


DATA: Table[Data] = Table("data")
DATA.add("target", Data(), "collects on the target alone")
DATA.add("mixture", Mixture(), "collects in some environments on the source")
DATA.add("between", Between(), "draws the physics of each environment between source and target (arXiv:1710.06537)")
DATA.add("replay", Replay(), "puts stored source experience in every minibatch (arXiv:1811.11682)")
DATA.add(
    "jump_start",
    JumpStart(),
    "lets the pretrained policy act first in every episode, for ever fewer steps (arXiv:2204.02372)",
)
DATA.add(
    "jump_start_curriculum",
    JumpStart(curriculum=1.0),
    "as jump_start, for fewer steps whenever the return rises (arXiv:2204.02372)",
)

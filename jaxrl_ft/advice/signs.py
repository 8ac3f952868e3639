"""What agents show of themselves on a target before anything is trained: cheap signs, on which advice rests."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import checks, tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.moment import Moment
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.simulator import Box
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.catalogue import METHODS, RECOMMENDED
from jaxrl_ft.methods.imagination import fit
from jaxrl_ft.methods.interventions.neurons import dormancy
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.collect import environments
from jaxrl_ft.training.compatibility import check_sizes
from jaxrl_ft.training.evaluation.outcomes import evaluate_runs
from jaxrl_ft.training.keys import PROBE_STREAM, SIGNS, Seeds
from jaxrl_ft.training.per_run import per_run
from jaxrl_ft.training.preparation import realign
from jaxrl_ft.training.preparation.look import ON_TARGET, look_at
from jaxrl_ft.training.spec import Budget, Spec, finetune_spec

EPISODES = 2
"""Greedy episodes of each agent on each of the two tasks."""
DORMANT = 0.1
"""Score up to which a unit counts as dormant, a tenth of its layer's mean."""
_TINY = 1e-6
"""Keeps the logarithm of 0 finite, and bounds the divergence of a sensor that never moves."""


class Examination(NamedTuple):
    """What was measured, by agent."""

    signs: dict[str, np.ndarray]
    """every sign, [S]; see `examine`"""
    env_steps: np.ndarray
    """environment steps on the target that it took, [S]"""
    source_steps: np.ndarray
    """environment steps on the source, [S]"""


class _Seen(NamedTuple):
    """One task as the agents meet it."""

    returns: np.ndarray
    """greedy return as a share of the possible, [S]"""
    signs: dict[str, np.ndarray]
    """as `signs` has them, [S, ...]"""
    look: PyTree
    """experience of every agent"""
    steps: np.ndarray
    """environment steps of each agent, [S]"""


@per_run()
def signs(algo: AnyAlgorithm, policy: Policy, task: Task, seeds: Seeds) -> dict[str, jax.Array]:
    """What one rollout of a policy shows before it learns: of the states it meets, and of what learning would meet.

    Args:
        algo: the algorithm.
        policy: the policy that acts, by samples.
        task: where; in environments just begun.
        seeds: of the run.

    Returns:
        obs_mean, obs_covariance: moments of the observations [O] and [O, O].
        entropy: mean of the policy's entropy in these states, in nats.
        value_loss: the algorithm's own loss of the critic; 0 where it has none.
        gradient: norm of the loss's gradient on the whole rollout over the norm of the parameters.
        dormant: share of hidden units with a score of at most 0.1 (Sokar et al. 2023, arXiv:2302.12902).
    """
    tasks = environments(task, algo.num_envs)
    carry_key, collect_key = jax.random.split(seeds.key(SIGNS))
    carry = algo.init_carry(carry_key, tasks, policy)
    start = Moment(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32))
    _, data, _, _ = algo.collect(collect_key, tasks, policy, carry, start)
    data = tree.take(data, slice(algo.steps_per_update()))

    def loss(params: Tree) -> tuple[jax.Array, PyTree]:
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


def examine(agents: Agents, target: Task, *, seed: int = 4) -> Examination:
    """Signs of how far a target is from what the agents know, and of how they would begin to learn there.

    On the target, and for comparison on the source with the same random numbers, each agent plays 2 greedy episodes,
    looks around for 512 steps as `imagine` does, and collects one rollout of its algorithm; nothing is trained.

    - `zero_shot`, `source`: greedy return on target and on source, as a share of the possible return.
    - `explained`: share of what happens on the target that a linear model of the look explains, see
      `methods.imagination.Model.accuracy`; negative shares are 0.
    - `changed_meaning`: 1 where sensors or actions mean something else, as the alignment `realign` finds.
    - `state_kl`: KL divergence of the observations on the target from those on the source in nats, both taken as
      normal distributions, by observation and in log(1 + x).
    - `entropy`: mean entropy of the policy on the target less that on the source, in nats.
    - `value_error`, `gradient`: log of the ratio, target to source, of the critic's loss and of the norm of the first
      gradient.
    - `dormant`: share of dormant units on the target less that on the source.

    Args:
        agents: S agents.
        target: observations and actions must have the agents' sizes.
        seed: of all that is random; 0 <= seed < 2^32.

    Raises:
        ValueError: an argument is not allowed; raised before anything compiles.
    """
    check_sizes(agents, target)
    check_sizes(agents, agents.source)
    checks.seed(seed)
    method = METHODS[RECOMMENDED]
    steps = method.spent() + agents.algo.steps_per_update()
    spec = finetune_spec(agents, target, method, Budget(steps, seed, 2, EPISODES))
    there, here = (_see(spec, agents.policies, task) for task in (target, agents.source))
    space = target.action_space
    num_actions = None if isinstance(space, Box) else space.num_actions
    changes = realign.estimates(spec, here.look, there.look)
    found = {
        "zero_shot": there.returns,
        "source": here.returns,
        "explained": np.array([max(fit(look, num_actions).accuracy, 0.0) for look in there.look]),
        "changed_meaning": np.array([float(change.changes) for change in changes]),
        "state_kl": np.log1p(normal_kl(there.signs, here.signs) / target.obs_size),
        **{name: there.signs[name] - here.signs[name] for name in ("entropy", "dormant")},
        "value_error": _log_ratio(there.signs["value_loss"], here.signs["value_loss"]),
        "gradient": _log_ratio(there.signs["gradient"], here.signs["gradient"]),
    }
    return Examination({name: np.asarray(sign, np.float64) for name, sign in found.items()}, there.steps, here.steps)


def most_steps(algo: AnyAlgorithm, target: Task) -> int:
    """Environment steps on the target that an examination may take, of each agent."""
    look = METHODS[RECOMMENDED].look.env_steps
    return look + int(algo.steps_per_update()) + EPISODES * int(target.episode_limit)


def _see(spec: Spec, policy: Policy, task: Task) -> _Seen:
    num = spec.num_runs
    tasks = tree.repeat(task, num)
    outcome = evaluate_runs(spec.algo, policy, tasks, spec.seeds, EPISODES, stream=PROBE_STREAM)
    look = look_at(spec, policy, task, ON_TARGET)
    measured = signs(tree.repeat(as_arrays(spec.algo), num), policy, tasks, spec.seeds)
    low, high = task.return_range
    fixed = spec.method.look.env_steps + spec.algo.steps_per_update()
    return _Seen(
        np.clip((outcome.episode_return.mean(axis=1) - low) / (high - low), 0.0, 1.0),
        measured,
        look.experiences,
        np.asarray(fixed + outcome.episode_length.sum(axis=1)),
    )


def _log_ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.log((above + _TINY) / (below + _TINY))


def normal_kl(there: dict[str, np.ndarray], here: dict[str, np.ndarray]) -> np.ndarray:
    """KL(N(m, C) ‖ N(m', C')) = (tr C'⁻¹C + (m' - m)ᵀ C'⁻¹ (m' - m) - O + log det C' / det C) / 2, by agent [S]."""
    size = there["obs_mean"].shape[1]
    ours, theirs = (np.asarray(part["obs_covariance"], np.float64) + _TINY * np.eye(size) for part in (there, here))
    apart = np.asarray(here["obs_mean"] - there["obs_mean"], np.float64)
    inverse = np.linalg.inv(theirs)
    trace = np.einsum("sij,sji->s", inverse, ours)
    distance = np.einsum("si,sij,sj->s", apart, inverse, apart)
    return np.asarray(0.5 * (trace + distance - size + np.linalg.slogdet(theirs)[1] - np.linalg.slogdet(ours)[1]))

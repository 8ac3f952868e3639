"""A small policy that learns to act as a large one does."""

from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays, config
from jaxrl_ft.core.policy import ActionDistribution, Policy
from jaxrl_ft.core.types import Params, PyTree
from jaxrl_ft.deploy.compression.base import POLICY, Compression, Given, dense
from jaxrl_ft.deploy.compression.observations import seen, spent
from jaxrl_ft.methods.optimizers import Adam, Optimizer
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.training.agents import Agents
from jaxrl_ft.training.initial_state import fresh_policy
from jaxrl_ft.training.keys import STEPS, Seeds, seeds_of
from jaxrl_ft.training.per_run import per_run

WHAT = "distillation"


@config
class Student(Compression):
    """A smaller network that learns to act as the policy does (policy distillation; arXiv:1511.06295).

        min KL(π_teacher(· | o) ‖ π_student(· | o))

    over observations that the teacher meets in the first round, and that the student meets in the others, as it comes
    where the teacher never was (DAgger; Ross et al. 2011, arXiv:1011.0686). Rewards are not used. The critic and the
    normaliser stay. Reference: Rusu et al. 2015, whose teacher chooses by values, at a low temperature.
    """

    widths: tuple[int, ...] = (12,)
    """units in each hidden layer of the student, from the input on; none makes a linear policy"""
    rounds: int = 4
    """times that observations are collected, `steps` env steps in all, and the student learns from all so far"""
    gradient_steps: int = 1500
    """gradient steps of each round"""
    batch_size: int = 256
    """observations of each gradient step"""
    optimizer: Optimizer = Adam(learning_rate=1e-2)
    """optimizer of the student, whose schedule runs over each round"""

    BOUNDS: ClassVar[dict[str, tuple[float, float]]] = {"widths": (1, 8192)}

    @property
    def trains(self) -> bool:
        """Always."""
        return True

    def refuse(self, given: Given) -> None:
        """Refuse networks that are not dense.

        Raises:
            ValueError: says why.
        """
        dense(given.agents, WHAT)

    def prepare(self, given: Given) -> Agents:
        """The agents with students in the place of their policies."""
        student = self._student(given)
        each, teacher = -(-given.steps // self.rounds), given.agents
        algo, optimizer = tree.repeat(as_arrays((teacher.algo, self.optimizer)), teacher.num_seeds)
        obs: list[np.ndarray] = []
        for number in range(self.rounds):
            obs.append(seen(given, student if number else teacher, each, number))
            seeds = seeds_of(given.seed, teacher.num_seeds, numbers=np.arange(teacher.num_seeds) + number * 2**20)
            sizes = self.gradient_steps, self.batch_size
            policies = teacher.policies, student.policies
            params = distil(*sizes, algo, optimizer, *policies, np.concatenate(obs, axis=1), seeds)
            student = replace(student, params={**student.params, **params})
        return replace(student, env_steps=teacher.env_steps + self.rounds * spent(given, each))

    def _student(self, given: Given) -> Agents:
        """The agents with fresh policies of these widths."""
        agents, num = given.agents, given.agents.num_seeds
        own = dense(agents, WHAT)
        network = own.with_widths(self.widths, own.widths("value"))
        fresh = fresh_policy(agents.algo, network, agents.task, seeds_of(given.seed, num)).params[POLICY]
        spread = {name: agents.params[POLICY][name] for name in ("log_std",) if name in fresh}
        params = {POLICY: {**fresh, **spread}}
        return replace(
            agents,
            params={**agents.params, **params},
            init_params={**agents.init_params, POLICY: fresh},
            opt_state=None,
            network=network,
        )


@per_run(static=("num_steps", "batch_size"), few_at_once=True)
def distil(
    num_steps: int,
    batch_size: int,
    algo: AnyAlgorithm,
    optimizer: Optimizer,
    teacher: Policy,
    student: Policy,
    obs: Float[Array, "M O"],
    seeds: Seeds,
) -> Params:
    """The group `policy` of a student after gradient steps towards the teacher's distribution.

    Args:
        num_steps: gradient steps.
        batch_size: observations of each.
        algo: gives the distributions.
        optimizer: of the student.
        teacher: whose actions are learned.
        student: where learning starts.
        obs: what both see.
        seeds: of the run.
    """
    chain = optimizer.build()
    start = {POLICY: student.params[POLICY]}

    def step(state: tuple[Params, PyTree], number: jax.Array) -> tuple[tuple[Params, PyTree], None]:
        params, inner = state
        key = jax.random.fold_in(seeds.key(STEPS), number)
        rows = obs[jax.random.randint(key, (batch_size,), 0, obs.shape[0])]
        grads = jax.grad(_divergence)(params, algo, teacher, student, rows)
        updates, inner = chain.update(grads, inner, params, progress=number / num_steps, kl=0.0)
        return (jax.tree.map(jnp.add, params, updates), inner), None

    (params, _), _ = jax.lax.scan(step, (start, chain.init(start)), jnp.arange(num_steps, dtype=jnp.int32))
    return params


def _divergence(
    params: Params, algo: AnyAlgorithm, teacher: Policy, student: Policy, obs: Float[Array, "B O"]
) -> Float[Array, ""]:
    """Mean KL of a student with these parameters from the teacher, in nats."""
    made: ActionDistribution = algo.distribution(student._replace(params={**student.params, **params}), obs)
    taught: ActionDistribution = algo.distribution(teacher, obs)
    return taught.kl(made).mean()

"""Adaptive fine-tuning on the host: measure between stretches of updates, and let the method's control act."""

import jax.numpy as jnp
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.control import Control, Generators, Measures, Numbers
from jaxrl_ft.methods.data import Data
from jaxrl_ft.methods.method import Method
from jaxrl_ft.methods.optimizers import Optimizer
from jaxrl_ft.methods.penalties import Penalty
from jaxrl_ft.rl.algorithm import AnyAlgorithm
from jaxrl_ft.training import devices
from jaxrl_ft.training.collect import World
from jaxrl_ft.training.evaluation.episodes import Outcome, expected_return, possible_share
from jaxrl_ft.training.evaluation.outcomes import evaluate_runs
from jaxrl_ft.training.keys import VALIDATION_STREAM, Seeds
from jaxrl_ft.training.per_run import per_run


def begin(control: Control, optimizer: Optimizer, penalty: Penalty, share: np.ndarray, seeds: Seeds) -> Numbers:
    """The numbers that a control starts with, [R]."""
    return control.begin(Numbers(optimizer, penalty), share, _generators(seeds, 0))


class Controller:
    """Decides when a method's control acts, and keeps what was measured since it last did.

    Args:
        method: the method.
        num_updates: length of the budget.
        num_members: runs of the program, every member of every population.
    """

    def __init__(self, method: Method, num_updates: int, num_members: int) -> None:
        self._method = method
        stretches = method.control.stretches
        self.points = sorted({num_updates * i // stretches for i in range(1, stretches)} - {0, num_updates})
        self.scores = np.full(num_members, -np.inf)
        """mean return of the training episodes that ended last, of every member; minus infinity before any did"""
        self._sums = np.zeros((2, num_members))
        self._times_acted = 0

    @property
    def measured(self) -> dict[str, np.ndarray]:
        """All that was measured so far, for `go_on`."""
        acted = np.array(self._times_acted)
        return {"scores": self.scores, "sums": self._sums, "times_acted": acted}

    def go_on(self, measured: dict[str, np.ndarray]) -> None:
        """Go on from what another controller of the same training had `measured`."""
        self.scores, self._sums = (measured[name] for name in ("scores", "sums"))
        self._times_acted = int(measured["times_acted"])

    def record(self, sums: dict[str, np.ndarray]) -> None:
        """Add the summed metrics of some updates; an empty dict adds none."""
        if sums:
            num = len(self.scores)
            ended, total = (sums[f"rollout/{name}"][:num] for name in ("num", "episode_return"))
            self.scores = np.where(ended > 0, total / np.maximum(ended, 1), self.scores)
            self._sums = self._sums + np.stack([ended, total])

    def act(
        self,
        algo: AnyAlgorithm,
        policy: Policy,
        world: World,
        numbers: Numbers,
        seeds: Seeds,
        task: Task,
        sound: np.ndarray,
    ) -> tuple[Numbers, np.ndarray]:
        """Return the numbers for the next stretch, and the index [R] of the run whose state each run continues from.

        Args:
            algo: the algorithm.
            policy: of every member, on the devices.
            world: what the members collect in.
            numbers: of every member, on the host.
            seeds: of every member.
            task: the target.
            sound: whether every number of a member has been finite so far, [R] or more, which fill up the program.
        """
        self._times_acted += 1
        ended, total = self._sums
        low, high = task.return_range
        mean = total / np.maximum(ended, 1)
        # Where the range is not known the return itself is left, which ranks members as well.
        measured = (mean - low) / (high - low) if np.isfinite(high - low) else mean
        training_share = np.where(ended > 0, measured, np.nan)
        self._sums = np.zeros_like(self._sums)
        # The return of a member that has stopped is not counted, so that no other goes on from its state.
        members = devices.trim((policy.params, policy.statistics), len(training_share))
        sound = sound[: len(training_share)] & tree.finite_runs(members, len(training_share))
        training_share = np.where(sound, training_share, np.nan)
        measures = Measures(training_share, self._validate(algo, policy, world, seeds, task))
        adjusted, parents = self._method.control.adjust(numbers, measures, _generators(seeds, self._times_acted))
        # A member that continues from another's state has that member's score.
        self.scores = self.scores[parents]
        return adjusted, parents

    def _validate(self, algo: AnyAlgorithm, policy: Policy, world: World, seeds: Seeds, task: Task) -> np.ndarray:
        """Share of the possible return in sampled episodes, each on a task of its own from training's range, [R]."""
        control, num = self._method.control, len(seeds.seeds)
        if not control.validation_episodes:
            return np.full(num, np.nan)
        policy, data, source, target = devices.trim((policy, world.data, world.source, world.task), num)
        tasks = validation_tasks(control.validation_episodes, data, source, target, seeds)
        stream = VALIDATION_STREAM + self._times_acted * control.validation_episodes
        shares = []
        for episode in range(control.validation_episodes):
            outcome = evaluate_runs(
                algo,
                policy,
                tree.take(tasks, (slice(None), episode)),
                seeds,
                episodes=1,
                greedy=False,
                stream=stream + episode,
                max_steps=control.validation_steps,
            )
            shares.append(outcome)
        together = Outcome(*(np.concatenate(columns, axis=1) for columns in zip(*shares)))
        return possible_share(expected_return(together, task), *task.return_range)


@per_run(static=("num",), brief=True)
def validation_tasks(num: int, data: Data, source: Task, task: Task, seeds: Seeds) -> Task:
    """Validation tasks [num] of a run, the same after every stretch."""
    return data.tasks(seeds.key(VALIDATION_STREAM), source, task, jnp.zeros((), jnp.float32), num)


def _generators(seeds: Seeds, number: int) -> Generators:
    pairs = zip(seeds.seeds.tolist(), seeds.indices.tolist())
    return [np.random.default_rng((seed, index, number)) for seed, index in pairs]

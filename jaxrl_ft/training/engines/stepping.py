"""The engine of a training whose environments the host steps, one step of all of them after the other."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol, TypeAlias

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.rl.rollout import Transition
from jaxrl_ft.training import devices
from jaxrl_ft.training.collect import World
from jaxrl_ft.training.engines import programs
from jaxrl_ft.training.initial_state import Given, first_state
from jaxrl_ft.training.keys import Seeds
from jaxrl_ft.training.spec import Spec
from jaxrl_ft.training.stretch import Pace, Sums
from jaxrl_ft.training.update import Run, State

Floats: TypeAlias = np.ndarray
Act: TypeAlias = Callable[[Floats], np.ndarray]
"""Actions [R, E, ...] from observations [R, E, O]."""


class Outcome(NamedTuple):
    """What one step of all environments came to, [R, N, ...]."""

    obs: Floats
    """what they show now, behind any reset"""
    reward: Floats
    terminated: np.ndarray
    truncated: np.ndarray
    next_obs: Floats
    """the successors, before any reset"""


class Worlds(Protocol):
    """Environments of R runs, N each, that the host steps; and others of their own for evaluation."""

    def reset(self, seeds: Seeds) -> Floats:
        """Reset those to train on, each with a seed that its run and its place in it give; first obs [R, N, O]."""
        ...

    def step(self, action: np.ndarray) -> Outcome:
        """Step all that are trained on by actions [R, N, ...]; one that ended is reset at once."""
        ...

    def returns(self, act: Act, seeds: Seeds, episodes: int, point: int) -> Floats:
        """Returns [R, E] of fresh episodes, which equal seeds, numbers and points begin alike."""
        ...


class Stepping:
    """What the loop of a training asks for, by environments that the host steps; see `Engine`.

    Args:
        worlds: the environments.
    """

    def __init__(self, worlds: Worlds) -> None:
        self._worlds = worlds
        self._obs: Floats = np.zeros(0)
        self._age: Floats = np.zeros(0)

    def begin(self, runs: Given) -> tuple[World, Run, State, Policy]:
        """As `initial_state.begin`."""
        num = len(runs.run.seed)
        self._obs = self._worlds.reset(Seeds(runs.run.seed, runs.run.index))
        self._age = np.zeros(self._obs.shape[:2], np.float32)
        world, run, policy, penalty, source, old, keep, obs = devices.put((*runs, self._obs), num)
        carry, memory = programs.entered.placed(world, policy, source, obs)
        algo = programs.stepwise(world)
        for number in range(-(algo.steps_before() // algo.steps_per_update()), 0):
            noise = programs.warming_noise.placed(world, policy, memory, np.int32(number))
            steps = self._rollout(True, world, policy, memory, noise, number)
            carry = programs.stored.placed(world, carry, *devices.put((steps, self._obs), num), np.int32(number))
        frozen, state, answer = first_state.placed(run, carry, memory, penalty, source, old, keep)
        return world, replace(run, base=frozen), state, answer

    def advance(
        self,
        world: World,
        run: Run,
        state: State,
        start: int,
        stop: int,
        pace: Pace | None = None,
        sums: Sums | None = None,
        after: Callable[[State, int, Sums], None] | None = None,
        going: np.ndarray | None = None,
    ) -> tuple[State, Policy, Sums]:
        """As `stretch.advance`; every update is a call of its own, so there is no pace, and all environments step."""
        sums = dict(sums or {})
        for index in range(start, stop):
            policy, noise = programs.acting.placed(world, run, state, np.int32(index))
            steps = self._rollout(False, world, policy, state.memory.data, noise, index)
            placed = devices.put((steps, self._obs), len(self._obs))
            state, metrics = programs.update_on.placed(world, run, state, *placed, np.int32(index))
            for name, values in jax.device_get(metrics).items():
                sums[name] = sums.get(name, np.zeros_like(values)) + values
            if after is not None:
                after(state, index + 1, sums)
        return state, programs.answered.placed(run, state), sums

    def _rollout(
        self, warming: bool, world: World, policy: Policy, memory: PyTree, noise: jax.Array, index: int
    ) -> Transition:
        """A rollout of every run by its policy, leaves [R, T, N, ...]; `self._obs` is then where it ended."""
        num, number = len(self._obs), np.int32(index)
        rows: list[PyTree] = []
        for step in range(noise.shape[1]):
            # Nothing counts ages where nothing depends on them.
            age = None if warming or world.guide is None else self._age
            inputs = (warming, world, policy, memory, noise, *devices.put((self._obs, age), num))
            action, log_prob = devices.trim(programs.actions.placed(*inputs, number, np.int32(step)), num)
            found = self._worlds.step(action)
            rows.append((self._obs, action, *found[1:], age, log_prob))
            self._age = np.where(found.terminated | found.truncated, 0.0, self._age + 1.0).astype(np.float32)
            self._obs = found.obs
        leaves: PyTree = jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *rows)
        return Transition(*leaves)

    def mean_return(self, spec: Spec, policy: Policy, where: tuple[Task, Seeds], point: int) -> Floats:
        """Mean greedy return [R] over episodes in environments of their own."""
        seeds = where[1]
        num = len(seeds.seeds)
        finite = tree.finite_runs(devices.trim((policy.params, policy.statistics), num), num)
        actors, placed = devices.put((tree.repeat(as_arrays(spec.algo.actor), num), policy), num)

        def act(obs: Floats) -> np.ndarray:
            action: np.ndarray = devices.trim(programs.greedy.placed(actors, placed, devices.put(obs, num)), num)
            return action

        returns = self._worlds.returns(act, seeds, spec.eval_episodes, point)
        found: Floats = np.where(finite, returns.mean(axis=1), np.nan)
        return found

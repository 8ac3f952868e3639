"""The loop that drives chunks of updates, evaluates between them, and lets a control act."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.config import as_arrays
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.tree import Tree
from jaxrl_ft.core.types import PyTree
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.control import Numbers
from jaxrl_ft.methods.finish import Finish
from jaxrl_ft.training import control, devices
from jaxrl_ft.training.collect import World
from jaxrl_ft.training.engines.base import Engine
from jaxrl_ft.training.engines.compiled import COMPILED
from jaxrl_ft.training.evaluation.curves import Curves, Snapshot
from jaxrl_ft.training.evaluation.faults import Fault, of_runs
from jaxrl_ft.training.initial_state import Start, given, member_seeds, tasks_of
from jaxrl_ft.training.keys import Seeds, seeds_of
from jaxrl_ft.training.per_run import forget_when_many, per_run
from jaxrl_ft.training.progress.moments import Callback, means
from jaxrl_ft.training.progress.reports import Reports
from jaxrl_ft.training.resume.checkpoint import Checkpoint
from jaxrl_ft.training.resume.interruption import Interruption, held_back
from jaxrl_ft.training.resume.saving import Place, Saving
from jaxrl_ft.training.spec import Spec
from jaxrl_ft.training.stretch import Pace, Sums
from jaxrl_ft.training.update import Run, State

Job = tuple[Spec, Start]
Pause = Callable[[Run, Place, State, int, Sums], None]


class Result(NamedTuple):
    """What training leaves, on the host; leaves [R, ...]."""

    policy: Policy
    opt_state: PyTree
    """None when the parameters are no longer those that the optimizer moved"""
    curve: np.ndarray
    curve_steps: np.ndarray
    delta: dict[str, bool]
    """paths of the leaves that the optimizer holds, and whether training moved each in any run"""
    delta_size: int
    """numbers in the leaves that moved"""
    fault: Fault
    """what was not finite and stopped each run, [R]"""
    lost: int
    """members of populations that stopped so, those of runs that went on included"""
    finite: dict[str, np.ndarray]
    """whether all numbers of a part of the state are finite, bool [R], by the name of the part"""
    updates: np.ndarray
    """updates from which each run learned, [R]"""
    stopped: np.ndarray
    """whether each run reached `stop_at`, bool [R]"""
    kept_steps: np.ndarray
    """environment steps at which each policy was taken, [R]"""


def evaluation_updates(num_updates: int, num_evals: int) -> np.ndarray:
    """The update counts after which to evaluate: round(linspace(0, U, min(num_evals, U + 1)))."""
    return np.round(np.linspace(0, num_updates, min(num_evals, num_updates + 1))).astype(int)


def train(spec: Spec, start: Start, callback: Callback | None = None, checkpoint: Checkpoint | None = None) -> Result:
    """What training every run of a group from its base leaves; it is evaluated on the way.

    Args:
        spec: what the runs share.
        start: where they start.
        callback: called before compilation and after every stretch of updates.
        checkpoint: to go on from and to write.
    """
    return train_together([(spec, start)], callback=callback, checkpoint=checkpoint)[0]


def train_together(
    jobs: Sequence[Job],
    width: int = 0,
    callback: Callback | None = None,
    checkpoint: Checkpoint | None = None,
    engine: Engine = COMPILED,
) -> list[Result]:
    """The results of groups of one `sweeps.structure`, trained side by side; a group without one comes by itself.

    Args:
        jobs: what the runs of each group share, and where they start.
        width: the program's number of runs; filled up with repeated ones, whose results are dropped.
        callback: as in `train`, of all groups together.
        checkpoint: as in `train`.
        engine: what steps the environments and learns.
    """
    forget_when_many()
    reports = Reports(callback, [spec for spec, _ in jobs])
    reports.compiling(jobs[0][1].probe_steps)
    with held_back() as interruption:
        return _trained(jobs, width, checkpoint, reports, interruption, engine)


def _trained(
    jobs: Sequence[Job],
    width: int,
    checkpoint: Checkpoint | None,
    reports: Reports,
    interruption: Interruption,
    engine: Engine,
) -> list[Result]:
    """What `train_together` returns."""
    (spec, start), specs = jobs[0], [job for job, _ in jobs]
    world, run, state, answer = engine.begin(_filled(tree.concatenate([given(*job) for job in jobs]), width))
    where = _filled(tree.concatenate([_where(*job) for job in jobs]), width)
    controller = control.Controller(spec.method, spec.num_updates, sum(job.num_members for job in specs))
    evaluations = evaluation_updates(spec.num_updates, spec.num_evals)
    # A copy, for the state is given away to the first update.
    first = jax.tree.map(np.array, jax.device_get(state.delta))
    curves, pace = Curves(specs, len(evaluations)), Pace()
    saving = Saving(checkpoint, controller, curves)
    pause = partial(_pause, saving, interruption)
    place, sums = Place(-1, 0, start.probe_steps), Sums()
    if saving.resumes:
        chosen = answer_of(spec, start, answer, controller.scores)
        run, state, place, sums = saving.read(run, state, _snapshot(specs, chosen, state))
    elif place.paid and start.base is not None:
        untouched = _filled(tree.concatenate([start.base for _, start in jobs]), width)
        curves.begin(engine.mean_return(spec, untouched, where, 0))
    points = sorted({*evaluations.tolist(), *controller.points, spec.num_updates})
    for point in (point for point in points if point > place.finished):
        if point > 0:
            between = partial(_between, pause, reports, curves, run, place)
            state, answer, sums = engine.advance(world, run, state, place.at, point, pace, sums, between, curves.going)
        controller.record(sums)
        chosen = answer_of(spec, start, answer, controller.scores)
        now, fault = partial(_snapshot, specs, chosen, state), curves.faults(state.fault)
        measured = means(sums, point - max(place.finished, 0), curves.going)
        if point in evaluations:
            broken = np.asarray(fault.quantity) > 0
            learned = np.where(broken, np.maximum(fault.update, 0), point)
            returns = engine.mean_return(spec, chosen, where, point)
            curves.add(returns, place.paid + learned * spec.env_steps_per_update, learned, now, broken)
        reports.moment(point, place.paid, measured, curves.last if point in evaluations else None, fault)
        if curves.stopped.all():
            break
        if point in controller.points:
            run, state = _act(spec, start, controller, world, run, state, answer)
            place = place._replace(paid=place.paid + spec.method.control.spent() // (spec.method.control.stretches - 1))
        place, sums = place._replace(finished=point, at=point), {}
        if point < points[-1]:
            pause(run, place, state, point, sums)
    return _results(jobs, first, curves, now())


def _between(
    pause: Pause, reports: Reports, curves: Curves, run: Run, place: Place, state: State, at: int, sums: Sums
) -> None:
    """Report a fault at once behind a call of the program, and pause."""
    reports.if_new(at, place.paid, curves.faults(state.fault))
    pause(run, place, state, at, sums)


def _pause(
    saving: Saving, interruption: Interruption, run: Run, place: Place, state: State, at: int, sums: Sums
) -> None:
    """Write a checkpoint if one is due, or if a signal asks for an end, which then comes."""
    saving.write(run, place, state, at, sums, now=interruption.asked)
    interruption.end_if_asked()


def _snapshot(specs: Sequence[Spec], answer: Policy, state: State) -> Snapshot:
    """What all runs have, those that fill up the program left out; not a copy, and the state is given away."""
    runs, members = sum(spec.num_runs for spec in specs), sum(spec.num_members for spec in specs)
    learned = devices.trim((state.delta, state.opt_state, state.memory, state.fault), members)
    return Snapshot(devices.trim(answer, runs), *learned)


def _results(jobs: Sequence[Job], first: PyTree, curves: Curves, last: Snapshot) -> list[Result]:
    """The result of each group.

    Args:
        jobs: the groups.
        first: what the optimizer held before the first update.
        curves: the evaluations.
        last: what all runs have after the last update.
    """
    results, run, member = [], 0, 0
    ended, kept = curves.finished(last)
    for spec, _ in jobs:
        runs, members = slice(run, run + spec.num_runs), slice(member, member + spec.num_members)
        parts = ended.part(runs, members), kept.part(runs, members)
        results.append(_result(spec, tree.take(first, members), curves, runs, *parts))
        run, member = runs.stop, members.stop
    return results


def _result(spec: Spec, first: PyTree, curves: Curves, runs: slice, ended: Snapshot, kept: Snapshot) -> Result:
    """The result of a group, whose runs are these of all; `first`, `ended` and `kept` are of this group alone."""
    method, by_member = spec.method, (spec.method.population, spec.num_runs)
    plain = method.adapter.plain and method.population == 1 and not method.finish.acts
    before, after = tree.flatten(first), tree.flatten(ended.delta)
    moved = {path: not np.array_equal(before[path], leaf, equal_nan=True) for path, leaf in after.items()}
    parts = {"optimizer state": kept.opt_state, "memory": kept.memory}
    finite = {name: tree.finite_runs(part, spec.num_members).reshape(by_member) for name, part in parts.items()}
    fault = of_runs([spec], ended.fault)
    return Result(
        policy=kept.answer,
        opt_state=kept.opt_state if plain else None,
        curve=curves.returns[runs],
        curve_steps=curves.steps[runs],
        delta=moved,
        delta_size=sum(leaf[0].size for path, leaf in after.items() if moved[path]),
        fault=fault,
        lost=int(np.count_nonzero(ended.fault.quantity)),
        # Of a population one sound member is enough, since the best of them is kept.
        finite={name: np.any(sound, axis=0) for name, sound in finite.items()},
        updates=curves.updates[runs],
        stopped=curves.stopped[runs] & (fault.quantity == 0),
        kept_steps=curves.kept_steps[runs],
    )


def _where(spec: Spec, start: Start) -> tuple[Task, Seeds]:
    """The task, seed and number by which each run is evaluated."""
    seeds = spec.seeds if start.numbers is None else seeds_of(spec.seed, spec.num_runs, numbers=start.numbers)
    return tasks_of(spec, start), seeds


def _filled(runs: PyTree, width: int) -> PyTree:
    return devices.pad(runs, max(width, len(jax.tree.leaves(runs)[0])))


def answer_of(spec: Spec, start: Start, policy: Policy, scores: np.ndarray) -> Policy:
    """The policy that each run would end with now: the best of a population, or what the finish makes."""
    method, num = spec.method, spec.num_runs
    if method.control.population > 1:
        members = devices.trim(policy, spec.num_members)
        fine = tree.finite_runs((members.params, members.statistics), spec.num_members)
        ranked = np.where(fine & ~np.isnan(scores), scores, -np.inf).reshape(method.population, num)
        best: Policy = tree.take(members, np.argmax(ranked, axis=0) * num + np.arange(num))
        return best
    if not method.finish.acts:
        return policy
    members = jax.tree.map(
        lambda leaf: np.moveaxis(leaf.reshape(method.population, num, *leaf.shape[1:]), 0, 1),
        devices.trim(policy, spec.num_members),
    )
    params = finish(tree.repeat(as_arrays(method.finish), num), start.source.policy.params, members.params)
    return Policy(params, jax.tree.map(lambda leaf: leaf[:, 0], members.statistics), spec.network)


@per_run(brief=True)
def finish(part: Finish, base: Tree, members: Tree) -> Tree:
    """The parameters that a run ends with, from its base and its members [k, ...]."""
    return part.apply(base, members)


def _act(
    spec: Spec, start: Start, controller: control.Controller, world: World, run: Run, state: State, answer: Policy
) -> tuple[Run, State]:
    """Return the run and the state after the control has acted."""
    num = spec.num_members
    numbers = Numbers(*devices.trim((run.optimizer, run.penalty), num))
    (optimizer, penalty), parents = controller.act(
        spec.algo, answer, world, numbers, member_seeds(spec, start), spec.task, np.asarray(state.fault.quantity) == 0
    )
    optimizer, penalty = devices.put((optimizer, penalty), num)
    if not np.array_equal(parents, np.arange(num)):
        state = devices.put(tree.take(devices.trim(state, num), parents), num)
    return replace(run, optimizer=optimizer, penalty=penalty), state


def mean_return(spec: Spec, start: Start, policy: Policy, point: int) -> np.ndarray:
    """Mean greedy return of every run's policy on its task, [R]; equal points meet equal episodes."""
    return COMPILED.mean_return(spec, policy, _where(spec, start), point)

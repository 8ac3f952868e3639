"""The transfer report: what became of every part of an agent, in plain lines."""

from collections import Counter
from collections.abc import Iterator

import jax
import numpy as np

from jaxrl_ft.core import tree
from jaxrl_ft.core.policy import Policy
from jaxrl_ft.core.types import PyTree, Statistics
from jaxrl_ft.envs.task import Task
from jaxrl_ft.methods.catalogue import AXES
from jaxrl_ft.training.agents import Agents, span
from jaxrl_ft.training.compatibility import same_sizes, sizes
from jaxrl_ft.training.evaluation import faults
from jaxrl_ft.training.initial_state import Start
from jaxrl_ft.training.loop import Result
from jaxrl_ft.training.preparation.prepare import Prepared
from jaxrl_ft.training.spec import Spec

_NORMALISED = ("obs", "reward")
_GROUPS = {"policy": "actor", "value": "critic"}


def transfer(prepared: Prepared, result: Result) -> tuple[str, ...]:
    """What a fine-tune carried over, reset, grew, froze and trained, a line each.

    Args:
        prepared: what ran, where it started, and how it came to that.
        result: what it left.
    """
    spec, start, fresh = prepared.spec, prepared.start, prepared.fresh
    agents = spec.base_agents
    lines = [_axes(spec)]
    if not same_sizes(agents.task, spec.task):
        lines.append(f"sizes: target has {sizes(spec.task)}, the agents {sizes(agents.task)}")
    lines += [*_realignment(prepared), *_imagination(prepared)]
    lines += _leaves(spec, agents, fresh, start, result)
    lines += [_optimizer(spec, start), _normaliser(agents, fresh, start), *_rest(spec)]
    return (*lines, *_counts(prepared, result))


def pretrained(spec: Spec, result: Result, until: Task | None) -> tuple[str, ...]:
    """The report of pretraining."""
    total = tree.size(tree.take(result.policy.params, 0))
    where = spec.task.describe() + ("" if until is None else f", physics drawn up to {until.describe()}")
    return (
        f"pretrained from nothing on {where}",
        f"trains {result.delta_size:,} of {total:,} parameters",
        *_ending(spec, result, "seeds"),
        _not_finite(result, "seeds"),
    )


def _ending(spec: Spec, result: Result, runs: str) -> Iterator[str]:
    """When runs stopped, and at which step the policies were taken; nothing where all steps were to be taken."""
    spent, kept = result.curve_steps[:, -1], result.kept_steps
    if spec.stop_at is not None:
        often = {1: "once", 2: "twice in a row"}.get(spec.patience, f"{spec.patience} times in a row")
        at, found = f"stopped at a greedy return of {spec.stop_at:g} {often}", result.stopped
        when = f", after {span(spent[found])} env steps on the task" if found.any() else ""
        yield f"{at}: {found.sum()} of {len(kept)} {runs}{when}"
    if spec.keep == "best":
        yield f"policy kept: the best of its evaluations, taken at {span(kept)} env steps on the task"
    elif spec.stop_at is not None:
        yield f"policy kept: the last, taken at {span(kept)} env steps on the task"


def _not_finite(result: Result, runs: str) -> str:
    """Which runs stopped for a number that was not finite, and what it was."""
    found = faults.texts(result.fault)
    lost = f", with {result.lost} members of populations" if result.lost > len(found) else ""
    named = "; ".join(f"{run}: {text}" for run, text in found.items())
    return f"ended by a number that is not finite: {len(found)} of {len(result.curve)} {runs}{lost}" + (
        f" ({named})" if named else ""
    )


def untouched(spec: Spec) -> tuple[str, ...]:
    """The report of agents that took no update."""
    kept = "the agents' own, untouched" if same_sizes(spec.before, spec.task) else "carried where shapes agree"
    return (f"actor and critic: {kept}", f"evaluated on {spec.task.describe()} without training")


def _axes(spec: Spec) -> str:
    shown = [
        f"{axis.replace('_', ' ')} {table.nearest_name(part)}"
        for axis, table, part in ((axis, table, getattr(spec.method, axis)) for axis, table in AXES.items())
        if axis in ("adapter", "optimizer") or part != next(iter(table.values()))
    ]
    return f"method: {', '.join(shown)}"


def _realignment(prepared: Prepared) -> Iterator[str]:
    changes = prepared.changes
    if not prepared.spec.method.alignment.acts:
        return
    if not changes:
        sizes_differ = "its observations or actions have other sizes than the agents'"
        reason = prepared.spec.network.lacks.get("obs_entries", sizes_differ)
        yield f"realigned to the target: not tried, as {reason}"
        return
    told = ", ".join(f"{what} in {sum(change.parts[what] for change in changes)}" for what in changes[0].parts)
    reasons = Counter(change.left_alone for change in changes if change.left_alone)
    alone = "".join(f"; left alone: {reason} in {count}" for reason, count in reasons.items())
    untried = "".join(f"; not tried: {what}" for what in changes[0].untried)
    yield f"realigned to the target: {told} of {len(changes)} runs{alone}{untried}"


def _imagination(prepared: Prepared) -> Iterator[str]:
    if prepared.imagined is not None:
        imagination = prepared.spec.method.imagination
        accuracy, used = prepared.imagined.accuracy, prepared.imagined.used
        yield (
            f"imagined: {imagination.steps:,} steps in a linear model of the target in {int(used.sum())} "
            f"of {len(used)} runs; it explains {np.median(accuracy):.1%} of held-out change in the median run, "
            f"{np.min(accuracy):.1%} in the worst, and must explain {imagination.accuracy:.0%}"
        )
        broken = prepared.imagined.broken
        if broken:
            named = "; ".join(f"{run}: {text}" for run, text in broken.items())
            count = f"{len(broken)} of {len(used)} runs"
            yield f"imagined training forgotten for a number that is not finite in {count} ({named})"
        untaught = int((~prepared.imagined.teaches).sum())
        if untaught:
            yield (
                f"model refused in {untaught} of {len(used)} runs: the look saw no episode end and one reward alone, "
                "or too little, of which no policy can learn"
            )


def _leaves(spec: Spec, agents: Agents, fresh: Policy, start: Start, result: Result) -> Iterator[str]:
    """What happened to the leaves of actor and critic: a line for each outcome, with its leaves.

    A leaf has trained if the optimizer's copy of it differs before the first update and after the last one.
    """
    theirs, new = tree.flatten(agents.params), tree.flatten(fresh.params)
    begun, ended = tree.flatten(start.policy.params), tree.flatten(result.policy.params)
    first = tree.flatten(agents.init_params)
    for group, name in _GROUPS.items():
        outcomes: dict[str, list[str]] = {}
        # Weights that came without a critic have a fresh one.
        untrained = np.all(
            [
                path in first and np.array_equal(theirs[path], first[path])
                for path in theirs
                if path.startswith(f"{group}/")
            ]
        )
        for path in ended:
            if path.startswith(f"{group}/"):
                origin = _origin(path, theirs, new, begun)
                origin = "fresh" if untrained and origin == "kept" else origin
                outcomes.setdefault(f"{origin}, {_training(path, spec, begun, ended, result)}", []).append(path)
        for path in theirs.keys() - ended.keys():
            if path.startswith(f"{group}/"):
                outcomes.setdefault("left behind", []).append(path)
        for outcome, paths in outcomes.items():
            which = f"all {len(paths)} leaves" if len(outcomes) == 1 else ", ".join(sorted(paths))
            yield f"{name}: {outcome}: {which}"


def _origin(path: str, theirs: dict[str, PyTree], new: dict[str, PyTree], begun: dict[str, PyTree]) -> str:
    if path not in begun:
        return "added"
    leaf = begun[path]
    if path in theirs and theirs[path].shape == leaf.shape and np.array_equal(theirs[path], leaf):
        return "kept"
    if path in new and new[path].shape == leaf.shape and np.array_equal(new[path], leaf):
        return "reset"
    if path not in theirs or theirs[path].shape != leaf.shape:
        return "grown"
    return "changed before training"


def _training(path: str, spec: Spec, begun: dict[str, PyTree], ended: dict[str, PyTree], result: Result) -> str:
    # What an adapter reaches is told by what moved; a finish may round what did not.
    before, after = begun.get(path), ended[path]
    grew = before is not None and before.shape != after.shape
    changed = before is not None and (grew or not np.allclose(before, after, rtol=1e-5, atol=1e-7))
    return spec.method.adapter.describe(path, after.shape[1:], result.delta, changed)


def _optimizer(spec: Spec, start: Start) -> str:
    keep, optimizer = spec.method.keep, spec.method.optimizer
    parts = {"first moment": keep.first_moment, "second moment": keep.second_moment, "step count": keep.step_count}
    if optimizer.desired_kl is not None:
        parts["factor of the learning rate"] = keep.rate_factor
    outcomes = [f"{name} {'kept' if kept and start.old is not None else 'reset'}" for name, kept in parts.items()]
    return f"optimizer {type(optimizer).__name__}: {', '.join(outcomes)}"


def _normaliser(agents: Agents, fresh: Policy, start: Start) -> str:
    moments = [
        {name: part for name, part in policy.statistics.items() if name in _NORMALISED}
        for policy in (agents.policies, fresh, start.policy)
    ]
    if not moments[2]:
        return "normaliser: none"
    parts = tuple(moments)
    flat = [np.concatenate([np.ravel(leaf) for leaf in _numbers(part)]) for part in parts]
    theirs, new, begun = flat
    outcome = "kept" if np.array_equal(begun, theirs) else "reset" if np.array_equal(begun, new) else "changed"
    return f"normaliser ({', '.join(sorted(moments[2]))}): {outcome}, goes on from the target's experience"


def _numbers(statistics: Statistics) -> list[PyTree]:
    return jax.tree.leaves(statistics) or [np.zeros(0)]


def _rest(spec: Spec) -> Iterator[str]:
    method = spec.method
    schedule = method.optimizer.schedule
    yield f"schedule: starts over, to {float(schedule.final):g} of the learning rate at the end of the budget"
    if method.ent_coef is None:
        own = getattr(spec.algo, "ent_coef", None)
        yield "entropy: no bonus" if own is None else f"entropy: coefficient {float(own):g}, the agents' own"
    else:
        yield f"entropy: coefficient {float(method.ent_coef):g}, the method's"
    yield f"replay: {'source experience beside the rollout' if method.data.replays else 'none'}"
    yield from spec.training_algo.beginnings()


def _counts(prepared: Prepared, result: Result) -> Iterator[str]:
    spec, start = prepared.spec, prepared.start
    total = tree.size(tree.take(result.policy.params, 0))
    share = result.delta_size / total
    yield f"trains {result.delta_size:,} numbers for {total:,} parameters ({share:.1%})"
    before = span(spec.base_agents.env_steps)
    yield (
        f"env steps of each agent: before the target {before} | source experience for this method "
        f"{prepared.source_steps:,} | target before the first update {start.probe_steps:,} | target in all "
        f"{span(result.curve_steps[:, -1])}"
    )
    yield from _ending(spec, result, "runs")
    yield _not_finite(result, "runs")
    if spec.method.look.measures:
        low, middle, high = np.quantile(np.asarray(start.share), [0.0, 0.5, 1.0])
        changed = sum(change.changes for change in prepared.changes)
        trusted = f"; as probable as the reading in the {changed} that were realigned" if changed else ""
        untold = int(prepared.untold.sum())
        unknown = f"; taken to be 1 in the {untold} that saw no episode end and one reward alone" if untold else ""
        yield (
            "probed zero-shot return, from 0 for random actions to 1 for the best possible: "
            f"median {middle:.2f}, {low:.2f} to {high:.2f}{trusted}{unknown}"
        )

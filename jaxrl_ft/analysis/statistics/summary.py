"""One row per (target, method) of a comparison: interquartile means with intervals that resample agents, then runs."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxrl_ft.analysis.statistics import intervals, transfer
from jaxrl_ft.analysis.statistics.aggregate import iqm, per_task
from jaxrl_ft.analysis.statistics.intervals import Interval
from jaxrl_ft.analysis.statistics.resampling import REPETITIONS, hierarchical_indices
from jaxrl_ft.core import checks
from jaxrl_ft.core.curves import Floats

Row = Mapping[str, Any]

MEASURES = (
    "source_return",
    "target_return",
    "held_out_return",
    "held_out_interpolation",
    "held_out_extrapolation",
    "auc",
    "forgetting",
    "dip",
    "probe_steps",
    "source_steps",
    "env_steps",
    "trainable_parameters",
    "trainable_percent",
)
# name in the summary -> the column of the runs whose difference from scratch it is
DIFFERENCES = {"jumpstart": "jumpstart_return", "final_gain": "target_return", "auc_gain": "auc"}
RIVALS = ("scratch", "full")
REFERENCES = ("zero_shot", "scratch")
NO_INTERVAL = Interval(np.nan, np.nan, np.nan)


def summarise(
    runs: Sequence[Row], curves: ArrayLike, curve_steps: ArrayLike, repetitions: int = REPETITIONS, seed: int = 0
) -> list[dict[str, Any]]:
    """A row per (target, method), in order of appearance: counts, and value, `_low` and `_high` for every measure.

    Values are interquartile means over the runs whose status is "ok"; ends are 95% percentile intervals that resample
    agents, then runs, and NaN for a single run. `jumpstart`, `final_gain` and `auc_gain` are differences from scratch
    over the runs both have, resampled together. `probability_over_scratch` and `probability_over_full` compare areas
    under the curve, pairs kept together. `dip` is `transfer.dip_area` below the same run's zero-shot return. What
    cannot be computed is NaN, and a run that lacks a measure is left out of that measure alone.

    Args:
        runs: one mapping per run, R of them, as a comparison gives.
        curves: mean greedy returns [R, K], rows aligned with `runs`.
        curve_steps: env steps [R, K].
        repetitions: bootstrap resamples.
        seed: a Python int.

    Raises:
        ValueError: shapes that do not match the runs; a method that has the same run of a target twice.
    """
    checks.count("repetitions", repetitions)
    checks.seed(seed)
    lines, steps = np.asarray(curves, np.float64), np.asarray(curve_steps, np.float64)
    if lines.ndim != 2 or lines.shape != steps.shape or len(lines) != len(runs):
        raise ValueError(
            f"curves: shapes {lines.shape} and {steps.shape} do not fit {len(runs)} runs; give [R, K] twice"
        )
    positions = _positions(runs)
    measured = [_measure(row, lines[i], steps[i], _zero_shot(row, positions, lines)) for i, row in enumerate(runs)]
    rows = []
    for (target, method), of_run in positions.items():
        good = [i for i in of_run.values() if is_ok(runs[i])]
        row: dict[str, Any] = {"target": target, "method": method, "n": len(of_run), "n_ok": len(good)}
        row |= {"failed": len(of_run) - len(good), "agents": len({runs[i].get("agent", i) for i in good})}
        row |= _group(runs, measured, good, repetitions, seed)
        for rival in RIVALS:
            pairs = _pairs(runs, of_run, positions.get((target, rival), {})) if rival != method else []
            row |= _against(rival, runs, measured, pairs, repetitions, seed)
        rows.append(row)
    return rows


def is_ok(row: Row) -> bool:
    """Whether a run counts in the statistics."""
    return bool(row.get("status", "ok") == "ok")


def interval(row: Row, name: str) -> Interval:
    """One measure of a summary row with the ends of its interval; NaN where the row has none."""
    return Interval(row.get(name, np.nan), row.get(f"{name}_low", np.nan), row.get(f"{name}_high", np.nan))


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Summary rows with the targets in their order, and within each the largest area under the curve first."""
    targets = list(dict.fromkeys(row["target"] for row in rows))
    auc = {id(row): row["auc"] if np.isfinite(row["auc"]) else -np.inf for row in rows}
    return sorted(rows, key=lambda row: (targets.index(row["target"]), -auc[id(row)]))


def forgotten(row: Row) -> float:
    """Return on the source that a run lost; NaN where it was not measured, and from scratch, which never knew it."""
    before, after = row.get("source_return_before"), row.get("source_return")
    if before is None or after is None or row.get("from_scratch", False):
        return float("nan")
    return float(transfer.forgetting(before, after))


def chosen_methods(ordered: Sequence[str], most: int) -> list[str]:
    """The references and rivals among methods, and then the first of the others, at most so many of all."""
    fixed = [name for name in dict.fromkeys((*REFERENCES, *RIVALS)) if name in ordered]
    return fixed + [name for name in ordered if name not in fixed][: max(0, most - len(fixed))]


def best_first(runs: Sequence[Row]) -> list[str]:
    """The methods by their mean area under the curve, largest first; those without one in order of appearance."""
    areas: dict[str, list[float]] = {}
    for row in runs:
        found = areas.setdefault(row["method"], [])
        if is_ok(row) and np.isfinite(row.get("auc", np.nan)):
            found.append(float(row["auc"]))
    means = {method: np.mean(found) if found else -np.inf for method, found in areas.items()}
    return sorted(areas, key=lambda method: -float(means[method]))


def _positions(runs: Sequence[Row]) -> dict[tuple[str, str], dict[int, int]]:
    """Where each (target, method) has each run: run index -> position in `runs`."""
    positions: dict[tuple[str, str], dict[int, int]] = {}
    for i, row in enumerate(runs):
        of_run = positions.setdefault((row["target"], row["method"]), {})
        if row["run"] in of_run:
            raise ValueError(
                f"runs: {row['method']!r} has run {row['run']} on {row['target']!r} twice; name them apart"
            )
        of_run[row["run"]] = i
    return positions


def _zero_shot(row: Row, positions: Mapping[tuple[str, str], Mapping[int, int]], lines: Floats) -> float:
    """The zero-shot return on the same target of the agent that a run started from, NaN without one."""
    position = positions.get((row["target"], "zero_shot"), {}).get(row["run"])
    return np.nan if position is None else float(lines[position, -1])


def _measure(row: Row, line: Floats, steps: Floats, zero_shot: float) -> dict[str, float]:
    """Every number that the summary uses of one run; NaN where it is missing."""
    names = (*MEASURES, *DIFFERENCES.values(), "total_parameters")
    numbers = {name: np.nan if row.get(name) is None else float(row[name]) for name in names}
    numbers["forgetting"] = forgotten(row)
    numbers["dip"] = float(transfer.dip_area(line, steps, zero_shot)) if np.isfinite(steps).all() else np.nan
    total = numbers["total_parameters"]
    numbers["trainable_percent"] = 100.0 * numbers["trainable_parameters"] / total if total > 0 else np.nan
    return numbers


def _named(name: str, estimate: Interval) -> dict[str, float]:
    """The three entries of one measure in a summary row."""
    return {name: float(estimate.value), f"{name}_low": float(estimate.low), f"{name}_high": float(estimate.high)}


def _group(
    runs: Sequence[Row], measured: Sequence[Mapping[str, float]], good: Sequence[int], repetitions: int, seed: int
) -> dict[str, float]:
    """Interquartile mean and interval of every measure over the runs at these positions."""
    values = np.array([[measured[i][name] for name in MEASURES] for i in good]).reshape(len(good), len(MEASURES))
    agents = np.array([runs[i].get("agent", i) for i in good])
    finite, entries = np.isfinite(values), {}
    # measures that lack the same runs share one call, and so one set of resamples
    for pattern in np.unique(finite, axis=1).T:
        names = [m for m in range(len(MEASURES)) if (finite[:, m] == pattern).all()]
        estimate = _estimate(values[pattern][:, names], agents[pattern], repetitions, seed)
        for place, m in enumerate(names):
            entries.update(_named(MEASURES[m], Interval(*(end[place] for end in estimate))))
    return {name: entries.get(name, np.nan) for measure in MEASURES for name in _named(measure, NO_INTERVAL)}


def _estimate(values: Floats, agents: Floats, repetitions: int, seed: int) -> Interval:
    """Interquartile means [M] of columns [R, M] with interval ends [M]; NaN ends for one run, all NaN for none."""
    missing = np.full(values.shape[1], np.nan)
    if len(values) == 0:
        return Interval(missing, missing, missing)
    if len(values) == 1:
        return Interval(values[0], missing, missing)
    ends = np.stack([values[0], values[0], values[0]])
    varies = (values != values[0]).any(axis=0)
    if varies.any():
        drawn = _indices(tuple(agents), repetitions, seed)
        ends[:, varies] = intervals.stratified_bootstrap(values[:, varies], per_task(iqm), indices=drawn)
    return Interval(*ends)


@lru_cache(maxsize=4)
def _indices(agents: tuple[int, ...], repetitions: int, seed: int) -> NDArray[np.int64]:
    """Resampled runs [B, R]; methods that finished the same runs of the same agents share them."""
    return hierarchical_indices(np.array(agents), repetitions, seed)


def _pairs(runs: Sequence[Row], ours: Mapping[int, int], theirs: Mapping[int, int]) -> list[tuple[int, int]]:
    """Positions (ours, theirs) of the runs that both methods finished, in order of the run index."""
    both = [(ours[run], theirs[run]) for run in sorted(ours.keys() & theirs.keys())]
    return [(x, y) for x, y in both if is_ok(runs[x]) and is_ok(runs[y])]


def _against(
    rival: str,
    runs: Sequence[Row],
    measured: Sequence[Mapping[str, float]],
    pairs: Sequence[tuple[int, int]],
    repetitions: int,
    seed: int,
) -> dict[str, float]:
    """The entries that compare a method with one rival over paired runs."""
    entries = {}
    if rival == "scratch":
        for name, column in DIFFERENCES.items():
            x, y, agents = _columns(column, runs, measured, pairs)
            estimate = NO_INTERVAL
            if len(x) == 1:
                estimate = Interval(x[0] - y[0], np.nan, np.nan)
            elif len(x) > 1:
                estimate = intervals.paired_difference(x, y, iqm, indices=_indices(tuple(agents), repetitions, seed))
            entries.update(_named(name, estimate))
    x, y, agents = _columns("auc", runs, measured, pairs)
    estimate = NO_INTERVAL
    if len(x) > 1:
        drawn = _indices(tuple(agents), repetitions, seed)
        estimate = intervals.probability_interval(x, y, indices=(drawn, drawn))
    return entries | _named(f"probability_over_{rival}", estimate)


def _columns(
    column: str, runs: Sequence[Row], measured: Sequence[Mapping[str, float]], pairs: Sequence[tuple[int, int]]
) -> tuple[Floats, Floats, Floats]:
    """Ours [R], theirs [R] and the agents [R] for the pairs where both are finite."""
    x = np.array([measured[i][column] for i, _ in pairs])
    y = np.array([measured[j][column] for _, j in pairs])
    agents = np.array([runs[i].get("agent", i) for i, _ in pairs])
    finite = np.isfinite(x) & np.isfinite(y)
    return x[finite], y[finite], agents[finite]

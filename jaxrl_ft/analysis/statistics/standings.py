"""Methods over all targets of a comparison together: what the leaderboard, the profiles and the scatters show.

A method counts where it finished runs on every target, with the runs that it finished on all of them: run i has the
same agent everywhere, so one resample of agents and then runs is taken of all targets alike.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxrl_ft.analysis.marks import code
from jaxrl_ft.analysis.report.tables import AUC
from jaxrl_ft.analysis.statistics import intervals
from jaxrl_ft.analysis.statistics.aggregate import Statistic, iqm, per_task, performance_profile
from jaxrl_ft.analysis.statistics.intervals import Interval
from jaxrl_ft.analysis.statistics.power import sentence, smallest_detectable_difference
from jaxrl_ft.analysis.statistics.resampling import REPETITIONS, hierarchical_indices
from jaxrl_ft.analysis.statistics.summary import REFERENCES, Row, is_ok
from jaxrl_ft.core.curves import Estimate, Floats

Scored = dict[str, dict[str, dict[int, float]]]


class Standing(NamedTuple):
    """One number of one method over all targets."""

    method: str
    estimate: Interval
    """its ends are NaN for a single run"""
    runs: int
    """runs on each target"""
    agents: int
    """pretrained agents among them"""


def mean_iqm(scores: ArrayLike) -> Estimate:
    """Mean over tasks of the interquartile mean over runs, [...] of scores [..., R, T]."""
    return np.mean(per_task(iqm)(np.asarray(scores)), axis=-1)


def standings(
    runs: Sequence[Row],
    column: str = "auc",
    repetitions: int = REPETITIONS,
    seed: int = 0,
    statistic: Statistic = mean_iqm,
) -> list[Standing]:
    """The statistic of a column of every method that finished every target, largest first where it is one number.

    Args:
        runs: one mapping per run, as `summarise` takes.
        column: the column, such as `auc`.
        repetitions: bootstrap resamples.
        seed: a Python int.
        statistic: maps [..., R, T] to [...] or [..., K].
    """
    found, agents = scored(runs, column), agents_of(runs)
    result = []
    for method in found:
        numbers, values = matrix(found[method])
        if len(values):
            labels = [agents[number] for number in numbers]
            estimate = _estimate(values, labels, statistic, repetitions, seed)
            result.append(Standing(method, estimate, len(values), len(set(labels))))
    if any(np.ndim(standing.estimate.value) for standing in result):
        return result
    return sorted(result, key=lambda standing: -float(standing.estimate.value))


def improvements(
    runs: Sequence[Row], rival: str, column: str = "auc", repetitions: int = REPETITIONS, seed: int = 0
) -> list[Standing]:
    """P(X > Y) + P(X = Y)/2 of every method against a rival, a mean over targets, pairs of runs resampled together.

    The probability is that of Agarwal et al. 2021 (arXiv 2108.13264); empty where the rival has no run on every target.
    """
    found, agents = scored(runs, column), agents_of(runs)
    result = []
    for method in found:
        if method == rival or rival not in found:
            continue
        numbers = sorted(set(matrix(found[method])[0]) & set(matrix(found[rival])[0]))
        if len(numbers) > 1:
            x, y = (matrix(found[name], numbers)[1] for name in (method, rival))
            labels = [agents[number] for number in numbers]
            drawn = hierarchical_indices(np.array(labels), repetitions, seed)
            estimate = intervals.probability_interval(x, y, indices=(drawn, drawn))
            result.append(Standing(method, estimate, len(numbers), len(set(labels))))
    return sorted(result, key=lambda standing: -float(standing.estimate.value))


def profiles(
    runs: Sequence[Row], thresholds: ArrayLike, column: str = "target_return", repetitions: int = 500, seed: int = 0
) -> list[Standing]:
    """The share of runs and targets above each threshold [K] of every method: `performance_profile` with intervals."""

    def statistic(scores: Floats) -> Estimate:
        return performance_profile(scores, thresholds)

    return standings(runs, column, repetitions, seed, statistic)


def detectable(runs: Sequence[Row], repetitions: int = REPETITIONS, seed: int = 0) -> list[str]:
    """How small a difference in area these runs could have shown: the best method against scratch and the next.

    A sentence of `power.sentence` for each pair; none where fewer than two runs of both finished every target.

    Args:
        runs: one mapping per run.
        repetitions: bootstrap resamples.
        seed: a Python int.
    """
    found, agents = scored(runs, "auc"), agents_of(runs)
    means = {method: mean_iqm(values) for method in found if len(values := matrix(found[method])[1])}
    ranking = sorted(means, key=means.__getitem__, reverse=True)
    tuned = [method for method in ranking if method not in REFERENCES]
    rivals = dict.fromkeys(method for method in ("scratch", *tuned[1:2]) if method in means)
    num_targets = len({row["target"] for row in runs})
    where = f", averaged over {num_targets} targets" if num_targets > 1 else ""
    sentences = []
    for rival in rivals if tuned else ():
        numbers = sorted(set(matrix(found[tuned[0]])[0]) & set(matrix(found[rival])[0]))
        if len(numbers) < 2:
            continue
        x, y = (matrix(found[method], numbers)[1] for method in (tuned[0], rival))
        labels = [agents[number] for number in numbers]
        power = smallest_detectable_difference(x, y, mean_iqm, True, labels, repetitions, seed)
        sentences.append(
            f"{code(tuned[0])} against {code(rival)} in {AUC}{where}: {sentence(power, 'points of return')}"
        )
    return sentences


def scored(runs: Sequence[Row], column: str) -> Scored:
    """A column by method, target and run; failed runs and what is not finite are left out, empty cells are not."""
    targets, methods = dict.fromkeys(row["target"] for row in runs), dict.fromkeys(row["method"] for row in runs)
    found: Scored = {method: {target: {} for target in targets} for method in methods}
    for row in runs:
        value = row.get(column)
        if is_ok(row) and value is not None and np.isfinite(value):
            found[row["method"]][row["target"]][row["run"]] = float(value)
    return found


def matrix(
    of_target: Mapping[str, Mapping[int, float]], numbers: Sequence[int] | None = None
) -> tuple[list[int], Floats]:
    """The numbers of the runs that are there on every target, or those given, and their scores [R, T]."""
    columns = list(of_target.values())
    common = set(columns[0]).intersection(*columns[1:]) if columns else set()
    chosen = sorted(common) if numbers is None else list(numbers)
    return chosen, np.array([[column[number] for column in columns] for number in chosen])


def agents_of(runs: Sequence[Row]) -> dict[int, int]:
    """The agent that each run number started from; the number itself where none is named."""
    return {row["run"]: row.get("agent", row["run"]) for row in runs}


def _estimate(values: Floats, agents: Sequence[int], statistic: Statistic, repetitions: int, seed: int) -> Interval:
    """The statistic and its interval; NaN ends for one run."""
    if len(values) > 1:
        return intervals.hierarchical_bootstrap(values, agents, statistic, repetitions, seed)
    value = statistic(values)
    return Interval(value, np.full_like(value, np.nan), np.full_like(value, np.nan))

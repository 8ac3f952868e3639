"""Time of the bootstrap beside rliable 1.2.0: 20 methods x 6 shifts x 32 seeds, 50,000 repetitions, in one run.

    python experiments/bootstrap.py

Interquartile means with 95% percentile intervals of every method, on made-up scores without ties. Rounds alternate:
ours on all methods at full size, then rliable on its share of the methods at full size, so that after the last round
rliable has done the whole work once; its time is the sum over rounds, ours the median. Each round also times ours on
one method alone. The general path, which builds every resample, is timed once. results/bootstrap.json.
"""

import json
import os
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_ft.analysis import intervals
from jaxrl_ft.analysis.statistics import iqm

RESULTS = Path(__file__).parent / "results"
METHODS, SHIFTS, SEEDS, REPETITIONS, ROUNDS = 20, 6, 32, 50_000, 10


def rliable_library() -> Any:
    """rliable, past the time-series models of arch that do not import under pandas 3 and that it does not use."""
    for name in ("arch.univariate", "arch.univariate.mean"):
        module = types.ModuleType(name)
        vars(module)["arch_model"] = None
        sys.modules.setdefault(name, module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from rliable import library, metrics
    return lambda scores: library.get_interval_estimates(
        scores, lambda given: np.array([metrics.aggregate_iqm(given)]), reps=REPETITIONS
    )


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call(*arguments)
    return time.perf_counter() - began, result


def made_up() -> dict[str, np.ndarray]:
    """Scores [32, 6] of 20 methods whose shifts differ in level and spread."""
    rng = np.random.default_rng(0)
    level, spread = rng.uniform(50, 450, (METHODS, 1, SHIFTS)), rng.uniform(5, 100, (METHODS, 1, SHIFTS))
    values = level + spread * rng.normal(size=(METHODS, SEEDS, SHIFTS))
    return {f"method {i}": scores for i, scores in enumerate(values)}


def farthest(ours: dict[str, intervals.Interval], theirs: dict[str, np.ndarray]) -> float:
    """The largest distance between our end of an interval and theirs, in widths of the interval."""
    distances = [
        np.abs(np.array(ours[name][1:]) - ends.ravel()).max() / (ours[name].high - ours[name].low)
        for name, ends in theirs.items()
    ]
    return float(max(distances))


def main() -> None:
    scores, rliable = made_up(), rliable_library()
    names = list(scores)
    all_s, one_s, share_s, points, ends = [], [], [], {}, {}
    intervals.bootstrap_by_name(scores, repetitions=100)
    for i in range(ROUNDS):
        share = {name: scores[name] for name in names[i::ROUNDS]}
        spent, ours = timed(intervals.bootstrap_by_name, scores, iqm, REPETITIONS)
        all_s.append(spent)
        one_s.append(timed(intervals.stratified_bootstrap, scores[names[i]], iqm, REPETITIONS)[0])
        spent, (values, found) = timed(rliable, share)
        share_s.append(spent)
        points.update(values)
        ends.update(found)
        print(
            f"round {i}: all {all_s[-1]:.2f} s, one {one_s[-1]:.2f} s, rliable {len(share)}: {spent:.1f} s", flush=True
        )
    general_s, _ = timed(intervals.bootstrap_by_name, scores, lambda given: iqm(given), REPETITIONS)
    ratios = [ROUNDS * theirs / ours for ours, theirs in zip(all_s, share_s)]
    result = {
        "methods": METHODS,
        "shifts": SHIFTS,
        "seeds": SEEDS,
        "repetitions": REPETITIONS,
        "cores": len(os.sched_getaffinity(0)),
        "ours_s": {"median": float(np.median(all_s)), "rounds": all_s},
        "ours_general_path_s": general_s,
        "ours_one_method_s": {"median": float(np.median(one_s)), "rounds": one_s},
        "rliable_s": {"whole": sum(share_s), "rounds": share_s},
        "times_faster": {"whole": sum(share_s) / float(np.median(all_s)), "least": min(ratios), "most": max(ratios)},
        "times_faster_one_method": sum(share_s) / METHODS / float(np.median(one_s)),
        "values_differ_by": max(abs(float(ours[name].value - points[name][0])) for name in names),
        "ends_differ_by_widths": farthest(ours, ends),
    }
    (RESULTS / "bootstrap.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

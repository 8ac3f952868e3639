"""Time of the bootstrap beside rliable 1.2.0: 20 methods x 6 shifts x 32 seeds, 50,000 repetitions, in one run.

    python experiments/benchmarks/bootstrap.py

Interquartile means with 95% percentile intervals of every method, on made-up scores without ties. Rounds alternate:
ours on all methods at full size, then rliable on its share of the methods at full size, so that after the last round
rliable has done the whole work once; its time is the sum over rounds, ours the median. Each round also times ours on
one method alone. The general path, which builds every resample, is timed once. results/bootstrap.json.
"""

import argparse
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

from jaxrl_ft.analysis.statistics import intervals
from jaxrl_ft.analysis.statistics.aggregate import iqm

RESULTS = Path(__file__).parents[1] / "results"
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


def timed(spent: dict[str, list[float]], call: Callable[..., Any], *arguments: Any) -> Any:
    """What the call returns; its seconds on the clock and on the processor are added to what was spent."""
    began, worked = time.perf_counter(), time.process_time()
    result = call(*arguments)
    spent["s"].append(time.perf_counter() - began)
    spent["cpu_s"].append(time.process_time() - worked)
    return result


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


def faster(ours: dict[str, list[float]], theirs: dict[str, list[float]], clock: str) -> dict[str, float]:
    """How many times faster all methods are than rliable: the whole, and the least and most of single rounds."""
    ratios = [ROUNDS * peer / own for own, peer in zip(ours[clock], theirs[clock])]
    return {"whole": sum(theirs[clock]) / float(np.median(ours[clock])), "least": min(ratios), "most": max(ratios)}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    scores, rliable = made_up(), rliable_library()
    names = list(scores)
    every, one, general, theirs = ({"s": [], "cpu_s": []} for _ in range(4))
    points, ends = {}, {}
    intervals.bootstrap_by_name(scores, repetitions=100)
    for i in range(ROUNDS):
        share = {name: scores[name] for name in names[i::ROUNDS]}
        ours = timed(every, intervals.bootstrap_by_name, scores, iqm, REPETITIONS)
        timed(one, intervals.stratified_bootstrap, scores[names[i]], iqm, REPETITIONS)
        values, found = timed(theirs, rliable, share)
        points.update(values)
        ends.update(found)
        told = f"all {every['s'][-1]:.2f} s, one {one['s'][-1]:.2f} s, rliable {len(share)}: {theirs['s'][-1]:.1f} s"
        print(f"round {i}: {told}", flush=True)
    timed(general, intervals.bootstrap_by_name, scores, lambda given: iqm(given), REPETITIONS)
    result = {
        "methods": METHODS,
        "shifts": SHIFTS,
        "seeds": SEEDS,
        "repetitions": REPETITIONS,
        "cores": len(os.sched_getaffinity(0)),
        "ours_median_s": float(np.median(every["s"])),
        "ours_one_method_median_s": float(np.median(one["s"])),
        "ours_general_path_s": general["s"][0],
        "rliable_s": sum(theirs["s"]),
        "times_faster": faster(every, theirs, "s"),
        "times_faster_cpu": faster(every, theirs, "cpu_s"),
        "times_faster_one_method": sum(theirs["s"]) / METHODS / float(np.median(one["s"])),
        "values_differ_by": max(abs(float(ours[name].value - points[name][0])) for name in names),
        "ends_differ_by_widths": farthest(ours, ends),
        "rounds": {"ours": every, "ours_one_method": one, "rliable_share": theirs},
    }
    (RESULTS / "bootstrap.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

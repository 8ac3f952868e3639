"""Fine-tuning of agents of other algorithms than PPO: how much it helps, and which rows of METHODS they take.

    python experiments/any_algorithm.py [ENVIRONMENT/ALGORITHM ...] [--stages report rows]

1. Report. 8 agents by the tuned defaults of each algorithm, on shifts where an untouched policy is worth next to
   nothing and where it is near the ceiling: zero-shot, scratch, full and the recommended method, over half of the env
   steps of the environment's default. The methods are as METHODS has them, not tuned for any of these algorithms.
2. Rows, on CartPole. Every row of METHODS as it stands, with 2 of these agents, for 64 updates after all that it pays
   for: it ran and all its numbers are finite, or it was refused, with the reason. The row `norm` has agents with layer
   norms.

Finished shifts are added to results/any_algorithm.csv, finished rows to results/any_algorithm_rows.csv, and a second
call goes on from there. Tables are written to results/any_algorithm.md and results/any_algorithm_rows.md.
"""

import argparse
import functools
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from appending import append, read

import jaxrl_ft as ft
from jaxrl_ft.analysis.report.tables import format_number, markdown_table
from jaxrl_ft.analysis.statistics.aggregate import iqm
from jaxrl_ft.analysis.statistics.intervals import Interval, stratified_bootstrap
from jaxrl_ft.defaults.pretraining import pretraining
from jaxrl_ft.training.spec import Budget, finetune_spec

RESULTS = Path(__file__).parent / "results"
RUNS, ROWS = RESULTS / "any_algorithm.csv", RESULTS / "any_algorithm_rows.csv"
SEEDS, SEED, EVALS = 8, 21, 11
FEW, UPDATES = 2, 64
SHIFTS = {
    "CartPole-v1": ("flipped-actions", "long-pole", "strong-gravity", "weak-motor"),
    "MountainCar-v0": ("mirrored-actions", "very-late-actions"),
    "Pendulum-v1": ("mirrored-actions", "low-gravity"),
}
ON_CARTPOLE = [f"CartPole-v1/{algo}" for algo in ("dqn", "a2c", "sac", "pqn")]
NAMES = [*ON_CARTPOLE, "MountainCar-v0/dqn", "Pendulum-v1/sac"]
METHODS = ("zero_shot", "scratch", "full", ft.RECOMMENDED)
STAGES = ("report", "rows")
COLUMNS = ("agent", "auc", "target_return", "source_return", "source_return_before", "env_steps", "status")


def pretrained(name: str, row: str = "full") -> ft.Agents:
    """Agents by the tuned defaults, for the row `norm` with layer norms."""
    network = pretraining(*name.split("/")).usual_network(ft.make_task(name.split("/")[0]))
    return _pretrained(name, replace(network, layer_norm=True) if row == "norm" else network)


@functools.cache
def _pretrained(name: str, network: ft.MLP) -> ft.Agents:
    id, algo = name.split("/")
    return ft.pretrain(ft.make_task(id), algo=algo, network=network, seeds=SEEDS, seed=SEED, num_evals=2)


def report(name: str) -> None:
    """The runs of all shifts that have none yet."""
    id, _ = name.split("/")
    budget = {"steps": pretraining(id).steps // 2, "num_evals": EVALS}
    done = {(row["name"], row["shift"]) for row in read(RUNS)}
    for shift in SHIFTS[id]:
        if (name, shift) in done:
            continue
        began, targets = time.perf_counter(), {shift: ft.make_task(id, shift)}
        found = ft.compare(pretrained(name), targets, METHODS, **budget, progress=False)
        shared = {"name": name, "shift": shift}
        rows = [{**shared, "method": row["method"], **{key: told(row[key]) for key in COLUMNS}} for row in found.runs]
        append(RUNS, rows)
        print(f"{name} {shift}: {time.perf_counter() - began:.0f} s", flush=True)


def told(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def tried(name: str, row: str) -> dict[str, str]:
    """Whether a row of METHODS ran, and if it did not, why."""
    id, _ = name.split("/")
    method, target = ft.METHODS[row], ft.make_task(id, SHIFTS[id][0])
    agents = pretrained(name, row).select(np.arange(FEW))
    each = agents.algo.steps_before() + UPDATES * agents.algo.steps_per_update()
    budget = Budget(each * method.population + method.spent(), SEED + 1, 2, 4)
    try:
        finetune_spec(agents, target, method, budget)
    except ValueError as error:
        return {"outcome": "refused", "why": str(error)}
    try:
        tuned = ft.finetune(
            agents, target, method, steps=budget.steps, seed=budget.seed, num_evals=2, eval_episodes=4, progress=False
        )
    except Exception as error:
        return {"outcome": "failed", "why": f"{type(error).__name__}: {error}"}
    finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((tuned.params, tuned.curve)))
    whole = finite and set(tuned.status) == {"ok"}
    return {"outcome": "ran" if whole else "not finite", "why": "" if whole else ", ".join(tuned.status)}


def with_optimizations(wanted: bool) -> None:
    """Compile with all of XLA's optimizations or with few, as is quicker where what is compiled hardly runs."""
    jax.config.update("jax_disable_most_optimizations", not wanted)


def rows(name: str) -> None:
    """Every row that has not been tried yet."""
    done = {(row["name"], row["row"]) for row in read(ROWS)}
    for row in [row for row in ft.METHODS if (name, row) not in done]:
        with_optimizations(True)
        pretrained(name, row)
        with_optimizations(False)
        began = time.perf_counter()
        found = tried(name, row)
        append(ROWS, [{"name": name, "row": row, **found, "seconds": round(time.perf_counter() - began, 1)}])
        print(name, row, *found.values(), f"{time.perf_counter() - began:.1f} s", flush=True)


def shown(name: str) -> str:
    id, algo = name.split("/")
    return f"{algo.upper()} on {id.split('-')[0]}"


def interval(found: dict[str, np.ndarray]) -> Interval:
    return stratified_bootstrap(found["auc"])


def report_table() -> str:
    """Zero-shot returns, and areas with their intervals, a line for each algorithm and shift."""
    cells: dict[tuple[str, str], dict[str, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for row in read(RUNS):
        cells[row["name"], row["shift"]][row["method"]].append(row)
    lines = []
    for (name, shift), by_method in cells.items():
        runs = {
            method: {key: np.nan_to_num([float(row[key]) for row in found]) for key in ("auc", "target_return")}
            for method, found in by_method.items()
        }
        before = iqm(np.array([float(row["source_return_before"]) for row in by_method["zero_shot"]]))
        areas = {method: interval(runs[method]) for method in METHODS if method != "zero_shot"}
        best = areas[ft.RECOMMENDED]
        apart = ["apart" if best.low > areas[other].high else "" for other in ("scratch", "full")]
        listed = [f"{area.value:.0f} ({area.low:.0f} to {area.high:.0f})" for area in areas.values()]
        returns = [format_number(before, 0), format_number(iqm(runs["zero_shot"]["target_return"]), 0)]
        lines.append([shown(name), shift, *returns, *listed, *apart])
    headings = ["agents", "shift", "source", "zero-shot", *METHODS[1:], "above scratch", "above full"]
    return markdown_table(headings, lines)


def rows_table() -> str:
    """How many rows ran with each algorithm, and the reasons of the others."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read(ROWS):
        found[row["name"]].append(row)
    lines = []
    for name, tries in found.items():
        reasons: dict[str, list[str]] = defaultdict(list)
        for row in tries:
            if row["outcome"] != "ran":
                why = row["why"].split("; ", 1)[0] if row["outcome"] == "failed" else row["why"].split("allowed; ")[-1]
                reasons[why if row["outcome"] == "refused" else f"{row['outcome']}: {why}"].append(f"`{row['row']}`")
        ran = sum(row["outcome"] == "ran" for row in tries)
        others = "; ".join(f"{', '.join(names)}: {why.split('; see')[0]}" for why, names in reasons.items())
        lines.append([shown(name), f"{ran} of {len(tries)}", others])
    return markdown_table(["agents", "rows that ran", "the others"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="ENVIRONMENT/ALGORITHM")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    chosen = parser.parse_args()
    for name in (chosen.names or NAMES) if "report" in chosen.stages else []:
        report(name)
        RUNS.with_suffix(".md").write_text(report_table() + "\n")
    for name in (chosen.names or ON_CARTPOLE) if "rows" in chosen.stages else []:
        rows(name)
        ROWS.with_suffix(".md").write_text(rows_table() + "\n")


if __name__ == "__main__":
    main()

"""What a search for hyperparameters is worth: found on validation tasks, against a method's own, on the targets.

    python experiments/search.py [--seeds N] [--trials N]

For `full` and `lora`, random search, successive halving and optuna's TPE choose a learning rate and an entropy
coefficient with one budget of env steps, three times each with other seeds. What each found then fine-tunes 16 agents
to the targets with other seeds, beside the method's own setting. The targets are never searched on.

Every finished search and comparison is written at once, and a second call goes on from there: results/search.csv has
every trial, results/search_runs.csv every run on the targets, results/search.md the table.
"""

import argparse
import csv
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from appending import read

import jaxrl_ft as ft
from jaxrl_ft.analysis.statistics.intervals import paired_difference, stratified_bootstrap

RESULTS = Path(__file__).parent / "results"
TRIALS, RUNS, TABLE = (RESULTS / name for name in ("search.csv", "search_runs.csv", "search.md"))
KINDS = ("random", "halving", "optuna")
METHODS = ("full", "lora")
SHIFTS = ("long-pole", "weak-motor", "flipped-actions")
SPACE = {"optimizer.learning_rate": "3e-4:3e-2:log", "ent_coef": "1e-4:1e-1:log"}
AGENTS, SEARCH_AGENTS, STEPS = 16, 2, 10_240
COMPARED_SEED, SEARCH_SEED = 3, 1_000
"""Of the runs on the targets, and of the first search; pretraining has 0."""


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    temporary = path.with_suffix(".part")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def search(agents: ft.Agents, targets: dict[str, ft.Task], kind: str, number: int, trials: int) -> None:
    """One search, added to the trials unless it is among them."""
    rows: list[dict[str, Any]] = list(read(TRIALS))
    if any(row["kind"] == kind and int(row["search"]) == number for row in rows):
        return
    began = time.perf_counter()
    found = ft.search(
        agents,
        targets,
        METHODS,
        SPACE,
        kind=kind,
        trials=trials,
        seeds=SEARCH_AGENTS,
        steps=STEPS,
        seed=SEARCH_SEED + number,
        num_evals=6,
    )
    for row in found.trials:
        values = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
        rows.append({"kind": kind, "search": number, **values})
    write(TRIALS, rows)
    print(f"{kind} {number}: {found.env_steps:,} env steps, {time.perf_counter() - began:.0f} s", flush=True)


def best(rows: list[dict[str, str]]) -> dict[str, str]:
    """The trial with the largest score among those of the longest runs."""
    finite = [row for row in rows if np.isfinite(float(row["score"]))]
    return max(finite, key=lambda row: (int(row["steps"]), float(row["score"])))


def winners() -> dict[str, dict[str, str]]:
    """The best trial of every search, by method, kind and number."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in read(TRIALS):
        found.setdefault(f"{row['method']}/{row['kind']}/{row['search']}", []).append(row)
    return {name: best(rows) for name, rows in found.items()}


def method_of(name: str, row: dict[str, str]) -> ft.Method:
    """The method that a trial tried."""
    own = ft.METHODS[name]
    optimizer = replace(own.optimizer, learning_rate=float(row["optimizer.learning_rate"]))
    return replace(own, optimizer=optimizer, ent_coef=float(row["ent_coef"]))


def compare(agents: ft.Agents, targets: dict[str, ft.Task]) -> None:
    """Everything found on every target, beside the methods' own settings; what was compared before is left."""
    rows: list[dict[str, Any]] = list(read(RUNS))
    done = {row["method"] for row in rows}
    chosen = {f"{name}/own": ft.METHODS[name] for name in METHODS}
    chosen |= {name: method_of(name.split("/")[0], row) for name, row in winners().items()}
    missing = {name: method for name, method in chosen.items() if name not in done}
    if not missing:
        return
    result = ft.compare(
        agents, targets, missing, steps=STEPS, seed=COMPARED_SEED, num_evals=11, episodes=32, held_out_episodes=4
    )
    names = ("method", "target", "agent", "auc", "target_return", "source_return", "held_out_return", "status")
    fresh = [row for row in result.runs if row["method"] not in done]
    rows += [{n: f"{row[n]:.6g}" if isinstance(row[n], float) else row[n] for n in names} for row in fresh]
    write(RUNS, rows)


def areas(rows: list[dict[str, str]], method: str) -> np.ndarray:
    """The areas of a method, [agents, targets]."""
    by = {(row["agent"], row["target"]): float(row["auc"]) for row in rows if row["method"] == method}
    return np.array([[by[str(agent), target] for target in SHIFTS] for agent in range(AGENTS)])


def table() -> str:
    """A line for the own setting of each method, and for each search."""
    runs, trials, found = read(RUNS), read(TRIALS), winners()
    lines = [
        "| method | found by | learning rate, entropy coefficient | env steps of the search | validation score "
        f"| AUC on {len(SHIFTS)} targets | less the own setting, same agents |",
        "|---|---|---|---|---|---|---|",
    ]
    for method in METHODS:
        own = areas(runs, f"{method}/own")
        rate = ft.METHODS[method].optimizer.learning_rate
        lines.append(f"| `{method}` | its own setting | {rate:g}, 0 | 0 | | {told(stratified_bootstrap(own))} | |")
        for name in (name for name in found if name.startswith(f"{method}/")):
            _, kind, number = name.split("/")
            row, mine = found[name], areas(runs, name)
            own_trials = [t for t in trials if (t["method"], t["kind"], t["search"]) == (method, kind, number)]
            spent = sum(int(trial["env_steps"]) for trial in own_trials)
            difference = paired_difference(mine, own, agents=np.arange(AGENTS))
            point = f"{float(row['optimizer.learning_rate']):g}, {float(row['ent_coef']):g}"
            lines.append(
                f"| `{method}` | {kind}, search {number} | {point} | {spent:,} | {float(row['score']):.0f} "
                f"| {told(stratified_bootstrap(mine))} | {told(difference, '+')} |"
            )
    return "\n".join(lines) + "\n"


def told(interval: Any, sign: str = "") -> str:
    value, low, high = (f"{end:{sign}.0f}" for end in interval)
    return f"{value} ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="searches of each kind")
    parser.add_argument("--trials", type=int, default=16, metavar="N", help="budget of each, in trials of full length")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    agents = ft.pretrain(ft.make_task("CartPole-v1"), seeds=AGENTS, num_evals=2)
    targets = {shift: ft.make_task("CartPole-v1", shift) for shift in SHIFTS}
    for number in range(arguments.seeds):
        for kind in KINDS:
            search(agents, targets, kind, number, arguments.trials)
    compare(agents, targets)
    TABLE.write_text(table())
    print(table())


if __name__ == "__main__":
    main()

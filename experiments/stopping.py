"""When to stop pretraining: agents that stop once they are good enough, as sources for fine-tuning.

    python experiments/stopping.py

Sixteen agents for each of three seeds are pretrained for all 40,960 env steps, or until a return is reached at two of
11 evaluations in a row; played for 100 fresh episodes; and fine-tuned to three shifts. What is finished is appended to
results/stopping.csv, and the same command goes on from there. The table is results/stopping.md.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from appending import append, read

import jaxrl_ft as ft
from jaxrl_ft.analysis.statistics.intervals import stratified_bootstrap
from jaxrl_ft.core import checks

PATH, TABLE = (Path(__file__).parent / "results" / name for name in ("stopping.csv", "stopping.md"))
SOURCE, STOPS = "CartPole-v1", {"all steps": None, "475": 475.0, "500": 500.0}
SHIFTS = ("flipped-actions", "long-pole", "heavy-cart")
METHODS = ("zero_shot", "scratch", "full", ft.RECOMMENDED)
FRESH = 7_000_000
"""Seed of the episodes that no training and no other evaluation has played."""
COLUMNS = ("seed", "agent", "method", "target", "pretrain_steps", "auc", "return")
"""Of a row: without a method it is of an agent on its source, with one of a fine-tune on its target."""
Rows = list[dict[str, Any]]


def measured(stop: str, seed: int) -> Rows:
    """The rows of sixteen agents: one of each agent itself, and one of each of its fine-tunes."""
    agents = ft.pretrain(ft.make_task(SOURCE), seeds=16, seed=seed, num_evals=11, stop_at=STOPS[stop])
    returns = ft.evaluate(agents, agents.source, episodes=100, seed=FRESH + seed).mean(axis=1)
    own = [{"agent": i, "pretrain_steps": agents.env_steps[i], "return": returns[i]} for i in range(agents.num_seeds)]
    targets = {name: ft.make_task(SOURCE, shift=name) for name in SHIFTS}
    far = (seed + checks.MAX_SEED // 2) % checks.MAX_SEED
    compared = ft.compare(agents, targets, METHODS[2:], seed=far, num_evals=11, episodes=64, held_out_episodes=1)
    runs = [{**run, "return": run["target_return"]} for run in compared.runs]
    return [{"stop": stop, **{name: row.get(name, "") for name in COLUMNS}, "seed": seed} for row in own + runs]


def markdown(rows: Rows) -> str:
    """A table of the agents, and one of their fine-tunes."""
    lines = [
        "| pretrained until | env steps: median (range) | fresh return: mean | of the worst agent | below 475 |",
        "|---|---:|---:|---:|---:|",
    ]
    for stop in STOPS:
        own = [row for row in rows if row["stop"] == stop and not row["method"]]
        steps, returns = (np.array([float(row[name]) for row in own]) for name in ("pretrain_steps", "return"))
        span = f"{np.median(steps):,.0f} ({steps.min():,.0f} to {steps.max():,.0f})"
        cells = f"{returns.mean():.1f} | {returns.min():.1f} | {(returns < 475).sum()} of {len(returns)}"
        lines.append(f"| {stop} | {span} | {cells} |")
    lines += ["", "| target | pretrained until | " + " | ".join(METHODS) + " |", "|---|---|" + "---:|" * len(METHODS)]
    for target in SHIFTS:
        for stop in STOPS:
            cells = " | ".join(_area(rows, stop, target, method) for method in METHODS)
            lines.append(f"| {target} | {stop} | {cells} |")
    return "\n".join(lines) + "\n"


def _area(rows: Rows, stop: str, target: str, method: str) -> str:
    cell = {"stop": stop, "target": target, "method": method}
    areas = [float(row["auc"]) for row in rows if all(row[name] == value for name, value in cell.items())]
    mean = stratified_bootstrap(np.array(areas)[:, None])
    return f"{mean.value:.0f} ({mean.low:.0f} to {mean.high:.0f})"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    done = {(row["stop"], int(row["seed"])) for row in read(PATH)}
    for stop, seed in ((stop, seed) for seed in range(3) for stop in STOPS if (stop, seed) not in done):
        append(PATH, measured(stop, seed))
        print(f"{stop}, seed {seed}", flush=True)
    TABLE.write_text(markdown(read(PATH)))
    print(TABLE.read_text())


if __name__ == "__main__":
    main()
